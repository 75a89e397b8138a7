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

// All-to-all and send/receive.
void Swap(const std::vector<std::optional<Request>>& requests) {
  for (std::size_t to = 0; to < requests.size(); ++to) {
    const Request& taker = *requests[to];
    for (std::size_t from = 0; from < requests.size(); ++from) {
      const Request& giver = *requests[from];
      Copy(At(taker.out, taker.receive_offset(static_cast<int>(from)), taker.type),
           At(giver.in, giver.offset(static_cast<int>(to)), giver.type),
           giver.counts[to] * SizeOf(giver.type));
    }
  }
}

}  // namespace

LocalGroup::LocalGroup(std::vector<int> names, const CommunicatorOptions& options)
    : LocalGroup(std::move(names), options, std::make_shared<Family>()) {}

LocalGroup::LocalGroup(std::vector<int> names, const CommunicatorOptions& options,
                       std::shared_ptr<Family> family)
    : names_(std::move(names)),
      options_(options),
      family_(std::move(family)),
      last_(names_.size()),
      left_(names_.size(), false) {}

std::shared_ptr<LocalGroup> LocalGroup::Part(std::uint64_t number, int color,
                                             const std::vector<int>& names) {
  std::lock_guard lock(family_->mutex);
  auto& part = parts_[{number, color}];
  if (!part) part.reset(new LocalGroup(names, options_, family_));
  return part;
}

std::shared_ptr<LocalGroup::Operation> LocalGroup::Post(int rank, Request request) {
  std::unique_lock lock(family_->mutex);
  if (family_->failure) ThrowLocked(Describe(request));
  auto& slot = open_[request.sequence];
  if (!slot) {
    slot = std::make_shared<Operation>();
    slot->requests.resize(names_.size());
  }
  const std::shared_ptr<Operation> operation = slot;
  const std::uint64_t sequence = request.sequence;
  last_[rank] = request.header;
  operation->requests[rank] = std::move(request);
  if (++operation->arrived < size()) {
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
  family_->changed.notify_all();
  return operation;
}

void LocalGroup::Run(Operation& operation) {
  const auto& requests = operation.requests;
  const Clock::time_point met = Clock::now();
  for (int r = 1; r < size(); ++r) {
    RequireSame(requests[0]->header, names_[0], requests[r]->header, names_[r]);
  }
  Move(requests);
  const Clock::time_point end = Clock::now();
  for (const auto& request : requests) CountTime(*request, request->start, met, end);
}

void LocalGroup::Move(const std::vector<std::optional<Request>>& requests) const {
  switch (requests[0]->kind) {
    case Kind::kAllReduce:
      return size() > 1 ? AllReduce(requests) : void();
    case Kind::kAllGather:
      return AllGather(requests);
    case Kind::kReduceScatter:
      return ReduceScatter(requests);
    case Kind::kBroadcast:
      return Broadcast(requests);
    case Kind::kAllToAll:
    case Kind::kSendReceive:
      RequireSamePairs(requests);
      return Swap(requests);
    case Kind::kBarrier:
      return;
  }
}

void LocalGroup::RequireSamePairs(const std::vector<std::optional<Request>>& requests) const {
  for (int from = 0; from < size(); ++from) {
    for (int to = 0; to < size(); ++to) {
      RequireSamePair(requests[from]->header, names_[from], requests[from]->counts[to],
                      requests[to]->header, names_[to], requests[to]->receive_counts[from]);
    }
  }
}

void LocalGroup::Wait(int rank, Operation& operation, Clock::time_point deadline) {
  std::unique_lock lock(family_->mutex);
  for (;;) {
    if (operation.state == Operation::kDone) return;
    if (operation.state == Operation::kOpen && family_->failure) {
      ThrowLocked(Describe(*operation.requests[rank]));
    }
    if (operation.state == Operation::kRunning) {
      family_->changed.wait(lock);
    } else if (family_->changed.wait_until(lock, deadline) == std::cv_status::timeout &&
               operation.state == Operation::kOpen && !family_->failure) {
      FailLocked(ExitCode::kPeerLost, StrCat(DescribeWithSite(operation.requests[rank]->header),
                                             ": ", DescribeAbsentLocked(operation)));
    }
  }
}

std::string LocalGroup::DescribeAbsentLocked(const Operation& operation) const {
  std::vector<int> absent;
  std::string calls;
  for (int r = 0; r < size(); ++r) {
    if (operation.requests[r]) continue;
    absent.push_back(names_[r]);
    calls += DescribeLast(names_[r], last_[r]);
  }
  return StrCat(RankList(absent), " did not arrive within ", options_.deadline.count(), " ms",
                calls);
}

void LocalGroup::Drop(int rank, Operation& operation) {
  std::unique_lock lock(family_->mutex);
  if (operation.state == Operation::kDone) return;
  FailLocked(ExitCode::kPeerLost,
             StrCat("rank ", names_[rank], " gave up on ", Describe(*operation.requests[rank])));
  family_->changed.wait(lock, [&] { return operation.state != Operation::kRunning; });
}

void LocalGroup::Leave(int rank) {
  std::lock_guard lock(family_->mutex);
  left_[rank] = true;
  for (const auto& [sequence, operation] : open_) FailOnAbsentLocked(*operation);
}

void LocalGroup::Abort(const std::string& reason) {
  std::lock_guard lock(family_->mutex);
  FailLocked(ExitCode::kPeerLost, reason);
}

void LocalGroup::FailOnAbsentLocked(const Operation& operation) {
  std::vector<int> absent;
  const Request* request = nullptr;
  for (int r = 0; r < size(); ++r) {
    if (operation.requests[r]) {
      request = &*operation.requests[r];
    } else if (left_[r]) {
      absent.push_back(names_[r]);
    }
  }
  if (absent.empty() || request == nullptr) return;
  FailLocked(ExitCode::kPeerLost,
             StrCat(Describe(*request), ": ", RankList(absent), " left before it"));
}

void LocalGroup::FailLocked(ExitCode code, const std::string& message) {
  if (!family_->failure) family_->failure = Error(code, message);
  family_->changed.notify_all();
}

void LocalGroup::ThrowLocked(const std::string& what) const {
  const std::string reason = family_->failure->what();
  if (reason.starts_with(what)) Fail(family_->failure->code(), reason);
  Fail(family_->failure->code(), what, " was abandoned: ", reason);
}

}  // namespace vesalius::dist
