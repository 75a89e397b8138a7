// Importing image-text pairs: the real films as they stand, and fixtures of every oddity made here.
#include "data/import/import_pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "data/dataset.h"
#include "data/shards/dataset_files.h"
#include "data/shards/manifest.h"
#include "tests/data/image_fixtures.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

void Put(const std::string& path, const std::string& bytes) {
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
}

std::string Gradient(int width, int height) {
  return GreyPng(width, height, [](int x, int y) { return 40 + x + y; });
}

struct ImportPairsOptions : PairsOptions {
  std::string out;
  int workers = 1;
  std::function<void(std::int64_t, std::int64_t)> progress;
};

ImportReport ImportPairs(const ImportPairsOptions& options) {
  return Import(*OpenPairs(options), {.out = options.out,
                                      .size = options.size,
                                      .workers = options.workers,
                                      .progress = options.progress});
}

// A folder for a table and its images, and the options that import it.
struct Fixture {
  TempDir dir;
  ImportPairsOptions options;
  Fixture() {
    MakeDirs(dir.path() + "/in/images");
    options.in = dir.path() + "/in";
    options.out = dir.path() + "/out";
    options.size = 32;
  }
  void Image(const std::string& name, const std::string& bytes) const {
    Put(options.in + "/" + name, bytes);
  }
  void TableFile(const std::string& name, const std::string& text) const {
    Put(options.in + "/" + name, text);
  }
  std::map<std::string, Record> Import(ImportReport* report) const {
    *report = ImportPairs(options);
    return Read();
  }
  std::map<std::string, Record> Read() const {
    std::map<std::string, Record> records;
    for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
      const auto dataset = OpenDataset(options.out, split);
      for (std::int64_t i = 0; i < dataset->size(); ++i) {
        Record record = dataset->Get(i);
        records[record.image_id] = record;
      }
    }
    return records;
  }
};

std::pair<ExitCode, std::string> Caught(const ImportPairsOptions& options) {
  try {
    ImportPairs(options);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ExitCode::kFinished, "no error"};
}

TEST(ImportPairs, RealFilmsAsTheyStand) {
  const std::string folder = SharedData("data/cxr_pairs");
  if (folder.empty()) GTEST_SKIP() << "the reference films are absent (tests/util/shared_data.h)";
  Fixture fixture;
  fixture.options.in = folder;
  fixture.options.size = 64;
  std::int64_t calls = 0;
  fixture.options.progress = [&](std::int64_t done, std::int64_t total) {
    EXPECT_EQ(done, ++calls);
    EXPECT_EQ(total, 177);
  };
  ImportReport report;
  const auto records = fixture.Import(&report);
  EXPECT_EQ(report.read, 177);
  EXPECT_EQ(report.written, 177);
  EXPECT_EQ(report.with_boxes, 177);
  EXPECT_EQ(report.patients, 104);
  EXPECT_TRUE(report.quarantined.empty());
  EXPECT_EQ(calls, 177);
  EXPECT_EQ(ReadFile(fixture.options.out + "/quarantine.jsonl"), "");
  EXPECT_TRUE(VerifyDataset(fixture.options.out).empty());

  ASSERT_EQ(records.size(), 177u);
  std::set<std::uint64_t> texts;
  std::map<std::string, std::set<Split>> splits;
  std::map<Split, int> films;
  for (const auto& [id, record] : records) {
    texts.insert(record.report_hash);
    splits[record.patient_id].insert(record.split);
    ++films[record.split];
    for (int region = 0; region < kRegions; ++region)
      EXPECT_EQ(record.box_valid[region] != 0, region == 0 || region == 8) << id;
    EXPECT_LT(record.boxes[0].cx, record.boxes[8].cx) << id;  // the patient's right is on the left
  }
  EXPECT_EQ(texts.size(), 164u);
  for (const auto& [patient, of] : splits) EXPECT_EQ(of.size(), 1u) << patient;
  EXPECT_GT(films[Split::kTest], 20);
  EXPECT_LT(films[Split::kTest], 60);
  EXPECT_EQ(films[Split::kValid], 0);

  const Record& film =
      records.at("jkms-35-e79-g001-l-a.jpg");  // 417 x 342, right lung 22,39,147,300
  EXPECT_EQ(film.geometry.original_width, 417);
  const double scale = 64.0 / 417, top = (64 - std::lround(342 * scale)) / 2;
  EXPECT_NEAR(film.boxes[0].cx * 64, (22 + 147 / 2.0) * scale, 1e-4);
  EXPECT_NEAR(film.boxes[0].cy * 64, (39 + 300 / 2.0) * scale + top, 1e-4);
  EXPECT_NEAR(film.boxes[0].w * 64, 147 * scale, 1e-4);
  EXPECT_NEAR(film.boxes[0].h * 64, 300 * scale, 1e-4);
  const auto dataset = OpenDataset(fixture.options.out, Split::kTrain);
  EXPECT_GT(dataset->vocabulary().wordpieces.size(), 300u);
}

