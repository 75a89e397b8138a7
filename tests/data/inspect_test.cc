// What inspect tells of data sets, manifests and shards, and the pictures that it draws.
#include "data/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/hash.h"
#include "data/images/image_codec.h"
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
    record.split = i < 4 ? Split::kTrain : Split::kTest;
    record.view = View::kPa;
    record.image = {32, 32, 1, std::vector<std::uint8_t>(32 * 32, 100), {}};
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
  vocabulary.wordpieces = {"[PAD]", "[UNK]"};
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
  EXPECT_EQ(json.at("wordpieces"), 2);
  EXPECT_EQ(json.at("checksums"), "verified");
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
  DrawDataset(dir.path() + "/set", dir.path() + "/pictures", 5);
  EXPECT_THAT(ListDir(dir.path() + "/pictures"),
              testing::ElementsAre("0-film_0.png", "1-film_1.png", "2-film_2.png", "3-film_3.png",
                                   "4-film_4.png"));
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

}  // namespace
}  // namespace vesalius::data
