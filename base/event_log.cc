#include "base/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "base/agent_watch.h"
#include "base/file.h"
#include "base/host.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/wall_clock.h"

namespace vesalius::events {
namespace {

constexpr std::size_t kQueueLines = 8192;
constexpr std::uint64_t kRotateBytes = std::uint64_t{64} << 20;
constexpr std::chrono::seconds kReopenAfter{1};
// How long a line may wait for others, since what a thread costs is mostly its waking up.
constexpr std::chrono::milliseconds kGather{200};

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

// Seconds since 1970, to the microsecond.
void AppendTime(std::string* out, double seconds) {
  char text[40];
  out->append(text,
              std::to_chars(text, text + sizeof(text), seconds, std::chars_format::fixed, 6).ptr);
}

// Numbers that JSON does not know are texts.
void AppendValue(std::string* out, double value) {
  if (std::isfinite(value))
    AppendJsonNumber(out, value);
  else
    AppendJsonText(out, std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

void AppendField(std::string* out, const Field& field) {
  *out += ",\"";
  *out += field.key;
  *out += "\":";
  if (const auto* whole = std::get_if<std::int64_t>(&field.value)) {
    *out += std::to_string(*whole);
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    AppendValue(out, *number);
  } else {
    AppendJsonText(out, std::get<std::string>(field.value));
  }
}

// One file, its queue and its thread. The thread owns the descriptor; nobody else touches the disk.
class Log {
 public:
  Log(const std::string& folder, const std::string& writer, const std::string& token, int rank)
      : folder_(folder), writer_(writer), path_(StrCat(folder, "/", writer, ".jsonl")) {
    tail_ = ",\"token\":";
    AppendJsonText(&tail_, token);
    if (rank >= 0) tail_ += StrCat(",\"rank\":", rank);
    tail_ += ",\"host\":";
    AppendJsonText(&tail_, HostName());
    std::thread([this] { Run(); }).detach();  // it may hang on a dead file system; see Get
  }

  const std::string& tail() const { return tail_; }

  void Push(std::string line, bool at_once) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (lines_.size() >= kQueueLines) {
        ++dropped_;
        return;
      }
      lines_.push_back(std::move(line));
      at_once = at_once || lines_.size() == kQueueLines / 2;
      at_once_ = at_once_ || at_once;
      if (lines_.size() > 1 && !at_once) return;  // the thread knows that there are some
    }
    wake_.notify_one();
  }

  bool Flush(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    at_once_ = true;
    wake_.notify_one();
    return idle_.wait_for(lock, std::chrono::duration<double>(seconds),
                          [&] { return lines_.empty() && !writing_; });
  }

  std::int64_t dropped() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return dropped_;
  }

 private:
  void Run() {
    std::vector<std::string> taken;
    std::int64_t reported = 0;
    while (true) {
      std::int64_t dropped = 0;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        writing_ = false;
        if (lines_.empty()) idle_.notify_all();
        wake_.wait(lock, [&] { return !lines_.empty(); });
        wake_.wait_for(lock, kGather, [&] { return at_once_; });
        at_once_ = false;
        taken.swap(lines_);
        writing_ = true;
        dropped = dropped_;
      }
      std::int64_t lost = 0;
      if (dropped > reported && Write(DropLine(dropped)) == 0) reported = dropped;
      lost = Write(Join(taken, ""));
      taken.clear();
      const std::lock_guard<std::mutex> lock(mutex_);
      dropped_ += lost;
    }
  }

  std::string DropLine(std::int64_t dropped) const {
    std::string line = "{\"t\":";
    AppendTime(&line, Now());
    line += tail_;
    line += StrCat(",\"kind\":\"failure\",\"name\":\"events.dropped\",\"value\":", dropped, "}\n");
    return line;
  }

  // Returns how many of the lines were lost.
  std::int64_t Write(std::string_view lines) {
    if (fd_ < 0 && !OpenFile()) return CountLines(lines);
    if (torn_ && ::write(fd_, "\n", 1) != 1) return Failed(errno, lines);
    torn_ = false;
    ssize_t done;
    do {
      done = ::write(fd_, lines.data(), lines.size());
    } while (done < 0 && errno == EINTR);
    if (done < 0) return Failed(errno, lines);
    bytes_ += static_cast<std::uint64_t>(done);
    if (const auto kept = static_cast<std::size_t>(done); kept < lines.size()) {
      torn_ = kept > 0 && lines[kept - 1] != '\n';
      return Failed(ENOSPC, lines.substr(kept));
    }
    if (bytes_ >= kRotateBytes) Rotate();
    return 0;
  }

  bool OpenFile() {
    if (Clock::now() < reopen_) return false;
    reopen_ = Clock::now() + kReopenAfter;
    ::mkdir(folder_.c_str(), 0777);
    fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) {
      Warn(errno);
      return false;
    }
    struct stat status {};
    bytes_ = ::fstat(fd_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
    char last = '\n';  // a writer that was killed may have left a torn line
    torn_ = bytes_ > 0 && ::pread(fd_, &last, 1, status.st_size - 1) == 1 && last != '\n';
    return true;
  }

