// `vesalius inspect`
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/inspect.h"
#include "data/hdf5/describe.h"
#include "data/inspect/inspect.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {
namespace {

std::string Scalar(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// One line of an array: an object's values, or the scalar itself.
std::string Line(const nlohmann::json& value) {
  if (!value.is_object()) return Scalar(value);
  std::vector<std::string> parts;
  for (const auto& part : value) parts.push_back(Scalar(part));
  return Join(parts, "  ");
}

// "key: value" lines for people; objects indented, arrays of objects one line an entry.
void PrintTree(const nlohmann::json& object, const std::string& indent) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      Print(StrCat(indent, key, ":\n"));
      PrintTree(value, indent + "  ");
    } else if (value.is_array() && !value.empty() && value[0].is_structured()) {
      Print(StrCat(indent, key, ": ", value.size(), "\n"));
      for (const auto& entry : value) Print(StrCat(indent, "  ", Line(entry), "\n"));
    } else {
      Print(StrCat(indent, key, ": ", Scalar(value), "\n"));
    }
  }
}

ExitCode Run(const Arguments& arguments) {
  const std::string& path = arguments.positional[0];
  Require(Exists(path), ExitCode::kInputMissing, path, " does not exist; check its spelling");
  const bool foreign = data::IsForeignHdf5(path);
  const bool dataset = !foreign && data::IsDataset(path);
  if (!dataset && !foreign && !checkpoints::IsCheckpoint(path))
    Fail(ExitCode::kInvalidData, path,
         " is neither a data set, a manifest, a shard or another HDF5 file, nor a run or a "
         "checkpoint "
         "of ours");
  if (foreign && !FLAGS_pictures.empty())
    Fail(ExitCode::kUsage, "--pictures draws a data set's boxes, and ", path,
         " is an HDF5 file of another make");
  if (!dataset && !FLAGS_pictures.empty())
    Fail(ExitCode::kUsage, "--pictures draws a data set's boxes, and ", path,
         " is a checkpoint; `vesalius evaluate --pictures` draws its predictions");
  const nlohmann::json found = foreign   ? data::DescribeHdf5(path, FLAGS_values)
                               : dataset ? data::InspectDataset(path)
                                         : checkpoints::InspectCheckpoint(path);
  if (found.contains("regions"))
    Print(data::InspectionTables(found));
  else
    PrintTree(found, "");
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, found.dump(2) + "\n");
  if (!FLAGS_pictures.empty()) {
    data::DrawDataset(path, found, FLAGS_pictures);
    Print(StrCat("\npictures with boxes, sheets and histograms: ", FLAGS_pictures, "\n"));
  }
  return ExitCode::kFinished;
}

}  // namespace

Command InspectCommand() {
  return {
      "inspect",
      "says what a data set, a shard, any HDF5 file or a checkpoint holds, and verifies checksums",
      "PATH",
      "d=$(mktemp -d)\n"
      "vesalius phantom --out $d/phantom --samples 200\n"
      "vesalius inspect $d/phantom --pictures $d/pictures",
      {{"json", "FILE", "also writes it all as JSON"},
       {"pictures", "DIR",
        "draws images with boxes, contact sheets and histograms as PNG (data sets)"},
       {"values", "", "reads and hashes all values (HDF5 files of other makes)"}},
      Run};
}

}  // namespace vesalius::launch
