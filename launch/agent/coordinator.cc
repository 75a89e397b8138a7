#include "launch/agent/coordinator.h"

#include <algorithm>

#include "base/error.h"

namespace vesalius::launch {
namespace {

constexpr double kLeaveWithin = 5;     // for members to answer an order to leave
constexpr double kStopWithin = 60;     // for ranks to be gone; what hangs in the kernel stays
constexpr double kSilent = 0.4;        // without a report; they come ten times a second
constexpr double kLauncherGrace = 1;   // for what its ranks say, after a launcher failed
constexpr std::int64_t kWindow = 100;  // steps between two looks for slow ranks
constexpr int kWindowsToFlag = 3;
constexpr double kSlow = 0.7;
constexpr double kShortest = 1e-3;  // seconds; shorter phases say nothing

// A failure of what starts ranks, told by where it happened and by a code that is none of ours.
bool IsLaunchFailure(const Cause& cause) {
  return cause.kind == Cause::kFailed && cause.step < 0 &&
         (cause.section == "start" || cause.section == page::Name(page::Section::kInit)) &&
         (cause.code < static_cast<int>(ExitCode::kUsage) || cause.code > 125);
}

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, Deadlines& deadlines, Observer observer,
                         double now)
    : options_(std::move(options)),
      deadlines_(deadlines),
      observer_(std::move(observer)),
      since_(now) {}

void Coordinator::Receive(const Report& report, double now) {
  Node& node = nodes_[report.node];
  node.report = report;
  node.heard = now;
  if (report.save) save_ = true;
}

bool Coordinator::Alive(const std::string& name, double now) const {
  const auto found = nodes_.find(name);
  return found != nodes_.end() && now - found->second.heard <= options_.dead_after;
}

std::vector<std::string> Coordinator::Usable(double now) const {
  std::vector<std::string> names;
  for (const auto& [name, node] : nodes_)
    if (!node.dropped && Alive(name, now)) names.push_back(name);
  std::ranges::sort(names, {},
                    [&](const std::string& name) { return nodes_.at(name).report.number; });
  return names;
}

bool Coordinator::All(Duty duty) const {
  return std::ranges::all_of(members_, [&](const std::string& name) {
    const Node& node = nodes_.at(name);
    return node.dropped || (node.report.attempt == attempt_ && node.report.done == duty);
  });
}

std::string Coordinator::NodeOf(int rank) const {
  return members_.at(rank / (options_.ranks / static_cast<int>(members_.size())));
}

std::vector<RankView> Coordinator::Views() const {
  std::vector<RankView> ranks;
  for (const std::string& name : members_) {
    const Report& report = nodes_.at(name).report;
    if (report.attempt == attempt_)
      ranks.insert(ranks.end(), report.ranks.begin(), report.ranks.end());
  }
  return ranks;
}

void Coordinator::Begin(double now) {
  std::vector<std::string> usable = Usable(now);
  const auto wanted = static_cast<std::size_t>(options_.nodes);
  if (usable.size() < wanted) {
    observer_.note(StrCat(usable.size(), " of ", wanted, " nodes are there"));
    return Leave(static_cast<int>(ExitCode::kPeerLost), now);
  }
  usable.resize(wanted);
  members_ = usable;
  ++attempt_;
  stepped_ = false;
  committed_before_ = committed_;
  began_before_ = std::max(began_before_, began_);
  cause_.reset();
  scored_steps_ = 0;
  slow_windows_.clear();
  state_ = State::kPreparing;
  since_ = now;
}

std::optional<Cause> Coordinator::Trouble(double now) const {
  for (const std::string& name : members_) {
    const Node& node = nodes_.at(name);
    Cause cause;
    cause.node = name;
    cause.host = node.report.host;
    if (!Alive(name, now)) {
      cause.kind = Cause::kNodeLost;
      cause.message =
          StrCat("its agent has not been heard of for ", Fixed(now - node.heard, 1), " s");
      return cause;
    }
    if (node.report.attempt == attempt_ && !node.report.unhealthy.empty()) {
      cause.kind = Cause::kUnhealthy;
      cause.message = node.report.unhealthy;
      return cause;
    }
  }
  return std::nullopt;
}

void Coordinator::End(const Cause& cause, double now) {
  cause_ = cause;
  at_cause_ = Views();
  if (cause.rank >= 0) cause_->node = NodeOf(cause.rank);
  if (!stepped_ && IsLaunchFailure(cause)) cause_->kind = Cause::kLaunch;
  if (cause.kind == Cause::kNodeLost || cause.kind == Cause::kUnhealthy)
    nodes_.at(cause.node).dropped = true;
  state_ = State::kStopping;
  since_ = now;
}

void Coordinator::Run(double now) {
  const std::vector<RankView> ranks = Views();
  bool all_stepped = static_cast<int>(ranks.size()) == options_.ranks;
  for (const RankView& rank : ranks) {
    deadlines_.Learn(rank);
    committed_ = std::max(committed_, rank.committed);
    if (rank.steps > 0) began_ = rank.step - rank.steps;
    all_stepped = all_stepped && rank.steps > 0;
  }
  if (all_stepped && !stepped_) observer_.stepping(attempt_);
  stepped_ = stepped_ || all_stepped;
  if (static_cast<int>(ranks.size()) == options_.ranks) {
    if (const auto code = EndedWell(ranks)) return Leave(*code, now);
    FlagSlow(ranks);
  }
  if (const auto cause = FindCause(ranks, deadlines_)) {
    // A rank that lost a peer on a node that is silent: whether the node is lost will show.
    const bool lost_peer =
        cause->kind == Cause::kFailed && cause->code == static_cast<int>(ExitCode::kPeerLost);
    const bool silent = std::ranges::any_of(
        members_, [&](const std::string& name) { return now - nodes_.at(name).heard > kSilent; });
    if (!lost_peer || !silent) return End(*cause, now);
  }
  for (const std::string& name : members_) {
    const Report& report = nodes_.at(name).report;
    if (report.attempt != attempt_ || report.launcher.empty()) {
      launcher_failed_ = now;
    } else if (now - launcher_failed_ > kLauncherGrace) {
      Cause cause;
      cause.kind = Cause::kFailed;
      cause.node = name;
      cause.host = report.host;
      cause.section = "start";
      cause.code = report.launcher_code;
      cause.message = report.launcher;
      return End(cause, now);
    }
  }
}

void Coordinator::FlagSlow(const std::vector<RankView>& ranks) {
  if (ranks.size() < 2) return;
  std::int64_t steps = ranks[0].steps;
  for (const RankView& rank : ranks) steps = std::min(steps, rank.steps);
  if (steps < scored_steps_ + kWindow) return;
  scored_steps_ = steps;
  for (int p = 0; p < page::kPhases; ++p) {
    std::vector<double> times;
    for (const RankView& rank : ranks) times.push_back(rank.phases[p]);
    std::ranges::sort(times);
    const double usual = times[(times.size() - 1) / 2];
    for (const RankView& rank : ranks) {
      int& windows = slow_windows_[{rank.rank, p}];
      const double score = rank.phases[p] < kShortest ? 1 : usual / rank.phases[p];
      windows = score < kSlow ? windows + 1 : 0;
      if (windows == kWindowsToFlag)
        observer_.slow(rank, page::Name(static_cast<page::Phase>(p)), score);
    }
  }
}

void Coordinator::Decide(double now) {
  const int spares = static_cast<int>(Usable(now).size()) - options_.nodes +
                     (nodes_.count(cause_->node) != 0 && nodes_.at(cause_->node).dropped ? 1 : 0);
  const bool further = began_before_ >= 0 && began_ > began_before_;
  decision_ = ladder_.After({*cause_, stepped_, committed_ > committed_before_, further}, spares);
  if (save_ && decision_.again) {
    const bool full =
        cause_->kind == Cause::kFailed && cause_->code == static_cast<int>(ExitCode::kCannotSave);
    decision_ = {.code = static_cast<int>(full ? ExitCode::kCannotSave : ExitCode::kSavedResumable),
                 .action = "leaving, as was asked; start again to go on"};
  }
  if (const auto dropped = nodes_.find(decision_.drop_node); dropped != nodes_.end())
    dropped->second.dropped = true;
  for (const RankView& rank : Views())  // what they said when they were ended
    for (RankView& before : at_cause_)
      if (before.rank == rank.rank) before.stack = rank.stack;
  observer_.failed(attempt_, *cause_, at_cause_, decision_);
  if (!decision_.again) return Leave(decision_.code, now);
  state_ = State::kWaiting;
  since_ = now;
}

void Coordinator::Leave(int code, double now) {
  leave_code_ = code;
  state_ = State::kLeaving;
  since_ = now;
}

void Coordinator::Tick(double now) {
  const bool idle =
      state_ == State::kJoining || state_ == State::kPreparing || state_ == State::kWaiting;
  if (save_ && idle) return Leave(static_cast<int>(ExitCode::kSavedResumable), now);
  if (state_ == State::kPreparing || state_ == State::kRunning)
    if (const auto trouble = Trouble(now)) return End(*trouble, now);
  switch (state_) {
    case State::kJoining: {
      const int there = static_cast<int>(Usable(now).size());
      if (there >= options_.nodes + options_.spares ||
          (now - since_ > options_.join_within && there >= options_.nodes))
        return Begin(now);
      Require(now - since_ <= options_.join_within, ExitCode::kPeerLost, there, " of ",
              options_.nodes, " nodes joined within ", options_.join_within,
              " s; is `vesalius launch` running on each of them?");
      return;
    }
    case State::kPreparing:
      if (!All(Duty::kPrepare)) return;
      state_ = State::kRunning;
      since_ = launcher_failed_ = now;
      observer_.started(attempt_);
      return;
    case State::kRunning:
      return Run(now);
    case State::kStopping:
      for (const std::string& name : members_) {
        Node& node = nodes_.at(name);
        const bool stopped = node.report.attempt == attempt_ && node.report.done == Duty::kStop;
        const bool late = now - since_ > kStopWithin && !stopped && !node.dropped;
        if (late) observer_.note(StrCat("ranks on ", name, " cannot be killed: it is left out"));
        node.dropped = node.dropped || late || !Alive(name, now);
      }
      if (All(Duty::kStop) || !options_.agreement) Decide(now);
      return;
    case State::kWaiting:
      if (now - since_ >= decision_.wait) Begin(now);
      return;
    case State::kLeaving: {
      const bool left = std::ranges::all_of(nodes_, [&](const auto& entry) {
        return entry.second.report.done == Duty::kLeave || !Alive(entry.first, now);
      });
      if (left || now - since_ > kLeaveWithin) done_ = leave_code_;
      return;
    }
  }
}

Order Coordinator::OrderFor(const std::string& name) const {
  Order order;
  order.attempt = attempt_;
  order.generation = options_.generation;
  if (state_ == State::kLeaving) {
    order.duty = Duty::kLeave;
    order.exit_code = leave_code_;
    return order;
  }
  const auto node = nodes_.find(name);
  if (node != nodes_.end() && node->second.dropped) {
    // It stays to the end: an agent's own end, with a code of its own, would be that of the job.
    order.attempt = node->second.report.attempt;
    order.duty = order.attempt > 0 ? Duty::kStop : Duty::kIdle;
    order.at_once = true;
    return order;
  }
  const auto member = std::ranges::find(members_, name);
  if (member == members_.end()) return order;
  switch (state_) {
    case State::kPreparing:
      order.duty = Duty::kPrepare;
      break;
    case State::kRunning:
      order.duty = Duty::kRun;
      break;
    case State::kStopping:
    case State::kWaiting:
      order.duty = Duty::kStop;
      break;
    default:
      break;
  }
  const int index = static_cast<int>(member - members_.begin());
  order.world = options_.ranks;
  order.ranks = options_.ranks / static_cast<int>(members_.size());
  order.first_rank = index * order.ranks;
  order.launches = !options_.one_launcher || index == 0;
  order.nodes = members_;
  for (const std::string& partner : members_)
    order.partners.push_back(nodes_.at(partner).report.address);
  order.store = StrCat(options_.store, "-", attempt_);
  order.save = save_;
  order.stacks = cause_ && cause_->kind == Cause::kHang;
  // A hung rank answers to nothing, and the others of a dead one wait for it in vain.
  order.at_once = cause_ && cause_->kind != Cause::kUnhealthy;
  return order;
}

}  // namespace vesalius::launch
