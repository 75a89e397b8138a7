// Records whose every field is set, data sets of them, and damage.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "data/dataset.h"
#include "data/shards/writer.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {

inline constexpr int kSize = 12, kFindings = 3, kLabels = 2;

// A record whose every field differs from its default and from its neighbours'.
inline Record MakeRecord(std::uint64_t index, bool deep = false, int channels = 1) {
  Random random(5, Purpose::kPhantom, index);
  Record record;
  record.image_id = StrCat("image-", index, ".png");
  record.study_id = StrCat("study-", index / 2);
  record.patient_id = index % 3 == 0 ? "" : StrCat("patient ", index / 4);
  record.split = static_cast<Split>(index % 3);
  record.view = static_cast<View>(index % 4);
  record.image.width = record.image.height = kSize;
  record.image.channels = channels;
  for (int i = 0; i < kSize * kSize * channels; ++i)
    deep ? record.image.u16.push_back(static_cast<std::uint16_t>(random.Next32()))
         : record.image.u8.push_back(static_cast<std::uint8_t>(random.Below(20)));
  record.geometry = {1000 + static_cast<int>(index), 700, 0.012f, 0, 2};
  record.report =
      index == 4 ? "" : StrCat("Report ", index, ", with \"quotes\",\r\nlines and \xc3\xa9.");
  record.report_hash = Hash64(NormalisedText(record.report));
  for (int region = 0; region < kRegions; ++region) {
    const auto value = static_cast<float>(random.Uniform());
    record.boxes[region] = {value, 1 - value, value / 2, value / 3};
    record.box_valid[region] = random.Bernoulli(0.5);
    record.region_abnormal[region] = static_cast<std::int8_t>(random.Below(3)) - 1;
    for (std::uint64_t s = random.Below(3); s > 0; --s)
      record.sentences[region].push_back(
          {StrCat("Sentence ", s, " of ", region, "."),
           static_cast<std::int16_t>(static_cast<int>(random.Below(5)) - 2),
           static_cast<std::int8_t>(s % 2)});
  }
  for (int i = 0; i < kRegions * kFindings; ++i)
    record.region_labels.push_back(static_cast<std::int8_t>(random.Below(3)) - 1);
  for (int i = 0; i < kLabels; ++i)
    record.image_labels.push_back(static_cast<std::int8_t>(random.Below(3)) - 1);
  return record;
}

inline Vocabulary MakeVocabulary() {
  Vocabulary vocabulary;
  vocabulary.findings = {
      {"effusion", {"effusion", "pleural fluid"}}, {"nodule", {}}, {"mass", {"mass"}}};
  vocabulary.image_labels = {"normal", "abnormal"};
  vocabulary.can.assign(kRegions * kFindings, 1);
  vocabulary.can[7] = 0;
  vocabulary.parent[1] = 0;
  vocabulary.positive_forms = {"{f} in the {r}."};
  vocabulary.negative_forms = {"no {f} in the {r}.", "the {r} is free of {f}."};
  vocabulary.normal_forms = {"the {r} is normal."};
  vocabulary.wordpieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "##a"};
  return vocabulary;
}

inline void ExpectEqual(const Record& a, const Record& b) {
  EXPECT_EQ(a.image_id, b.image_id);
  EXPECT_EQ(a.study_id, b.study_id);
  EXPECT_EQ(a.patient_id, b.patient_id);
  EXPECT_EQ(a.split, b.split);
  EXPECT_EQ(a.view, b.view);
  EXPECT_EQ(a.image.width, b.image.width);
  EXPECT_EQ(a.image.height, b.image.height);
  EXPECT_EQ(a.image.channels, b.image.channels);
  EXPECT_EQ(a.image.u8, b.image.u8);
  EXPECT_EQ(a.image.u16, b.image.u16);
  EXPECT_EQ(a.geometry.original_width, b.geometry.original_width);
  EXPECT_EQ(a.geometry.original_height, b.geometry.original_height);
  EXPECT_EQ(a.geometry.scale, b.geometry.scale);
  EXPECT_EQ(a.geometry.pad_left, b.geometry.pad_left);
  EXPECT_EQ(a.geometry.pad_top, b.geometry.pad_top);
  EXPECT_EQ(a.report, b.report);
  EXPECT_EQ(a.report_hash, b.report_hash);
  EXPECT_EQ(a.box_valid, b.box_valid);
  EXPECT_EQ(a.region_labels, b.region_labels);
  EXPECT_EQ(a.region_abnormal, b.region_abnormal);
  EXPECT_EQ(a.image_labels, b.image_labels);
  for (int region = 0; region < kRegions; ++region) {
    EXPECT_EQ(a.boxes[region].cx, b.boxes[region].cx);
    EXPECT_EQ(a.boxes[region].cy, b.boxes[region].cy);
    EXPECT_EQ(a.boxes[region].w, b.boxes[region].w);
    EXPECT_EQ(a.boxes[region].h, b.boxes[region].h);
    ASSERT_EQ(a.sentences[region].size(), b.sentences[region].size());
    for (std::size_t s = 0; s < a.sentences[region].size(); ++s) {
      EXPECT_EQ(a.sentences[region][s].text, b.sentences[region][s].text);
      EXPECT_EQ(a.sentences[region][s].finding, b.sentences[region][s].finding);
      EXPECT_EQ(a.sentences[region][s].polarity, b.sentences[region][s].polarity);
    }
  }
}

// `records` records, every fifth of 16 bits, three a shard.
inline void WriteSet(const std::string& folder, int records, int per_shard = 3) {
  DatasetWriter writer({folder, "test", kSize, per_shard});
  for (int i = 0; i < records; ++i) writer.Add(MakeRecord(i, i % 5 == 2));
  writer.Finish(MakeVocabulary());
}

// Runs `action` and gives the error's code and message.
template <typename Action>
inline std::pair<ExitCode, std::string> Caught(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ExitCode::kFinished, "no error"};
}

inline std::string Overwrite(const std::string& path, std::string bytes) {
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
  return bytes;
}

// An image of `side` with structure (smooth) or without (noise).
inline Record MakeLarge(int side, std::uint64_t index, bool deep, bool noise) {
  Record record = MakeRecord(index);
  record.image = {side, side, 1, {}, {}};
  Random random(6, Purpose::kTest, index);
  for (int i = 0; i < side * side; ++i) {
    const auto smooth = static_cast<std::uint32_t>(i / side + (i % side) * index);
    const std::uint32_t value = noise ? random.Next32() : smooth + random.Next32() % 32;
    deep ? record.image.u16.push_back(static_cast<std::uint16_t>(value))
         : record.image.u8.push_back(static_cast<std::uint8_t>(value));
  }
  return record;
}

}  // namespace vesalius::data
