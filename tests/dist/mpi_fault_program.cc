// What mpi_fault_test.cc starts under mpirun: ranks of which one misbehaves as the first argument
// says; the third is "shared", "mpi" or "nodes" (the first two ranks on one, the rest on another),
// the way that data takes. Every rank that catches an Error
// writes "CODE MESSAGE" to FOLDER/RANK (second argument) and leaves as main() of the real program
// does.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "dist/bootstrap.h"
#include "dist/bootstrap_kinds.h"

namespace vesalius::dist {
namespace {

using std::chrono::milliseconds;

std::chrono::steady_clock::time_point g_last_step;  // when the step that fails was begun

// In one place, since the call site is part of what ranks agree on.
Ticket Launch(Communicator& comm, std::vector<float>& data, int step) {
  data.assign(100'000, 1.f);
  return comm.AllReduce(StrCat("step ", step), data.data(), 100'000, DType::kFloat32);
}

void Step(Communicator& comm, int step) {
  std::vector<float> data;
  Launch(comm, data, step).Wait();
}

void Misbehave(const std::string& mode, Communicator& comm) {
  if (mode == "kill") raise(SIGKILL);
  if (mode == "exit") _exit(3);
  if (mode == "sleep") std::this_thread::sleep_for(milliseconds(3000));
  if (mode == "throw") Fail(ExitCode::kInvalidData, "shard 3 is damaged");
  if (mode == "abort") comm.Abort("the disk is full");
  if (mode == "drop") {
    std::vector<float> data;
    { const Ticket dropped = Launch(comm, data, 3); }
    Fail(ExitCode::kInvalidData, "after a drop");
  }
}

void Run(const std::string& mode, bool share_memory, int* rank) {
  const auto bootstrap = MakeMpiBootstrap(0, share_memory);
  *rank = bootstrap->rank();
  const bool waits_long = mode != "sleep";
  const auto comm = bootstrap->MakeCommunicator(
      Device::kCpu, {.deadline = milliseconds(waits_long ? 60'000 : 1000)});
  for (int step = 0; step < 3; ++step) Step(*comm, step);
  const bool guilty = *rank == bootstrap->size() - 1;
  if (mode == "mismatch" && guilty) comm->Barrier("another").Wait();
  if (guilty) Misbehave(mode, *comm);
  if (mode == "drop") std::this_thread::sleep_for(milliseconds(500));
  g_last_step = std::chrono::steady_clock::now();
  Step(*comm, 3);
}

}  // namespace
}  // namespace vesalius::dist

int main(int, char** argv) {
  vesalius::log::Init(argv[0]);
  const std::string way = argv[3];
  if (way == "nodes") {
    const bool first = std::atoi(std::getenv("OMPI_COMM_WORLD_RANK")) < 2;
    setenv("VESALIUS_DECLARED_NODE", first ? "a" : "b", 1);
  }
  int rank = -1;
  try {
    vesalius::dist::Run(argv[1], way != "mpi", &rank);
  } catch (const vesalius::Error& error) {
    const int code = static_cast<int>(error.code());
    const std::chrono::duration<double> waited =
        std::chrono::steady_clock::now() - vesalius::dist::g_last_step;
    const std::string report = vesalius::StrCat(argv[2], "/", rank);
    vesalius::WriteFileAtomic(report, vesalius::StrCat(code, " ", error.what()));
    vesalius::WriteFileAtomic(report + ".seconds", vesalius::StrCat(waited.count()));
    std::fflush(nullptr);
    _exit(code);
  }
  return 0;
}
