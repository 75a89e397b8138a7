// How we measure: all sides of a comparison take turns in every round, because a shared machine's
// speed drifts; a comparison is the median over rounds of the ratio within a round. A figure that
// cannot be measured here is reported as such, with the reason, never left out silently.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vesalius::bench {

// One contender. `measure` does one round's work and returns its figure, e.g. samples a second.
struct Side {
  std::string name;
  std::function<double()> measure;
};

// The figures of each side, by its name, in the order of the rounds. The first of `rounds` + 1
// rounds warms up and is dropped; who begins changes from round to round.
std::map<std::string, std::vector<double>> Interleave(const std::vector<Side>& sides, int rounds);

// The mean of the two middle values where their number is even. `values` is not empty.
double Median(std::vector<double> values);

// The ratio a[i] / b[i] of every round.
std::vector<double> Ratios(const std::vector<double>& a, const std::vector<double>& b);

// The last line that `command` prints, as a number: how a peer in another language takes part.
// Error(kBug) with its output when it fails or prints none.
double NumberFrom(const std::string& command);

// The interpreter for peers in Python, with PyTorch: VESALIUS_PEER_PYTHON, or "" when it is unset.
std::string PeerPython();

// What a comparison's value is.
enum class Value { kPeerByOurs, kOursByPeer };

// Figures by name, printed as they come and written as a JSON array of
// {"name", "value", "unit", "rounds"}, value = the median of the rounds; comparisons also have
// "ours" and "peer", the medians in `unit`; what was left out has value null and "reason".
class Report {
 public:
  void Add(const std::string& name, const std::string& unit, const std::vector<double>& rounds);
  // `ours` and `peer` in `unit` by round; the value is the median over rounds of their ratio.
  void Compare(const std::string& name, const std::string& unit, const std::vector<double>& ours,
               const std::vector<double>& peer, Value value = Value::kPeerByOurs);
  void LeaveOut(const std::string& name, const std::string& unit, const std::string& reason);
  std::string Json() const;

 private:
  struct Figure {
    std::string name, unit, reason;
    std::vector<double> rounds, ours = {}, peer = {};
  };
  std::vector<Figure> figures_;
};

// The main() of a benchmark: `[--json FILE]`. Returns the exit status.
int Main(int argc, char** argv, const std::function<void(Report&)>& body);

}  // namespace vesalius::bench
