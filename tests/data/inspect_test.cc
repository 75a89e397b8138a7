// What inspect tells of data sets, manifests and shards, and the pictures that it draws.
#include "data/inspect/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/hash.h"
#include "data/images/image_codec.h"
#include "data/inspect/lengths.h"
#include "data/inspect/letters.h"
#include "data/inspect/repeats.h"
#include "data/shards/writer.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

// Six records of three patients; records 0 to 2 say the same; one box each but for the last.
void WriteSet(const std::string& folder) {
  DatasetWriter writer({folder, "test", 32, 4});
  for (int i = 0; i < 6; ++i) {
    Record record;
    record.image_id = StrCat("dir/film ", i, ".png");
    record.patient_id = StrCat(i / 2);
    record.study_id = StrCat("s", i % 2);
    record.geometry = {i < 4 ? 640 : 512, 480 + i, 0.05f, 0, 0};
    record.split = i < 4 ? Split::kTrain : Split::kTest;
    record.view = View::kPa;
    record.image = {32, 32, 1, std::vector<std::uint8_t>(32 * 32, i == 1 ? 90 : 100), {}};
    record.report = i < 3 ? "Same." : StrCat("Other ", i);
    record.report_hash = Hash64(NormalisedText(record.report));
    if (i < 5) {
      record.box_valid[16] = 1;
      record.boxes[16] = {0.5f, 0.5f, 0.5f, 0.25f};
    }
    record.sentences[16] = {{"the trachea is normal.", kNormalStatement, 0}};
    record.region_labels.assign(kRegions * 2, -1);
    record.region_labels[16 * 2 + 1] = static_cast<std::int8_t>(i % 2);
    record.image_labels = {1};
    writer.Add(record);
  }
  Vocabulary vocabulary;
  vocabulary.findings = {{"effusion", {}}, {"nodule", {}}};
  vocabulary.can.assign(kRegions * vocabulary.findings.size(), 1);
  vocabulary.image_labels = {"normal"};
  vocabulary.wordpieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "same", "."};
  writer.Finish(vocabulary);
}

TEST(Inspect, CountsOfADataset) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  WriteSet(folder);
  EXPECT_TRUE(IsDataset(folder));
  const nlohmann::json json = InspectDataset(folder);
  EXPECT_EQ(json.at("kind"), "dataset");
  EXPECT_EQ(json.at("records"), 6);
  EXPECT_EQ(json.at("splits").at("train"), 4);
  EXPECT_EQ(json.at("splits").at("test"), 2);
  EXPECT_EQ(json.at("patients"), 3);
  EXPECT_EQ(json.at("patients_in_several_splits"), 0);
  EXPECT_EQ(json.at("views").at("pa"), 6);
  EXPECT_EQ(json.at("images_with_boxes"), 5);
  EXPECT_EQ(json.at("reports").at("distinct"), 4);
  EXPECT_EQ(json.at("reports").at("duplicates"), 2);
  EXPECT_EQ(json.at("reports").at("shortest_bytes"), 5);
  EXPECT_EQ(json.at("reports").at("longest_bytes"), 7);
  EXPECT_EQ(json.at("regions").at("trachea").at("boxes"), 5);
  EXPECT_EQ(json.at("regions").at("trachea").at("sentences"), 6);
  EXPECT_EQ(json.at("region_labels").at("nodule").at("yes"), 3);
  EXPECT_EQ(json.at("region_labels").at("nodule").at("no"), 3);
  EXPECT_EQ(json.at("region_labels").at("effusion").at("yes"), 0);
  EXPECT_EQ(json.at("image_labels").at("normal").at("yes"), 6);
  EXPECT_EQ(json.at("shards").size(), 2u);
  EXPECT_EQ(json.at("wordpieces"), 6);
  EXPECT_EQ(json.at("checksums"), "verified");
}

TEST(Inspect, SizesReportsRepeatsAndLeaks) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  WriteSet(folder);
  const nlohmann::json json = InspectDataset(folder);
  const nlohmann::json& sizes = json.at("sizes");
  EXPECT_EQ(sizes.at("distinct"), 6);
  EXPECT_EQ(sizes.at("width").at("least"), 512);
  EXPECT_EQ(sizes.at("width").at("median"), 640);
  EXPECT_EQ(sizes.at("height").at("most"), 485);
  EXPECT_EQ(sizes.at("common").size(), 5u);
  const nlohmann::json& reports = json.at("reports");
  EXPECT_EQ(reports.at("empty"), 0);
  EXPECT_EQ(reports.at("characters").at("least"), 5);
  EXPECT_EQ(reports.at("characters").at("most"), 7);
  // "same" "." or [UNK] [UNK], between [CLS] and [SEP].
  EXPECT_EQ(reports.at("tokens").at("least"), 4);
  EXPECT_EQ(reports.at("tokens").at("most"), 4);
  EXPECT_EQ(reports.at("sentences").at("mean"), 1);
  EXPECT_EQ(json.at("studies"), 6);
  EXPECT_EQ(json.at("images").at("distinct"), 2);
  EXPECT_EQ(json.at("images").at("duplicates"), 4);
  EXPECT_EQ(json.at("boxes_per_image").at("least"), 0);
  EXPECT_EQ(json.at("leaks").at("patients").at("in_several_splits"), 0);
  EXPECT_EQ(json.at("leaks").at("reports").at("in_several_splits"), 0);
  EXPECT_EQ(json.at("leaks").at("images").at("in_several_splits"), 1);
  EXPECT_EQ(json.at("leaks").at("images").at("train_test"), 1);
  EXPECT_EQ(json.at("leaks").at("images").at("train_valid"), 0);
  EXPECT_EQ(json.at("split_details").at("train").at("patients"), 2);
  EXPECT_EQ(json.at("split_details").at("train").at("images"), 2);
  EXPECT_EQ(json.at("split_details").at("test").at("images"), 1);
  EXPECT_EQ(json.at("regions").at("trachea").at("mean_box").at("h"), 0.25);
  EXPECT_FALSE(json.at("regions").at("spine").contains("mean_box"));
}

