#include "dist/node/node_group.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <thread>
#include <utility>

namespace vesalius::dist {
namespace {

constexpr auto kDyingLimit = std::chrono::seconds(1);       // from losing its memory to being dead
constexpr auto kLookEvery = std::chrono::milliseconds(50);  // at failures, processes, the deadline
// Polls before sleeping, for a peer that is just about to arrive: some microseconds. Where the
// caller waits, as long as waking up would take; where ranks share cores, it gives turns away
// instead.
constexpr int kSpins = 300;
constexpr int kPatientSpins = 20'000;
constexpr int kYields = 200;
constexpr char kFirstExchange[] = "shared memory";
constexpr char kSecondExchange[] = "shared memory is open";

}  // namespace

// One rank's announcement; two a rank, used in turn, since a rank may be one step ahead of another.
struct alignas(64) NodeGroup::Slot {
  Header header;
  Location where;
};

struct NodeGroup::Control {
  struct alignas(64) Counter {
    std::atomic<std::uint64_t> steps;
  };
  alignas(64) std::atomic<std::uint32_t> wake;  // the futex: changes when there are sleepers
  std::atomic<std::uint32_t> sleepers;
  std::atomic<std::uint32_t> failure;  // 0 none, 1 being written, 2 valid
  int code;
  char message[1024];
  // Followed by Counter[size], Slot[2][size], stages [2][size][kStage].
  Counter* counters() { return reinterpret_cast<Counter*>(this + 1); }

