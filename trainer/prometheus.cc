#include "trainer/prometheus.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/file.h"

namespace vesalius::trainer {
namespace {

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[40];
  std::snprintf(text, sizeof(text), "%.17g", value);
  return text;
}

std::string Escaped(const std::string& text) {
  return Replace(Replace(Replace(text, "\\", "\\\\"), "\"", "\\\""), "\n", "\\n");
}

// Adds metrics one family after another, each with its help and type.
class Page {
 public:
  explicit Page(const std::string& run) : run_(Escaped(run)) {}

  void Family(const char* name, const char* type, const char* help) {
    name_ = name;
    text_ +=
        StrCat("# HELP vesalius_", name, " ", help, "\n# TYPE vesalius_", name, " ", type, "\n");
  }
  void Sample(double value, const char* label = nullptr, const std::string& of = "") {
    text_ += StrCat("vesalius_", name_, "{run=\"", run_, "\"");
    if (label != nullptr) text_ += StrCat(",", label, "=\"", Escaped(of), "\"");
    text_ += StrCat("} ", Number(value), "\n");
  }
  void Single(const char* name, const char* type, const char* help, double value) {
    Family(name, type, help);
    Sample(value);
  }
  void Labelled(const char* name, const char* help, const char* label,
                const std::vector<std::pair<std::string, double>>& values) {
    if (values.empty()) return;
    Family(name, "gauge", help);
    for (const auto& [of, value] : values) Sample(value, label, of);
  }
  const std::string& text() const { return text_; }

 private:
  const std::string run_;
  const char* name_ = "";
  std::string text_;
};

}  // namespace

std::string PrometheusText(const StepRecord& record, const PrometheusState& state) {
  const auto whole = [](std::int64_t value) { return static_cast<double>(value); };
  Page page(state.run);
  page.Single("step", "gauge", "Steps done.", whole(record.step));
  page.Single("planned_steps", "gauge", "Steps of the whole run.", whole(state.total_steps));
  page.Single("samples", "gauge", "Samples consumed over the run.", whole(record.samples));
  page.Single("committed_step", "gauge", "Newest step with a checkpoint.",
              whole(state.committed_step));
  page.Single("attempt", "gauge", "Attempt of this run folder.", state.attempt);
  page.Single("updated_seconds", "gauge", "When this was written, seconds since 1970.",
              state.updated);
  page.Single("loss", "gauge", "Weighted loss of the newest step.", record.loss);
  page.Single("learning_rate", "gauge", "Learning rate of the newest step.", record.lr);
  page.Single("gradient_norm", "gauge", "Norm of the whole gradient before clipping.",
              record.grad_norm);
  page.Single("samples_per_second", "gauge", "Throughput of the newest step over all ranks.",
              record.samples_per_s);
  page.Single("record_dropped", "gauge", "Lines of the run record lost to a full or stuck place.",
              whole(state.dropped));
  page.Labelled("loss_part", "Losses by name, unweighted.", "loss", record.losses);
  page.Labelled("phase_seconds", "Seconds of the newest step on rank 0 by phase.", "phase",
                record.seconds);
  page.Labelled("count", "Counts of the run by name.", "count", record.counts);
  page.Labelled("evaluation", "Figures of the newest evaluation.", "figure", state.evaluation);
  return page.text();
}

void WritePrometheus(const std::string& path, const std::string& text) {
  const std::string temporary = StrCat(path, ".tmp-", ::getpid());
  {
    OutputFile file(temporary);
    file.Write(text);
    file.Close();
  }
  RenamePath(temporary, path);
}

}  // namespace vesalius::trainer