TEST(ImportPairs, ImagesOfEveryKindUnderAnyName) {
  Fixture fixture;
  fixture.Image("images/grey.jpg", Gradient(40, 20));  // a PNG
  fixture.Image(
      "deep.png",
      EncodePng({2, 2, 16, PNG_COLOR_TYPE_GRAY, false, {}, {}, {1, 0, 2, 0, 3, 0, 4, 0}}));
  fixture.Image(
      "palette.png",
      EncodePng(
          {2, 1, 1, PNG_COLOR_TYPE_PALETTE, false, {{10, 10, 10}, {200, 200, 200}}, {}, {0, 1}}));
  fixture.Image(
      "rgba",
      EncodePng({1, 2, 8, PNG_COLOR_TYPE_RGB_ALPHA, true, {}, {}, {255, 0, 0, 0, 9, 9, 9, 255}}));
  fixture.Image("photo.png",
                EncodeJpeg(16, 16, 1, JCS_GRAYSCALE, std::vector<std::uint8_t>(256, 77)));
  fixture.TableFile("pairs.csv",
                    ",filename,caption,Patient_ID,view\r\n"
                    "0,grey.jpg,\"Two lines,\r\nwith \"\"quotes\"\".\",p1,AP Supine\r\n"
                    "1,deep.png,  No finding. ,p2,PA\r\n"
                    "2,palette.png,NO  finding.,p2,L\r\n"
                    "3,rgba,red,p3,\r\n"
                    "4,photo.png,a photo,,\r\n");
  ImportReport report;
  const auto records = fixture.Import(&report);
  ASSERT_EQ(records.size(), 5u) << (report.quarantined.empty() ? "" : report.quarantined[0].reason);
  EXPECT_TRUE(report.quarantined.empty());
  EXPECT_EQ(records.at("grey.jpg").report, "Two lines,\r\nwith \"quotes\".");
  EXPECT_EQ(records.at("grey.jpg").view, View::kAp);
  EXPECT_EQ(records.at("palette.png").view, View::kLateral);
  EXPECT_EQ(records.at("grey.jpg").geometry.pad_top, 8);
  EXPECT_EQ(records.at("deep.png").image.u16[0], 0x100);
  EXPECT_EQ(records.at("deep.png").image.u16.back(), 0x400);
  EXPECT_EQ(records.at("palette.png").image.u8[8 * 32], 10);
  EXPECT_EQ(records.at("palette.png").image.u8[8 * 32 + 31], 200);
  EXPECT_EQ(records.at("rgba").image.u8[8], 76);
  EXPECT_EQ(records.at("photo.png").image.u8[5], 77);
  EXPECT_EQ(records.at("photo.png").patient_id, "photo.png");
  EXPECT_EQ(records.at("deep.png").report_hash, records.at("palette.png").report_hash);
  EXPECT_EQ(records.at("deep.png").split, records.at("palette.png").split);
  for (const auto& [id, record] : records) EXPECT_EQ(record.image.channels, 1) << id;
}

TEST(ImportPairs, WhatCannotBeReadIsQuarantinedAndTheRestGoesOn) {
  Fixture fixture;
  const std::string good = Gradient(40, 40);
  fixture.Image("good.png", good);
  fixture.Image("cut.png", good.substr(0, good.size() / 2));
  fixture.Image("words.png", "this is no image");
  fixture.TableFile("pairs.csv",
                    "image,text,split\n"
                    "good.png,fine,train\n"
                    "cut.png,truncated,train\n"
                    "words.png,foreign,train\n"
                    "gone.png,missing,train\n"
                    "images,a folder,train\n"
                    "good.png,,train\n"
                    "good.png,unknown split,trian\n"
                    "good.png,too,many,cells\n"
                    "good.png,also fine,test\n");
  ImportReport report;
  fixture.Import(&report);
  EXPECT_EQ(report.read, 9);
  EXPECT_EQ(report.written, 2);
  const std::vector<std::string> reasons = {
      "truncated", "neither PNG nor JPEG",  "not found", "is a folder",
      "empty",     "unknown split 'trian'", "4 cells"};
  ASSERT_EQ(report.quarantined.size(), reasons.size());
  const std::string list = ReadFile(fixture.options.out + "/quarantine.jsonl");
  std::istringstream lines(list);
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    EXPECT_THAT(report.quarantined[i].reason, HasSubstr(reasons[i]));
    EXPECT_THAT(report.quarantined[i].source, HasSubstr(StrCat("pairs.csv, line ", i + 3)));
    EXPECT_FALSE(report.quarantined[i].kept);
    std::string line;
    std::getline(lines, line);
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json.at("reason"), report.quarantined[i].reason);
    EXPECT_EQ(json.at("kept"), false);
  }
}

