#include "slurm/run_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fields.h"
#include "base/wall_clock.h"
#include "checkpoints/reader.h"

namespace vesalius::slurm {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kSteps = 20;           // of which rate and scores are means
constexpr std::streamoff kTail = 256 << 10;  // bytes of metrics.jsonl that are looked at
constexpr double kStraggler = 0.7;

double AgeOf(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return std::max(0.0, WallNow() - WallSeconds(status.st_mtim));
}

// The last complete lines of a file of JSON lines.
std::vector<Json> LastLines(const std::string& path, std::size_t count) {
  std::ifstream in(path, std::ios::binary);
  std::vector<Json> lines;
  if (!in.seekg(0, std::ios::end)) return lines;
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(0, size - kTail));
  std::string tail(kTail, '\0');
  tail.resize(static_cast<std::size_t>(in.read(tail.data(), kTail).gcount()));
  for (const std::string& line : Split(tail, '\n')) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) lines.push_back(std::move(json));
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

std::int64_t PlannedSteps(const std::string& run) {
  int newest = 0;
  if (Exists(run + "/attempts"))
    for (const std::string& name : ListDir(run + "/attempts"))
      newest = std::max(newest, std::atoi(name.c_str()));
  const std::string path = StrCat(run, "/attempts/", newest, "/config.txtpb");
  if (newest == 0 || !Exists(path)) return 0;
  for (const std::string& line : Split(ReadFile(path), '\n'))
    if (const auto key = Trim(line); key.starts_with("steps:"))
      return std::atoll(std::string(key.substr(6)).c_str());
  return 0;
}

// By rank, the mean seconds of a step in which it did not wait; empty for one rank.
std::vector<double> BusySeconds(const std::vector<Json>& lines, double step_s) {
  std::vector<double> busy;
  for (const Json& line : lines) {
    const auto comm = line.find("comm");
    const Json waiting =
        comm != line.end() && comm->is_object() ? comm->value("waiting", Json()) : Json();
    if (!waiting.is_array() || !std::ranges::all_of(waiting, &Json::is_number)) continue;
    if (busy.size() != waiting.size()) busy.assign(waiting.size(), 0);
    for (std::size_t r = 0; r < busy.size(); ++r)
      busy[r] += (step_s - waiting[r].get<double>()) / static_cast<double>(lines.size());
  }
  return busy.size() > 1 ? busy : std::vector<double>{};
}

}  // namespace

std::optional<Progress> ReadProgress(const std::string& run) {
  const std::string path = run + "/metrics.jsonl";
  std::vector<Json> lines = LastLines(path, kSteps);
  std::erase_if(lines, [](const Json& line) { return NumberOr(line, "step", -1) < 0; });
  if (lines.empty()) return std::nullopt;
  Progress progress;
  progress.step = lines.back()["step"].get<std::int64_t>();
  progress.steps = PlannedSteps(run);
  progress.age_s = AgeOf(path);
  double seconds = 0, read = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const double rate = NumberOr(lines[i], "samples_per_s", 0);
    const double batch = NumberOr(lines[i], "samples", 0) - NumberOr(lines[i - 1], "samples", 0);
    if (rate <= 0 || batch <= 0) continue;
    seconds += batch / rate;
    read += batch;
  }
  if (seconds > 0) {
    progress.samples_per_s = read / seconds;
    progress.step_s = seconds / static_cast<double>(lines.size() - 1);
  }
  const std::vector<double> busy = BusySeconds(lines, progress.step_s);
  if (busy.empty()) return progress;
  std::vector<double> sorted = busy;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
  for (std::size_t r = 0; r < busy.size(); ++r)
    if (busy[r] > 0 && median / busy[r] < kStraggler)
      progress.stragglers.emplace_back(static_cast<int>(r), median / busy[r]);
  return progress;
}

std::optional<Commit> ReadCommit(const std::string& run) {
  const std::vector<std::string> steps = checkpoints::ListSteps(run);
  if (steps.empty()) return std::nullopt;
  const std::string name = std::filesystem::path(steps[0]).filename().string();
  return Commit{std::atoll(name.substr(name.find('-') + 1).c_str()), AgeOf(steps[0])};
}

bool HasLife(const std::string& run, double within) {
  std::vector<std::string> signs = {run + "/ATTEMPT", run + "/metrics.jsonl"};
  std::string newest;  // of the files of events: agents write last
  if (IsDir(run + "/events"))
    for (const std::string& name : ListDir(run + "/events")) {
      if (!name.ends_with(".jsonl")) continue;
      signs.push_back(StrCat(run, "/events/", name));
      if (newest.empty() || AgeOf(signs.back()) < AgeOf(newest)) newest = signs.back();
    }
  const std::vector<Json> last = LastLines(newest, 1);
  const std::string name = last.empty() ? "" : TextOr(last[0], "name", "");
  if (name == "rank.end" || name == "generation.end") return false;
  return std::ranges::any_of(
      signs, [&](const std::string& path) { return Exists(path) && AgeOf(path) < within; });
}

std::map<std::string, int> CountFaults(const std::string& run) {
  std::map<std::string, int> faults;
  std::set<std::tuple<std::string, std::string, double>> seen;  // all ranks may tell of one
  if (!Exists(run + "/events")) return faults;
  for (const std::string& name : ListDir(run + "/events")) {
    if (name.find(".jsonl") == std::string::npos) continue;
    std::ifstream in(StrCat(run, "/events/", name));
    for (std::string line; std::getline(in, line);) {
      if (line.find("\"failure\"") == std::string::npos) continue;
      const Json event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!event.is_object() || TextOr(event, "kind", "") != "failure") continue;
      const std::string fault = TextOr(event, "name", "unnamed");
      const double step = NumberOr(event, "step", -1);
      const bool of_rank = NumberOr(event, "rank", -1) >= 0 && step >= 0;
      if (!of_rank || seen.emplace(TextOr(event, "token", ""), fault, step).second) ++faults[fault];
    }
  }
  return faults;
}

}  // namespace vesalius::slurm
