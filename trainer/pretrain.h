// `vesalius pretrain`: one rank (or N local ranks) from flags to exit code.
#pragma once

#include <string>
#include <vector>

#include "base/exit_codes.h"

namespace vesalius::trainer {

struct PretrainOptions {
  std::string preset, config_file;  // exactly one
  std::vector<std::string> data;
  std::string run;
  std::vector<std::string> set;   // key=value
  std::vector<std::string> init;  // safetensors files that a fresh start takes weights from
  std::string resume = "auto";    // auto, none, or a run or step folder
  std::string device = "auto";    // auto, cpu, cuda
  bool check = false;
  int local_ranks = 0;              // > 0: that many ranks as threads of this process
  std::vector<std::string> faults;  // trainer/fault.h
};

// kFinished or kSavedResumable; everything else throws Error.
ExitCode Pretrain(const PretrainOptions& options);

}  // namespace vesalius::trainer
