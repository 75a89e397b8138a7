// Exactly once, whatever happens to the ranks: random histories of 4, 3, 8 and 1 ranks, stopped
// anywhere, give the steps of an undisturbed run on one rank, sample for sample and bit for bit.
// Within one process, and with processes that are killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/data/loader_steps.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

constexpr int kSteps = 24, kSamples = 47;
constexpr int kWorlds[] = {4, 3, 8, 1};

// Where a history changes its world: three steps in ascending order, some perhaps equal.
std::vector<int> Stops(Random& random) {
  std::vector<int> stops;
  for (int i = 0; i < 3; ++i) stops.push_back(static_cast<int>(random.Below(kSteps + 1)));
  std::ranges::sort(stops);
  stops.push_back(kSteps);
  return stops;
}

TEST(Histories, AHundredInOneProcess) {
  const auto first = Memory(kSamples), second = Memory(19);
  second->SetFingerprint("5ec0");
  int trial = 0;
  for (const Tail tail : {Tail::kDrop, Tail::kShort, Tail::kPad}) {
    PipelineOptions options = Augmented();
    options.tail = tail;
    options.workers = 0;
    const bool mixed = tail == Tail::kDrop;  // half of these histories
    for (const bool two : {false, true}) {
      if (two && !mixed) continue;
      const std::vector<Data> data =
          two ? std::vector<Data>{first, second} : std::vector<Data>{first};
      options.weights = two ? std::vector<double>{2, 1} : std::vector<double>{};
      options.workers = 0;
      LoaderState end;
      const std::vector<Step> expected = Collect(data, options, 1, kSteps, {}, &end);
      for (int repeat = 0; repeat < 25; ++repeat, ++trial) {
        Random random(17, Purpose::kTest, static_cast<std::uint64_t>(trial));
        const std::vector<int> stops = Stops(random);
        LoaderState state;
        int done = 0;
        for (int part = 0; part < 4; ++part) {
          const int steps = stops[part] - done;
          options.workers = static_cast<int>(random.Below(3));
          const LoaderState start = ParseLoaderState(SerializeLoaderState(state));
          const std::vector<Step> got = Collect(data, options, kWorlds[part], steps, start, &state);
          ASSERT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + done))
              << "history " << trial << ", " << kWorlds[part] << " ranks from step " << done;
          done = stops[part];
        }
        EXPECT_EQ(SerializeLoaderState(state), SerializeLoaderState(end));
      }
    }
  }
  EXPECT_EQ(trial, 100);
}

// One line a sample: its id and a hash over all that the batch says of it.
std::string Lines(const Step& step) {
  std::string out;
  for (const auto& [id, sample] : step) {
    Digest digest;
    digest.Add(sample.floats);
    for (const int flag : sample.flags) digest.Add(static_cast<std::int64_t>(flag));
    for (const auto& text : sample.texts)
      for (const std::int64_t token : text) digest.Add(token);
    out += StrCat(id, " ", digest.Hex(), "\n");
  }
  return out;
}

// A rank as a process of its own: leaves lines and state of each step in `folder`.
[[noreturn]] void RunRank(const std::string& set, const std::string& folder,
                          PipelineOptions options, int begin, const LoaderState& start) {
  const Data data = OpenDataset(set, Split::kTrain);
  options.workers = 1 + options.rank % 2;
  Pipeline pipeline({data}, options, start);
  for (int step = begin; step < kSteps; ++step) {
    const Batch batch = pipeline.Next();
    Step mine;
    AddTo(mine, batch);
    const std::string name = StrCat(folder, "/", step, "-", options.rank);
    WriteFileAtomic(name + ".state", SerializeLoaderState(batch.state));
    WriteFileAtomic(name + ".lines", Lines(mine));
  }
  ::_exit(0);
}

bool AllThere(const std::string& folder, int step, int ranks) {
  for (int rank = 0; rank < ranks; ++rank)
    if (!Exists(StrCat(folder, "/", step, "-", rank, ".lines"))) return false;
  return true;
}

// Runs `ranks` processes from step `begin` and kills them all once step `stop` - 1 is whole;
// appends the steps to `got` and returns the state to go on from.
LoaderState RunProcesses(const std::string& set, const std::string& folder, int ranks, int begin,
                         int stop, const LoaderState& start, std::vector<std::string>& got) {
  if (stop == begin) return start;
  MakeDirs(folder);
  std::vector<pid_t> processes;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t process = ::fork();
    if (process == 0) {
      PipelineOptions options = Augmented();
      options.rank = rank;
      options.ranks = ranks;
      RunRank(set, folder, options, begin, start);
    }
    processes.push_back(process);
  }
  while (!AllThere(folder, stop - 1, ranks))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (const pid_t process : processes) ::kill(process, SIGKILL);
  for (const pid_t process : processes) ::waitpid(process, nullptr, 0);
  for (int step = begin; step < stop; ++step) {
    std::vector<std::string> lines;
    for (int rank = 0; rank < ranks; ++rank)
      for (const std::string& line :
           vesalius::Split(ReadFile(StrCat(folder, "/", step, "-", rank, ".lines")), '\n'))
        if (!line.empty()) lines.push_back(line);
    std::ranges::sort(lines);
    got.push_back(Join(lines, "\n"));
  }
  return ParseLoaderState(ReadFile(StrCat(folder, "/", stop - 1, "-0.state")));
}

TEST(Histories, ThreeWithProcessesThatAreKilled) {
  const TempDir dir;
  const std::string set = dir.path() + "/set";
  Stored(*Memory(kSamples), set);
  std::vector<std::string> expected;
  RunProcesses(set, dir.path() + "/alone", 1, 0, kSteps, {}, expected);
  for (int history = 0; history < 3; ++history) {
    Random random(3, Purpose::kTest, static_cast<std::uint64_t>(history));
    const std::vector<int> stops = Stops(random);
    std::vector<std::string> got;
    LoaderState state;
    int done = 0;
    for (int part = 0; part < 4; ++part) {
      state = RunProcesses(set, StrCat(dir.path(), "/", history, "-", part), kWorlds[part], done,
                           stops[part], state, got);
      done = stops[part];
    }
    EXPECT_EQ(got, expected) << "history " << history;
  }
}

}  // namespace
}  // namespace vesalius::data
