// One NCCL communicator with its stream, watchdog and the failure that ends it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/nccl/nccl_api.h"
#include "dist/peers.h"
#include "dist/request.h"

namespace vesalius::dist::nccl {

// Thread-safe.
class Session {
 public:
  // Collective over the ranks of `bootstrap`; `peers` by rank.
  static std::shared_ptr<Session> Join(std::shared_ptr<const Api> api, int device,
                                       Bootstrap& bootstrap, std::vector<Peer> peers,
                                       std::chrono::milliseconds deadline);
  ~Session();  // destroys the communicator in good order; after a failure it was aborted

  // Collective: the session of the ranks with this color, ordered by key; null for color < 0. It
  // and this one fail together.
  std::shared_ptr<Session> Split(const std::string& name, int color, int key, const Members& part);

  // A collective that was put on the stream.
  struct Operation {
    Header header;
    std::shared_ptr<TrafficMeter> meter;
    Clock::time_point deadline;
    Event begin = nullptr;
    Event done = nullptr;
    bool finished = false;
  };

  // Calls `issue` (one NCCL call or group) on the stream, ordered after the computing stream's work
  // up to here.
  std::shared_ptr<Operation> Launch(const Request& request,
                                    const std::function<int(Comm, Stream)>& issue);
  void Wait(Operation& operation);
  // Aborts unless the operation has finished.
  void Drop(Operation& operation);
  void Abort(const std::string& reason);

  void CheckCuda(int result, const char* call) const;
  const std::shared_ptr<const Api>& api() const { return api_; }

 private:
  // What sessions split from one another share.
  struct Family {
    std::vector<Peer> peers;  // by number in the whole job
    std::mutex mutex;
    std::optional<Error> failure;
  };
  using Lock = std::unique_lock<std::mutex>;
  using What = std::function<std::string()>;  // names a call, in errors only

  Session(std::shared_ptr<const Api> api, int device, std::chrono::milliseconds deadline,
          std::shared_ptr<Family> family, const Members& members);
  // Makes the runtime's objects and the communicator by `join`, and starts the watchdog.
  void Start(std::function<int(Comm*)> join, const What& what);
  Comm SplitLocked(Lock& lock, int color, int key, const What& what);
  void Finalize();
  void Abandon();  // ncclCommAbort on a thread of its own, since it may hang
  void FreeRuntime();
  void Note(int result, const char* call) const;  // a failure where nothing can be done about it
  // Makes a call of NCCL without the lock, so that the watchdog can end one that does not return.
  int CallLocked(Lock& lock, const What& what, Clock::time_point deadline,
                 const std::function<int()>& call);
  // Polls until the communicator's last call is through; throws what became of it. Lets go of the
  // lock between polls, so that Abort() need not wait for the deadline.
  void SettleLocked(Lock& lock, int result, const What& what, Clock::time_point deadline);
  // A CUDA call that fails amid a launch fails the communicator: the other ranks go on to wait.
  void CheckLocked(int result, const char* call, const What& what);
  bool FinishedLocked(Operation& operation);
  void FreeEvents(Operation& operation) const;
  void Watch();
  void LookLocked();
  // The one place that aborts. The first failure stays.
  void FailLocked(ExitCode code, const std::string& message);
  void FailWithFamilyLocked();
  [[noreturn]] void ThrowLocked(const std::string& what) const;
  std::string Text(int result) const { return api_->error_text(result, comm_); }

  const std::shared_ptr<const Api> api_;
  const int device_;
  const std::chrono::milliseconds limit_;
  const std::shared_ptr<Family> family_;
  std::unique_ptr<PeerWatch> peers_;

  std::mutex launching_;  // held over a whole Launch, before mutex_: NCCL calls do not overlap
  std::mutex mutex_;      // guards what follows
  std::condition_variable changed_;
  Comm comm_ = nullptr;
  Stream stream_ = nullptr;
  Event ready_ = nullptr;  // the computing stream's work before a launch
  std::deque<std::shared_ptr<Operation>> pending_;
  const What* calling_ = nullptr;  // the call that is being made without the lock
  Clock::time_point calling_until_;
  std::optional<Error> failure_;
  std::future<void> aborted_;
  bool settling_ = false;
  bool stop_ = false;
  std::thread watchdog_;
};

}  // namespace vesalius::dist::nccl
