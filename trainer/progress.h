// The live progress of a run: one line that is redrawn on a terminal, plain lines now and then
// otherwise. Times come from a clock that is handed in (monotonic; tests have their own).
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "trainer/run_record.h"

namespace vesalius::trainer {

class Progress {
 public:
  struct Options {
    std::int64_t done = 0, total = 0;  // steps before the first one here, and in all
    int columns = 0;                   // of the terminal; 0: no terminal, plain lines
    double plain_every = 5;            // seconds between plain lines
  };
  // `clock` gives seconds.
  Progress(Options options, std::ostream& out, std::function<double()> clock);
  ~Progress();  // leaves the cursor on a fresh line

  void Step(const StepRecord& record);
  // A line of its own, which stays.
  void Note(const std::string& line);

 private:
  Options options_;
  std::ostream& out_;
  std::function<double()> clock_;
  double start_, last_plain_;
  bool drawn_ = false;  // an unfinished line is on the terminal
};

}  // namespace vesalius::trainer
