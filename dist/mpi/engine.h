// Open MPI behind one thread. The engine's launch thread calls MPI_Init_thread, every MPI call
// after it, and MPI_Finalize; nothing else in the tree calls MPI. Every wait polls with short
// pauses, and ends when the deadline passes, a process of this node dies, a peer gives notice, or
// Abort() is called; after that MPI is not called again in this process, not even MPI_Finalize,
// which would hang.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "dist/launch_queue.h"
#include "dist/peers.h"
#include "dist/request.h"

namespace vesalius::dist {

class MpiEngine : public std::enable_shared_from_this<MpiEngine> {
 public:
  // Initialises MPI. Error(kConfig) when the launcher's environment does not suffice.
  static std::shared_ptr<MpiEngine> Start();

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  const std::vector<Peer>& peers() const { return peers_; }

  // Any thread. Jobs run on the launch thread.
  LaunchQueue& queue() { return *queue_; }
  void Abort(const std::string& reason);
  bool failed() const { return failed_; }

  // MPI_Comm_split by each of `colors` in turn; MPI_COMM_NULL for a color < 0. Any thread;
  // collective. Error(kPeerLost), and nothing more of MPI in this process, when it takes longer
  // than `limit`.
  std::vector<MPI_Comm> SplitComm(MPI_Comm comm, const std::vector<int>& colors, int key,
                                  std::chrono::milliseconds limit);

  // MPI_Finalize, bounded in time. Not after a failure.
  void Finish();
  // Tells the others, and leaves MPI as it is: the process must end soon by _exit.
  void Abandon();

  // Launch thread only, from here on.
  MPI_Comm MakeComm();  // a duplicate of the world with errors returned; collective

  struct WaitContext {
    const Request* request = nullptr;
    std::chrono::steady_clock::time_point deadline;
    // For the message when the deadline passes: who has not answered within what time.
    std::function<std::string()> absent;
  };
  // Until all of `requests` are complete; they are MPI_REQUEST_NULL then. Throws Error(kPeerLost).
  void WaitAll(std::vector<MPI_Request>& requests, const WaitContext& context);
  // Throws Error(kPeerLost) unless `result` is MPI_SUCCESS.
  void Check(int result, const char* call, const Request& request);
  // The first failure stays; every rank is told. Throws it.
  [[noreturn]] void FailAll(ExitCode code, const std::string& message);
  // Throws when this communicator's ranks have failed before.
  void RequireAlive(const Request& request);

 private:
  MpiEngine() = default;
  void Initialise();
  void Poll(const WaitContext& context);
  void ListenForNotice();
  void TellOthers(const Error& failure);

  struct Notice {
    int code = 0;
    char text[508] = {};
  };
  std::unique_ptr<LaunchQueue> queue_;
  int rank_ = 0;
  std::vector<Peer> peers_;
  std::unique_ptr<PeerWatch> watch_;
  MPI_Comm notices_ = MPI_COMM_NULL;  // failure notices, one message a peer
  MPI_Request notice_request_ = MPI_REQUEST_NULL;
  Notice notice_;
  std::chrono::steady_clock::time_point next_look_{};

  std::atomic<bool> abort_asked_ = false;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards the two below
  std::string abort_reason_;
  std::optional<Error> failure_;
};

}  // namespace vesalius::dist
