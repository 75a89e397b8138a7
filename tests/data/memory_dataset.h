// A data set in memory for loader tests: every record is a function of its index, records can be
// made to fail or to take long.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "data/dataset.h"

namespace vesalius::data {

class MemoryDataset : public Dataset {
 public:
  static constexpr int kSize = 16;

  explicit MemoryDataset(std::int64_t size) : size_(size) {
    vocabulary_.findings = {{"effusion", {"effusion"}}, {"nodule", {"nodule"}}};
    vocabulary_.image_labels = {"effusion", "nodule", "no finding"};
    vocabulary_.can.assign(kRegions * 2, 1);
    vocabulary_.positive_forms = {"{f} in the {r}.", "the {r} shows {f}."};
    vocabulary_.negative_forms = {"no {f} in the {r}.", "the {r} is free of {f}."};
    vocabulary_.normal_forms = {"the {r} is normal.", "normal {r}."};
    vocabulary_.wordpieces = {"[PAD]",  "[UNK]",    "[CLS]",  "[SEP]", "[MASK]", "no",
                              "in",     "the",      "of",     "is",    "free",   "shows",
                              "normal", "effusion", "nodule", "right", "left",   "lung",
                              ".",      "study",    "one",    "two",   "three"};
  }

  // Get(index) throws: kInvalidData, or std::runtime_error for kBug.
  void Break(std::int64_t index, ExitCode code = ExitCode::kInvalidData) { broken_[index] = code; }
  void SetFingerprint(std::string fingerprint) { fingerprint_ = std::move(fingerprint); }
  // Up to `most` of pause, differing by record.
  void SetPause(std::chrono::microseconds most) { pause_ = most; }
  // This record's image is smaller than the manifest says.
  void SetMisshapen(std::int64_t index) { misshapen_ = index; }

  std::int64_t size() const override { return size_; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  int stored_size() const override { return kSize; }
  const std::string& path() const override { return path_; }

  Record Get(std::int64_t index) const override {
    if (pause_.count() > 0) {
      std::this_thread::sleep_for(pause_ * (Mix64(static_cast<std::uint64_t>(index)) % 8) / 8);
    }
    if (const auto at = broken_.find(index); at != broken_.end()) {
      if (at->second == ExitCode::kBug) throw std::runtime_error("boom");
      Fail(at->second, path_, ": record ", index, " is broken");
    }
    return Make(index);
  }

 private:
  Record Make(std::int64_t index) const {
    Record record;
    const int size = index == misshapen_ ? kSize - 1 : kSize;
    record.image = Image{size, size, 1, {}, {}};
    for (int i = 0; i < size * size; ++i) {
      record.image.u8.push_back(static_cast<std::uint8_t>(Mix64(index * 1000 + i)));
    }
    static const char* const kNumbers[] = {"one", "two", "three"};
    record.report =
        std::string("Study ") + kNumbers[index % 3] + (index % 2 ? "." : " of the lung.");
    record.report_hash = Hash64(record.report);
    record.region_labels.assign(kRegions * 2, -1);
    for (int r = 0; r < kRegions; ++r) {
      const std::uint64_t draw = Mix64(index * 100 + r);
      record.box_valid[r] = draw % 5 != 0;
      if (record.box_valid[r]) {
        record.box_valid[r] = 1;
        record.boxes[r] = {0.1f + 0.025f * r, 0.5f, 0.15f, 0.3f};
      }
      if (draw % 3 == 0) {
        const bool positive = draw % 2 == 0;
        const int finding = static_cast<int>(draw / 7 % 2);
        record.sentences[r] = {
            {(positive ? "" : "No ") + vocabulary_.findings[finding].name + " in the right lung.",
             static_cast<std::int16_t>(finding), positive ? std::int8_t{1} : std::int8_t{0}}};
        record.region_labels[r * 2 + finding] = positive;
        record.region_abnormal[r] = positive;
      }
    }
    record.image_labels = {static_cast<std::int8_t>(index % 2), -1, 1};
    return record;
  }

  std::int64_t size_, misshapen_ = -1;
  Vocabulary vocabulary_;
  std::string fingerprint_ = "f00d", path_ = "memory";
  std::map<std::int64_t, ExitCode> broken_;
  std::chrono::microseconds pause_{0};
};

}  // namespace vesalius::data
