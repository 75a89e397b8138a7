#include "dist/link_model.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::dist {
namespace {

// Hops one after another in a group of `size`.
double Hops(Kind kind, int size) {
  switch (kind) {
    case Kind::kAllReduce:
      return 2.0 * (size - 1);  // reduce-scatter, then all-gather, around a ring
    case Kind::kAllGather:
    case Kind::kReduceScatter:
    case Kind::kAllToAll:
      return size - 1;
    case Kind::kSendReceive:
      return size > 1 ? 1 : 0;
    case Kind::kBroadcast:
      return std::ceil(std::log2(size));
    case Kind::kBarrier:
      return 2 * std::ceil(std::log2(size));
  }
  return 0;
}

}  // namespace

Links ReadLinks(const std::string& path) {
  Links links;
  try {
    for (const auto& figure : nlohmann::json::parse(ReadFile(path))) {
      const std::string name = figure.at("name");
      if (figure.at("value").is_null()) continue;
      const double value = figure.at("value");
      if (name.rfind("links.", 0) == 0)
        Require(std::isfinite(value) && value > 0, ExitCode::kInvalidData, path, ": ", name,
                " must be above zero");
      if (name == "links.node.latency_us") links.node.latency = value * 1e-6;
      if (name == "links.node.bandwidth_GBps") links.node.bandwidth = value * 1e9;
      if (name == "links.mpi.latency_us") links.network.latency = value * 1e-6;
      if (name == "links.mpi.bandwidth_GBps") links.network.bandwidth = value * 1e9;
    }
  } catch (const nlohmann::json::exception& error) {
    Fail(ExitCode::kInvalidData, path,
         " is not what `./run bench links --json FILE` writes: ", error.what());
  }
  return links;
}

double Seconds(const Links& links, Kind kind, int nodes, int ranks_per_node, double bytes,
               double bytes_between_nodes) {
  return Hops(kind, ranks_per_node) * links.node.latency +
         (bytes - bytes_between_nodes) / links.node.bandwidth +
         Hops(kind, nodes) * links.network.latency + bytes_between_nodes / links.network.bandwidth;
}

}  // namespace vesalius::dist
