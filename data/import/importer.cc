#include "data/import/importer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/file.h"
#include "data/import/parts.h"
#include "data/import/state_folder.h"
#include "data/import/tally.h"
#include "data/import/workers.h"

namespace vesalius::data {
namespace {

constexpr char kQuarantineName[] = "quarantine.jsonl";

class ImportRun {
 public:
  ImportRun(const Importer& importer, const ImportOptions& options)
      : importer_(importer),
        options_(options),
        plan_(Items(importer, options), options.size),
        vocabulary_(importer.vocabulary()) {}

  ImportReport Write() {
    const std::string manifest = ManifestPath(options_.out);
    const bool interrupted = StateFolder::In(options_.out);
    Require(interrupted || !Exists(manifest), ExitCode::kCannotCreate, options_.out,
            " already holds a data set; choose another folder or remove it first");
    const StateFolder state(importer_, options_, plan_);
    state.SweepTemporaries();
    MakeParts([&](std::int64_t part) { return state.PartPath(part); }, options_.out);
    if (tally_.report().written == 0) state.Remove();
    RequireSomething();
    WriteQuarantine();
    WriteManifest(manifest, Finish());
    const ImportReport report = Told();
    state.Remove();
    return report;
  }

  ImportReport Rehearse() {
    const ScratchFolder scratch;
    MakeParts([&](std::int64_t part) { return StrCat(scratch.path(), "/", part, ".json"); }, "");
    RequireSomething();
    return Told();
  }

 private:
  static std::int64_t Items(const Importer& importer, const ImportOptions& options) {
    Require(options.size >= 16 && options.size <= 4096, ExitCode::kConfig, "the stored size ",
            options.size, " is out of range: 16 to 4096 pixels");
    Require(options.limit >= 0, ExitCode::kConfig, "a limit of ", options.limit,
            " images makes no sense; 0 imports all");
    Require(options.workers >= 0 && options.workers <= 1024, ExitCode::kConfig, options.workers,
            " worker processes are out of range: 0 (one for each core) to 1024");
    return options.limit > 0 ? std::min(options.limit, importer.size()) : importer.size();
  }

  int Workers() const {
    if (options_.workers > 0) return options_.workers;
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }

  // Makes the parts that have no description yet, then adds all of them to the tally.
  void MakeParts(const std::function<std::string(std::int64_t)>& path, const std::string& folder) {
    std::vector<std::int64_t> missing;
    for (std::int64_t part = 0; part < plan_.parts(); ++part) {
      if (ReadPart(path(part), folder))
        resumed_ += plan_.last(part) - plan_.first(part);
      else
        missing.push_back(part);
    }
    const ShardShape shape{options_.size, 1, static_cast<int>(vocabulary_.findings.size()),
                           static_cast<int>(vocabulary_.image_labels.size())};
    Jobs jobs;
    jobs.count = static_cast<std::int64_t>(missing.size());
    jobs.run = [&](std::int64_t job, const Tick& tick) {
      const std::int64_t part = missing[static_cast<std::size_t>(job)];
      WritePart(path(part), MakePart(importer_, plan_, part, shape, folder, tick));
    };
    if (options_.progress)
      jobs.progress = [&](std::int64_t ticks) { options_.progress(resumed_ + ticks, plan_.items); };
    RunJobs(Workers(), jobs);
    for (std::int64_t part = 0; part < plan_.parts(); ++part) {
      std::optional<Part> made = ReadPart(path(part), folder);
      Require(made.has_value(), ExitCode::kCannotCreate, path(part),
              " or its shard was changed or removed while the import ran");
      tally_.Add(std::move(*made));
    }
  }

  void RequireSomething() const {
    const ImportReport& report = tally_.report();
    Require(report.written > 0, ExitCode::kInvalidData, "none of the ", report.read,
            " items of the source can be used",
            report.quarantined.empty() ? ""
                                       : StrCat("; the first, ", report.quarantined[0].source, ": ",
                                                report.quarantined[0].reason));
  }

  // Before the manifest: a data set never lacks its list.
  void WriteQuarantine() const {
    std::string lines;
    for (const Quarantined& entry : tally_.report().quarantined) {
      nlohmann::ordered_json line = {
          {"source", entry.source}, {"reason", entry.reason}, {"kept", entry.kept}};
      if (!entry.kind.empty()) line["kind"] = entry.kind;
      lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    WriteFileAtomic(StrCat(options_.out, "/", kQuarantineName), lines);
  }

  Manifest Finish() {
    Manifest manifest = tally_.Finish(vocabulary_);
    manifest.source = StrCat("import ", importer_.name());
    manifest.stored_size = options_.size;
    manifest.channels = 1;
    return manifest;
  }

  ImportReport Told() {
    ImportReport report = tally_.Report();
    report.resumed = resumed_;
    if (options_.tell) options_.tell(report);
    return report;
  }

  const Importer& importer_;
  const ImportOptions& options_;
  PartPlan plan_;
  Vocabulary vocabulary_;
  std::int64_t resumed_ = 0;
  Tally tally_;
};

}  // namespace

Converted ConvertGuarded(const std::string& source, const std::function<void(Converted*)>& read) {
  Converted converted;
  const auto give_up = [&](const Error& error, const std::string& kind) {
    if (error.code() == ExitCode::kBug) throw error;
    converted.record.reset();
    converted.quarantined = {{source, error.what(), false, kind}};
  };
  try {
    read(&converted);
  } catch (const Unusable& unusable) {
    give_up(unusable, unusable.kind());
  } catch (const Error& error) {
    give_up(error, error.code() == ExitCode::kInputMissing ? "file missing" : "file damaged");
  }
  return converted;
}

std::int64_t ImportReport::left_out() const {
  return std::count_if(quarantined.begin(), quarantined.end(),
                       [](const Quarantined& entry) { return !entry.kept; });
}

std::map<std::string, std::int64_t> ImportReport::by_kind() const {
  std::map<std::string, std::int64_t> counts;
  for (const Quarantined& entry : quarantined)
    ++counts[entry.kind.empty() ? entry.reason : entry.kind];
  return counts;
}

ImportReport Import(const Importer& importer, const ImportOptions& options) {
  ImportRun run(importer, options);
  return options.dry_run ? run.Rehearse() : run.Write();
}

}  // namespace vesalius::data
