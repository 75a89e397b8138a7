#include "base/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/host.h"
#include "base/log.h"
#include "base/strings.h"

namespace vesalius::events {
namespace {

constexpr std::size_t kQueueLines = 8192;
constexpr std::uint64_t kRotateBytes = std::uint64_t{64} << 20;
constexpr std::chrono::seconds kReopenAfter{1};

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

// JSON text of a string: quotes, backslashes and control characters escaped, and what is not ASCII
// replaced, since a byte that is not UTF-8 would make the line unreadable.
void AppendText(std::string* out, std::string_view text) {
  *out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (c == '\n') {
      *out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7F) {
      *out += '?';
    } else {
      *out += c;
    }
  }
  *out += '"';
}

void AppendNumber(std::string* out, double value, const char* format) {
  char text[40];
  const int length = std::snprintf(text, sizeof(text), format, value);
  if (std::isfinite(value)) {
    out->append(text, static_cast<std::size_t>(length));
  } else {
    AppendText(out, std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  }
}

void AppendField(std::string* out, const Field& field) {
  *out += ",\"";
  *out += field.key;
  *out += "\":";
  if (const auto* whole = std::get_if<std::int64_t>(&field.value)) {
    *out += std::to_string(*whole);
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    AppendNumber(out, *number, "%.15g");
  } else {
    AppendText(out, std::get<std::string>(field.value));
  }
}

// One file, its queue and its thread. The thread owns the descriptor; nobody else touches the disk.
class Log {
 public:
  Log(const std::string& folder, const std::string& writer, const std::string& token, int rank)
      : folder_(folder), writer_(writer), path_(StrCat(folder, "/", writer, ".jsonl")) {
    tail_ = ",\"token\":";
    AppendText(&tail_, token);
    if (rank >= 0) tail_ += StrCat(",\"rank\":", rank);
    tail_ += ",\"host\":";
    AppendText(&tail_, HostName());
    std::thread([this] { Run(); }).detach();  // it may hang on a dead file system; see Get
  }

  const std::string& tail() const { return tail_; }

  void Push(std::string line) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (lines_.size() >= kQueueLines) {
        ++dropped_;
        return;
      }
      lines_.push_back(std::move(line));
    }
    wake_.notify_one();
  }

  bool Flush(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
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
        taken.swap(lines_);
        writing_ = true;
        dropped = dropped_;
      }
      std::int64_t lost = 0;
      if (dropped > reported && Write(DropLine(dropped))) reported = dropped;
      for (const std::string& line : taken) lost += Write(line) ? 0 : 1;
      taken.clear();
      const std::lock_guard<std::mutex> lock(mutex_);
      dropped_ += lost;
    }
  }

  std::string DropLine(std::int64_t dropped) const {
    std::string line = "{\"t\":";
    AppendNumber(&line, Now(), "%.6f");
    line += tail_;
    line += StrCat(",\"kind\":\"failure\",\"name\":\"events.dropped\",\"value\":", dropped, "}\n");
    return line;
  }

  bool Write(const std::string& line) {
    if (fd_ < 0 && !OpenFile()) return false;
    if (torn_ && ::write(fd_, "\n", 1) != 1) return Failed(errno);
    torn_ = false;
    ssize_t done;
    do {
      done = ::write(fd_, line.data(), line.size());
    } while (done < 0 && errno == EINTR);
    if (done < 0) return Failed(errno);
    bytes_ += static_cast<std::uint64_t>(done);
    if (static_cast<std::size_t>(done) < line.size()) {
      torn_ = true;
      return Failed(ENOSPC);
    }
    if (bytes_ >= kRotateBytes) Rotate();
    return true;
  }

  bool OpenFile() {
    if (Clock::now() < reopen_) return false;
    reopen_ = Clock::now() + kReopenAfter;
    ::mkdir(folder_.c_str(), 0777);
    fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) return Failed(errno);
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

  bool Failed(int error) {
    if (!warned_)
      log::Warning(path_, ": ", std::strerror(error),
                   "; events are dropped until it can be written, the run goes on");
    warned_ = true;
    return false;
  }

  const std::string folder_, writer_, path_;
  std::string tail_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::vector<std::string> lines_;
  bool writing_ = false;
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
  AppendNumber(&line, t, "%.6f");
  line += log->tail();
  if (step >= 0) line += StrCat(",\"step\":", step);
  line += ",\"kind\":\"";
  line += kind;
  line += "\",\"name\":";
  AppendText(&line, name);
  if (dur >= 0) {
    line += ",\"dur\":";
    AppendNumber(&line, dur, "%.6f");
  }
  if (value != nullptr) {
    line += ",\"value\":";
    AppendNumber(&line, *value, "%.15g");
  }
  for (const Field& field : fields) AppendField(&line, field);
  line += "}\n";
  log->Push(std::move(line));
}

// Wall clock minus monotonic clock, as it was when first asked.
double Offset() {
  static const double offset =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
      Seconds(Clock::now().time_since_epoch());
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
  // Field 22 of /proc/self/stat counts clock ticks since boot, as CLOCK_BOOTTIME does.
  std::ifstream file("/proc/self/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
  std::string word;
  for (int field = 3; field <= 22; ++field) fields >> word;
  timespec boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  const double age = static_cast<double>(boot.tv_sec) + 1e-9 * static_cast<double>(boot.tv_nsec) -
                     std::atof(word.c_str()) / static_cast<double>(::sysconf(_SC_CLK_TCK));
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
