#include "base/log.h"

#include <glog/logging.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace vesalius::log {
namespace {

// A sink of our own: glog's file names carry host, user and time, but one file per rank that
// survives restarts is what people look for in a run folder.
class RankFile : public google::LogSink {
 public:
  explicit RankFile(std::FILE* file) : file_(file) { google::AddLogSink(this); }
  ~RankFile() override {
    google::RemoveLogSink(this);
    std::fclose(file_);
  }
  void send(google::LogSeverity severity, const char*, const char*, int,
            const google::LogMessageTime& time, const char* message, size_t length) override {
    const std::string line =
        ToString(severity, "", 0, time, message, length);  // glog's own layout of time and level
    std::lock_guard<std::mutex> lock(mutex_);
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fputc('\n', file_);
    std::fflush(file_);
  }

 private:
  std::mutex mutex_;
  std::FILE* const file_;
};

std::mutex g_mutex;
RankFile* g_file = nullptr;  // lives until the process ends
std::atomic<Level> g_screen_level = Level::kInfo;

}  // namespace

void Init(const char* program) {
  if (google::IsGoogleLoggingInitialized()) return;
  FLAGS_logtostderr = false;
  FLAGS_stderrthreshold = google::GLOG_FATAL;  // the screen is written below, plainly
  for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity)
    google::SetLogDestination(severity, "");
  google::InitGoogleLogging(program);
}

void OpenFile(const std::string& folder, int rank) {
  std::lock_guard<std::mutex> lock(g_mutex);
  if (g_file == nullptr) {
    char name[32];
    std::snprintf(name, sizeof(name), "/rank-%04d.log", rank);
    const std::string path = folder + name;
    if (std::FILE* file = std::fopen(path.c_str(), "ae")) {
      g_file = new RankFile(file);
    } else {
      Write(Level::kWarning, StrCat(path, " cannot be opened: ", std::strerror(errno),
                                    "; this rank's messages go to the screen only"));
    }
  }
  if (rank != 0) g_screen_level = Level::kError;  // after the warning, which is this rank's own
}

void Write(Level level, const std::string& message) {
  const auto severity = level == Level::kInfo      ? google::GLOG_INFO
                        : level == Level::kWarning ? google::GLOG_WARNING
                                                   : google::GLOG_ERROR;
  google::LogMessage(__FILE__, __LINE__, severity).stream() << message;
  if (level < g_screen_level) return;
  const char* prefix = level == Level::kInfo      ? ""
                       : level == Level::kWarning ? "warning: "
                                                  : "error: ";
  std::fprintf(stderr, "%s%s\n", prefix, message.c_str());
}

}  // namespace vesalius::log
