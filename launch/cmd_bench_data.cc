// `vesalius bench-data`
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "data/bench_data.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {
namespace {

constexpr double kSeconds = 2;  // of each stage

ExitCode Run(const Arguments& arguments) {
  const auto& folders = arguments.repeated.at("data");
  Require(folders.size() == 1, ExitCode::kUsage, "bench-data measures one --data folder");
  Require(FLAGS_workers >= 0, ExitCode::kUsage, "--workers wants a number >= 0");
  const std::shared_ptr<const data::Dataset> dataset =
      data::OpenDataset(folders[0], data::Split::kTrain);
  data::PipelineOptions options;  // augmented as the configuration's defaults do
  options.workers = FLAGS_workers == 0 ? 1 : FLAGS_workers;
  options.image_size = dataset->stored_size();
  options.augment = true;
  options.min_crop = 0.8;
  options.max_rotate = 10;
  options.brightness = options.contrast = 0.2;
  const nlohmann::ordered_json found = data::BenchData(dataset, options, kSeconds);
  Print(StrCat(folders[0], ": ", found["samples"].dump(), " training samples, ",
               found["image_size"].dump(), " x ", found["image_size"].dump(),
               " pixels\n\nsamples a second, each stage on one thread\n"));
  for (const auto& [stage, rate] : found["samples_per_s"].items())
    if (stage != "loader") Print(StrCat("  ", stage, ": ", Fixed(rate.get<double>(), 1), "\n"));
  Print(StrCat("the loader, ", options.workers,
               " decoding thread(s): ", Fixed(found["samples_per_s"]["loader"].get<double>(), 1),
               "\nfrom the disk: ", Fixed(found["disk_mb_per_s"].get<double>(), 1),
               " MB/s\nthe limit is ", found["limit"].get<std::string>(), "\n"));
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, found.dump(2) + "\n");
  return ExitCode::kFinished;
}

}  // namespace

Command BenchDataCommand() {
  return {"bench-data",
          "measures how fast a data set is read, decoded and augmented, and what is the limit",
          "",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius bench-data --data $d/phantom",
          {{"data", "DIR", "the data set; its training samples are read", Flag::kRequiredRepeated},
           {"workers", "N", "decoding threads of the loader; 0: one"},
           {"json", "FILE", "also writes the figures as JSON"}},
          Run};
}

}  // namespace vesalius::launch
