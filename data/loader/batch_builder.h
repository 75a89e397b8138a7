// Makes one rank's batch out of records, without knowing about threads: its reads are done at once,
// then rows are independent of each other and may be made concurrently and in any order, then the
// batch is finished once. Everything random is keyed by (seed, epoch, sample).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/dataset.h"
#include "data/loader/augment.h"
#include "data/loader/batch.h"
#include "data/loader/pipeline.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {

// A batch in the making. Row i writes to its own places only.
struct Draft {
  explicit Draft(std::pmr::memory_resource* pixel_memory) : batch(pixel_memory) {}

  struct Text {
    int region = 0;
    bool truth = true;
    TextSignature signature;
    std::string text;  // normalised
  };
  struct Row {
    std::int64_t epoch = 0;
    Look look;      // how the model sees the image; set by Fetch(), as
    Window window;  // the part of it that is read
    bool readable = false;
    std::vector<Text> texts;           // in the order of regions
    std::vector<std::int64_t> report;  // token ids
    double decode_s = 0, augment_s = 0;
  };
  bool region_texts = true;
  std::vector<Row> rows;  // as planned: one per sample id
  std::int64_t padding = 0;
  std::unique_ptr<Fetched> fetched;
  double fetch_s = 0;
  Batch batch;
};

class BatchBuilder {
 public:
  // Error(kInvalidData) when the vocabulary of the data set cannot be used.
  BatchBuilder(std::shared_ptr<const Dataset> dataset, const PipelineOptions& options);

  // An empty draft for these samples; empty places come last.
  std::unique_ptr<Draft> Start(const std::vector<Planned>& samples, bool region_texts) const;

  // Reads what all rows need, near places together, and of images what will be seen.
  void Fetch(Draft& draft) const;

  // Decodes and fills row `row`. A record that cannot be read (Error(kInvalidData)) is logged once
  // and left unreadable; every other exception passes through. Thread-safe for different rows.
  void MakeRow(Draft& draft, std::size_t row);

  // After all rows: unreadable ones leave, texts are made distinct and padded. Thread-safe for
  // different drafts.
  Batch Finish(Draft& draft);

 private:
  Record ReadChecked(const Draft& draft, std::size_t row) const;
  void AddPadding(Draft& draft) const;
  void LogUnreadable(std::int64_t sample, const char* reason);
  // Calls visit(vector, values a row) for every field of `batch` that has one entry a row.
  template <typename Visit>
  void VisitRowFields(Batch& batch, Visit visit) const;
  void RemoveUnreadable(Draft& draft) const;
  void CopyBoxes(const RegionBoxes& boxes, std::size_t row, Batch& batch) const;
  void CopyLabels(const Record& record, std::size_t row, Batch& batch) const;
  void ChooseTexts(const Record& record, const RegionBoxes& boxes, std::int64_t epoch,
                   std::int64_t sample, std::vector<Draft::Text>& out) const;
  std::vector<std::int64_t> ReportTokens(const Record& record, std::int64_t sample) const;
  std::vector<std::int64_t> TextTokens(const Draft::Text& text);

  std::shared_ptr<const Dataset> dataset_;
  PipelineOptions options_;
  Tokenizer tokenizer_;
  std::size_t findings_, image_labels_, pixels_;

  std::mutex mutex_;  // guards the two below
  std::set<std::int64_t> logged_;
  std::unordered_map<std::int64_t, std::vector<std::int64_t>> tokens_;  // by text hash, bounded
};

}  // namespace vesalius::data
