#include "trainer/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "base/strings.h"

namespace vesalius::trainer {
namespace {

std::string Duration(double seconds) {
  const auto whole = std::llround(seconds);
  char text[40];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                whole % 60);
  return text;
}

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

}  // namespace

Progress::Progress(Options options, std::ostream& out, std::function<double()> clock)
    : options_(options),
      out_(out),
      clock_(std::move(clock)),
      start_(clock_()),
      last_plain_(-std::numeric_limits<double>::infinity()) {}

Progress::~Progress() {
  if (drawn_) out_ << "\n" << std::flush;
}

void Progress::Step(const StepRecord& record) {
  const double now = clock_();
  const bool last = record.step >= options_.total;
  const bool terminal = options_.columns > 0;
  if (!terminal && !last && now - last_plain_ < options_.plain_every) return;
  last_plain_ = now;
  const double here = static_cast<double>(std::max<std::int64_t>(1, record.step - options_.done));
  const double left = (now - start_) / here * static_cast<double>(options_.total - record.step);
  std::string line =
      StrCat("step ", record.step, "/", options_.total, "  ", Short(record.samples_per_s),
             " samples/s  ETA ", Duration(std::max(0.0, left)), "  loss ", Short(record.loss));
  for (const auto& [name, value] : record.losses) line += StrCat("  ", name, " ", Short(value));
  if (!terminal) {
    out_ << line << "\n" << std::flush;
    return;
  }
  // A line that wraps could not be redrawn.
  line.resize(std::min(line.size(), static_cast<std::size_t>(options_.columns - 1)));
  out_ << "\r\x1b[2K" << line << (last ? "\n" : "") << std::flush;
  drawn_ = !last;
}

void Progress::Note(const std::string& line) {
  if (drawn_) out_ << "\r\x1b[2K";
  drawn_ = false;
  out_ << line << "\n" << std::flush;
}

}  // namespace vesalius::trainer
