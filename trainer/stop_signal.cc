#include "trainer/stop_signal.h"

#include <csignal>
#include <initializer_list>

namespace vesalius::trainer {
namespace {

volatile std::sig_atomic_t g_stop = 0;

void OnSignal(int) { g_stop = 1; }

}  // namespace

void InstallStopSignals(bool with_usr1) {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGUSR2, with_usr1 ? SIGUSR1 : SIGUSR2})
    sigaction(signal, &action, nullptr);
}

bool StopRequested() { return g_stop != 0; }

}  // namespace vesalius::trainer