TEST(ImportPairs, JsonLinesWithBoxes) {
  Fixture fixture;
  for (const char* name : {"a.png", "b.png", "c.png", "d.png"})
    fixture.Image(name, Gradient(64, 32));
  fixture.TableFile(
      "pairs.jsonl",
      R"({"image":"a.png","text":"a","patient":7,"split":"train","boxes":{"Right Lung":[-8,4,24,40]}})"
      "\n"
      R"({"image":"b.png","text":"b","boxes":[{"region":"left lung","box":[40,4,60,28]},)"
      R"({"region":"left lung","box":[41,5,42,6]},{"region":"knee","box":[1,1,2,2]}],"split":"val"})"
      "\n"
      R"({"image":"c.png","text":"c","split":"test","boxes":{"spine":[70,0,90,10],"svc":[5,5,5,9]}})"
      "\n"
      R"({"image":"d.png","text":"d","split":"test","boxes":{"spine":[1,2,3]}})"
      "\n");
  ImportReport report;
  const auto records = fixture.Import(&report);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(report.with_boxes, 2);
  const Record& a = records.at("a.png");
  EXPECT_EQ(a.patient_id, "7");
  EXPECT_EQ(a.split, Split::kTrain);
  ASSERT_EQ(a.box_valid[0],
            1);  // clamped to 0,4 - 24,32; stored at half size, 8 pixels below the top
  EXPECT_FLOAT_EQ(a.boxes[0].cx, 12 * 0.5 / 32);
  EXPECT_FLOAT_EQ(a.boxes[0].cy, (18 * 0.5 + 8) / 32);
  EXPECT_FLOAT_EQ(a.boxes[0].w, 24 * 0.5 / 32);
  EXPECT_FLOAT_EQ(a.boxes[0].h, 28 * 0.5 / 32);
  const Record& b = records.at("b.png");
  EXPECT_EQ(b.split, Split::kValid);
  EXPECT_FLOAT_EQ(b.boxes[8].w, 20 * 0.5 / 32);  // the larger of the two
  ASSERT_EQ(report.quarantined.size(), 3u);
  EXPECT_THAT(report.quarantined[0].reason, HasSubstr("'spine' lies outside the image of 64 x 32"));
  EXPECT_TRUE(report.quarantined[0].kept);
  EXPECT_THAT(report.quarantined[1].reason, HasSubstr("'svc' has no area"));
  EXPECT_THAT(report.quarantined[2].reason, HasSubstr("four numbers"));
  EXPECT_FALSE(report.quarantined[2].kept);
}

TEST(ImportPairs, CocoBoxesOfAnotherImageSizeAreLeftOut) {
  Fixture fixture;
  fixture.Image("a.png", Gradient(64, 32));
  fixture.TableFile("pairs.csv", "image,text\na.png,a\n");
  const char* kCoco = R"({"images":[{"id":1,"file_name":"a.png","width":%,"height":32}],
    "categories":[{"id":3,"name":"Spine"}],
    "annotations":[{"id":1,"image_id":1,"category_id":3,"bbox":[10,2,20,30]}]})";
  fixture.TableFile("boxes.json", Replace(kCoco, "%", "128"));
  fixture.TableFile("other.json", "{\"not\": \"coco\"}");
  ImportReport report;
  EXPECT_EQ(fixture.Import(&report).at("a.png").box_valid[17], 0);
  ASSERT_EQ(report.quarantined.size(), 1u);
  EXPECT_THAT(report.quarantined[0].reason, HasSubstr("128 x 32, this one has 64 x 32"));
  RemoveTree(fixture.options.out);
  fixture.TableFile("boxes.json", Replace(kCoco, "%", "64"));
  EXPECT_EQ(fixture.Import(&report).at("a.png").box_valid[17], 1);
  RemoveTree(fixture.options.out);
  fixture.options.boxes = fixture.options.in + "/other.json";
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kInvalidData);
  fixture.options.boxes = fixture.options.in + "/gone.json";
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kInputMissing);
}

