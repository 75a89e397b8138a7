#include "trainer/stop_watch.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace vesalius::trainer {
namespace {

constexpr double kSlack = 30;  // seconds to leave in, beside step and saves

std::string StopFile(const std::string& run_folder) { return run_folder + "/STOP"; }

}  // namespace

void RequireNoStopFile(const std::string& run_folder) {
  Require(!Exists(StopFile(run_folder)), ExitCode::kConfig, StopFile(run_folder),
          " asks this run to stop; remove it to go on");
}

std::int64_t JobEndTime() {
  if (const char* end = std::getenv("SLURM_JOB_END_TIME"); end != nullptr && *end != '\0')
    return std::atoll(end);
  const char* job = std::getenv("SLURM_JOB_ID");
  if (job == nullptr || !HaveProgram("squeue")) return 0;
  const CommandResult result = RunCommand(
      {"squeue", "--noheader", StrCat("--jobs=", job), "--format=%e"}, std::chrono::seconds(20));
  std::tm end{};
  if (::strptime(result.output.c_str(), "%Y-%m-%dT%H:%M:%S", &end) == nullptr) return 0;
  end.tm_isdst = -1;
  return ::mktime(&end);
}

StopWatch::StopWatch(const std::string& run_folder)
    : run_folder_(run_folder), thread_([this] { Look(); }) {}

StopWatch::~StopWatch() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool StopWatch::StopNow(bool evaluation) {
  if (!reason_.empty()) return true;
  if (stop_file_) {
    reason_ = StopFile(run_folder_) + " is there";
  } else if (job_end_ > 0) {
    const double left = static_cast<double>(job_end_ - std::time(nullptr));
    if (left <= kSlack + 2 * save_s_ + step_s_ + (evaluation ? evaluation_s_ : 0))
      reason_ = StrCat("the job's time ends in ", static_cast<int>(left), " s");
  }
  return !reason_.empty();
}

void StopWatch::SaveTook(double seconds) { save_s_ = std::max(save_s_.load(), seconds); }

void StopWatch::KeepPace() {
  if (save_s_ == kept_save_s_) return;
  kept_save_s_ = save_s_;
  const nlohmann::json pace = {{"step_s", step_s_.load()}, {"save_s", kept_save_s_}};
  try {
    WriteFileAtomic(run_folder_ + "/pace.json", pace.dump() + "\n");
  } catch (const Error& error) {
    log::Warning("how long saves take is not kept for the next submission: ", error.what());
  }
}

void StopWatch::Look() {
  job_end_ = JobEndTime();
  if (job_end_ > 0) log::Info("this job's time ends in ", job_end_ - std::time(nullptr), " s");
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; })) {
    lock.unlock();
    KeepPace();
    if (Exists(StopFile(run_folder_))) stop_file_ = true;
    lock.lock();
  }
  lock.unlock();
  KeepPace();
}

}  // namespace vesalius::trainer
