// Hand-made run records: lines of events as the ranks and agents of a run would have written them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "base/strings.h"

namespace vesalius::record {

class Script {
 public:
  explicit Script(std::string run) : run_(std::move(run)) { MakeDirs(run_ + "/events"); }
  ~Script() { WriteFileAtomic(run_ + "/events/script.jsonl", lines_); }

  // An event at `t` seconds after a fixed time; more keys in `fields`.
  void Add(double t, int rank, const std::string& token, const std::string& kind,
           const std::string& name, nlohmann::json fields = nlohmann::json::object()) {
    fields["t"] = 1.7e9 + t;
    if (rank >= 0) fields["rank"] = rank;
    fields["token"] = token;
    fields["host"] = "node" + std::to_string(rank < 0 ? 0 : rank / 2);
    fields["kind"] = kind;
    fields["name"] = name;
    lines_ += fields.dump() + "\n";
  }
  void Start(double since, double t, const std::string& token) {
    Add(t, 0, token, "instant", "rank.start", {{"since", 1.7e9 + since}});
  }
  void Load(double t, double dur, const std::string& token, int step) {
    Add(t, 0, token, "span", "load", {{"dur", dur}, {"step", step}});
  }
  // Steps from `first` to `last` of `dur` seconds each, one after another from `t`; returns the
  // end.
  double Steps(double t, double dur, const std::string& token, int first, int last) {
    for (int step = first; step <= last; ++step) {
      t += dur;
      Add(t, 0, token, "scalar", "step", {{"dur", dur}, {"step", step}, {"value", 1.0 / step}});
    }
    return t;
  }
  void Raw(const std::string& line) { lines_ += line; }

 private:
  std::string run_, lines_;
};

}  // namespace vesalius::record
