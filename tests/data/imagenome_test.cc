// Importing MIMIC-CXR-JPG with Chest ImaGenome: every field of every record against the oracle of a
// fixture that other code makes (tests/data/imagenome/fixture.h), and every planted irregularity
// against the reason that is given for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/strings.h"
#include "data/dataset.h"
#include "data/import/imagenome/imagenome_importer.h"
#include "data/shards/dataset_files.h"
#include "tests/data/imagenome/fixture.h"
#include "tests/data/imagenome/fixture_files.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int kSide = 64;

std::map<std::string, Record> ReadAll(const std::string& folder) {
  std::map<std::string, Record> records;
  for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
    const auto dataset = OpenDataset(folder, split);
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      Record record = dataset->Get(i);
      EXPECT_EQ(record.split, split);
      records[record.image_id] = record;
    }
  }
  return records;
}

// The fixture and its import, made once.
class ImagenomeTest : public testing::Test {
 public:
  static void SetUpTestSuite() {
    shared_ = new Shared;
    shared_->oracle = imagenome_fixture::Write({shared_->dir.path() + "/in", 150, 1, kSide});
    shared_->importer = OpenImagenome(Options());
    ImportOptions import;
    import.out = shared_->dir.path() + "/out";
    import.size = kSide;
    shared_->report = Import(*shared_->importer, import);
    shared_->records = ReadAll(import.out);
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

 protected:
  struct Shared {
    TempDir dir;
    json oracle;
    std::unique_ptr<Importer> importer;
    ImportReport report;
    std::map<std::string, Record> records;
  };
  static Shared* shared_;

  static ImagenomeOptions Options() {
    ImagenomeOptions options;
    options.in = shared_->dir.path() + "/in";
    options.size = kSide;
    return options;
  }
  // The oracle's entries of images that must be imported.
  static std::vector<json> Imported() {
    std::vector<json> out;
    for (const json& image : shared_->oracle["images"])
      if (image["out"] == "") out.push_back(image);
    return out;
  }
  // "category|finding" of every finding, in the importer's order.
  static std::vector<std::string> Findings() {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const std::string key : shared_->oracle["findings"])
      pairs.emplace_back(key.substr(0, key.find('|')), key.substr(key.find('|') + 1));
    std::sort(pairs.begin(), pairs.end());
    std::vector<std::string> out;
    for (const auto& [category, name] : pairs) out.push_back(category + "|" + name);
    return out;
  }
};

ImagenomeTest::Shared* ImagenomeTest::shared_ = nullptr;

TEST_F(ImagenomeTest, TheFixtureHasEveryIrregularityOften) {
  std::map<std::string, int> oddities, reasons;
  for (const json& image : shared_->oracle["images"]) {
    if (image.contains("oddity")) ++oddities[image["oddity"]];
    ++reasons[image["out"]];
  }
  EXPECT_GE(oddities.size(), 44u);
  EXPECT_GE(reasons.size(), 15u);
  EXPECT_GT(reasons[""], 200);
}

