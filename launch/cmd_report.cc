// `vesalius report`
#include "base/error.h"
#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "record/report.h"
#include "record/trace.h"
#include "trainer/evaluate.h"

namespace vesalius::launch {
namespace {

constexpr std::size_t kPictures = 6;

ExitCode Run(const Arguments& arguments) {
  const std::string& run = arguments.positional[0];
  const auto& data = arguments.repeated.at("data");
  Require(data.size() <= 1, ExitCode::kUsage, "report shows pictures of one --data folder");
  const ScratchFolder scratch;
  std::vector<std::string> pictures;
  if (!data.empty()) {
    trainer::DrawPictures(run, data[0], scratch.path());
    for (const std::string& name : ListDir(scratch.path()))
      if (pictures.size() < kPictures) pictures.push_back(scratch.path() + "/" + name);
  }
  WriteFileAtomic(FLAGS_out, record::ReportPage(run, pictures));
  Print(StrCat("report: ", FLAGS_out, "\n"));
  if (FLAGS_trace.empty()) return ExitCode::kFinished;
  WriteFileAtomic(FLAGS_trace, record::TraceOf(record::ReadEvents(run)));
  Print(StrCat("trace: ", FLAGS_trace, "\n"));
  return ExitCode::kFinished;
}

}  // namespace

Command ReportCommand() {
  return {"report",
          "writes a run as one HTML page: curves, faults, phases by rank, pictures",
          "RUN",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "vesalius report $d/run --data $d/phantom --out $d/report.html",
          {{"out", "FILE", "the page", Flag::kRequired},
           {"data", "DIR", "a data set: images of its split test with the predicted boxes",
            Flag::kRepeated},
           {"trace", "FILE", "also the events as a trace for ui.perfetto.dev"}},
          Run};
}

}  // namespace vesalius::launch
