#include "dist/local/local_group.h"

#include <cstring>
#include <utility>

#include "base/log.h"
#include "dist/memory.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

char* At(void* base, std::int64_t element, DType type) {
  return static_cast<char*>(base) + element * static_cast<std::int64_t>(SizeOf(type));
}
const char* At(const void* base, std::int64_t element, DType type) {
  return static_cast<const char*>(base) + element * static_cast<std::int64_t>(SizeOf(type));
}

// memmove tolerates a rank that gathers in place.
void Copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, bytes);
}

void AllReduce(const std::vector<std::optional<Request>>& requests) {
  std::vector<const void*> sources;
  std::vector<void*> destinations;
  for (const auto& request : requests) {
    sources.push_back(request->in);
    destinations.push_back(request->out);
  }
  SumInRankOrder(requests[0]->type, sources, destinations, requests[0]->count);
}

void ReduceScatter(const std::vector<std::optional<Request>>& requests) {
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const Request& mine = *requests[r];
    std::vector<const void*> sources;
    for (const auto& request : requests) {
      sources.push_back(At(request->in, mine.offset(static_cast<int>(r)), mine.type));
    }
    void* out = mine.out;
    SumInRankOrder(mine.type, sources, std::span(&out, 1), mine.counts[r]);
  }
}

void AllGather(const std::vector<std::optional<Request>>& requests) {
  for (const auto& to : requests) {
    for (std::size_t r = 0; r < requests.size(); ++r) {
      const Request& from = *requests[r];
      Copy(At(to->out, from.offset(static_cast<int>(r)), from.type), from.in,
           from.counts[r] * SizeOf(from.type));
    }
  }
}

void Broadcast(const std::vector<std::optional<Request>>& requests) {
  const Request& root = *requests[requests[0]->root];
  for (const auto& to : requests) Copy(to->out, root.in, root.bytes());
}

}  // namespace

LocalGroup::LocalGroup(int size, const CommunicatorOptions& options)
    : size_(size), options_(options), left_(size, false) {}

std::shared_ptr<LocalGroup::Operation> LocalGroup::Post(int rank, Request request) {
  std::unique_lock lock(mutex_);
  if (failure_) ThrowLocked(Describe(request));
  auto& slot = open_[request.sequence];
  if (!slot) {
    slot = std::make_shared<Operation>();
    slot->requests.resize(size_);
  }
  const std::shared_ptr<Operation> operation = slot;
  const std::uint64_t sequence = request.sequence;
  operation->requests[rank] = std::move(request);
  if (++operation->arrived < size_) {
    FailOnAbsentLocked(*operation);
    return operation;
  }
  open_.erase(sequence);
  operation->state = Operation::kRunning;
  lock.unlock();
  std::optional<Error> error;
  try {
    Run(*operation);
  } catch (const Error& caught) {
    error = caught;
  } catch (const std::exception& caught) {  // out of memory: the others must not wait for ever
    error = Error(ExitCode::kBug, StrCat(Describe(*operation->requests[rank]),
                                         " failed unexpectedly: ", caught.what()));
  }
  lock.lock();
  operation->state = error ? Operation::kOpen : Operation::kDone;
  if (error) FailLocked(error->code(), error->what());
  changed_.notify_all();
  return operation;
}

void LocalGroup::Run(Operation& operation) {
  const auto& requests = operation.requests;
  const Header first = HeaderOf(*requests[0]);
  for (int r = 1; r < size_; ++r) RequireSame(first, 0, HeaderOf(*requests[r]), r);
  switch (requests[0]->kind) {
    case Kind::kAllReduce:
      return size_ > 1 ? AllReduce(requests) : void();
    case Kind::kAllGather:
      return AllGather(requests);
    case Kind::kReduceScatter:
      return ReduceScatter(requests);
    case Kind::kBroadcast:
      return Broadcast(requests);
    case Kind::kBarrier:
      return;
  }
}

void LocalGroup::Wait(int rank, Operation& operation,
                      std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (operation.state == Operation::kDone) return;
    if (operation.state == Operation::kOpen && failure_) {
      ThrowLocked(Describe(*operation.requests[rank]));
    }
    if (operation.state == Operation::kRunning) {
      changed_.wait(lock);
    } else if (changed_.wait_until(lock, deadline) == std::cv_status::timeout &&
               operation.state == Operation::kOpen && !failure_) {
      std::vector<int> absent;
      for (int r = 0; r < size_; ++r) {
        if (!operation.requests[r]) absent.push_back(r);
      }
      FailLocked(ExitCode::kPeerLost,
                 StrCat(Describe(*operation.requests[rank]), ": ", RankList(absent),
                        " did not arrive within ", options_.deadline.count(), " ms"));
    }
  }
}

void LocalGroup::Drop(int rank, Operation& operation) {
  std::unique_lock lock(mutex_);
  if (operation.state == Operation::kDone) return;
  FailLocked(ExitCode::kPeerLost,
             StrCat("rank ", rank, " gave up on ", Describe(*operation.requests[rank])));
  changed_.wait(lock, [&] { return operation.state != Operation::kRunning; });
}

void LocalGroup::Leave(int rank) {
  std::lock_guard lock(mutex_);
  left_[rank] = true;
  for (const auto& [sequence, operation] : open_) FailOnAbsentLocked(*operation);
}

void LocalGroup::Abort(const std::string& reason) {
  std::lock_guard lock(mutex_);
  FailLocked(ExitCode::kPeerLost, reason);
}

void LocalGroup::FailOnAbsentLocked(const Operation& operation) {
  std::vector<int> absent;
  const Request* request = nullptr;
  for (int r = 0; r < size_; ++r) {
    if (operation.requests[r]) {
      request = &*operation.requests[r];
    } else if (left_[r]) {
      absent.push_back(r);
    }
  }
  if (absent.empty() || request == nullptr) return;
  FailLocked(ExitCode::kPeerLost,
             StrCat(Describe(*request), ": ", RankList(absent), " left before it"));
}

void LocalGroup::FailLocked(ExitCode code, const std::string& message) {
  if (!failure_) failure_ = Error(code, message);
  changed_.notify_all();
}

void LocalGroup::ThrowLocked(const std::string& what) const {
  const std::string reason = failure_->what();
  if (reason.starts_with(what)) throw *failure_;
  Fail(failure_->code(), what, " was abandoned: ", reason);
}

}  // namespace vesalius::dist
