#include "launch/import_command.h"

#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {
namespace {

constexpr std::size_t kShown = 10;  // quarantine entries named on the screen

void Warn(const data::ImportReport& report) {
  std::size_t shown = 0;
  for (const data::Quarantined& entry : report.quarantined)
    if (++shown <= kShown)
      log::Warning(entry.kept ? "box left out of " : "quarantined ", entry.source, ": ",
                   entry.reason);
  if (shown > kShown)
    log::Warning("... ", shown - kShown, " more",
                 FLAGS_dry_run ? "" : StrCat("; all of them: ", FLAGS_out, "/quarantine.jsonl"));
}

std::string Table(const data::ImportReport& report) {
  std::ostringstream out;
  const auto row = [&](const std::string& what, std::int64_t count) {
    out << "  " << std::left << std::setw(34) << what << std::right << std::setw(10) << count
        << "\n";
  };
  row("read", report.read);
  if (report.resumed > 0) row("  of these before it was stopped", report.resumed);
  row(FLAGS_dry_run ? "usable" : "written", report.written);
  for (const data::Split split : {data::Split::kTrain, data::Split::kValid, data::Split::kTest})
    row(StrCat("  ", data::SplitName(split)), report.splits[static_cast<std::size_t>(split)]);
  row("  with boxes", report.with_boxes);
  row("  report as an earlier one", report.duplicate_reports);
  row("  image as an earlier one", report.duplicate_images);
  row("patients", report.patients);
  row("  in several splits", report.leaking_patients);
  row("reports in several splits", report.leaking_reports);
  row("images in several splits", report.leaking_images);
  row("quarantined", report.left_out());
  for (const auto& [kind, count] : report.by_kind()) row("  " + kind, count);
  return out.str();
}

nlohmann::ordered_json Json(const data::ImportReport& report) {
  return {{"read", report.read},
          {"resumed", report.resumed},
          {"written", report.written},
          {"dry_run", FLAGS_dry_run},
          {"splits",
           {{"train", report.splits[0]}, {"valid", report.splits[1]}, {"test", report.splits[2]}}},
          {"with_boxes", report.with_boxes},
          {"patients", report.patients},
          {"duplicate_reports", report.duplicate_reports},
          {"duplicate_images", report.duplicate_images},
          {"leaks",
           {{"patients", report.leaking_patients},
            {"reports", report.leaking_reports},
            {"images", report.leaking_images}}},
          {"quarantined", report.left_out()},
          {"quarantined_by_reason", report.by_kind()}};
}

data::ImportOptions ImportOptionsFlags() {
  data::ImportOptions options;
  options.out = FLAGS_out;
  options.size = FLAGS_size;
  options.limit = FLAGS_limit;
  options.dry_run = FLAGS_dry_run;
  options.workers = FLAGS_workers;
  options.progress = ProgressLine("images");
  return options;
}

void Tell(const data::ImportReport& report) {
  Warn(report);
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, Json(report).dump(2) + "\n");
  Print(Table(report));
}

}  // namespace

std::vector<Flag> ImportFlags(const Flag& in, const std::vector<Flag>& own) {
  std::vector<Flag> flags = {
      in, {"out", "DIR", "the data set's folder; must not hold one yet", Flag::kRequired}};
  flags.insert(flags.end(), own.begin(), own.end());
  for (const Flag& flag : std::vector<Flag>{
           {"vocab", "FILE", "vocab.txt of a BERT tokenizer; left out: learnt from the texts"},
           {"size", "PIXELS", "side of the stored square"},
           {"test-share", "SHARE", "of the patients, where the source has no split"},
           {"valid-share", "SHARE", "likewise"},
           {"limit", "N", "only the first N images that the source lists; 0: all"},
           {"dry-run", "", "reads and converts everything and prints the table; writes nothing"},
           {"workers", "N", "processes that read and write; 0: one for each core"},
           {"json", "FILE", "also writes the table as JSON"}})
    flags.push_back(flag);
  return flags;
}

data::SourceOptions SourceFlags() {
  data::SourceOptions options;
  options.in = FLAGS_in;
  options.boxes = FLAGS_boxes;
  options.vocab = FLAGS_vocab;
  options.size = FLAGS_size;
  options.test_share = FLAGS_test_share;
  options.valid_share = FLAGS_valid_share;
  return options;
}

ExitCode RunImport(const data::Importer& importer) {
  data::ImportOptions options = ImportOptionsFlags();
  options.tell = Tell;
  const data::ImportReport report = data::Import(importer, options);
  Print(StrCat(FLAGS_dry_run ? "could import " : "imported ", report.written, " of ", report.read,
               " pairs of ", report.patients, " patients, ", report.with_boxes,
               " with boxes; quarantined ", report.left_out(), "\n"));
  return ExitCode::kFinished;
}

ExitCode RunTextImport(const data::OpenIImporter& importer) {
  const data::ImportReport report = importer.ImportTexts(ImportOptionsFlags());
  Tell(report);
  Print(StrCat("no image was found: ", FLAGS_dry_run ? "could write " : "wrote ", report.written,
               " of ", report.read, " reports as texts",
               FLAGS_dry_run ? "" : StrCat(", ", FLAGS_out, "/reports.jsonl, and vocab.txt"),
               "; a data set needs images (--images)\n"));
  return ExitCode::kFinished;
}

}  // namespace vesalius::launch
