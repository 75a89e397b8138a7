// What a run leaves for people and tools: RUN/metrics.jsonl (one JSON object a step, floats
// round-trip), TensorBoard event files, and the live progress line. Rank 0 only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vesalius::trainer {

struct StepRecord {
  std::int64_t step = 0;     // steps done, from 1
  std::int64_t samples = 0;  // consumed over the run
  double loss = 0, lr = 0, grad_norm = 0, samples_per_s = 0;
  std::vector<std::pair<std::string, double>> losses;   // by name, unweighted
  std::vector<std::pair<std::string, double>> seconds;  // by phase
  std::vector<std::pair<std::string, double>> counts;   // unreadable records, positives ...
  std::vector<std::pair<std::string, std::vector<double>>> comm;  // by rank: CommTrace
};

class RunRecord {
 public:
  // Lines of metrics.jsonl past `resumed_step`, and a torn last line, move to
  // metrics.jsonl.<attempt>; event files get a session start so that TensorBoard shows no zigzag.
  // Errors: kCannotCreate.
  RunRecord(const std::string& run_folder, int attempt, std::int64_t resumed_step,
            std::int64_t total_steps);
  ~RunRecord();
  // Appends the step; redraws the progress line (terminal) or prints a plain line now and then.
  void Step(const StepRecord& record);
  // Figures of an evaluation at `step`, by name: TensorBoard and RUN/evals.jsonl.
  void Evaluation(std::int64_t step, const std::vector<std::pair<std::string, double>>& figures);
  void Flush();  // everything on disk (before a checkpoint is committed)

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::trainer
