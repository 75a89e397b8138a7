// DICOM films: files of other writers against what another reader read, and films made here byte by
// byte for windows, inverted films, padding and the privacy of what is in their headers.
#include "data/import/import_dicom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/dataset.h"
#include "data/import/dicom_file.h"
#include "tests/util/sha256.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

// Explicit VR, little-endian; elements in ascending order of their tags.
struct Dicom {
  std::string bytes = std::string(128, '\0') + "DICM";
  static std::string Word(unsigned value) {
    return {static_cast<char>(value & 255), static_cast<char>(value >> 8 & 255)};
  }
  void Element(unsigned group, unsigned element, const std::string& vr, std::string value) {
    if (value.size() % 2) value += vr == "UI" || vr == "OB" ? '\0' : ' ';
    bytes += Word(group) + Word(element) + vr;
    if (vr == "OW" || vr == "OB")
      bytes += Word(0) + Word(unsigned(value.size())) + Word(unsigned(value.size()) >> 16);
    else
      bytes += Word(unsigned(value.size()));
    bytes += value;
  }
};

struct FilmSpec {
  std::string patient_name = "Doe^Jane", patient = "MRN-4711", study = "1.2.3",
              kind = "MONOCHROME2";
  std::string centre, width, slope, intercept, instance = "1.2.3.4";
  int bits = 12, padding = -1;
  bool is_signed = false;
  std::vector<int> values = {0, 1000, 2000, 4095};  // 2 x 2
};

std::string MakeFilm(const FilmSpec& spec) {
  Dicom file;
  Dicom meta;
  meta.bytes.clear();
  meta.Element(2, 2, "UI", "1.2.840.10008.5.1.4.1.1.1");
  meta.Element(2, 3, "UI", spec.instance);
  meta.Element(2, 0x10, "UI", "1.2.840.10008.1.2.1");
  file.Element(2, 0, "UL", Dicom::Word(unsigned(meta.bytes.size())) + Dicom::Word(0));
  file.bytes += meta.bytes;
  file.Element(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.1");
  file.Element(8, 0x18, "UI", spec.instance);
  file.Element(8, 0x60, "CS", "DX");
  file.Element(0x10, 0x10, "PN", spec.patient_name);
  file.Element(0x10, 0x20, "LO", spec.patient);
  file.Element(0x18, 0x15, "CS", "CHEST");
  file.Element(0x18, 0x5101, "CS", "AP");
  file.Element(0x20, 0x0d, "UI", spec.study);
  file.Element(0x28, 2, "US", Dicom::Word(1));
  file.Element(0x28, 4, "CS", spec.kind);
  file.Element(0x28, 0x10, "US", Dicom::Word(2));
  file.Element(0x28, 0x11, "US", Dicom::Word(2));
  file.Element(0x28, 0x100, "US", Dicom::Word(spec.bits > 8 ? 16 : 8));
  file.Element(0x28, 0x101, "US", Dicom::Word(unsigned(spec.bits)));
  file.Element(0x28, 0x102, "US", Dicom::Word(unsigned(spec.bits - 1)));
  file.Element(0x28, 0x103, "US", Dicom::Word(spec.is_signed));
  if (spec.padding >= 0) file.Element(0x28, 0x120, "US", Dicom::Word(unsigned(spec.padding)));
  if (!spec.centre.empty()) file.Element(0x28, 0x1050, "DS", spec.centre);
  if (!spec.width.empty()) file.Element(0x28, 0x1051, "DS", spec.width);
  if (!spec.intercept.empty()) file.Element(0x28, 0x1052, "DS", spec.intercept);
  if (!spec.slope.empty()) file.Element(0x28, 0x1053, "DS", spec.slope);
  std::string pixels;
  for (const int value : spec.values)
    pixels += spec.bits > 8 ? Dicom::Word(unsigned(value)) : std::string(1, char(value));
  file.Element(0x7fe0, 0x10, spec.bits > 8 ? "OW" : "OB", pixels);
  return file.bytes;
}

void Put(const std::string& path, const std::string& bytes) {
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
}

Image Rendered(const FilmSpec& spec) {
  const TempDir dir;
  Put(dir.path() + "/film.dcm", MakeFilm(spec));
  return Render(ReadDicomPixels(dir.path() + "/film.dcm"));
}

TEST(Dicom, FilesOfOtherWritersAsTheirOracleSays) {
  const std::string folder = SharedData("data/dicom");
  if (folder.empty()) GTEST_SKIP() << "the DICOM files are absent (tests/util/shared_data.h)";
  const auto oracle = nlohmann::json::parse(ReadFile(folder + "/oracle.json"));
  int read = 0, refused = 0;
  for (const auto& [name, expected] : oracle.items()) {
    const std::string path = folder + "/" + name;
    try {
      const DicomPixels pixels = ReadDicomPixels(path);
      ASSERT_TRUE(expected.contains("sha256_le_pixels")) << name << " should be refused";
      EXPECT_EQ(pixels.height, expected["shape"][0]) << name;
      EXPECT_EQ(pixels.width, expected["shape"][1]) << name;
      EXPECT_EQ(pixels.inverted, expected["PhotometricInterpretation"] == "MONOCHROME1") << name;
      EXPECT_EQ(Sha256Hex(pixels.values), expected["sha256_le_pixels"]) << name;
      ++read;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInvalidData) << name;
      EXPECT_FALSE(expected.contains("sha256_le_pixels")) << error.what();
      ++refused;
    }
  }
  EXPECT_EQ(read, 16);
  EXPECT_EQ(refused, 7);
}

