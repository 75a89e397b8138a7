#include "trainer/stop_signal.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace vesalius::trainer {
namespace {

std::atomic<bool> g_stop{false};  // lock-free: safe in a handler, and read by every local rank
static_assert(std::atomic<bool>::is_always_lock_free);

void OnSignal(int) { g_stop = true; }

}  // namespace

void InstallStopSignals(bool with_usr1) {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGUSR2, with_usr1 ? SIGUSR1 : SIGUSR2})
    sigaction(signal, &action, nullptr);
}

bool StopRequested() { return g_stop; }

}  // namespace vesalius::trainer
