#include "dist/mpi/engine.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "base/log.h"

namespace vesalius::dist {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(50);  // at the node's processes, the deadline
constexpr auto kFinishLimit = std::chrono::seconds(30);
constexpr auto kDrainLimit = std::chrono::milliseconds(500);
constexpr auto kNoticeLimit = std::chrono::milliseconds(200);

std::string ErrorText(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return {text, static_cast<std::size_t>(length)};
}

// Pauses between polls: first it only gives the processor away, for as long as the exchange itself
// may take once all ranks are there; then come short sleeps, so that a launch thread whose peers
// still compute takes no time from the computing threads of its node.
class Backoff {
 public:
  explicit Backoff(std::chrono::microseconds busy) : busy_until_(Clock::now() + busy) {}
  void Pause() {
    if (++polls_ < 100) return;
    if (polls_ < 1000 || Clock::now() < busy_until_) {
      std::this_thread::yield();
      return;
    }
    const timespec nap{0, polls_ < 5000 ? 20'000 : 100'000};
    nanosleep(&nap, nullptr);
  }

 private:
  const Clock::time_point busy_until_;
  int polls_ = 0;
};

}  // namespace

std::shared_ptr<MpiEngine> MpiEngine::Start() {
  std::shared_ptr<MpiEngine> engine(new MpiEngine);
  engine->queue_ = std::make_unique<LaunchQueue>();
  engine->queue_->Call([&] { engine->Initialise(); });
  return engine;
}

void MpiEngine::Initialise() {
  int provided = 0;
  const int result = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  Require(result == MPI_SUCCESS, ExitCode::kConfig, "MPI_Init_thread failed: ", ErrorText(result));
  Require(provided >= MPI_THREAD_SERIALIZED, ExitCode::kConfig,
          "this MPI does not grant MPI_THREAD_SERIALIZED; Open MPI 4.1 does");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  constexpr int kRecord = 512;
  std::array<char, kRecord> mine{};
  const std::string text = Encode(ThisProcess());
  Require(text.size() < kRecord, ExitCode::kConfig, "the host name is too long: ", text);
  std::memcpy(mine.data(), text.data(), text.size());
  std::vector<char> all(static_cast<std::size_t>(size) * kRecord);
  MPI_Allgather(mine.data(), kRecord, MPI_BYTE, all.data(), kRecord, MPI_BYTE, MPI_COMM_WORLD);
  for (int r = 0; r < size; ++r) peers_.push_back(DecodePeer(&all[std::size_t{kRecord} * r]));
  watch_ = std::make_unique<PeerWatch>(peers_, MembersOfOneNode(rank_, size).names, rank_);
  notices_ = MakeComm();
  ListenForNotice();
}

MPI_Comm MpiEngine::MakeComm() {
  MPI_Comm comm = MPI_COMM_NULL;
  const int result = MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  Require(result == MPI_SUCCESS, ExitCode::kPeerLost, "MPI_Comm_dup failed: ", ErrorText(result));
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  return comm;
}

std::vector<MPI_Comm> MpiEngine::SplitComm(MPI_Comm comm, const std::vector<int>& colors, int key,
                                           std::chrono::milliseconds limit) {
  struct Split {
    std::vector<MPI_Comm> parts;
    int result = MPI_SUCCESS;
  };
  const auto split = std::make_shared<Split>();
  const bool returned = queue_->CallFor(
      [split, comm, colors, key] {
        for (int color : colors) {
          MPI_Comm part = MPI_COMM_NULL;
          const int result = MPI_Comm_split(comm, color < 0 ? MPI_UNDEFINED : color, key, &part);
          if (split->result == MPI_SUCCESS) split->result = result;
          if (part != MPI_COMM_NULL) MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN);
          split->parts.push_back(part);
        }
      },
      limit);
  if (!returned) {
    const std::string message =
        StrCat("splitting a communicator: MPI_Comm_split did not return within ", limit.count(),
               " ms: a rank has gone");
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = Error(ExitCode::kPeerLost, message);
    failed_ = true;
    Fail(ExitCode::kPeerLost, message);
  }
  Require(split->result == MPI_SUCCESS, ExitCode::kPeerLost,
          "MPI_Comm_split failed: ", ErrorText(split->result));
  return split->parts;
}

