// Reasons to stop that come without a signal: the file RUN/STOP, and the end of a Slurm job's time.
// Rank 0 has one; its wish rides along with the step's exchange as that of a signal does.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace vesalius::trainer {

// What a run that starts must not find: a request to stop that nobody took back. Error(kConfig).
void RequireNoStopFile(const std::string& run_folder);

// When this process's Slurm job ends, in seconds since 1970, by $SLURM_JOB_END_TIME or squeue; 0
// outside a job, without a limit, or when Slurm does not say.
std::int64_t JobEndTime();

class StopWatch {
 public:
  // A thread looks once a second, so that a file system that hangs holds up no step.
  explicit StopWatch(const std::string& run_folder);
  ~StopWatch();

  // Should the run save and leave? `evaluation`: one follows the next step, so that its time counts
  // too. Once it should, it should for good. Wait-free; this and all below are of one thread.
  bool StopNow(bool evaluation);
  // For people: why it should; "" while it need not.
  const std::string& reason() const { return reason_; }

  // What the last step, the last save and the last evaluation took, in seconds. The job is left
  // when no more is left of it than a step, two saves and 30 s, and the longest evaluation where
  // one comes. A save's time is kept in RUN/pace.json, from which the next submission learns.
  void StepTook(double seconds) { step_s_ = seconds; }
  void SaveTook(double seconds);
  void EvaluationTook(double seconds) { evaluation_s_ = std::max(evaluation_s_, seconds); }

 private:
  void Look();      // the thread
  void KeepPace();  // on it: a disk that is busy with a save holds up no step

  const std::string run_folder_;
  std::atomic<bool> stop_file_{false};    // it is there
  std::atomic<std::int64_t> job_end_{0};  // JobEndTime()
  std::atomic<double> step_s_{0}, save_s_{0};
  double evaluation_s_ = 0;
  std::string reason_;
  double kept_save_s_ = 0;  // the thread's
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace vesalius::trainer
