#include "slurm/queue.h"

#include <chrono>
#include <cstdlib>
#include <ctime>

#include "base/command.h"
#include "base/error.h"
#include "base/strings.h"

namespace vesalius::slurm {
namespace {

// "2026-03-01T12:00:00" in local time; 0 for N/A.
std::int64_t ParseTime(const std::string& text) {
  std::tm time{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time) == nullptr) return 0;
  time.tm_isdst = -1;
  return ::mktime(&time);
}

}  // namespace

bool Job::alive() const {
  for (const char* living : {"PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING",
                             "REQUEUED", "REQUEUE_HOLD", "SIGNALING", "STAGE_OUT", "STOPPED"})
    if (state == living) return true;
  return false;
}

std::vector<Job> QueryJobs(const std::vector<std::string>& ids) {
  std::vector<Job> jobs;
  if (ids.empty() || !HaveProgram("squeue")) return jobs;
  const CommandResult result = RunCommand({"squeue", "--noheader", "--states=all",
                                           "--jobs=" + Join(ids, ","), "--format=%i|%T|%r|%N|%e"},
                                          std::chrono::seconds(30));
  // A list of which Slurm knows none is "Invalid job id specified".
  if (!result.ok() && result.errors.find("Invalid job id") != std::string::npos) return jobs;
  Require(result.ok(), ExitCode::kPeerLost,
          "Slurm's controller does not answer: ", Trim(result.errors));
  for (const std::string& line : Split(result.output, '\n')) {
    const std::vector<std::string> fields = Split(line, '|');
    if (fields.size() == 5)
      jobs.push_back({fields[0], fields[1], fields[2], fields[3], ParseTime(fields[4])});
  }
  return jobs;
}

}  // namespace vesalius::slurm
