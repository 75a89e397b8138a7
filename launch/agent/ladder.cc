#include "launch/agent/ladder.h"

#include <algorithm>
#include <cmath>

#include "base/exit_codes.h"
#include "base/strings.h"

namespace vesalius::launch {
namespace {

constexpr int kMostWithoutCommit = 3;
constexpr int kSilentLaunches = 2;
constexpr double kLongestWait = 60;

int Code(ExitCode code) { return static_cast<int>(code); }

// Another start would end in the same way.
bool IsFinal(int code) {
  for (const ExitCode final : {ExitCode::kUsage, ExitCode::kInputMissing, ExitCode::kCannotCreate,
                               ExitCode::kConfig, ExitCode::kFenced, ExitCode::kNumericalStop})
    if (code == Code(final)) return true;
  return false;
}

}  // namespace

Decision Ladder::Leave(int code, const std::string& why) const {
  return {.code = code, .action = StrCat("leaving with exit code ", code, ": ", why)};
}

Decision Ladder::Without(const std::string& node, int spares, int code) {
  if (spares < 1) return Leave(code, StrCat("no spare node can replace ", node));
  last_node_.clear();
  return {.again = true,
          .drop_node = node,
          .action = StrCat("restarting without node ", node, ", on a spare")};
}

Decision Ladder::After(const AttemptEnd& end, int spares) {
  const Cause& cause = end.cause;
  if (cause.kind == Cause::kFailed && IsFinal(cause.code))
    return Leave(cause.code, "starting again would not help");
  if (cause.kind == Cause::kFailed && cause.code == Code(ExitCode::kInvalidData) &&
      !data_errors_.insert(cause.message).second)
    return Leave(cause.code, "the same data failed twice");
  if (cause.kind == Cause::kLaunch) {
    if (++launch_failures_ > kSilentLaunches)
      return Leave(Code(ExitCode::kNodeUnhealthy), StrCat(launch_failures_, " launches failed"));
    return {.again = true, .wait = std::exp2(launch_failures_ - 1), .action = "launching again"};
  }
  launch_failures_ = 0;
  without_commit_ = end.committed ? 0 : end.further ? 1 : without_commit_ + 1;
  without_step_ = end.stepped ? 0 : without_step_ + 1;
  if (without_commit_ >= kMostWithoutCommit)
    return Leave(Code(ExitCode::kGaveUp),
                 StrCat(without_commit_, " attempts in a row saved nothing"));
  if (cause.kind == Cause::kNodeLost) return Without(cause.node, spares, Code(ExitCode::kPeerLost));
  if (cause.kind == Cause::kUnhealthy || cause.code == Code(ExitCode::kNodeUnhealthy))
    return Without(cause.node, spares, Code(ExitCode::kNodeUnhealthy));
  // Twice in a row on one node, and another is there: it may be the node.
  if (spares > 0 && !cause.node.empty() && cause.node == last_node_)
    return Without(cause.node, spares, Code(ExitCode::kNodeUnhealthy));
  last_node_ = cause.node;
  const double wait = without_step_ == 0 ? 0 : std::min(kLongestWait, std::exp2(without_step_ - 1));
  return {.again = true, .wait = wait, .action = "restarting in the same allocation"};
}

}  // namespace vesalius::launch
