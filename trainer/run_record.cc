#include "trainer/run_record.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/event_log.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/log.h"
#include "trainer/progress.h"
#include "trainer/prometheus.h"
#include "trainer/record_file.h"
#include "trainer/sink_queue.h"
#include "trainer/tensorboard.h"

namespace vesalius::trainer {
namespace {

using Json = nlohmann::ordered_json;  // keeps the order of the keys; writes NaN as null
using Figures = std::vector<std::pair<std::string, double>>;
using SharedStep = std::shared_ptr<const StepRecord>;

constexpr std::size_t kQueue = 4096;      // steps that a place may lag behind
constexpr double kFlushSeconds = 5;       // that stuck places delay a commit, or the end, in all
constexpr double kPrometheusSeconds = 5;  // between files; scrapes are 15 s apart or more

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Columns of the terminal behind standard error; 0 when there is none. Under mpirun it is a pipe,
// so who started mpirun on a terminal says so in VESALIUS_COLUMNS.
int TerminalColumns() {
  winsize size{};
  if (const char* columns = std::getenv("VESALIUS_COLUMNS")) return std::atoi(columns);
  if (!::isatty(STDERR_FILENO)) return 0;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

void AddTagged(Figures* out, std::string_view prefix, const Figures& figures) {
  for (const auto& [name, value] : figures) out->emplace_back(prefix, value).first += name;
}

// What is no number is null.
void AppendFigure(std::string* line, double value) {
  if (std::isfinite(value))
    AppendJsonNumber(line, value);
  else
    *line += "null";
}

// Names are ours: they need no escaping.
void AppendName(std::string* line, std::string_view name) {
  (*line += line->back() == '{' ? "\"" : ",\"") += name;
  *line += "\":";
}

void AppendMember(std::string* line, std::string_view name, double value) {
  AppendName(line, name);
  AppendFigure(line, value);
}

std::string StepLine(const StepRecord& record) {
  std::string line = StrCat("{\"step\":", record.step, ",\"samples\":", record.samples);
  line.reserve(2048);
  AppendMember(&line, "loss", record.loss);
  for (const auto& [name, value] : record.losses) AppendMember(&line, name, value);
  AppendMember(&line, "lr", record.lr);
  AppendMember(&line, "grad_norm", record.grad_norm);
  AppendMember(&line, "samples_per_s", record.samples_per_s);
  for (const auto& [name, value] : record.counts) AppendMember(&line, name, value);
  line += ",\"seconds\":{";
  for (const auto& [phase, value] : record.seconds) AppendMember(&line, phase, value);
  line += "}";
  if (!record.comm.empty()) {
    line += ",\"comm\":{";
    for (const auto& [name, by_rank] : record.comm) {
      AppendName(&line, name);
      line += '[';
      for (const double value : by_rank) {
        AppendFigure(&line, value);
        line += ',';
      }
      line.back() = ']';
    }
    line += "}";
  }
  return line += "}\n";
}

Figures StepScalars(const StepRecord& record) {
  Figures scalars;
  scalars.reserve(4 + record.losses.size() + record.counts.size() + record.seconds.size());
  scalars = {{"train/loss", record.loss},
             {"train/lr", record.lr},
             {"train/grad_norm", record.grad_norm},
             {"train/samples_per_s", record.samples_per_s}};
  AddTagged(&scalars, "losses/", record.losses);
  AddTagged(&scalars, "counts/", record.counts);
  AddTagged(&scalars, "seconds/", record.seconds);
  return scalars;
}

std::string EvaluationLine(std::int64_t step, const Figures& figures) {
  Json line = {{"step", step}};
  for (const auto& [name, value] : figures) {
    Invariant(!line.contains(name), "two figures of an evaluation have the name '", name, "'");
    line[name] = value;
  }
  return line.dump() + "\n";
}

// The line files. Created and cut on the caller's thread, so that a run folder that cannot be
// written is refused at the start; from then on the queue's thread alone touches them.
struct Lines {
  RecordFile metrics, evals;
  explicit Lines(const std::string& folder)
      : metrics(folder + "/metrics.jsonl"), evals(folder + "/evals.jsonl") {
    metrics.Open();
    evals.Open();
  }
  void Write() {
    metrics.Write();
    evals.Write();
  }
  void Cut(int attempt, std::int64_t step) {
    metrics.CutLines(attempt, step);
    evals.CutLines(attempt, step);
  }
};

}  // namespace

struct RunRecord::Impl {
  RunRecordOptions options;
  std::shared_ptr<Lines> lines;
  std::shared_ptr<EventWriter> board;
  std::shared_ptr<Progress> progress;
  SinkQueue to_lines, to_board, to_screen, to_prometheus;
  PrometheusState state;
  SharedStep newest;
  double prometheus_written = -1e9;

