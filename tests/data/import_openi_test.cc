// Open-i: the archive of 3,955 reports as it stands, and folders with images and every oddity.
#include "data/import/import_openi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/dataset.h"
#include "data/import/openi_report.h"
#include "tests/data/image_fixtures.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void Put(const std::string& path, const std::string& bytes) {
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
}

std::string Report(const std::string& id, const std::string& findings, const std::string& mesh,
                   const std::vector<std::string>& images) {
  std::string xml =
      StrCat("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<eCitation><uId id=\"", id,
             "\"/><MedlineCitation><Abstract>\n<AbstractText Label=\"FINDINGS\">", findings,
             "</AbstractText><AbstractText Label=\"IMPRESSION\"/></Abstract>"
             "</MedlineCitation><MeSH><major>",
             mesh, "</major></MeSH>");
  for (const std::string& image : images)
    xml += StrCat("<parentImage id=\"", image, "\"><caption>PA</caption></parentImage>");
  return xml + "</eCitation>";
}

TEST(OpenI, ReadsAReport) {
  const OpenIReport report = ParseOpenIReport(
      "<eCitation><uId id='CXR9'/><AbstractText Label='IMPRESSION'> Clear &amp;\n  dry. "
      "</AbstractText><AbstractText Label='FINDINGS'>Heart <b>is</b> small.</AbstractText>"
      "<MeSH><major>Opacity/lung/base/left</major><major>Opacity/lung</major>"
      "<automatic>opacity</automatic></MeSH><parentImage id='x1'><caption>L</caption>"
      "</parentImage></eCitation>",
      "here");
  EXPECT_EQ(report.sections.at("impression"), "Clear & dry.");
  EXPECT_THAT(report.Concepts(), ElementsAre("opacity"));
  ASSERT_EQ(report.images.size(), 1u);
  EXPECT_EQ(report.images[0].caption, "L");
  for (const char* bad :
       {"", "no xml", "<eCitation>", "<eCitation/>", "<other><uId id='1'/></other>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><eCitation>&x;"})
    EXPECT_THROW(ParseOpenIReport(bad, "here"), Error) << bad;
}

TEST(OpenI, TheArchiveAsItStandsBecomesACorpus) {
  const std::string folder = SharedData("data/iu_reports");
  if (folder.empty()) GTEST_SKIP() << "the reports are absent (tests/util/shared_data.h)";
  const TempDir dir;
  OpenIOptions options;
  options.in = folder;
  const auto importer = OpenOpenI(options);
  EXPECT_FALSE(importer->has_images());
  EXPECT_EQ(importer->size(), 7470 + 104);  // images, and reports without one
  ImportOptions import;
  import.out = dir.path() + "/out";
  const ImportReport report = importer->ImportTexts(import);
  EXPECT_EQ(report.read, 3955);
  EXPECT_EQ(report.written + report.left_out(), 3955);
  EXPECT_EQ(report.by_kind().at("text empty"), report.left_out());
  const auto lines = vesalius::Split(ReadFile(import.out + "/reports.jsonl"), '\n');
  EXPECT_EQ(lines.size(), std::size_t(report.written) + 1);
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["id"], "CXR1");
  EXPECT_THAT(first["text"].get<std::string>(), HasSubstr("no pulmonary edema"));
  EXPECT_EQ(first["mesh"][0], "normal");
  EXPECT_EQ(first["images"], 2);
  EXPECT_GT(importer->vocabulary().image_labels.size(), 30u);
  EXPECT_THROW(importer->ImportTexts(import), Error);  // never overwritten
}

TEST(OpenI, ImagesReportsAndLabelsMeet) {
  const TempDir dir;
  const std::string in = dir.path() + "/in";
  MakeDirs(in + "/png/deeper");
  MakeDirs(in + "/xml");
  for (int i = 1; i <= 40; ++i) {
    const bool normal = i % 2 == 0;
    const std::string image = StrCat("CXR", i, "_IM-1");
    Put(StrCat(in, "/xml/", i, ".xml"),
        Report(StrCat("CXR", i), i == 3 ? "" : StrCat("Report ", i),
               normal ? "normal" : "Effusion/pleura", {image, StrCat("gone", i)}));
    Put(StrCat(in, "/png/deeper/", image, ".png"),
        i == 5 ? "no png" : GreyPng(20, 10, [&](int x, int) { return x + i; }));
  }
  Put(in + "/xml/41.xml", Report("CXR41", "No image", "normal", {}));
  Put(in + "/xml/42.xml", "<eCitation><uId");
  Put(in + "/xml/43.xml", Report("CXR1", "The same id", "normal", {}));
  OpenIOptions options;
  options.in = in;
  options.size = 16;
  options.boxes = dir.path() + "/boxes.csv";
  Put(options.boxes,
      "image,region,x,y,width,height\nCXR2_IM-1.png,spine,1,1,5,5\n"
      "CXR2_IM-1,spine,2,2,10,5\n");
  const auto importer = OpenOpenI(options);
  ASSERT_TRUE(importer->has_images());
  ImportOptions import;
  import.out = dir.path() + "/out";
  import.size = 16;
  import.workers = 2;
  const ImportReport report = Import(*importer, import);
  EXPECT_EQ(report.read, 80 + 1 + 2);
  EXPECT_EQ(report.written, 38);
  EXPECT_EQ(report.with_boxes, 1);
  const auto kinds = report.by_kind();
  EXPECT_EQ(kinds.at("image missing"), 39);
  EXPECT_EQ(kinds.at("text empty"), 2);
  EXPECT_EQ(kinds.at("file damaged"), 1);
  EXPECT_EQ(kinds.at("report without images"), 1);
  EXPECT_EQ(kinds.at("report unreadable"), 2);
  EXPECT_THAT(importer->vocabulary().image_labels, ElementsAre("effusion"));
  for (const Split split : {Split::kTrain, Split::kTest}) {
    const auto dataset = OpenDataset(import.out, split);
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      const Record record = dataset->Get(i);
      const bool normal = std::stoi(record.study_id.substr(3)) % 2 == 0;
      EXPECT_THAT(record.image_labels, ElementsAre(normal ? 0 : 1)) << record.study_id;
    }
  }
}

}  // namespace
}  // namespace vesalius::data
