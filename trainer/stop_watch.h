// Reasons to stop that come without a signal: the file RUN/STOP, and the end of a Slurm job's time.
// Rank 0 has one; its wish rides along with the step's exchange as that of a signal does.
#pragma once

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

  // Should the run save and leave? Wait-free.
  bool StopNow() const { return stop_; }
  // For people, once StopNow(): which reason it was.
  std::string reason() const;

  // What the last step and the last save took, in seconds. The job is left when no more is left of
  // it than a step, two saves and 30 s. A save's time is kept in RUN/pace.json, from which the next
  // submission learns.
  void StepTook(double seconds) { step_s_ = seconds; }
  void SaveTook(double seconds);

 private:
  void Look();      // the thread
  void KeepPace();  // on it: a disk that is busy with a save holds up no step
  std::string Reason(std::int64_t end) const;  // to stop now; "" when there is none

  const std::string run_folder_;
  std::atomic<bool> stop_{false};
  std::atomic<double> step_s_{0}, save_s_{0};
  double kept_save_s_ = 0;  // the thread's
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::string reason_;
  std::thread thread_;
};

}  // namespace vesalius::trainer