  explicit Impl(RunRecordOptions its_options)
      : options(std::move(its_options)),
        lines(std::make_shared<Lines>(options.run_folder)),
        board(std::make_shared<EventWriter>(options.run_folder + "/events", options.attempt,
                                            options.resumed_step + 1)),
        progress(std::make_shared<Progress>(
            Progress::Options{options.resumed_step, options.total_steps, TerminalColumns()},
            std::cerr, Seconds)),
        to_lines(options.run_folder + "/metrics.jsonl", kQueue,
                 [lines = lines] { lines->Write(); }),
        to_board(options.run_folder + "/events", kQueue, [board = board] { board->Write(); }),
        to_screen("the screen", kQueue),
        to_prometheus("the file for Prometheus", 1) {
    lines->Cut(options.attempt, options.resumed_step);
    if (options.prometheus.empty()) options.prometheus = options.run_folder + "/metrics.prom";
    state.run = options.run_folder;
    state.total_steps = options.total_steps;
    state.committed_step = options.resumed_step;
    state.attempt = options.attempt;
  }

  std::int64_t dropped() const {
    return to_lines.dropped() + to_board.dropped() + to_screen.dropped() + events::Dropped();
  }

  void PostSync() {
    to_lines.Post([lines = lines] {
      lines->metrics.Sync();
      lines->evals.Sync();
    });
    to_board.Post([board = board] { board->Sync(); });
  }

  void Wait(std::initializer_list<SinkQueue*> queues, double until) {
    for (SinkQueue* queue : queues)
      if (!queue->Flush(std::max(0.0, until - Seconds())))
        log::Warning("step ", newest ? newest->step : 0,
                     ": a part of the run record could not be written within ", kFlushSeconds,
                     " s; its lines are dropped and counted, the run goes on");
  }

  void Prometheus() {
    if (!newest) return;
    prometheus_written = Seconds();
    state.dropped = dropped();
    state.updated = events::Now();
    to_prometheus.Post([path = options.prometheus, record = newest, state = state] {
      WritePrometheus(path, PrometheusText(*record, state));
    });
  }
};

RunRecord::RunRecord(RunRecordOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

// The last state must not be the one that a full queue drops.
RunRecord::~RunRecord() {
  impl_->to_prometheus.Flush(1);
  impl_->Prometheus();
}

void RunRecord::Step(StepRecord record) {
  Impl& impl = *impl_;
  const auto step = std::make_shared<const StepRecord>(std::move(record));
  impl.newest = step;
  impl.to_lines.Post([lines = impl.lines, step] { lines->metrics.Append(StepLine(*step)); });
  impl.to_board.Post(
      [board = impl.board, step] { board->Scalars(step->step, StepScalars(*step)); });
  impl.to_screen.Post([progress = impl.progress, step] { progress->Step(*step); });
  if (Seconds() - impl.prometheus_written >= kPrometheusSeconds) impl.Prometheus();
}

void RunRecord::Evaluation(std::int64_t step, Figures figures) {
  Impl& impl = *impl_;
  std::string note = StrCat("evaluation at step ", step, ":");
  Figures scalars;
  AddTagged(&scalars, "eval/", figures);
  for (const auto& [name, value] : figures) {
    note += StrCat("  ", name, " ", Fixed(value, 4));
    events::Scalar("eval." + name, value, step);
  }
  impl.state.evaluation = figures;
  impl.to_board.Post([board = impl.board, step, scalars] { board->Scalars(step, scalars); });
  impl.to_screen.Post([progress = impl.progress, note] { progress->Note(note); });
  impl.to_lines.Post([lines = impl.lines, step, figures = std::move(figures)] {
    lines->evals.Append(EvaluationLine(step, figures));
  });
}

void RunRecord::RollBack(std::int64_t step) {
  Impl& impl = *impl_;
  impl.to_lines.Post(
      [lines = impl.lines, attempt = impl.options.attempt, step] { lines->Cut(attempt, step); });
  impl.to_board.Post([board = impl.board, step] { board->SessionStart(step + 1); });
}

void RunRecord::Committed(std::int64_t step) { impl_->state.committed_step = step; }

void RunRecord::Sync() {
  impl_->PostSync();
  impl_->Wait({&impl_->to_lines}, Seconds() + kFlushSeconds);
}

void RunRecord::Flush() {
  const double until = Seconds() + kFlushSeconds;
  impl_->PostSync();
  impl_->Wait({&impl_->to_lines, &impl_->to_board, &impl_->to_screen}, until);
  events::Flush(std::max(0.0, until - Seconds()));
}

std::int64_t RunRecord::dropped() const { return impl_->dropped(); }

}  // namespace vesalius::trainer
