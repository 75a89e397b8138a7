#include "trainer/run_record.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "trainer/progress.h"
#include "trainer/tensorboard.h"

namespace vesalius::trainer {
namespace {

using Json = nlohmann::ordered_json;  // keeps the order of the keys; writes NaN as null
using Figures = std::vector<std::pair<std::string, double>>;

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

// Whole numbers without a fraction.
Json Number(double value) {
  if (std::nearbyint(value) == value && std::abs(value) < 9e15)
    return static_cast<std::int64_t>(value);
  return value;
}

// Length of the part of a JSON-lines text that a run resumed at `step` keeps. Steps ascend, so the
// lines are looked at from the end.
std::size_t KeptLength(const std::string& content, std::int64_t step) {
  std::size_t end = content.rfind('\n');
  end = end == std::string::npos ? 0 : end + 1;  // without a torn last line
  while (end > 0) {
    const std::size_t before = end < 2 ? std::string::npos : content.rfind('\n', end - 2);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const Json line = Json::parse(content.begin() + static_cast<std::ptrdiff_t>(begin),
                                  content.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                                  /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer() &&
        line["step"].get<std::int64_t>() <= step)
      break;
    end = begin;
  }
  return end;
}

// Moves what lies past `step` to `path`.`attempt`. The moved part is on disk before the file
// shrinks.
void Trim(const std::string& path, int attempt, std::int64_t step) {
  if (!std::filesystem::is_regular_file(path)) return;
  const std::string content = ReadFile(path);
  const std::size_t kept = KeptLength(content, step);
  if (kept == content.size()) return;
  WriteFileAtomic(StrCat(path, ".", attempt), content.substr(kept));
  WriteFileAtomic(path, content.substr(0, kept));
}

// Trims, then opens for appending.
std::string Prepared(const std::string& path, int attempt, std::int64_t step) {
  Trim(path, attempt, step);
  return path;
}

void AddTagged(Figures* out, const char* prefix, const Figures& figures) {
  for (const auto& [name, value] : figures) out->emplace_back(StrCat(prefix, name), value);
}

}  // namespace

struct RunRecord::Impl {
  OutputFile metrics, evals;
  EventWriter events;
  Progress progress;

  Impl(const std::string& folder, int attempt, std::int64_t resumed, std::int64_t total)
      : metrics(Prepared(folder + "/metrics.jsonl", attempt, resumed), ExitCode::kCannotCreate,
                /*append=*/true),
        evals(Prepared(folder + "/evals.jsonl", attempt, resumed), ExitCode::kCannotCreate,
              /*append=*/true),
        events(folder + "/events", attempt, resumed + 1),
        progress({resumed, total, TerminalColumns()}, std::cerr, Seconds) {}
};

RunRecord::RunRecord(const std::string& run_folder, int attempt, std::int64_t resumed_step,
                     std::int64_t total_steps)
    : impl_(std::make_unique<Impl>(run_folder, attempt, resumed_step, total_steps)) {}

RunRecord::~RunRecord() = default;

void RunRecord::Step(const StepRecord& record) {
  Json line = {{"step", record.step}, {"samples", record.samples}, {"loss", record.loss}};
  const auto add = [&](const std::string& name, const Json& value) {
    Invariant(!line.contains(name), "two figures of a step have the name '", name, "'");
    line[name] = value;
  };
  for (const auto& [name, value] : record.losses) add(name, value);
  add("lr", record.lr);
  add("grad_norm", record.grad_norm);
  add("samples_per_s", record.samples_per_s);
  for (const auto& [name, value] : record.counts) add(name, Number(value));
  Json seconds = Json::object();
  for (const auto& [phase, value] : record.seconds) seconds[phase] = value;
  add("seconds", seconds);
  Json comm = Json::object();
  for (const auto& [name, by_rank] : record.comm)
    for (const double value : by_rank) comm[name].push_back(Number(value));
  if (!comm.empty()) add("comm", comm);
  impl_->metrics.Write(line.dump() + "\n");

  Figures scalars = {{"train/loss", record.loss},
                     {"train/lr", record.lr},
                     {"train/grad_norm", record.grad_norm},
                     {"train/samples_per_s", record.samples_per_s}};
  AddTagged(&scalars, "losses/", record.losses);
  AddTagged(&scalars, "counts/", record.counts);
  AddTagged(&scalars, "seconds/", record.seconds);
  impl_->events.Scalars(record.step, scalars);
  impl_->progress.Step(record);
}

void RunRecord::Evaluation(std::int64_t step, const Figures& figures) {
  Json line = {{"step", step}};
  std::string note = StrCat("evaluation at step ", step, ":");
  for (const auto& [name, value] : figures) {
    Invariant(!line.contains(name), "two figures of an evaluation have the name '", name, "'");
    line[name] = value;
    note += StrCat("  ", name, " ", Fixed(value, 4));
  }
  impl_->evals.Write(line.dump() + "\n");
  Figures scalars;
  AddTagged(&scalars, "eval/", figures);
  impl_->events.Scalars(step, scalars);
  impl_->progress.Note(note);
}

void RunRecord::Flush() {
  impl_->metrics.Sync();
  impl_->evals.Sync();
  impl_->events.Sync();
}

}  // namespace vesalius::trainer