  static std::size_t Bytes(int size) {
    return sizeof(Control) + size * (sizeof(Counter) + 2 * sizeof(Slot) + 2 * kStage);
  }
  // After a change that sleepers wait for. Theirs is the other half: they count themselves, then
  // look once more, then sleep; so one of the two sees the other.
  void Wake() {
    if (sleepers.load() == 0) return;
    wake.fetch_add(1);
    syscall(SYS_futex, &wake, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
};

NodeGroup::NodeGroup(const Members& members, const std::vector<Peer>& peers,
                     const ExchangeTexts& exchange, std::shared_ptr<NodeGroup> whole)
    : rank_(members.rank),
      names_(members.names),
      whole_(std::move(whole)),
      own_cores_(sysconf(_SC_NPROCESSORS_ONLN) >= members.size()),
      watch_(std::make_unique<PeerWatch>(peers, members.names, rank_)) {
  // Where the memory is, or why there is none, so that all ranks fail alike.
  std::string mine;
  try {
    if (rank_ == 0) memory_ = SharedMemory::Create(Control::Bytes(size()));
    if (rank_ == 0) mine = memory_.address();
  } catch (const Error& error) {
    mine = StrCat("!rank ", name(rank_), ": ", error.what());
  }
  const std::string address = exchange(kFirstExchange, mine)[0];
  Require(!address.starts_with('!'), ExitCode::kNodeUnhealthy, address.substr(1));
  if (rank_ != 0) memory_ = SharedMemory::Open(address);
  exchange(kSecondExchange, "");
}

void NodeGroup::StayOut(const ExchangeTexts& exchange) {
  exchange(kFirstExchange, "");
  exchange(kSecondExchange, "");
}

NodeGroup::Control& NodeGroup::root() const { return whole_ ? whole_->root() : control(); }

NodeGroup::Control& NodeGroup::control() const {
  return *reinterpret_cast<Control*>(memory_.data());
}

NodeGroup::Slot& NodeGroup::SlotOf(int r, std::uint64_t step) const {
  auto* slots = reinterpret_cast<Slot*>(control().counters() + size());
  return slots[(step % 2) * size() + r];
}

char* NodeGroup::Stage(int r, std::uint64_t step) const {
  auto* slots = reinterpret_cast<Slot*>(control().counters() + size());
  return reinterpret_cast<char*>(slots + std::ptrdiff_t{2} * size()) +
         ((step % 2) * size() + r) * kStage;
}

const NodeGroup::Location& NodeGroup::LocationOf(int r) const { return SlotOf(r, step_).where; }

const Header& NodeGroup::HeaderOf(int r) const { return SlotOf(r, step_).header; }

void NodeGroup::Step(const Request& request, const Header& header, const Location& where,
                     const Limit& limit) {
  RequireAlive(request);
  ++step_;
  Slot& mine = SlotOf(rank_, step_);
  mine.header = header;
  mine.where = where;
  control().counters()[rank_].steps.store(step_);
  control().Wake();
  WaitForAll(request, limit);
  for (int r = 0; r < size(); ++r) {
    try {
      RequireSame(header, name(rank_), HeaderOf(r), name(r));
    } catch (const Error& error) {
      Fail(error.code(), error.what());
      throw;
    }
  }
}

bool NodeGroup::AllArrived() const {
  for (int r = 0; r < size(); ++r) {
    if (control().counters()[r].steps.load() < step_) return false;
  }
  return true;
}

void NodeGroup::Sleep() const {
  Control& c = control();
  const std::uint32_t seen = c.wake.load();
  c.sleepers.fetch_add(1);
  if (!AllArrived() && !failed()) {
    const timespec limit{0,
                         std::chrono::duration_cast<std::chrono::nanoseconds>(kLookEvery).count()};
    syscall(SYS_futex, &c.wake, FUTEX_WAIT, seen, &limit, nullptr, 0);
  }
  c.sleepers.fetch_sub(1);
}

void NodeGroup::WaitForAll(const Request& request, const Limit& limit) {
  Clock::time_point next_look{};
  for (int polls = 0;; ++polls) {
    if (AllArrived()) return;
    RequireAlive(request);
    if (polls < (request.patient && own_cores_ ? kPatientSpins : kSpins)) {
      __builtin_ia32_pause();
      continue;
    }
    if (request.patient && !own_cores_ && polls < kSpins + kYields) {
      sched_yield();
      continue;
    }
    Sleep();
    const auto now = Clock::now();
    if (now < next_look) continue;
    next_look = now + kLookEvery;
    const auto dead = watch_->FindDead();
    if (dead && !AllArrived()) FailHere(ExitCode::kPeerLost, request, *dead);
    if (now < limit.deadline) continue;
    const std::string absent = DescribeAbsent(limit);
    if (absent.empty()) return;
    FailHere(ExitCode::kPeerLost, request, absent);
  }
}

std::string NodeGroup::DescribeAbsent(const Limit& limit) const {
  std::vector<int> absent;
  std::string calls;
  for (int r = 0; r < size(); ++r) {
    const std::uint64_t steps = control().counters()[r].steps.load(std::memory_order_acquire);
    if (steps >= step_) continue;
    absent.push_back(name(r));
    const bool any = steps > 0;
    calls += DescribeLast(name(r), any ? std::optional(SlotOf(r, steps).header) : std::nullopt);
  }
  if (absent.empty()) return "";
  return StrCat(RankList(absent), " did not arrive within ", limit.duration.count(), " ms", calls);
}

void NodeGroup::FailOnLost(const Request& request, const Error& error) {
  std::optional<std::string> dead;
  for (const auto end = Clock::now() + kDyingLimit; !dead && Clock::now() < end;) {
    dead = watch_->FindDead();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // What of a dying process cannot be opened may look like a matter of rights.
  FailHere(dead ? ExitCode::kPeerLost : error.code(), request, dead.value_or(error.what()));
}

void NodeGroup::FailHere(ExitCode code, const Request& request, const std::string& reason) {
  const std::string message = StrCat(DescribeWithSite(request.header), ": ", reason);
  Fail(code, message);
  vesalius::Fail(code, message);
}

void NodeGroup::Fail(ExitCode code, const std::string& message) {
  std::uint32_t none = 0;
  if (!root().failure.compare_exchange_strong(none, 1)) return;
  root().code = static_cast<int>(code);
  std::strncpy(root().message, message.c_str(), sizeof(root().message) - 1);
  root().failure.store(2);
  root().Wake();
}

bool NodeGroup::failed() const { return root().failure.load() == 2; }

void NodeGroup::RequireAlive(const Request& request) const {
  if (!failed()) return;
  vesalius::Fail(static_cast<ExitCode>(root().code), Describe(request),
                 " was abandoned: ", root().message);
}

}  // namespace vesalius::dist
