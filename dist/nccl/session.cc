#include "dist/nccl/session.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"

namespace vesalius::dist::nccl {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kWatchEvery = std::chrono::milliseconds(20);
constexpr auto kFinalizeLimit = std::chrono::seconds(30);

std::vector<Peer> ExchangePeers(Bootstrap& bootstrap) {
  std::vector<Peer> peers;
  for (const std::string& text : bootstrap.Exchange("nccl peers", Encode(ThisProcess()))) {
    peers.push_back(DecodePeer(text));
  }
  return peers;
}

}  // namespace

Session::Session(std::shared_ptr<const Api> api, int device, Bootstrap& bootstrap,
                 std::chrono::milliseconds deadline)
    : api_(std::move(api)), device_(device), limit_(deadline) {
  peers_ = std::make_unique<PeerWatch>(ExchangePeers(bootstrap), bootstrap.rank());
  // Rank 0's id, or why it has none, so that all ranks fail alike.
  UniqueId id{};
  std::string mine;
  if (bootstrap.rank() == 0) {
    const int result = api_->get_unique_id(&id);
    mine = result == kSuccess ? std::string(id.bytes, sizeof(id.bytes)) : Text(result);
  }
  const std::string shared = bootstrap.Exchange("nccl id", mine)[0];
  Require(shared.size() == sizeof(id.bytes), ExitCode::kConfig,
          "ncclGetUniqueId failed on rank 0: ", shared);
  std::memcpy(id.bytes, shared.data(), sizeof(id.bytes));
  try {
    Initialise(id, bootstrap.size(), bootstrap.rank());
    watchdog_ = std::thread([this] { Watch(); });
  } catch (...) {
    if (comm_ != nullptr && !failure_) api_->comm_abort(comm_);
    FreeRuntime();
    throw;
  }
}

void Session::Initialise(const UniqueId& id, int ranks, int rank) {
  CheckCuda(api_->set_device(device_), "cudaSetDevice");
  CheckCuda(api_->stream_create(&stream_), "cudaStreamCreate");
  CheckCuda(api_->event_create(&ready_), "cudaEventCreate");
  Lock lock(mutex_);
  const std::string what =
      StrCat("joining the NCCL communicator as rank ", rank, " of ", ranks, " with GPU ", device_,
             " (every rank of a node needs a GPU of its own)");
  const int result = api_->comm_init_rank(&comm_, ranks, id, rank);
  Require(comm_ != nullptr, ExitCode::kConfig, what, " failed: ", Text(result));
  SettleLocked(lock, result, what, Clock::now() + limit_);
}

Session::~Session() {
  {
    Lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (watchdog_.joinable()) watchdog_.join();
  if (!failure_) {
    int result = api_->comm_finalize(comm_);
    const auto limit = Clock::now() + kFinalizeLimit;
    while (result == kInProgress && Clock::now() < limit) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (api_->comm_get_async_error(comm_, &result) != kSuccess) break;
    }
    if (result == kSuccess) {
      api_->comm_destroy(comm_);
    } else {
      log::Warning("ncclCommFinalize did not succeed: ", Text(result));
      api_->comm_abort(comm_);
    }
  }
  FreeRuntime();
}

void Session::FreeRuntime() {
  for (const auto& operation : pending_) api_->event_destroy(operation->done);
  if (ready_ != nullptr) api_->event_destroy(ready_);
  if (stream_ != nullptr) api_->stream_destroy(stream_);
}

void Session::CheckCuda(int result, const char* call) const {
  Require(result == kSuccess, ExitCode::kNodeUnhealthy, call, " failed on GPU ", device_, ": ",
          api_->cuda_error_text(result));
}

void Session::CheckLocked(int result, const char* call, const std::string& what) {
  if (result == kSuccess) return;
  FailLocked(ExitCode::kNodeUnhealthy, StrCat(what, ": ", call, " failed on GPU ", device_, ": ",
                                              api_->cuda_error_text(result)));
  ThrowLocked(what);
}