TEST(Inspect, TablesAreAligned) {
  const TempDir dir;
  WriteSet(dir.path() + "/set");
  const std::string text = InspectionTables(InspectDataset(dir.path() + "/set"));
  EXPECT_THAT(text, HasSubstr("\nrecords             6\n"));
  EXPECT_THAT(text, HasSubstr("\nsplit               records  patients  studies  reports  images\n"
                              "train                     4         2        4        2       2\n"));
  EXPECT_THAT(text,
              HasSubstr("\nin train and test                   0        0        0       1\n"));
  EXPECT_THAT(text, HasSubstr("\ntrachea                       5          6 "));
  EXPECT_THAT(text, HasSubstr("\nnodule               3   3      168        50.0 %\n"));
  // A shard alone has no names of labels and no words.
  EXPECT_THAT(InspectionTables(InspectDataset(dir.path() + "/set/shard-00000.h5")),
              HasSubstr("\nkind                shard\n"));
}

TEST(Inspect, LengthsAreExact) {
  Lengths lengths;
  EXPECT_TRUE(lengths.ToJson().is_null());
  for (int value = 1; value <= 100; ++value) lengths.Add(value * 7);
  const nlohmann::json json = lengths.ToJson();
  EXPECT_EQ(json.at("least"), 7);
  EXPECT_EQ(json.at("median"), 350);
  EXPECT_EQ(json.at("p95"), 665);
  EXPECT_EQ(json.at("most"), 700);
  EXPECT_EQ(json.at("mean"), 353.5);
  const nlohmann::json& histogram = json.at("histogram");
  EXPECT_EQ(histogram.at("from"), 0);
  EXPECT_EQ(histogram.at("step"), 20);
  ASSERT_EQ(histogram.at("counts").size(), 36u);
  EXPECT_EQ(histogram.at("counts")[0], 2);   // 7, 14
  EXPECT_EQ(histogram.at("counts")[35], 1);  // 700
  Lengths negative;
  negative.Add(-3);
  negative.Add(1'000'000'000'000);
  const nlohmann::json wide = negative.ToJson().at("histogram");
  EXPECT_EQ(wide.at("from"), -wide.at("step").get<std::int64_t>());
  EXPECT_LE(wide.at("counts").size(), 40u);
}

TEST(Inspect, RepeatsBySplit) {
  Repeats repeats;
  const std::vector<std::pair<std::uint64_t, Split>> seen = {
      {100, Split::kTrain}, {100, Split::kTrain}, {100, Split::kTest},
      {200, Split::kValid}, {200, Split::kTest},  {300, Split::kTrain},
      {400, Split::kTrain}, {400, Split::kValid}, {400, Split::kTest}};
  for (const auto& [hash, split] : seen) repeats.Add(Mix64(hash), split);
  const Repeats::Summary summary = repeats.Summarise();
  EXPECT_EQ(summary.distinct, 4);
  EXPECT_EQ(summary.repeats, 5);
  EXPECT_EQ(summary.in_several_splits, 3);
  EXPECT_EQ(summary.train_valid, 1);
  EXPECT_EQ(summary.train_test, 2);
  EXPECT_EQ(summary.valid_test, 2);
  EXPECT_THAT(summary.in_split, testing::ElementsAre(3, 2, 3));
}

TEST(Inspect, TextOnACanvas) {
  Canvas canvas{20, 15, std::vector<std::uint8_t>(20 * 15 * 3)};
  DrawText(canvas, 1, 1, "I", 0xffffff);
  const auto lit = [&](int x, int y) { return canvas.rgb[(y * 20 + x) * 3] == 255; };
  int count = 0;
  for (int y = 0; y < 15; ++y)
    for (int x = 0; x < 20; ++x) count += lit(x, y);
  EXPECT_EQ(count, 5 + 7 + 5);               // two serifs and the stem
  DrawText(canvas, 18, 10, "WW", 0xffffff);  // partly outside
  FillRect(canvas, -5, -5, 100, 100, 0x010203);
  EXPECT_EQ(canvas.rgb.back(), 3);
  EXPECT_EQ(Printable("caf\xc3\xa9 \t", 20), "caf? ?");
  EXPECT_EQ(Printable("abcdefghijkl", 8), "abc..jkl");
}

