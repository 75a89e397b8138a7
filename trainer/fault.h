// Faults on demand, for tests and drills: `pretrain --fault KIND@STEP:RANK` has that rank fail at
// that step of the run (counted from 1), once: a marker RUN/faults/KIND@STEP:RANK is made before,
// so that the next attempt passes. KIND@STEP:RANK:always fails in every attempt.
//
//   kill segv abort   the process ends by that signal
//   exit              it ends with exit code 3 and no word
//   throw             an Error(kInvalidData) as for a damaged record
//   stop              SIGSTOP: the process is there but does nothing
//   hang              the training thread sleeps for ever
//   nan spike         the rank's gradients of the step are not numbers; are 1,000 times as large
//   flip              a bit of one of its parameters flips before the step
//   slow              each step of the attempt from there on takes 50 ms more, spent in `forward`;
//                     with :always so does each of the attempts that follow
//   kill-POINT        SIGKILL at a point of the save of that step: stage, staged, write, written,
//                     manifest, rename, committed (the last three are of rank 0)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::trainer {

class Faults {
 public:
  // Error(kUsage) for what is not a fault.
  Faults(const std::vector<std::string>& texts, std::string run, int rank);
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // Called at the start of step `step`.
  void At(std::int64_t step);
  // Called in the forward phase of each step.
  void InForward() const;
  // What this rank's gradients of the step at hand are multiplied by; whether a bit of its
  // parameters flips.
  double gradient_factor() const { return gradient_factor_; }
  bool flips() const { return flips_; }

 private:
  struct Fault {
    std::string text, kind;
    std::int64_t step = 0;
    int rank = 0;
    bool always = false;
  };
  bool FirstTime(const Fault& fault) const;
  void AtSavePoint(const std::string& point, std::int64_t step, int rank) const;

  std::vector<Fault> mine_;
  const std::string run_;
  bool slow_ = false, flips_ = false;
  bool in_saves_ = false;  // a fault at a point of a save
  double gradient_factor_ = 1;
};

}  // namespace vesalius::trainer