void Session::SettleLocked(Lock& lock, int result, const std::string& what,
                           Clock::time_point deadline) {
  settling_ = true;
  while (result == kInProgress && !failure_) {
    if (Clock::now() > deadline) {
      FailLocked(ExitCode::kPeerLost,
                 StrCat(what, ": not all ranks took part within ", limit_.count(), " ms"));
    } else if (const auto dead = peers_->FindDead()) {
      FailLocked(ExitCode::kPeerLost, StrCat(what, ": ", *dead));
    } else {
      const int asked = api_->comm_get_async_error(comm_, &result);
      if (asked != kSuccess) result = asked;
      if (result != kInProgress) break;
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      lock.lock();
    }
  }
  settling_ = false;
  if (!failure_ && result != kSuccess) {
    FailLocked(result == kInvalidUsage ? ExitCode::kConfig : ExitCode::kPeerLost,
               StrCat(what, " failed: ", Text(result)));
  }
  if (failure_) ThrowLocked(what);
}

std::shared_ptr<Session::Operation> Session::Launch(const std::string& what,
                                                    const std::function<int(Comm, Stream)>& issue) {
  std::lock_guard one_at_a_time(launching_);
  Lock lock(mutex_);
  if (failure_) ThrowLocked(what);
  auto operation = std::make_shared<Operation>();
  operation->what = what;
  operation->deadline = Clock::now() + limit_;
  CheckLocked(api_->event_record(ready_, api_->current_stream()), "cudaEventRecord", what);
  CheckLocked(api_->stream_wait_event(stream_, ready_), "cudaStreamWaitEvent", what);
  SettleLocked(lock, issue(comm_, stream_), what, operation->deadline);
  CheckLocked(api_->event_create(&operation->done), "cudaEventCreate", what);
  pending_.push_back(operation);  // from here on the event is freed with the others
  CheckLocked(api_->event_record(operation->done, stream_), "cudaEventRecord", what);
  return operation;
}

bool Session::FinishedLocked(Operation& operation) {
  if (operation.finished) return true;
  if (failure_) return false;
  const int result = api_->event_query(operation.done);
  if (result == kNotReady) return false;
  if (result != kSuccess) {
    FailLocked(ExitCode::kNodeUnhealthy,
               StrCat(operation.what, " failed: ", api_->cuda_error_text(result)));
    return false;
  }
  operation.finished = true;
  api_->event_destroy(operation.done);
  std::erase_if(pending_, [&](const auto& entry) { return entry.get() == &operation; });
  return true;
}

void Session::Wait(Operation& operation) {
  for (int polls = 0;; ++polls) {
    {
      Lock lock(mutex_);
      if (FinishedLocked(operation)) return;
      if (failure_) ThrowLocked(operation.what);
    }
    if (polls < 1000) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
}

void Session::Drop(Operation& operation) {
  Lock lock(mutex_);
  if (!FinishedLocked(operation)) {
    FailLocked(ExitCode::kPeerLost, StrCat("this rank gave up on ", operation.what));
  }
}

void Session::Abort(const std::string& reason) {
  Lock lock(mutex_);
  FailLocked(ExitCode::kPeerLost, reason);
}

void Session::Watch() {
  api_->set_device(device_);
  Lock lock(mutex_);
  while (!stop_ && !failure_) {
    LookLocked();
    changed_.wait_for(lock, kWatchEvery, [this] { return stop_ || failure_.has_value(); });
  }
}

void Session::LookLocked() {
  if (!settling_) {  // a launch under way looks itself, and names its collective
    int result = kSuccess;
    api_->comm_get_async_error(comm_, &result);
    const std::string what = pending_.empty() ? "between collectives" : pending_.front()->what;
    if (result != kSuccess && result != kInProgress) {
      return FailLocked(ExitCode::kPeerLost, StrCat(what, ": NCCL reports ", Text(result)));
    }
    if (const auto dead = peers_->FindDead()) {
      return FailLocked(ExitCode::kPeerLost, StrCat(what, ": ", *dead));
    }
  }
  // The oldest unfinished one names the failure; those behind it could not start.
  while (!pending_.empty()) {
    const std::shared_ptr<Operation> oldest = pending_.front();
    if (FinishedLocked(*oldest)) continue;
    if (!failure_ && Clock::now() > oldest->deadline) {
      FailLocked(ExitCode::kPeerLost,
                 StrCat(oldest->what, ": a rank did not take part within ", limit_.count(), " ms"));
    }
    return;
  }
}

void Session::FailLocked(ExitCode code, const std::string& message) {
  if (failure_) return;
  failure_ = Error(code, message);
  api_->comm_abort(comm_);
  changed_.notify_all();
}

void Session::ThrowLocked(const std::string& what) const {
  const std::string reason = failure_->what();
  if (reason.starts_with(what)) throw *failure_;
  Fail(failure_->code(), what, " was abandoned: ", reason);
}

}  // namespace vesalius::dist::nccl
