#include "slurm/bad_nodes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fields.h"

namespace vesalius::slurm {
namespace {

constexpr std::int64_t kFirst = 3600, kLongest = std::int64_t{24} * 3600;  // seconds

std::string PathOf(const std::string& run) { return run + "/slurm/badnodes.json"; }

}  // namespace

std::vector<BadNode> ReadBadNodes(const std::string& run) {
  const std::string path = PathOf(run);
  std::vector<BadNode> nodes;
  if (!Exists(path)) return nodes;
  try {
    for (const auto& entry : nlohmann::json::parse(ReadFile(path)))
      nodes.push_back({entry.at("node"), entry.at("reason"), entry.at("count"), entry.at("until")});
  } catch (const nlohmann::json::exception& error) {
    Fail(ExitCode::kInvalidData, path, " is damaged (", error.what(),
         "); delete it, and no node is avoided");
  }
  return nodes;
}

void WriteBadNodes(const std::string& run, const std::vector<BadNode>& nodes) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const BadNode& bad : nodes)
    list.push_back(
        {{"node", bad.node}, {"reason", bad.reason}, {"count", bad.count}, {"until", bad.until}});
  MakeDirs(run + "/slurm");
  WriteFileAtomic(PathOf(run), list.dump(2) + "\n");
}

void AddBadNode(std::vector<BadNode>* nodes, const std::string& node, const std::string& reason,
                std::int64_t now) {
  auto known = std::find_if(nodes->begin(), nodes->end(),
                            [&](const BadNode& bad) { return bad.node == node; });
  if (known == nodes->end()) known = nodes->insert(known, BadNode{node, reason, 0, 0});
  known->reason = reason;
  ++known->count;
  known->until = now + std::min(kLongest, kFirst << std::min(known->count - 1, 5));
}

std::vector<std::string> NodesToExclude(std::vector<BadNode> nodes, std::int64_t now, int needed,
                                        int total) {
  std::erase_if(nodes, [&](const BadNode& bad) { return bad.until <= now; });
  std::stable_sort(nodes.begin(), nodes.end(), [](const BadNode& a, const BadNode& b) {
    return std::pair(a.count, a.until) > std::pair(b.count, b.until);
  });
  const int limit = std::clamp(total - needed, 0, std::max(1, total / 5));
  std::vector<std::string> names;
  for (const BadNode& bad : nodes)
    if (static_cast<int>(names.size()) < limit) names.push_back(bad.node);
  return names;
}

std::string BlamedNode(const std::string& run) {
  const std::string path = run + "/failure.json";
  if (!Exists(path)) return "";
  const auto failure = nlohmann::json::parse(ReadFile(path), nullptr, /*allow_exceptions=*/false);
  const std::string attempt = run + "/ATTEMPT";
  const std::string newest(Exists(attempt) ? ReadFile(attempt) : "");
  if (!failure.is_object() || TextOr(failure, "token", "") != Trim(newest)) return "";
  const auto cause = failure.value("cause", nlohmann::json::object());
  const std::string node = TextOr(cause, "node", "");
  return node.empty() ? TextOr(cause, "host", "") : node;
}

}  // namespace vesalius::slurm
