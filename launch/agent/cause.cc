#include "launch/agent/cause.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <regex>
#include <tuple>

#include "base/exit_codes.h"
#include "base/strings.h"

namespace vesalius::launch {
namespace {

// How long the end of a rank that blames another waits for that other's end to be seen.
constexpr double kGrace = 0.5;

bool Well(const RankView& rank) {
  return rank.signal == 0 && (rank.code == static_cast<int>(ExitCode::kFinished) ||
                              rank.code == static_cast<int>(ExitCode::kSavedResumable));
}

// Whether its error is one of a collective operation that all ranks throw in the words of the one
// where it happened: "..., rank 3: ..." (checkpoints/writer.cc). Not when that one has no words,
// and leaves it to this rank to tell (dist/bootstrap.h, OnLead).
bool TellsOfAnother(const RankView& rank, const std::vector<RankView>& ranks) {
  static const std::regex kOrigin("\\brank ([0-9]+): ");
  std::smatch found;
  if (!std::regex_search(rank.error, found, kOrigin)) return false;
  return std::ranges::any_of(ranks, [&](const RankView& other) {
    const bool silent = other.ended && other.error.empty();
    return other.rank != rank.rank && found[1] == StrCat(other.rank) && !silent;
  });
}

// Ends that follow from another rank's: the loss of a peer, an error that another rank tells or
// had, and what a launcher does to the others.
bool IsConsequence(const RankView& rank, const std::vector<RankView>& ranks) {
  return TellsOfAnother(rank, ranks) || rank.by_us || rank.signal == SIGTERM ||
         (rank.signal == 0 && rank.code == static_cast<int>(ExitCode::kPeerLost)) ||
         (rank.signal == 0 && rank.error.empty() && rank.rank != 0);
}

Cause About(const RankView& rank, Cause::Kind kind) {
  Cause cause;
  cause.kind = kind;
  cause.rank = rank.rank;
  cause.host = rank.host;
  cause.section = rank.SectionName();
  cause.step = rank.step;
  cause.number = rank.waiting > 0 ? rank.waiting : rank.issued;
  cause.collective = rank.waiting > 0 ? rank.waiting_name : rank.issued_name;
  cause.message = rank.error;
  return cause;
}

std::optional<Cause> FindDeath(const std::vector<RankView>& ranks) {
  const RankView* first = nullptr;
  const auto order = [&](const RankView& rank) {
    return std::tuple(IsConsequence(rank, ranks), -rank.ended_for, rank.signal == 0);
  };
  for (const RankView& rank : ranks)
    if (rank.ended && !Well(rank) && (first == nullptr || order(rank) < order(*first)))
      first = &rank;
  if (first == nullptr || (IsConsequence(*first, ranks) && first->ended_for < kGrace))
    return std::nullopt;
  Cause cause = About(*first, first->signal > 0 ? Cause::kDied : Cause::kFailed);
  cause.signal = first->signal;
  cause.code = first->signal > 0 ? 0 : first->code;
  return cause;
}

// Seconds that a rank is past the deadline of a section it is in, and which; <= 0: in time.
std::pair<double, int> Overdue(const RankView& rank, const Deadlines& deadlines) {
  std::pair<double, int> worst{0, -1};
  for (int s = 0; s < page::kSections; ++s) {
    const double late = rank.inside[s] - deadlines.Limit(static_cast<page::Section>(s));
    if (late > worst.first) worst = {late, s};
  }
  return worst;
}

std::optional<Cause> FindHang(const std::vector<RankView>& ranks, const Deadlines& deadlines) {
  std::pair<double, int> worst{0, -1};
  for (const RankView& rank : ranks)
    if (!rank.ended) worst = std::max(worst, Overdue(rank, deadlines));
  if (worst.second < 0) return std::nullopt;
  // Whoever is late may only be waiting for another: that other is stopped, or waits in no
  // collective, or is at an earlier one than the rest.
  const RankView* laggard = nullptr;
  const auto order = [](const RankView& rank) {
    return std::tuple(!rank.stopped, rank.waiting > 0, rank.issued, rank.rank);
  };
  for (const RankView& rank : ranks)
    if (!rank.ended && (laggard == nullptr || order(rank) < order(*laggard))) laggard = &rank;
  Cause cause = About(*laggard, Cause::kHang);
  cause.stopped = laggard->stopped;
  const int section = laggard->Section();
  cause.seconds = section < 0 ? 0 : laggard->inside[section];
  const RankView* waits = nullptr;  // in the earliest collective that others wait in
  for (const RankView& rank : ranks)
    if (!rank.ended && &rank != laggard && rank.waiting > 0 &&
        (waits == nullptr || rank.waiting < waits->waiting))
      waits = &rank;
  if (waits != nullptr) {
    cause.number = waits->waiting;
    cause.collective = waits->waiting_name;
  }
  return cause;
}

}  // namespace

int RankView::Section() const {
  int last = -1;
  for (int s = 0; s < page::kSections; ++s)
    if (inside[s] >= 0 && (last < 0 || inside[s] <= inside[last])) last = s;
  return last;
}

std::string RankView::SectionName() const {
  const int section = Section();
  return section < 0 ? "start" : page::Name(static_cast<page::Section>(section));
}

const char* Name(Cause::Kind kind) {
  static constexpr const char* kNames[] = {"died",      "failed",    "hang",
                                           "node lost", "unhealthy", "launch"};
  return kNames[kind];
}

std::string Cause::Line() const {
  const std::string where = StrCat(rank >= 0 ? StrCat("rank ", rank) : StrCat("node ", node),
                                   host.empty() ? "" : " on ", host);
  const std::string at =
      StrCat(" in section ", section, step >= 0 ? StrCat(" after step ", step) : "");
  const std::string in =
      collective.empty() ? "" : StrCat(", at collective ", number, " '", collective, "'");
  const std::string words = message.empty() ? "" : ": " + message;
  if (kind == kFailed && rank < 0) return StrCat(where, words);  // what starts ranks
  switch (kind) {
    case kDied:
      return StrCat(where, " was ended by signal ", signal, " (", ::strsignal(signal), ")", at, in);
    case kFailed:
      return StrCat(where, " ended with exit code ", code, at, in, words);
    case kHang:
      return StrCat(where, stopped ? " is stopped" : " hangs", at, " for ", Fixed(seconds, 1), " s",
                    in, words);
    case kNodeLost:
      return StrCat(where, " is lost", words);
    case kUnhealthy:
      return StrCat(where, " is unhealthy", words);
    case kLaunch:
      return StrCat("the ranks could not be started", words);
  }
  return "";
}

std::optional<Cause> FindCause(const std::vector<RankView>& ranks, const Deadlines& deadlines) {
  if (auto death = FindDeath(ranks)) return death;
  return FindHang(ranks, deadlines);
}

std::optional<int> EndedWell(const std::vector<RankView>& ranks) {
  int code = 0;
  for (const RankView& rank : ranks) {
    if (!rank.ended || !Well(rank)) return std::nullopt;
    code = std::max(code, rank.code);
  }
  return code;
}

}  // namespace vesalius::launch