  // The file moves to the first free <writer>.N.jsonl.
  void Rotate() {
    std::string aside;
    for (int n = 1; aside.empty() || Exists(aside); ++n)
      aside = StrCat(folder_, "/", writer_, ".", n, ".jsonl");
    ::rename(path_.c_str(), aside.c_str());
    ::close(fd_);
    fd_ = -1;
    reopen_ = {};
  }

  static std::int64_t CountLines(std::string_view lines) { return std::ranges::count(lines, '\n'); }

  std::int64_t Failed(int error, std::string_view lost) {
    Warn(error);
    return CountLines(lost);
  }

  void Warn(int error) {
    if (!warned_)
      log::Warning(path_, ": ", std::strerror(error),
                   "; events are dropped until it can be written, the run goes on");
    warned_ = true;
  }

  const std::string folder_, writer_, path_;
  std::string tail_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::vector<std::string> lines_;
  bool writing_ = false, at_once_ = false;
  std::int64_t dropped_ = 0;

  int fd_ = -1;  // from here on the thread's own
  std::uint64_t bytes_ = 0;
  bool torn_ = false, warned_ = false;
  Clock::time_point reopen_{};
};

// Logs live until the process ends: their threads do, and a stuck one cannot be joined.
struct Logs {
  std::mutex mutex;
  std::vector<Log*> all;
};

Logs& Registry() {
  static auto* const logs = new Logs;
  return *logs;
}

std::atomic<Log*> g_first{nullptr};
thread_local Log* t_mine = nullptr;

Log* Get() { return t_mine != nullptr ? t_mine : g_first.load(std::memory_order_acquire); }

void FlushAll() {
  const auto until = Clock::now() + std::chrono::seconds(1);
  const std::lock_guard<std::mutex> lock(Registry().mutex);
  for (Log* log : Registry().all) log->Flush(std::max(0.0, Seconds(until - Clock::now())));
}

void Emit(std::string_view kind, std::string_view name, double t, double dur, const double* value,
          std::int64_t step, Fields fields) {
  Log* const log = Get();
  if (log == nullptr) return;
  std::string line = "{\"t\":";
  line.reserve(256);
  AppendTime(&line, t);
  line += log->tail();
  if (step >= 0) (line += ",\"step\":") += std::to_string(step);
  line += ",\"kind\":\"";
  line += kind;
  line += "\",\"name\":";
  AppendJsonText(&line, name);
  if (dur >= 0) {
    line += ",\"dur\":";
    AppendTime(&line, dur);
  }
  if (value != nullptr) {
    line += ",\"value\":";
    AppendValue(&line, *value);
  }
  for (const Field& field : fields) AppendField(&line, field);
  line += "}\n";
  log->Push(std::move(line), /*at_once=*/kind == "failure" || kind == "instant");
}

// Wall clock minus monotonic clock, as it was when first asked.
double Offset() {
  static const double offset = WallNow() - Seconds(Clock::now().time_since_epoch());
  return offset;
}

}  // namespace

void Open(const std::string& run, const std::string& writer, const std::string& token, int rank) {
  Offset();
  Logs& logs = Registry();
  const std::lock_guard<std::mutex> lock(logs.mutex);
  t_mine = new Log(run + "/events", writer, token, rank);
  if (logs.all.empty()) {
    g_first.store(t_mine, std::memory_order_release);
    std::atexit(FlushAll);
  }
  logs.all.push_back(t_mine);
}

double Now() { return Offset() + Seconds(Clock::now().time_since_epoch()); }

double ProcessStart() {
  timespec boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  const double age = static_cast<double>(boot.tv_sec) + 1e-9 * static_cast<double>(boot.tv_nsec) -
                     std::atof(ProcessStartTicks(::getpid()).c_str()) /
                         static_cast<double>(::sysconf(_SC_CLK_TCK));
  return Now() - std::max(0.0, age);
}

void Span(std::string_view name, double start, double dur, std::int64_t step, Fields fields) {
  Emit("span", name, start, std::max(0.0, dur), nullptr, step, fields);
}

void Instant(std::string_view name, std::int64_t step, Fields fields) {
  Emit("instant", name, Now(), -1, nullptr, step, fields);
}

void Failure(std::string_view name, std::int64_t step, Fields fields) {
  Emit("failure", name, Now(), -1, nullptr, step, fields);
}

void Scalar(std::string_view name, double value, std::int64_t step, Fields fields) {
  Emit("scalar", name, Now(), -1, &value, step, fields);
}

bool Flush(double seconds) {
  Log* const log = Get();
  return log == nullptr || log->Flush(seconds);
}

std::int64_t Dropped() {
  Log* const log = Get();
  return log == nullptr ? 0 : log->dropped();
}

}  // namespace vesalius::events
