// What a run leaves for people and tools: RUN/metrics.jsonl and evals.jsonl (one JSON object a
// line, floats round-trip), TensorBoard event files, a file for Prometheus, and the live progress
// line. Each is fed by a thread of its own with a bounded queue: one that is full, slow or stuck
// loses its own lines, which are counted, and never holds up a step. Rank 0 only.
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

struct RunRecordOptions {
  std::string run_folder;
  int attempt = 1;
  std::int64_t resumed_step = 0, total_steps = 0;
  std::string prometheus;  // its file; "": RUN/metrics.prom
};

class RunRecord {
 public:
  // Lines of metrics.jsonl past `resumed_step`, and a torn last line, move to
  // metrics.jsonl.<attempt>; event files get a session start so that TensorBoard shows no zigzag.
  // Errors: kCannotCreate.
  explicit RunRecord(RunRecordOptions options);
  ~RunRecord();
  // Records the step; redraws the progress line (terminal) or prints a plain line now and then.
  void Step(StepRecord record);
  // Figures of an evaluation at `step`, by name: TensorBoard and RUN/evals.jsonl.
  void Evaluation(std::int64_t step, std::vector<std::pair<std::string, double>> figures);
  // The run goes on from `step`: what lies past it moves aside as it does after a restart.
  void RollBack(std::int64_t step);
  // `step` has a checkpoint.
  void Committed(std::int64_t step);
  // The lines on disk, before a checkpoint is committed. A stuck disk is waited for 5 s and then
  // warned of; other places are not waited for.
  void Sync();
  // Everything in its place: 5 s in all, likewise.
  void Flush();
  std::int64_t dropped() const;  // lines lost so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::trainer
