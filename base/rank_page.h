// What a rank is doing right now, on a page of memory that its node's agent reads without asking:
// sections with the time they were entered, steps, collectives, times by phase, how it ended. The
// page is a file that both map; a rank without an agent writes to a private one.
//
// Contract
// - One page a process, valid from the start. Every writer is wait-free and may be called from any
//   thread; nothing fails, nothing is sent.
// - Times are nanoseconds of CLOCK_MONOTONIC, which processes of one machine share.
// - A reader may see a rank between two stores: each figure is right, two of them may be of
//   neighbouring moments.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace vesalius::page {

// What has a deadline of its own. Warm-up: an attempt's first steps.
enum class Section : std::uint8_t {
  kInit,
  kLoad,
  kWarmUp,
  kStep,
  kEval,
  kStage,
  kWrite,
  kCommit,
  kExit
};
inline constexpr int kSections = 9;
const char* Name(Section section);  // "init", "warm-up", ...

// Parts of a step in which a rank waits for nobody else, so that a slow one shows.
enum class Phase : std::uint8_t { kData, kForward, kBackward };
inline constexpr int kPhases = 3;
const char* Name(Phase phase);
inline constexpr int kStepsKept = 128;
using PhaseTimes = std::array<float, kPhases>;  // seconds

// Text of at most N * 8 bytes, longer ones cut.
template <int N>
struct Text {
  std::array<std::atomic<std::uint64_t>, N> words;
  void Set(std::string_view text);
  std::string Get() const;
};

struct SectionState {
  std::atomic<std::int64_t> entered_at;  // shifted by what was spent in inner sections; 0: outside
  std::atomic<std::int64_t> longest;     // of those left
  std::atomic<std::int64_t> times;       // entered and left
};

struct CollectiveSlot {
  std::atomic<std::uint64_t> number;
  Text<6> name;
};
inline constexpr int kCollectivesKept = 64;

struct Page {
  std::atomic<std::uint64_t> ready;  // kReady, written last
  std::atomic<std::int32_t> pid, rank;
  std::array<SectionState, kSections> sections;
  std::atomic<std::int32_t> failed_in;  // 1 + the innermost section left by the error that is under
                                        // way; 0: none, or it was caught and the process went on
  std::atomic<std::int64_t> step;       // done, of the run; -1 before the first
  std::atomic<std::int64_t> steps;      // done by this process
  std::atomic<std::int64_t> committed;  // newest committed step that the rank knows of; -1: none
  std::atomic<std::uint64_t> issued;    // collectives that were called
  std::atomic<std::uint64_t> waiting;   // number of the one that the caller waits in; 0: none
  std::array<CollectiveSlot, kCollectivesKept> collectives;
  std::array<std::array<std::atomic<float>, kPhases>, kStepsKept> phases;  // by step of the process
  std::atomic<std::int32_t> signal;                                        // fatal one; 0: none
  std::atomic<std::int32_t> exit_code;  // -1 while it lives and when it ended without a word
  Text<64> error;
};
inline constexpr std::uint64_t kReady = 0x32304547'41504356;  // layout 2
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<float>::is_always_lock_free);

std::int64_t Now();

// ---- the rank's side ---------------------------------------------------------------------------

// From here on the page is the file FOLDER/rank-N, made when it is not there; also has the page
// know how the process ends (fatal signals but KILL, exit codes), and the process answer where it
// is (base/stack_dump.h). Call once, before threads start.
// Error(kCannotCreate).
void Open(const std::string& folder, int rank);

// This thread is in `section` until the end of the scope; the section around it stands still. One
// that an error leaves is noted in failed_in until a section is entered, or left without one.
class In {
 public:
  explicit In(Section section);
  ~In();
  In(const In&) = delete;
  In& operator=(const In&) = delete;

 private:
  const Section section_;
  const int outer_;   // of this thread; -1: none
  const int errors_;  // under way when it was entered
  const std::int64_t outer_spent_;
};

void SetStep(std::int64_t done, const PhaseTimes& phases);  // a step has ended
void SetCommitted(std::int64_t step);
void SetError(std::string_view text);
void SetExitCode(int code);

// A collective is called; its number, from 1 in the order of calls of this process. Each call site
// that blocks on it says so.
std::uint64_t Collective(std::string_view name);
class Waiting {
 public:
  explicit Waiting(std::uint64_t collective);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  const std::uint64_t before_;
};

const Page& Mine();

// ---- the agent's side --------------------------------------------------------------------------

// Null as long as the rank has not opened its page. Mapped for reading.
std::shared_ptr<const Page> Read(const std::string& folder, int rank);

// The name of collective `number`; "" when it is no longer kept.
std::string CollectiveName(const Page& page, std::uint64_t number);

}  // namespace vesalius::page