void MpiEngine::ListenForNotice() {
  MPI_Irecv(&notice_, sizeof(Notice), MPI_BYTE, MPI_ANY_SOURCE, 0, notices_, &notice_request_);
}

void MpiEngine::Abort(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    if (failure_ || abort_asked_) return;
    abort_reason_ = reason;
  }
  abort_asked_ = true;
  // A launch thread that has nothing to do would not look at the flag.
  queue_->Post([self = shared_from_this()] { self->Poll({}); });
}

void MpiEngine::Check(int result, const char* call, const Request& request) {
  if (result == MPI_SUCCESS) return;
  FailAll(ExitCode::kPeerLost,
          StrCat(Describe(request), ": ", call, " failed: ", ErrorText(result)));
}

void MpiEngine::RequireAlive(const Request& request) {
  if (!failed_) return;
  std::lock_guard lock(mutex_);
  Fail(failure_->code(), Describe(request), " was abandoned: ", failure_->what());
}

void MpiEngine::FailAll(ExitCode code, const std::string& message) {
  {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = Error(code, message);
  }
  const Error failure(code, message);
  if (!failed_.exchange(true)) TellOthers(failure);
  throw failure;
}

void MpiEngine::TellOthers(const Error& failure) {
  Notice notice;
  notice.code = static_cast<int>(failure.code());
  std::strncpy(notice.text, failure.what(), sizeof(notice.text) - 1);
  std::vector<MPI_Request> sends;
  for (int r = 0; r < size(); ++r) {
    if (r == rank_) continue;
    sends.emplace_back();
    MPI_Isend(&notice, sizeof(Notice), MPI_BYTE, r, 0, notices_, &sends.back());
  }
  const auto limit = Clock::now() + kNoticeLimit;
  Backoff backoff(std::chrono::microseconds(0));
  for (int done = 0; !done && Clock::now() < limit; backoff.Pause()) {
    MPI_Testall(static_cast<int>(sends.size()), sends.data(), &done, MPI_STATUSES_IGNORE);
  }
}

void MpiEngine::Poll(const WaitContext& context) {
  if (failed_) return;
  const auto fail = [&](const std::string& reason, ExitCode code = ExitCode::kPeerLost) {
    FailAll(code, context.request ? StrCat(DescribeWithSite(context.request->header), ": ", reason)
                                  : reason);
  };
  if (abort_asked_) {
    std::unique_lock lock(mutex_);
    const std::string reason = abort_reason_;
    lock.unlock();
    fail(reason);
  }
  int noticed = 0;
  MPI_Status status;
  MPI_Test(&notice_request_, &noticed, &status);
  if (noticed) {
    fail(StrCat("rank ", status.MPI_SOURCE, " gave notice: ", notice_.text),
         static_cast<ExitCode>(notice_.code));
  }
  const auto now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLookEvery;
  if (const auto dead = watch_->FindDead()) fail(*dead);
  if (context.request && now > context.deadline) {
    fail(context.absent());
  }
}

void MpiEngine::WaitAll(std::vector<MPI_Request>& requests, const WaitContext& context) {
  // 1 GB/s is what a node's memory or a network does at least.
  Backoff backoff(std::chrono::microseconds(200 + context.request->bytes() / 1000));
  for (int polls = 1;; ++polls) {
    int done = 0;
    Check(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        "MPI_Testall", *context.request);
    if (done) return;
    if (polls % 32 == 0) Poll(context);
    backoff.Pause();
  }
}

void MpiEngine::Finish() {
  const bool finished = queue_->CallFor(
      [self = shared_from_this()] {
        MPI_Cancel(&self->notice_request_);
        MPI_Wait(&self->notice_request_, MPI_STATUS_IGNORE);
        MPI_Finalize();
      },
      kFinishLimit);
  if (finished) return;
  log::Warning("MPI_Finalize did not return within ", kFinishLimit.count(),
               " s: a rank has gone; leaving without it");
  failed_ = true;
  Abandon();
}

void MpiEngine::Abandon() {
  if (!failed_) Abort(StrCat("rank ", rank_, " left after an error"));
  queue_->CallFor([] {}, kDrainLimit);  // the others have been told then
  queue_->Abandon();
}

}  // namespace vesalius::dist