TEST(Inspect, ManifestAndShardAlone) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  WriteSet(folder);
  EXPECT_TRUE(IsDataset(folder + "/manifest.pb"));
  EXPECT_EQ(InspectDataset(folder + "/manifest.pb").at("records"), 6);
  EXPECT_TRUE(IsDataset(folder + "/shard-00001.h5"));
  const nlohmann::json shard = InspectDataset(folder + "/shard-00001.h5");
  EXPECT_EQ(shard.at("kind"), "shard");
  EXPECT_EQ(shard.at("records"), 2);
  EXPECT_EQ(shard.at("stored_size"), 32);
  EXPECT_FALSE(IsDataset(dir.path()));
  EXPECT_FALSE(IsDataset("/proc/version"));
}

TEST(Inspect, DamageIsNamed) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/shard-00000.h5";
  WriteSet(folder);
  std::string bytes = ReadFile(path);
  bytes.replace(bytes.find("Other 3"), 7, "Other 8");
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
  for (const std::string& target : {folder, path}) {
    try {
      InspectDataset(target);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInvalidData);
      EXPECT_THAT(error.what(), HasSubstr(path + ", record 3 is damaged: wrong checksum"));
    }
  }
}

TEST(Inspect, DrawsBoxes) {
  const TempDir dir;
  WriteSet(dir.path() + "/set");
  const std::string set = dir.path() + "/set";
  DrawDataset(set, InspectDataset(set), dir.path() + "/pictures");
  EXPECT_THAT(ListDir(dir.path() + "/pictures"),
              testing::ElementsAre("0-film_0.png", "1-film_1.png", "2-film_2.png", "3-film_3.png",
                                   "4-film_4.png", "5-film_5.png", "histograms", "sheets"));
  const std::string path = dir.path() + "/pictures/4-film_4.png";
  const Image picture = DecodeImage(ReadFile(path), path);
  ASSERT_EQ(picture.width, 384);
  const auto pixel = [&](int x, int y) {
    const std::uint8_t* at = picture.u8.data() + (y * 384 + x) * 3;
    return std::array{at[0], at[1], at[2]};
  };
  const std::array<std::uint8_t, 3> grey{100, 100, 100};
  EXPECT_EQ(pixel(192, 192), grey);  // inside
  EXPECT_NE(pixel(96, 192), grey);   // left edge
  EXPECT_NE(pixel(192, 144), grey);  // top edge
  EXPECT_NE(pixel(288, 192), grey);
  EXPECT_NE(pixel(192, 240), grey);
  EXPECT_EQ(pixel(90, 192), grey);
}

TEST(Inspect, SheetsAndHistograms) {
  const TempDir dir;
  const std::string set = dir.path() + "/set", folder = dir.path() + "/pictures";
  WriteSet(set);
  DrawDataset(set, InspectDataset(set), folder);
  EXPECT_THAT(ListDir(folder + "/sheets"), testing::ElementsAre("sheet-1.png"));
  const std::string path = folder + "/sheets/sheet-1.png";
  const Image sheet = DecodeImage(ReadFile(path), path);
  const auto red = [&](int x, int y) { return sheet.u8[(y * sheet.width + x) * 3]; };
  EXPECT_EQ(red(14 + 20, 14 + 20), 100);             // the first image
  EXPECT_EQ(red(14 + 302 + 20, 14 + 20), 90);        // the second
  EXPECT_EQ(red(14 + 20, 14 + 334 + 20), 100);       // the sixth, in the second row
  EXPECT_EQ(red(14 + 302 + 20, 14 + 334 + 20), 20);  // no seventh
  EXPECT_THAT(
      ListDir(folder + "/histograms"),
      testing::ElementsAre("boxes.png", "images.png", "labels.png", "reports.png", "sizes.png"));
  // The bar of the trachea is as long as its box count allows, the spine has none.
  const std::string boxes = folder + "/histograms/boxes.png";
  const Image chart = DecodeImage(ReadFile(boxes), boxes);
  const auto white = [&](int region, int x) {
    const std::uint8_t* at =
        chart.u8.data() + ((16 + 18 * (region + 1) + 4) * chart.width + 16 + 250 + x) * 3;
    return at[0] == 255 && at[1] == 255 && at[2] == 255;
  };
  EXPECT_FALSE(white(16, 0));
  EXPECT_FALSE(white(16, 430));
  EXPECT_TRUE(white(17, 430));
  DrawDataset(set + "/shard-00001.h5", InspectDataset(set + "/shard-00001.h5"), folder + "/shard");
  EXPECT_EQ(ListDir(folder + "/shard").size(), 4u);
}

}  // namespace
}  // namespace vesalius::data
