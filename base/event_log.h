// The run record: what happened when, one JSON object a line, in RUN/events/<writer>.jsonl. Ranks,
// agents and the batch script write files of their own; `vesalius goodput` and `report` read them
// all. Layout: docs/formats.md.
//
// An event goes into a bounded queue, and one thread writes what has gathered with one write().
// A killed process leaves its spans and scalars up to a fifth of a second before its end,
// everything else up to it; a last line that is torn is left alone by the next writer and by
// readers. A full or stuck disk never blocks a caller: what does not fit is dropped and counted,
// and the count is recorded once lines can be written again.
//
// Everything here is thread-safe and does nothing before Open. A process has one log, but for ranks
// that are threads: a thread that called Open has its own, every other thread the first.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace vesalius::events {

// A key of an event beside the fixed ones (t, token, rank, host, step, kind, name, dur, value).
struct Field {
  std::string_view key;
  std::variant<std::int64_t, double, std::string> value;

  template <typename T>
  requires std::is_integral_v<T> Field(std::string_view name, T number)
      : key(name), value(static_cast<std::int64_t>(number)) {}
  Field(std::string_view name, double number) : key(name), value(number) {}
  Field(std::string_view name, std::string text) : key(name), value(std::move(text)) {}
  Field(std::string_view name, const char* text) : key(name), value(std::string(text)) {}
};
using Fields = std::initializer_list<Field>;

// Starts the log RUN/events/`writer`.jsonl of this thread. `rank` -1: not a rank (an agent). Never
// fails: a file that cannot be written is warned of once, and its events are counted as dropped.
void Open(const std::string& run, const std::string& writer, const std::string& token, int rank);

// Seconds since 1970. Taken from a monotonic clock that was set once, so that differences of two
// times of one process are true whatever happens to the wall clock.
double Now();
// When this process was started, in the same seconds.
double ProcessStart();

// `step` < 0: not of a step. Times in seconds.
void Span(std::string_view name, double start, double dur, std::int64_t step, Fields fields = {});
void Instant(std::string_view name, std::int64_t step, Fields fields = {});
void Failure(std::string_view name, std::int64_t step, Fields fields = {});
void Scalar(std::string_view name, double value, std::int64_t step, Fields fields = {});

// A span from here to the end of the block.
class Scope {
 public:
  explicit Scope(std::string_view name, std::int64_t step = -1)
      : name_(name), step_(step), start_(Now()) {}
  ~Scope() { Span(name_, start_, Now() - start_, step_); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  const std::string_view name_;
  const std::int64_t step_;
  const double start_;
};

// Waits until what this thread's log holds is written, at most `seconds`. False: it is not. Done
// for a second at exit().
bool Flush(double seconds);
// Events that this thread's log has dropped so far.
std::int64_t Dropped();

}  // namespace vesalius::events
