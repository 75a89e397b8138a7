#include "bench/harness.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace vesalius::bench {

std::map<std::string, std::vector<double>> Interleave(const std::vector<Side>& sides, int rounds) {
  std::map<std::string, std::vector<double>> figures;
  for (int round = 0; round <= rounds; ++round) {
    for (std::size_t turn = 0; turn < sides.size(); ++turn) {
      const Side& side = sides[(turn + static_cast<std::size_t>(round)) % sides.size()];
      const double figure = side.measure();
      if (round > 0) figures[side.name].push_back(figure);
    }
  }
  return figures;
}

double Median(std::vector<double> values) {
  Invariant(!values.empty(), "the median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> Ratios(const std::vector<double>& a, const std::vector<double>& b) {
  Invariant(a.size() == b.size(), "ratios of ", a.size(), " and ", b.size(), " rounds");
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return ratios;
}

double NumberFrom(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  Invariant(pipe != nullptr, "cannot start: ", command);
  std::string output;
  char buffer[4096];
  std::size_t n;
  while ((n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) output.append(buffer, n);
  const int status = ::pclose(pipe);
  const std::string last = Split(Trim(output), '\n').back();
  char* end = nullptr;
  const double number = std::strtod(last.c_str(), &end);
  if (status != 0 || last.empty() || !Trim(end).empty())
    Fail(ExitCode::kBug, "no number from: ", command, "\n", output);
  return number;
}

std::string PeerPython() {
  const char* python = std::getenv("VESALIUS_PEER_PYTHON");
  return python == nullptr ? "" : python;
}

void Report::Add(const std::string& name, const std::string& unit,
                 const std::vector<double>& rounds) {
  const auto [low, high] = std::minmax_element(rounds.begin(), rounds.end());
  std::printf("%-40s %12.4g %-12s (%zu rounds, %.4g to %.4g)\n", name.c_str(), Median(rounds),
              unit.c_str(), rounds.size(), *low, *high);
  std::fflush(stdout);
  figures_.push_back({name, unit, "", rounds});
}

void Report::Compare(const std::string& name, const std::string& unit,
                     const std::vector<double>& ours, const std::vector<double>& peer,
                     Value value) {
  const auto rounds = value == Value::kPeerByOurs ? Ratios(peer, ours) : Ratios(ours, peer);
  std::printf("  ours %.4g %s, peer %.4g %s\n", Median(ours), unit.c_str(), Median(peer),
              unit.c_str());
  Add(name, unit, rounds);
  figures_.back().ours = ours;
  figures_.back().peer = peer;
}

void Report::LeaveOut(const std::string& name, const std::string& unit, const std::string& reason) {
  std::printf("%-40s left out: %s\n", name.c_str(), reason.c_str());
  std::fflush(stdout);
  figures_.push_back({name, unit, reason, {}});
}

std::string Report::Json() const {
  nlohmann::json out = nlohmann::json::array();
  for (const Figure& figure : figures_) {
    nlohmann::json entry = {
        {"name", figure.name}, {"unit", figure.unit}, {"rounds", figure.rounds}};
    if (figure.rounds.empty()) {
      entry["value"] = nullptr;
      entry["reason"] = figure.reason;
    } else {
      entry["value"] = Median(figure.rounds);
    }
    if (!figure.ours.empty()) entry["ours"] = Median(figure.ours);
    if (!figure.peer.empty()) entry["peer"] = Median(figure.peer);
    out.push_back(entry);
  }
  return out.dump(2) + "\n";
}

int Main(int argc, char** argv, const std::function<void(Report&)>& body) {
  log::Init(argv[0]);
  try {
    const bool json = argc == 3 && std::string(argv[1]) == "--json";
    Require(json || argc == 1, ExitCode::kUsage, "usage: ", argv[0], " [--json FILE]");
    Report report;
    body(report);
    if (json) WriteFileAtomic(argv[2], report.Json());
    return 0;
  } catch (const Error& error) {
    log::Failure(error.what());
    return static_cast<int>(error.code());
  }
}

}  // namespace vesalius::bench