TEST_F(ImagenomeTest, WhatIsLeftOutHasItsReason) {
  using Entry = std::pair<std::string, std::string>;  // image, kind
  std::multiset<Entry> expected, found;
  for (const json& image : shared_->oracle["images"])
    if (image["out"] != "") expected.emplace(image["image_id"], image["out"]);
  for (const Quarantined& entry : shared_->report.quarantined) {
    if (entry.kept) continue;
    std::string image = entry.source.substr(entry.source.rfind('/') + 1);
    if (entry.kind == "unreadable row of a list") image.clear();
    found.emplace(image, entry.kind);
    EXPECT_GT(entry.reason.size(), 10u) << entry.source;
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(shared_->report.read, static_cast<std::int64_t>(shared_->oracle["images"].size()));
  EXPECT_EQ(shared_->report.left_out(), static_cast<std::int64_t>(expected.size()));
  EXPECT_EQ(shared_->report.leaking_patients, 0);
}

TEST_F(ImagenomeTest, PartsThatAreLeftOutHaveTheirReason) {
  std::map<std::string, std::vector<const Quarantined*>> found;
  for (const Quarantined& entry : shared_->report.quarantined)
    if (entry.kept) found[entry.source.substr(entry.source.rfind('/') + 1)].push_back(&entry);
  for (const json& image : Imported()) {
    std::vector<const Quarantined*> entries = found[image["image_id"]];
    EXPECT_EQ(entries.size(), image["kept"].size()) << image["oddity"];
    for (const json& planted : image["kept"]) {
      const auto at = std::find_if(entries.begin(), entries.end(), [&](const Quarantined* entry) {
        return entry->kind == planted[0] && entry->reason.find(planted[1]) != std::string::npos;
      });
      ASSERT_NE(at, entries.end()) << planted;
      entries.erase(at);
    }
    found.erase(image["image_id"]);
  }
  EXPECT_TRUE(found.empty());
}

TEST_F(ImagenomeTest, EveryRecordIsThere) {
  EXPECT_EQ(shared_->records.size(), Imported().size());
  EXPECT_TRUE(VerifyDataset(shared_->dir.path() + "/out").empty());
  const std::map<std::string, View> views = {
      {"AP", View::kAp}, {"PA", View::kPa}, {"LATERAL", View::kLateral}};
  std::map<std::string, std::uint64_t> hashes;
  std::map<std::string, Split> patients;
  for (const json& image : Imported()) {
    ASSERT_TRUE(shared_->records.contains(image["image_id"])) << image["oddity"];
    const Record& record = shared_->records.at(image["image_id"]);
    EXPECT_EQ(record.patient_id, image["patient_id"]);
    EXPECT_EQ(record.study_id, image["study_id"]);
    EXPECT_EQ(SplitName(record.split), image["split"].get<std::string>());
    EXPECT_EQ(record.view, views.at(image["view"]));
    EXPECT_EQ(record.report, image["report"]);
    EXPECT_EQ(record.geometry.original_width, image["width"]);
    EXPECT_EQ(record.geometry.original_height, image["height"]);
    hashes[record.report] = record.report_hash;
    EXPECT_EQ(patients.emplace(record.patient_id, record.split).first->second, record.split);
  }
  EXPECT_EQ(hashes.at("The LUNGS are clear."), hashes.at("the lungs are clear."));
  EXPECT_GT(hashes.size(), 100u);
}

TEST_F(ImagenomeTest, PicturesAreFittedIntoTheSquare) {
  for (const json& image : Imported()) {
    const Record& record = shared_->records.at(image["image_id"]);
    const double width = image["width"], height = image["height"];
    const double scale = kSide / std::max(width, height);
    const double left = std::floor((kSide - std::round(width * scale)) / 2);
    const double top = std::floor((kSide - std::round(height * scale)) / 2);
    ASSERT_EQ(record.image.u8.size(), std::size_t{kSide * kSide});
    for (int y = 2; y < kSide; y += 15)
      for (int x = 2; x < kSide; x += 15) {
        const double u = (x + 0.5 - left) / (scale * width), v = (y + 0.5 - top) / (scale * height);
        const bool inside = u > 0 && u < 1 && v > 0 && v < 1;
        const double expected = inside ? imagenome_fixture::Brightness(u, v) : 0;
        EXPECT_NEAR(record.image.u8[y * kSide + x], expected, inside ? 4 : 0)
            << image["oddity"] << " " << x << " " << y;
      }
  }
}

TEST_F(ImagenomeTest, BoxesAreThoseOfTheOriginalImage) {
  for (const json& image : Imported()) {
    const Record& record = shared_->records.at(image["image_id"]);
    for (int region = 0; region < kRegions; ++region) {
      const bool valid = image["boxes"].contains(kRegionNames[region]);
      ASSERT_EQ(record.box_valid[region] != 0, valid) << image["oddity"] << kRegionNames[region];
      if (!valid) continue;
      const std::vector<double> box = image["boxes"][kRegionNames[region]];
      EXPECT_NEAR(record.boxes[region].cx, box[0], 2e-6) << image["oddity"];
      EXPECT_NEAR(record.boxes[region].cy, box[1], 2e-6);
      EXPECT_NEAR(record.boxes[region].w, box[2], 2e-6);
      EXPECT_NEAR(record.boxes[region].h, box[3], 2e-6);
    }
  }
}

TEST_F(ImagenomeTest, VocabularyIsWhatTheDataName) {
  const Vocabulary words = shared_->importer->vocabulary();
  const std::vector<std::string> keys = Findings();
  ASSERT_EQ(words.findings.size(), keys.size());
  for (std::size_t f = 0; f < keys.size(); ++f) {
    const std::string category = keys[f].substr(0, keys[f].find('|'));
    const std::string name = keys[f].substr(keys[f].find('|') + 1);
    EXPECT_EQ(words.findings[f].name, name == "granuloma" ? name + " (" + category + ")" : name);
    EXPECT_EQ(words.findings[f].synonyms, std::vector<std::string>{name});
    EXPECT_EQ(name.find("unread"), std::string::npos);
    for (int region = 0; region < kRegions; ++region) {
      const json regions = shared_->oracle["can"].value(kRegionNames[region], json::array());
      const bool can = std::find(regions.begin(), regions.end(), keys[f]) != regions.end();
      EXPECT_EQ(words.can[region * keys.size() + f] != 0, can) << keys[f] << kRegionNames[region];
    }
  }
  EXPECT_EQ(words.image_labels, shared_->oracle["chexpert"].get<std::vector<std::string>>());
  EXPECT_EQ(words.parent[9], 8);  // left upper lung zone, left lung
  EXPECT_THAT(words.wordpieces, testing::Contains("pneumonia"));
}

TEST_F(ImagenomeTest, LabelsAreWhatIsSaidAndNothingElse) {
  const std::vector<std::string> keys = Findings();
  for (const json& image : Imported()) {
    const Record& record = shared_->records.at(image["image_id"]);
    ASSERT_EQ(record.region_labels.size(), kRegions * keys.size());
    for (int region = 0; region < kRegions; ++region) {
      const json labels = image["labels"].value(kRegionNames[region], json::object());
      for (std::size_t f = 0; f < keys.size(); ++f)
        EXPECT_EQ(record.region_labels[region * keys.size() + f], labels.value(keys[f], -1))
            << image["oddity"] << kRegionNames[region] << keys[f];
      EXPECT_EQ(record.region_abnormal[region], image["abnormal"].value(kRegionNames[region], -1));
    }
    EXPECT_EQ(std::vector<int>(record.image_labels.begin(), record.image_labels.end()),
              image["chexpert"].get<std::vector<int>>());
  }
}

TEST_F(ImagenomeTest, SentencesAreCleanAndSayWhatTheySay) {
  const std::vector<std::string> keys = Findings();
  for (const json& image : Imported()) {
    const Record& record = shared_->records.at(image["image_id"]);
    for (int region = 0; region < kRegions; ++region) {
      json found = json::array();
      for (const Sentence& sentence : record.sentences[region]) {
        std::string statement = "free";
        if (sentence.finding >= 0)
          statement = StrCat(keys.at(sentence.finding), "|", int{sentence.polarity});
        else if (sentence.finding == kNormalStatement)
          statement = sentence.polarity == 1 ? "abnormal|1" : "normal|0";
        found.push_back({sentence.text, statement});
      }
      EXPECT_EQ(found, image["sentences"].value(kRegionNames[region], json::array()))
          << image["oddity"];
    }
  }
}

TEST_F(ImagenomeTest, TheSurveyDoesNotDependOnItsThreads) {
  for (const int threads : {1, 3}) {
    ImagenomeOptions options = Options();
    options.threads = threads;
    const auto again = OpenImagenome(options);
    EXPECT_EQ(again->identity().input, shared_->importer->identity().input);
    EXPECT_EQ(again->vocabulary().wordpieces, shared_->importer->vocabulary().wordpieces);
  }
}

TEST_F(ImagenomeTest, SplitsOfMimicAndLabelsOfTheFindings) {
  ImagenomeOptions options = Options();
  options.splits = SplitSource::kMimic;
  options.labels = ImageLabels::kFindings;
  options.test = TestImages::kGold;
  ImportOptions import;
  import.out = shared_->dir.path() + "/mimic";
  import.size = kSide;
  const ImportReport report = Import(*OpenImagenome(options), import);
  EXPECT_EQ(report.leaking_patients, 0);
  const std::size_t findings = Findings().size();
  std::map<std::string, std::string> gold;
  for (const json& image : Imported())
    if (image["split"] == "test") gold[image["image_id"]] = image["oddity"];
  int tests = 0;
  for (const auto& [id, record] : ReadAll(import.out)) {
    if (record.split == Split::kTest) {
      ++tests;
      EXPECT_EQ(gold.at(id), "");  // gold images have no oddity
    }
    ASSERT_EQ(record.image_labels.size(), findings);
    for (std::size_t f = 0; f < findings; ++f) {
      int label = -1;
      for (int region = 0; region < kRegions; ++region)
        label = std::max<int>(label, record.region_labels[region * findings + f]);
      EXPECT_EQ(record.image_labels[f], label);
    }
  }
  EXPECT_GT(tests, 10);
}

TEST_F(ImagenomeTest, WithoutListsOfItsOwnMimicsSplitsCount) {
  const std::string in = shared_->dir.path() + "/in", bare = shared_->dir.path() + "/bare";
  MakeDirs(bare + "/silver_dataset");
  std::filesystem::create_directory_symlink(
      in + "/chest-imagenome/1.0.0/silver_dataset/scene_graph",
      bare + "/silver_dataset/scene_graph");
  ImagenomeOptions options = Options();
  options.in = in + "/mimic-cxr-jpg";
  options.reports = in + "/mimic-cxr-reports";
  options.imagenome = bare;
  options.labels = ImageLabels::kFindings;
  ImportOptions import;
  import.out = shared_->dir.path() + "/mimic-only";
  import.size = kSide;
  import.dry_run = true;
  const ImportReport report = Import(*OpenImagenome(options), import);
  EXPECT_GT(report.splits[0], report.splits[1]);
  EXPECT_GT(report.splits[1], 0);
  EXPECT_GT(report.splits[2], 0);
  EXPECT_EQ(report.leaking_patients, 0);
}

TEST_F(ImagenomeTest, PartsInSeparatePlaces) {
  const std::string in = shared_->dir.path() + "/in";
  ImagenomeOptions options = Options();
  options.in = in + "/mimic-cxr-jpg";
  options.imagenome = in + "/chest-imagenome";
  options.reports = in + "/mimic-cxr-reports";
  const auto apart = OpenImagenome(options);
  EXPECT_EQ(apart->size(), shared_->importer->size());
  EXPECT_EQ(apart->identity().input, shared_->importer->identity().input);
}

TEST_F(ImagenomeTest, SaysWhatIsMissing) {
  const auto refusal = [](const ImagenomeOptions& options) -> std::string {
    try {
      OpenImagenome(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInputMissing);
      return error.what();
    }
    return "";
  };
  const std::string in = shared_->dir.path() + "/in";
  ImagenomeOptions options = Options();
  options.in = in + "/chest-imagenome";
  EXPECT_THAT(refusal(options), HasSubstr("--images"));
  options.in = in + "/mimic-cxr-jpg";
  EXPECT_THAT(refusal(options), HasSubstr("--imagenome"));
  options.in = in + "/nowhere";
  EXPECT_THAT(refusal(options), HasSubstr("nowhere"));
  options = Options();
  options.labels = ImageLabels::kNegbio;
  EXPECT_THAT(refusal(options), HasSubstr("negbio"));
}

}  // namespace
}  // namespace vesalius::data
