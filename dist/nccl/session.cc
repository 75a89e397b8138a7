#include "dist/nccl/session.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"

namespace vesalius::dist::nccl {
namespace {

constexpr auto kWatchEvery = std::chrono::milliseconds(20);
constexpr auto kFinalizeLimit = std::chrono::seconds(30);
constexpr auto kAbortLimit = std::chrono::seconds(1);

}  // namespace

Session::Session(std::shared_ptr<const Api> api, int device, std::chrono::milliseconds deadline,
                 std::shared_ptr<Family> family, const Members& members)
    : api_(std::move(api)), device_(device), limit_(deadline), family_(std::move(family)) {
  std::vector<Peer> peers;
  for (int name : members.names) peers.push_back(family_->peers[name]);
  peers_ = std::make_unique<PeerWatch>(peers, members.names, members.rank);
}

std::shared_ptr<Session> Session::Join(std::shared_ptr<const Api> api, int device,
                                       Bootstrap& bootstrap, std::vector<Peer> peers,
                                       std::chrono::milliseconds deadline) {
  // Rank 0's id, or why it has none, so that all ranks fail alike.
  UniqueId id{};
  std::string mine;
  if (bootstrap.rank() == 0) {
    const int result = api->get_unique_id(&id);
    mine = result == kSuccess ? std::string(id.bytes, sizeof(id.bytes))
                              : api->error_text(result, nullptr);
  }
  const std::string shared = bootstrap.Exchange("nccl id", mine)[0];
  Require(shared.size() == sizeof(id.bytes), ExitCode::kConfig,
          "ncclGetUniqueId failed on rank 0: ", shared);
  std::memcpy(id.bytes, shared.data(), sizeof(id.bytes));
  auto family = std::make_shared<Family>();
  family->peers = std::move(peers);
  const Members members = MembersOfOneNode(bootstrap.rank(), bootstrap.size());
  std::shared_ptr<Session> session(
      new Session(std::move(api), device, deadline, std::move(family), members));
  session->Start(
      [api = session->api_, members, id](Comm* comm) {
        return api->comm_init_rank(comm, members.size(), id, members.rank);
      },
      [&] {
        return StrCat("joining the NCCL communicator as rank ", members.rank, " of ",
                      members.size(), " with GPU ", device,
                      " (every rank of a node needs a GPU of its own)");
      });
  return session;
}

void Session::Start(std::function<int(Comm*)> join, const What& what) {
  try {
    CheckCuda(api_->set_device(device_), "cudaSetDevice");
    CheckCuda(api_->stream_create(&stream_), "cudaStreamCreate");
    CheckCuda(api_->event_create(&ready_), "cudaEventCreate");
    Lock lock(mutex_);
    const auto deadline = Clock::now() + limit_;
    // On a thread of its own: the call is not supposed to block, but must not hold us if it does.
    struct Joining {
      Comm comm = nullptr;
      std::promise<int> result;
    };
    const auto joining = std::make_shared<Joining>();
    std::thread([api = api_, device = device_, join = std::move(join), joining] {
      const int chosen = api->set_device(device);
      joining->result.set_value(chosen == kSuccess ? join(&joining->comm) : chosen);
    }).detach();
    auto result = joining->result.get_future();
    Require(result.wait_until(deadline) == std::future_status::ready, ExitCode::kPeerLost, what(),
            ": the call did not return within ", limit_.count(), " ms");
    const int joined = result.get();
    comm_ = joining->comm;
    Require(comm_ != nullptr, ExitCode::kConfig, what(), " failed: ", Text(joined));
    SettleLocked(lock, joined, what, deadline);
    lock.unlock();
    watchdog_ = std::thread([this] { Watch(); });
  } catch (const Error& error) {
    Lock lock(mutex_);
    FailLocked(error.code(), error.what());
    throw;
  }
}

std::shared_ptr<Session> Session::Split(const std::string& name, int color, int key,
                                        const Members& part) {
  const What what = [&] { return StrCat("splitting the NCCL communicator for '", name, "'"); };
  std::lock_guard one_at_a_time(launching_);
  Lock lock(mutex_);
  const Comm made = SplitLocked(lock, color, key, what);
  lock.unlock();
  if (part.size() == 0) return nullptr;
  std::shared_ptr<Session> session(new Session(api_, device_, limit_, family_, part));
  session->Start(
      [made](Comm* comm) {
        *comm = made;
        return kInProgress;  // it says itself when it is ready
      },
      what);
  return session;
}

Comm Session::SplitLocked(Lock& lock, int color, int key, const What& what) {
  const auto deadline = Clock::now() + limit_;
  // NCCL wants no operation under way on the communicator that is split.
  while (!failure_ && !pending_.empty()) {
    LookLocked();
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    lock.lock();
  }
  if (failure_) ThrowLocked(what());
  // NCCL may write to it until the call has settled, which after a failure it never does.
  Comm* made = new Comm(nullptr);
  const int result = CallLocked(lock, what, deadline, [&] {
    return api_->comm_split(comm_, std::max(color, -1), key, made);
  });
  SettleLocked(lock, result, what, deadline);
  const Comm comm = *made;
  delete made;
  return comm;
}

Session::~Session() {
  {
    Lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (watchdog_.joinable()) watchdog_.join();
  if (!failure_ && comm_ != nullptr) Finalize();
  // An abort that hangs is left, with what it uses, to the end of the process.
  const auto now = std::chrono::seconds(0);
  if (aborted_.valid() && aborted_.wait_for(now) != std::future_status::ready) return;
  FreeRuntime();
}

void Session::Finalize() {
  int result = api_->comm_finalize(comm_);
  const auto limit = Clock::now() + kFinalizeLimit;
  while (result == kInProgress && Clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const int asked = api_->comm_get_async_error(comm_, &result);
    if (asked != kSuccess) result = asked;
  }
  if (result == kSuccess) {
    Note(api_->comm_destroy(comm_), "ncclCommDestroy");
  } else {
    log::Warning("ncclCommFinalize did not succeed: ", Text(result));
    Abandon();
  }
}

void Session::Abandon() {
  auto done = std::make_shared<std::promise<void>>();
  aborted_ = done->get_future();
  std::thread([api = api_, comm = comm_, done] {
    const int result = api->comm_abort(comm);
    if (result != kSuccess)
      log::Warning("ncclCommAbort failed: ", api->error_text(result, nullptr));
    done->set_value();
  }).detach();
  // Afterwards the caller frees memory that the device might still read.
  if (aborted_.wait_for(kAbortLimit) != std::future_status::ready) {
    log::Warning("ncclCommAbort did not return within ", kAbortLimit.count(), " s");
  }
}

void Session::FreeRuntime() {
  for (const auto& operation : pending_) FreeEvents(*operation);
  if (ready_ != nullptr) Note(api_->event_destroy(ready_), "cudaEventDestroy");
  if (stream_ != nullptr) Note(api_->stream_destroy(stream_), "cudaStreamDestroy");
}

void Session::FreeEvents(Operation& operation) const {
  for (Event event : {operation.begin, operation.done}) {
    if (event != nullptr) Note(api_->event_destroy(event), "cudaEventDestroy");
  }
}

void Session::Note(int result, const char* call) const {
  if (result == kSuccess) return;
  log::Warning(call, " failed on GPU ", device_, ": ", api_->cuda_error_text(result));
}

void Session::CheckCuda(int result, const char* call) const {
  Require(result == kSuccess, ExitCode::kNodeUnhealthy, call, " failed on GPU ", device_, ": ",
          api_->cuda_error_text(result));
}

void Session::CheckLocked(int result, const char* call, const What& what) {
  if (result == kSuccess) return;
  FailLocked(ExitCode::kNodeUnhealthy, StrCat(what(), ": ", call, " failed on GPU ", device_, ": ",
                                              api_->cuda_error_text(result)));
  ThrowLocked(what());
}

void Session::SettleLocked(Lock& lock, int result, const What& what, Clock::time_point deadline) {
  settling_ = true;
  while (result == kInProgress && !failure_) {
    FailWithFamilyLocked();
    if (failure_) break;
    if (Clock::now() > deadline) {
      FailLocked(ExitCode::kPeerLost,
                 StrCat(what(), ": not all ranks took part within ", limit_.count(), " ms"));
    } else if (const auto dead = peers_->FindDead()) {
      FailLocked(ExitCode::kPeerLost, StrCat(what(), ": ", *dead));
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
               StrCat(what(), " failed: ", Text(result)));
  }
  if (failure_) ThrowLocked(what());
}

int Session::CallLocked(Lock& lock, const What& what, Clock::time_point deadline,
                        const std::function<int()>& call) {
  calling_ = &what;
  calling_until_ = deadline;
  lock.unlock();
  const int result = call();
  lock.lock();
  calling_ = nullptr;
  return result;
}

std::shared_ptr<Session::Operation> Session::Launch(const Request& request,
                                                    const std::function<int(Comm, Stream)>& issue) {
  std::lock_guard one_at_a_time(launching_);
  Lock lock(mutex_);
  const What what = [&] { return DescribeWithSite(request.header); };
  if (failure_) ThrowLocked(Describe(request));
  auto operation = std::make_shared<Operation>();
  operation->header = request.header;
  operation->meter = request.meter;
  operation->deadline = Clock::now() + limit_;
  CheckLocked(api_->event_record(ready_, api_->current_stream()), "cudaEventRecord", what);
  CheckLocked(api_->stream_wait_event(stream_, ready_), "cudaStreamWaitEvent", what);
  pending_.push_back(operation);  // from here on its events are freed with the others
  CheckLocked(api_->event_create(&operation->begin), "cudaEventCreate", what);
  CheckLocked(api_->event_record(operation->begin, stream_), "cudaEventRecord", what);
  const int issued =
      CallLocked(lock, what, operation->deadline, [&] { return issue(comm_, stream_); });
  SettleLocked(lock, issued, what, operation->deadline);
  Event done = nullptr;
  CheckLocked(api_->event_create(&done), "cudaEventCreate", what);
  const int recorded = api_->event_record(done, stream_);
  operation->done = done;  // from here on the watchdog looks at it
  CheckLocked(recorded, "cudaEventRecord", what);
  return operation;
}

bool Session::FinishedLocked(Operation& operation) {
  if (operation.finished) return true;
  if (failure_ || operation.done == nullptr) return false;
  const int result = api_->event_query(operation.done);
  if (result == kNotReady) return false;
  if (result != kSuccess) {
    FailLocked(ExitCode::kNodeUnhealthy,
               StrCat(Describe(operation.header), " failed: ", api_->cuda_error_text(result)));
    return false;
  }
  operation.finished = true;
  float milliseconds = 0;
  Note(api_->event_elapsed(&milliseconds, operation.begin, operation.done), "cudaEventElapsedTime");
  operation.meter->Add(operation.header.kind, {.seconds = 1e-3 * milliseconds});
  FreeEvents(operation);
  std::erase_if(pending_, [&](const auto& entry) { return entry.get() == &operation; });
  return true;
}

void Session::Wait(Operation& operation) {
  for (int polls = 0;; ++polls) {
    {
      Lock lock(mutex_);
      if (FinishedLocked(operation)) return;
      if (failure_) ThrowLocked(Describe(operation.header));
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
    FailLocked(ExitCode::kPeerLost, StrCat("this rank gave up on ", Describe(operation.header)));
  }
}

void Session::Abort(const std::string& reason) {
  Lock lock(mutex_);
  FailLocked(ExitCode::kPeerLost, reason);
}

void Session::Watch() {
  Lock lock(mutex_);
  const int chosen = api_->set_device(device_);
  if (chosen != kSuccess) {
    FailLocked(ExitCode::kNodeUnhealthy, StrCat("cudaSetDevice failed on GPU ", device_, ": ",
                                                api_->cuda_error_text(chosen)));
  }
  while (!stop_ && !failure_) {
    LookLocked();
    changed_.wait_for(lock, kWatchEvery, [this] { return stop_ || failure_.has_value(); });
  }
}

void Session::LookLocked() {
  FailWithFamilyLocked();
  if (failure_) return;
  const auto what = [this] {
    return pending_.empty() ? "between collectives" : DescribeWithSite(pending_.front()->header);
  };
  if (calling_ != nullptr && Clock::now() > calling_until_) {
    return FailLocked(
        ExitCode::kPeerLost,
        StrCat((*calling_)(), ": the call did not return within ", limit_.count(), " ms"));
  }
  if (!settling_) {  // a launch under way looks itself, and names its collective
    int result = kSuccess;
    const int asked = api_->comm_get_async_error(comm_, &result);
    if (asked != kSuccess) result = asked;
    if (result != kSuccess && result != kInProgress) {
      return FailLocked(ExitCode::kPeerLost, StrCat(what(), ": NCCL reports ", Text(result)));
    }
    if (const auto dead = peers_->FindDead()) {
      return FailLocked(ExitCode::kPeerLost, StrCat(what(), ": ", *dead));
    }
  }
  // The oldest unfinished one names the failure; those behind it could not start.
  while (!pending_.empty()) {
    const std::shared_ptr<Operation> oldest = pending_.front();
    if (FinishedLocked(*oldest)) continue;
    if (!failure_ && Clock::now() > oldest->deadline) {
      FailLocked(ExitCode::kPeerLost,
                 StrCat(what(), ": a rank did not take part within ", limit_.count(), " ms"));
    }
    return;
  }
}

void Session::FailLocked(ExitCode code, const std::string& message) {
  if (failure_) return;
  failure_ = Error(code, message);
  if (comm_ != nullptr) Abandon();
  changed_.notify_all();
  std::lock_guard lock(family_->mutex);
  if (!family_->failure) family_->failure = failure_;
}

void Session::FailWithFamilyLocked() {
  Lock lock(family_->mutex);
  const std::optional<Error> failure = family_->failure;
  lock.unlock();
  if (failure) FailLocked(failure->code(), failure->what());
}

void Session::ThrowLocked(const std::string& what) const {
  const std::string reason = failure_->what();
  if (reason.starts_with(what)) Fail(failure_->code(), reason);
  Fail(failure_->code(), what, " was abandoned: ", reason);
}

}  // namespace vesalius::dist::nccl
