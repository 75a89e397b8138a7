#include "record/goodput.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json_fields.h"

namespace vesalius::record {
namespace {

// In the order of the output. Where intervals overlap, the greater Layer wins.
enum Part {
  kProductive,
  kRedone,
  kStall,
  kEval,
  kInit,
  kLoad,
  kDetect,
  kRestart,
  kQueue,
  kOther,
  kIdle,
  kParts
};
constexpr const char* kNames[kParts] = {"productive", "redone",  "stall", "eval",  "init", "load",
                                        "detect",     "restart", "queue", "other", "idle"};

struct Interval {
  double begin, end;
  int layer;
  Part part;
};

// Layers: what nothing else explains; between attempts; an attempt's life; its sections; what
// happens inside of those.
enum Layer { kNothing, kBetween, kLife, kSection, kInside };

struct StepRun {
  double begin, end;
  std::int64_t step;
  bool redone = false;
};

struct Attempt {
  std::string token;
  double since = 1e300, last = 0;  // processes started; last sign of life
  double loop = -1;                // start of the load span
  double progress = 0;             // end of rank 0's last step, save, evaluation or load
  bool left = false;               // rank 0 said goodbye
};

// Attempts in the order of their starts.
std::vector<Attempt> Attempts(const Events& events) {
  std::map<std::string, Attempt> by_token;
  for (const Event& event : events.all) {
    if (event.rank < 0) continue;
    Attempt& attempt = by_token[event.token];
    attempt.token = event.token;
    attempt.last = std::max(attempt.last, event.end());
    if (event.name == "rank.start")
      attempt.since = std::min(attempt.since, NumberOr(event.fields, "since", event.t));
    if (event.rank != 0) continue;
    const bool spans = event.name == "load" || event.name == "save" || event.name == "eval";
    if (event.name == "load") attempt.loop = event.t;
    if (event.name == "rank.end") attempt.left = true;
    if (spans) attempt.progress = std::max(attempt.progress, event.end());
    if (event.kind == "scalar" && event.name == "step")
      attempt.progress = std::max(attempt.progress, event.t);
  }
  std::vector<Attempt> attempts;
  for (auto& [token, attempt] : by_token)
    if (attempt.since < 1e300) attempts.push_back(attempt);
  std::ranges::sort(attempts, {}, &Attempt::since);
  return attempts;
}

// Every run of a step on rank 0, marked where a later load, roll-back or run of the same step shows
// that it was in vain.
std::vector<StepRun> StepRuns(const Events& events) {
  std::vector<StepRun> runs;
  const auto undo = [&](std::int64_t beyond) {
    for (StepRun& run : runs) run.redone |= run.step > beyond;
  };
  for (const Event& event : events.all) {
    if (event.rank != 0) continue;
    if (event.kind == "span" && event.name == "load") undo(event.step);
    if (event.name == "rollback") undo(static_cast<std::int64_t>(NumberOr(event.fields, "to", -1)));
    if (event.kind == "scalar" && event.name == "step")
      runs.push_back({event.t - event.dur, event.t, event.step});
  }
  std::map<std::int64_t, StepRun*> newest;
  for (StepRun& run : runs) {
    StepRun*& before = newest[run.step];
    if (before != nullptr) before->redone = true;
    before = &run;
  }
  return runs;
}

class Account {
 public:
  explicit Account(const Events& events)
      : events_(events), attempts_(Attempts(events)), runs_(StepRuns(events)) {}

  Goodput Result() {
    const bool launched = std::ranges::any_of(
        events_.all, [](const Event& event) { return event.name == "generation.start"; });
    Require(launched || !attempts_.empty(), ExitCode::kInvalidData,
            "the run's events tell of no attempt that started (rank.start)");
    AddLives();
    AddGaps();
    AddQueues();
    AddSteps();
    Goodput result;
    result.begin = 1e300;
    for (const Event& event : events_.all) result.end = std::max(result.end, event.end());
    for (const Interval& interval : intervals_)
      result.begin = std::min(result.begin, interval.begin);
    for (const Event& event : events_.all)
      if (event.name == "generation.start" || event.name == "queue")
        result.begin = std::min(result.begin, event.t);
    Paint(&result);
    result.attempts = static_cast<int>(attempts_.size());
    for (const StepRun& run : runs_) ++(run.redone ? result.redone_steps : result.steps);
    result.dropped = events_.dropped;
    return result;
  }

