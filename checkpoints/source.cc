#include "checkpoints/source.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "checkpoints/manifest.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::string_view kMemory = "memory:";  // then STEP:TOKEN

MemoryStep ParseMemory(std::string_view text) {
  const std::size_t colon = text.find(':');
  return {std::atoll(std::string(text.substr(0, colon)).c_str()),
          std::string(text.substr(colon + 1))};
}

}  // namespace

std::string DescribeMemory() {
  const std::string folder = MemoryFolder();
  std::vector<std::string> lines;
  if (!folder.empty())
    for (const MemoryStep& step : ListMemory(folder)) lines.push_back(SourceText(step));
  return Join(lines, "\n");
}

std::vector<MemoryStep> CommonMemory(const std::vector<std::string>& by_rank) {
  std::map<std::string, std::size_t> holders;
  for (const std::string& text : by_rank)
    for (const std::string& line : vesalius::Split(text, '\n'))
      if (IsMemorySource(line)) ++holders[line];
  std::vector<MemoryStep> steps;
  for (const auto& [line, count] : holders)
    if (count == by_rank.size())
      steps.push_back(ParseMemory(std::string_view(line).substr(kMemory.size())));
  return steps;
}

std::string NewestSource(const std::string& run_folder, const std::string& run_id,
                         const std::vector<MemoryStep>& memory, std::vector<std::string>* skipped) {
  std::string newest;
  std::int64_t step = -1;
  for (const std::string& folder : ListSteps(run_folder)) {
    try {
      step = Reader(folder).info().step;
      newest = folder;
      break;
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
      skipped->push_back(StrCat(folder, ": ", error.what()));
    }
  }
  for (const MemoryStep& held : memory) {
    if (held.step < step || !held.token.starts_with(run_id + "/")) continue;
    step = held.step;
    newest = SourceText(held);
  }
  return newest;
}

std::string SourceText(const MemoryStep& step) {
  return StrCat(kMemory, step.step, ":", step.token);
}

bool IsMemorySource(const std::string& source) { return source.starts_with(kMemory); }

std::unique_ptr<Reader> OpenSource(const std::string& source) {
  if (!IsMemorySource(source)) return std::make_unique<Reader>(source);
  return std::make_unique<Reader>(MemoryFolder(),
                                  ParseMemory(std::string_view(source).substr(kMemory.size())));
}

}  // namespace vesalius::checkpoints
