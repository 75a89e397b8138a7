// What the run record costs: all processor time of a step's record on rank 0, in the loop and in
// the threads that write, with every place on (events, metrics.jsonl, TensorBoard, Prometheus,
// progress line), as a share of a step of 20 ms. And the longest that a step waited for it, with
// files that can be written and with an event file that is stuck.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>

#include "base/error.h"
#include "base/event_log.h"
#include "base/file.h"
#include "bench/harness.h"
#include "trainer/numbers_watch.h"
#include "trainer/run_record.h"
#include "trainer/step_spans.h"

namespace vesalius::bench {
namespace {

constexpr double kStepSeconds = 0.020;
constexpr int kSteps = 250, kRounds = 5;

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

// Of the whole process, or of this thread.
double ProcessorSeconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Keeps this thread and the caches as busy as training does.
void Work(double seconds) {
  static std::vector<float> memory(1 << 21);
  const Clock::time_point start = Clock::now();
  for (std::size_t i = 0; Seconds(start) < seconds;)
    for (const std::size_t end = i + 4096; i < end; ++i) memory[i * 521 % memory.size()] += 1;
}

// As a run of the pairs preset on four ranks has it.
trainer::StepRecord Record(std::int64_t step) {
  const double x = 1.0 / static_cast<double>(step);
  trainer::StepRecord record;
  record.step = step;
  record.samples = 64 * step;
  record.loss = 3 * x;
  record.lr = 1e-3 * x;
  record.grad_norm = 1 + x;
  record.samples_per_s = 3200 + x;
  for (const char* name : {"anatomy", "iou", "presence", "global", "pair", "fine"})
    record.losses.emplace_back(name, 0.1 + x);
  for (const char* name : {"data", "forward", "loss", "backward", "exchange", "optimiser"})
    record.seconds.emplace_back(name, kStepSeconds / 6 + 1e-5 * x);
  for (const char* name : {"loader.wait", "loader.read", "loader.decode", "loader.augment"})
    record.seconds.emplace_back(name, 1e-3 * x);
  for (const char* name : {"stage", "unreadable", "skipped", "spikes", "rollbacks"})
    record.counts.emplace_back(name, 0);
  for (const char* name : {"bytes", "all_reduce", "all_gather", "seconds", "exposed", "waiting"})
    record.comm.emplace_back(name, std::vector<double>{x, 2 * x, 3 * x, 4 * x});
  return record;
}

struct Cost {
  double processor = 0;  // seconds a step
  double longest = 0;    // seconds that one step spent in the record
};

Cost Steps(const std::string& run) {
  trainer::RunRecord record({run, 1, 0, kSteps, ""});
  trainer::StepSpans spans(/*every=*/10, /*lead=*/true);
  trainer::NumbersWatch watch(trainer::WatchConfig{10, 10, trainer::SpikeAction::kFlag, 200, 3, 0});
  Cost cost;
  double in_loop = 0;
  const double before = ProcessorSeconds(CLOCK_PROCESS_CPUTIME_ID),
               loop_before = ProcessorSeconds(CLOCK_THREAD_CPUTIME_ID);
  for (int step = 1; step <= kSteps; ++step) {
    Work(kStepSeconds);
    trainer::StepRecord of_step = Record(step);
    const double start_of_step = events::Now() - kStepSeconds;
    const std::vector<std::pair<std::string, double>> phases(of_step.seconds.begin(),
                                                             of_step.seconds.begin() + 6);
    const Clock::time_point start = Clock::now();
    const double processor = ProcessorSeconds(CLOCK_THREAD_CPUTIME_ID);
    watch.Judge(step, of_step.loss, of_step.grad_norm, false);
    spans.Step(of_step, start_of_step, phases);
    record.Step(std::move(of_step));
    in_loop += ProcessorSeconds(CLOCK_THREAD_CPUTIME_ID) - processor;
    cost.longest = std::max(cost.longest, Seconds(start));
  }
  record.Flush();
  const double in_threads = ProcessorSeconds(CLOCK_PROCESS_CPUTIME_ID) - before -
                            (ProcessorSeconds(CLOCK_THREAD_CPUTIME_ID) - loop_before);
  cost.processor = (in_loop + in_threads) / kSteps;
  return cost;
}

void Measure(Report& report) {
  std::vector<double> share, longest, stuck;
  for (int round = 0; round <= kRounds; ++round) {
    const ScratchFolder folder;
    std::thread([&] {
      events::Open(folder.path(), "rank-0000", "bench/000001/000001", 0);
      const Cost cost = Steps(folder.path());
      if (round > 0) share.push_back(100 * cost.processor / kStepSeconds);
      if (round > 0) longest.push_back(1e3 * cost.longest);
    }).join();
  }
  for (int round = 0; round < kRounds; ++round) {
    const ScratchFolder folder;
    MakeDirs(folder.path() + "/events");
    const std::string pipe = folder.path() + "/events/rank-0000.jsonl";
    Require(::mkfifo(pipe.c_str(), 0600) == 0, ExitCode::kBug, "mkfifo ", pipe, " failed");
    const int reader = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);  // open, and never read
    std::thread([&] {
      events::Open(folder.path(), "rank-0000", "bench/000001/000001", 0);
      for (int i = 0; i < 20000; ++i) events::Instant("filler", i);
      Require(events::Dropped() > 0, ExitCode::kBug, "the pipe is not stuck");
      stuck.push_back(1e3 * Steps(folder.path()).longest);
    }).join();
    ::close(reader);
  }
  report.Add("observe.share", "%", share);
  report.Add("observe.longest", "ms", longest);
  report.Add("observe.longest_stuck", "ms", stuck);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) {
  return vesalius::bench::Main(argc, argv, vesalius::bench::Measure);
}