 private:
  void Add(double begin, double end, int layer, Part part) {
    if (end > begin) intervals_.push_back({begin, end, layer, part});
  }

  void AddLives() {
    for (const Attempt& attempt : attempts_) {
      Add(attempt.since, attempt.last, kLife, kOther);
      Add(attempt.since, attempt.loop < 0 ? attempt.last : attempt.loop, kSection, kInit);
    }
    for (const Event& event : events_.all) {
      if (event.rank != 0 || event.kind != "span") continue;
      if (event.name == "load") Add(event.t, event.end(), kSection, kLoad);
      if (event.name == "save" || event.name == "stall") Add(event.t, event.end(), kInside, kStall);
      if (event.name == "eval") Add(event.t, event.end(), kInside, kEval);
    }
  }

  // What a supervisor knew and did between two attempts, and before the first.
  void AddGaps() {
    for (std::size_t a = 0; a < attempts_.size(); ++a) {
      const Attempt& attempt = attempts_[a];
      const double next = a + 1 < attempts_.size() ? attempts_[a + 1].since : 1e300;
      if (attempt.left) continue;
      double known = -1;
      for (const Event& event : events_.all) {
        if (event.name == "generation.start" && event.t > attempt.last) break;
        if (event.name == "detect" && event.t >= attempt.since && event.t < next && known < 0)
          known = event.t;
      }
      if (known < 0) continue;
      const double progress = attempt.progress > 0 ? attempt.progress : attempt.since;
      Add(progress, known, kSection, kDetect);
      if (next < 1e300) Add(known, next, kBetween, kRestart);
    }
    for (const Event& event : events_.all) {  // from a launch to its first processes
      if (event.name != "generation.start") continue;
      const auto first = std::ranges::find_if(
          attempts_, [&](const Attempt& attempt) { return attempt.since >= event.t; });
      if (first != attempts_.end()) Add(event.t, first->since, kLife, kInit);
    }
  }

  void AddQueues() {
    double ended = -1;
    for (const Event& event : events_.all) {
      if (event.name == "queue" && event.kind == "span") Add(event.t, event.end(), kLife, kQueue);
      if (event.name == "generation.end") ended = event.t;
      if (event.name == "generation.start") {
        if (ended > 0) Add(ended, event.t, kLife, kQueue);
        ended = -1;
      }
    }
  }

  void AddSteps() {
    for (const StepRun& run : runs_)
      Add(run.begin, run.end, kSection, run.redone ? kRedone : kProductive);
  }

  // Each instant to the interval of the greatest layer over it; of equals the later begun.
  void Paint(Goodput* result) const {
    std::vector<std::pair<double, std::size_t>> edges;  // begins and ends
    for (std::size_t i = 0; i < intervals_.size(); ++i) {
      edges.emplace_back(intervals_[i].begin, i);
      edges.emplace_back(intervals_[i].end, i);
    }
    edges.emplace_back(result->end, intervals_.size());
    std::ranges::sort(edges);
    const auto weaker = [&](std::size_t a, std::size_t b) {
      const Interval &x = intervals_[a], &y = intervals_[b];
      return std::tuple(x.layer, x.begin, a) < std::tuple(y.layer, y.begin, b);
    };
    std::set<std::size_t, decltype(weaker)> open(weaker);
    double seconds[kParts] = {}, at = result->begin;
    for (const auto& [t, i] : edges) {
      const double until = std::min(t, result->end);
      if (until > at) {
        seconds[open.empty() ? kIdle : intervals_[*open.rbegin()].part] += until - at;
        at = until;
      }
      if (i == intervals_.size()) continue;
      if (!open.erase(i)) open.insert(i);
    }
    double sum = 0;
    for (int part = 0; part < kParts; ++part) {
      result->parts.emplace_back(kNames[part], seconds[part]);
      sum += seconds[part];
    }
    Require(std::abs(sum - result->wall()) <= 1e-3 * result->wall(), ExitCode::kInvalidData,
            "the parts of the run's time add up to ", sum, " s of ", result->wall(),
            " s: its events contradict one another");
  }

  const Events& events_;
  std::vector<Attempt> attempts_;
  std::vector<StepRun> runs_;
  std::vector<Interval> intervals_;
};

}  // namespace

double Goodput::part(const std::string& name) const {
  for (const auto& [its_name, seconds] : parts)
    if (its_name == name) return seconds;
  return 0;
}

Goodput AccountFor(const Events& events) { return Account(events).Result(); }

}  // namespace vesalius::record