TEST(ImportPairs, SplitsWholePatientsDeterministically) {
  Fixture fixture;
  std::string table = "path,report,subject_id\n";
  fixture.Image("x.png", Gradient(8, 8));
  for (int i = 0; i < 60; ++i) {
    const std::string name = StrCat("film", i, ".png");
    fixture.Image(name, Gradient(8, 8));
    table += StrCat(name, ",text,", i / 3, "\n");
  }
  fixture.TableFile("pairs.csv", table);
  fixture.options.valid_share = 0.1;
  const auto assign = [&](std::uint64_t seed) {
    fixture.options.seed = seed;
    RemoveTree(fixture.options.out);
    ImportReport report;
    std::map<std::string, Split> splits;
    std::map<Split, int> films;
    for (const auto& [id, record] : fixture.Import(&report)) {
      const auto [at, fresh] = splits.insert({record.patient_id, record.split});
      EXPECT_EQ(at->second, record.split);
      ++films[record.split];
    }
    EXPECT_EQ(films[Split::kTest], 12);  // 4 of 20 patients
    EXPECT_EQ(films[Split::kValid], 6);
    return splits;
  };
  const auto first = assign(1);
  EXPECT_EQ(assign(1), first);
  EXPECT_NE(assign(2), first);
}

TEST(ImportPairs, ColumnsByFlagAndHelpfulRefusals) {
  Fixture fixture;
  fixture.Image("a.png", Gradient(8, 8));
  fixture.TableFile("t.csv", "scan,words\na.png,hello\n");
  auto [code, message] = Caught(fixture.options);
  EXPECT_EQ(code, ExitCode::kInputMissing);
  EXPECT_THAT(message, HasSubstr("--image-column"));
  fixture.options.in += "/t.csv";
  std::tie(code, message) = Caught(fixture.options);
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr("scan, words"));
  fixture.options.image_column = "scan";
  fixture.options.text_column = "wordz";
  std::tie(code, message) = Caught(fixture.options);
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr("did you mean 'words'?"));
  fixture.options.text_column = "words";
  EXPECT_EQ(ImportPairs(fixture.options).written, 1);
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kCannotCreate);  // the folder is used
  fixture.options.out += "2";
  fixture.options.test_share = 1;
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kConfig);
  fixture.options.test_share = 0;
  fixture.options.vocab = "/nowhere/vocab.txt";
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kInputMissing);
  fixture.options.vocab = "";
  fixture.options.in = "/nowhere.csv";
  EXPECT_EQ(Caught(fixture.options).first, ExitCode::kInputMissing);
}

TEST(ImportPairs, TwoTablesInAFolderAreRefusedUnlessOneIsMetadata) {
  Fixture fixture;
  fixture.Image("a.png", Gradient(8, 8));
  fixture.TableFile("one.csv", "image,text\na.png,one\n");
  fixture.TableFile("two.jsonl", "{\"image\":\"a.png\",\"text\":\"two\"}\n");
  const auto [code, message] = Caught(fixture.options);
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr("one.csv"));
  EXPECT_THAT(message, HasSubstr("two.jsonl"));
  fixture.TableFile("metadata.csv", "image,text\na.png,three\n");
  ImportReport report;
  EXPECT_EQ(fixture.Import(&report).at("a.png").report, "three");
}

TEST(ImportPairs, NothingUsableOrAFullDiskLeavesNoDataSet) {
  Fixture fixture;
  fixture.TableFile("pairs.csv", "image,text\ngone.png,hello\n");
  const auto [code, message] = Caught(fixture.options);
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr("none of the 1 items"));
  EXPECT_THAT(message, HasSubstr("not found"));
  EXPECT_FALSE(Exists(fixture.options.out));

  fixture.Image("gone.png", Gradient(8, 8));
  for (int operation = 0;; ++operation) {
    ASSERT_LT(operation, 60);
    int calls = 0;
    SetFileFault([&](FileOp op, const std::string& path) {
      return path.starts_with(fixture.options.out) && op != FileOp::kRead && calls++ == operation
                 ? ENOSPC
                 : 0;
    });
    const auto fault = Caught(fixture.options);
    SetFileFault(nullptr);
    if (fault.first == ExitCode::kFinished) break;
    EXPECT_EQ(fault.first, ExitCode::kCannotCreate) << fault.second;
    EXPECT_THAT(fault.second, HasSubstr(fixture.options.out));
    EXPECT_FALSE(Exists(ManifestPath(fixture.options.out))) << operation << fault.second;
  }
  EXPECT_EQ(fixture.Read().size(), 1u);
}

}  // namespace
}  // namespace vesalius::data
