// What every importer is, and what the framework makes of one: a data set written by several
// processes, shard by shard, that can be killed at any time and goes on when the same command is
// given again (docs/importing.md). What is written does not depend on the number of workers, on
// their order, on times, or on how often it was stopped.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

struct Quarantined {
  std::string source;  // table, line and image
  std::string reason;
  bool kept = false;      // the item was imported; only a box of it was left out
  std::string kind = {};  // a few words by which the table at the end counts; empty: `reason`
};

struct Converted {
  std::optional<Record> record;
  std::vector<Quarantined> quarantined;
};

// Thrown inside Convert() for an item that cannot be used.
class Unusable : public Error {
 public:
  Unusable(std::string kind, const std::string& reason)
      : Error(ExitCode::kInvalidData, reason), kind_(std::move(kind)) {}
  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

// Runs `read`, which fills the result; an Error that it throws (kBug excepted) becomes a quarantine
// entry of `source` in the record's place.
Converted ConvertGuarded(const std::string& source, const std::function<void(Converted*)>& read);

// What the results of Convert() depend on, as digests or words; compared when an import goes on.
struct Identity {
  std::string options;  // what the user asked for
  std::string input;    // the sources as they lie on disk
};

class Importer {
 public:
  virtual ~Importer() = default;
  virtual std::string name() const = 0;   // "pairs": the word after `vesalius import`
  virtual std::int64_t size() const = 0;  // images the source lists, in a fixed order
  virtual Identity identity() const = 0;
  // A pure function of the item: worker processes call it in any order. Nothing but kBug is thrown.
  // Records have no channels but grey, and the stored size of ImportOptions.
  virtual Converted Convert(std::int64_t item) const = 0;
  // Findings, labels, wordpieces: complete after construction (the survey).
  virtual Vocabulary vocabulary() const = 0;
};

struct ImportReport {
  std::int64_t read = 0, written = 0, with_boxes = 0;
  std::int64_t resumed = 0;  // of `read`, what an earlier run that was stopped had finished
  std::int64_t patients = 0;
  std::array<std::int64_t, 3> splits{};  // records by Split
  // Records whose report (image) an earlier record has too.
  std::int64_t duplicate_reports = 0, duplicate_images = 0;
  // Patients, reports and images (each counted once) that several splits have.
  std::int64_t leaking_patients = 0, leaking_reports = 0, leaking_images = 0;
  std::vector<Quarantined> quarantined;  // also written to OUT/quarantine.jsonl

  std::int64_t left_out() const;                        // items that are not in the data set
  std::map<std::string, std::int64_t> by_kind() const;  // entries of `quarantined`
};

struct ImportOptions {
  std::string out;         // data set folder
  int size = 64;           // side of the stored square, pixels
  std::int64_t limit = 0;  // only the first items; 0 = all
  bool dry_run = false;    // reads and converts everything, writes nothing
  int workers = 1;         // processes; 1 = this one; 0 = one for each core
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // may be empty
  // Gets the report while the import can still be taken up, so that one that is killed here, or
  // whose report cannot be written, gives it when it is started again. May be empty.
  std::function<void(const ImportReport&)> tell = {};
};

// Forks workers unless `workers` is 1: call before threads exist. Errors: kInvalidData (no usable
// item; an unfinished import of other options or other input lies in `out`), kConfig,
// kCannotCreate (a finished data set lies in `out`; another import is writing there; a full disk),
// kPeerLost (a worker was killed). After an error or a kill what was finished stays in `out`, which
// passes for no data set unless all of it is there, and the same call goes on from there.
ImportReport Import(const Importer& importer, const ImportOptions& options);

}  // namespace vesalius::data