// PS3.3 C.11.2.1.2.1: y = ((x - (c - 0.5)) / (w - 1) + 0.5) * range, clamped.
TEST(Dicom, WindowRescaleAndInversion) {
  FilmSpec spec;
  spec.centre = "1000\\40";
  spec.width = "2000\\100";
  spec.slope = "2";
  spec.intercept = "-1000";
  const Image image = Rendered(spec);
  ASSERT_EQ(image.u16.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const double x = spec.values[i] * 2.0 - 1000;
    const double y = ((x - 999.5) / 1999 + .5) * 65535;
    EXPECT_NEAR(image.u16[i], std::clamp(y, 0.0, 65535.0), 1) << i;
  }
  spec.kind = "MONOCHROME1";
  const Image inverted = Rendered(spec);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(inverted.u16[i], 65535 - image.u16[i], 1);
}

TEST(Dicom, WithoutAWindowTheValuesSpanTheRangeAndPaddingIsBlack) {
  FilmSpec spec;
  spec.values = {500, 1500, 2500, 4000};
  spec.padding = 4000;
  EXPECT_THAT(Rendered(spec).u16, testing::ElementsAre(0, 32768, 65535, 0));
  spec.kind = "MONOCHROME1";
  EXPECT_THAT(Rendered(spec).u16, testing::ElementsAre(65535, 32768, 0, 0));
  spec = {};
  spec.bits = 16;
  spec.is_signed = true;
  spec.values = {-1000, 0, 1000, 0};
  EXPECT_THAT(Rendered(spec).u16, testing::ElementsAre(0, 32768, 65535, 32768));
  spec = {};
  spec.bits = 8;
  spec.values = {3, 77, 200, 255};
  EXPECT_THAT(Rendered(spec).u8, testing::ElementsAre(3, 77, 200, 255));
}

struct Folder {
  TempDir dir;
  DicomOptions options;
  ImportOptions import;
  Folder() {
    options.in = dir.path() + "/in";
    options.size = import.size = 16;
    import.out = dir.path() + "/out";
    MakeDirs(options.in);
  }
};

TEST(Dicom, NothingPrivateIsCopied) {
  Folder folder;
  FilmSpec spec;
  Put(folder.options.in + "/a.dcm", MakeFilm(spec));
  spec.instance = "1.2.3.5";
  spec.values = {9, 8, 7, 6};
  Put(folder.options.in + "/b", MakeFilm(spec));  // told by its preamble
  spec.patient = "MRN-4712";
  spec.study = "1.2.9";
  Put(folder.options.in + "/c.dicom", MakeFilm(spec));
  Put(folder.options.in + "/d.dcm", MakeFilm(spec).substr(0, 300));
  Put(folder.options.in + "/notes.txt", "no film");
  const ImportReport report = Import(*OpenDicom(folder.options), folder.import);
  EXPECT_EQ(report.read, 4);
  EXPECT_EQ(report.written, 3);
  EXPECT_EQ(report.patients, 2);
  EXPECT_EQ(report.left_out(), 1);
  for (const std::string& name : ListDir(folder.import.out)) {
    const std::string bytes = ReadFile(folder.import.out + "/" + name);
    for (const char* secret : {"Doe", "Jane", "MRN", "4711", "1.2.3", "1.2.9"})
      EXPECT_EQ(bytes.find(secret), std::string::npos) << name << " has " << secret;
  }
  std::set<std::string> studies;
  for (const Split split : {Split::kTrain, Split::kTest}) {
    const auto dataset = OpenDataset(folder.import.out, split);
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      const Record record = dataset->Get(i);
      EXPECT_EQ(record.report, "dx chest ap");
      EXPECT_EQ(record.view, View::kAp);
      studies.insert(record.study_id);
    }
  }
  EXPECT_THAT(studies, testing::ElementsAre("study-000000", "study-000001"));
}

TEST(Dicom, ReportsByFileInstanceOrStudyAndBoxesOfATable) {
  Folder folder;
  FilmSpec spec;
  spec.values = {1, 2, 3, 4};
  for (int i = 0; i < 4; ++i) {
    spec.instance = StrCat("1.9.", i);
    spec.study = StrCat("2.9.", i);
    spec.patient = StrCat("p", i);
    Put(StrCat(folder.options.in, "/film", i, ".dcm"), MakeFilm(spec));
  }
  folder.options.reports = folder.dir.path() + "/reports.csv";
  Put(folder.options.reports,
      "image,study_id,report\nfilm0,,by stem\n1.9.1,,by instance\n,2.9.2,by study\n");
  folder.options.boxes = folder.dir.path() + "/boxes.csv";
  Put(folder.options.boxes,
      "image_id,class_name,x_min,y_min,x_max,y_max\nfilm0,Left Lung,1,0,2,2\nfilm1,spine,,,,\n");
  const ImportReport report = Import(*OpenDicom(folder.options), folder.import);
  EXPECT_EQ(report.written, 3);
  EXPECT_EQ(report.with_boxes, 1);
  EXPECT_EQ(report.by_kind().at("text empty"), 1);
}

}  // namespace
}  // namespace vesalius::data
