// DICOM: the files of other writers as their oracle says or refused with a reason; window, rescale,
// inversion and depth on files made here; the importer.
#include "data/import/import_dicom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/hash.h"
#include "base/sha256.h"
#include "data/dataset.h"
#include "data/images/dicom.h"
#include "tests/util/message_of.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

void Put16(std::string& out, unsigned value) {
  out += static_cast<char>(value & 255);
  out += static_cast<char>(value >> 8 & 255);
}

// A file in Explicit VR Little Endian, element by element in ascending order.
class DicomWriter {
 public:
  DicomWriter() : bytes_(std::string(128, '\0') + "DICM") {
    std::string meta;
    Append(meta, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
    std::string size;
    Put16(size, static_cast<unsigned>(meta.size()));
    Put16(size, 0);
    Append(bytes_, 2, 0, "UL", size);
    bytes_ += meta;
  }
  DicomWriter& Text(unsigned group, unsigned element, const char* vr, const std::string& text) {
    Append(bytes_, group, element, vr, text);
    return *this;
  }
  DicomWriter& Short(unsigned group, unsigned element, unsigned value) {
    std::string bytes;
    Put16(bytes, value);
    Append(bytes_, group, element, "US", bytes);
    return *this;
  }
  void Write(const std::string& path, const std::string& pixels) {
    Append(bytes_, 0x7fe0, 0x10, "OW", pixels);
    OutputFile file(path);
    file.Write(bytes_);
    file.Close();
  }

 private:
  static void Append(std::string& out, unsigned group, unsigned element, const std::string& vr,
                     std::string value) {
    if (value.size() % 2 != 0) value += vr == "UI" ? '\0' : ' ';
    Put16(out, group);
    Put16(out, element);
    out += vr;
    if (vr == "OW") {
      Put16(out, 0);
      Put16(out, static_cast<unsigned>(value.size()));
      Put16(out, static_cast<unsigned>(value.size() >> 16));
    } else {
      Put16(out, static_cast<unsigned>(value.size()));
    }
    out += value;
  }
  std::string bytes_;
};

struct Film {
  std::string uid = "1.2.3.1", study = "1.2.3", patient = "MRN 4711";
  std::string photometric = "MONOCHROME2", center, width, slope, intercept;
  int bits = 16, stored = 12;
  bool is_signed = false;
};

// 2 x 2 pixels.
void WriteFilm(const std::string& path, const Film& film, const std::vector<int>& pixels) {
  std::string bytes;
  for (const int pixel : pixels)
    film.bits == 8 ? static_cast<void>(bytes += static_cast<char>(pixel))
                   : Put16(bytes, static_cast<unsigned>(pixel) & 0xffffU);
  DicomWriter out;
  out.Text(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.1.1").Text(8, 0x18, "UI", film.uid);
  out.Text(8, 0x60, "CS", "DX")
      .Text(0x10, 0x10, "PN", "DOE^JANE")
      .Text(0x10, 0x20, "LO", film.patient);
  out.Text(0x18, 0x5101, "CS", "PA").Text(0x20, 0xd, "UI", film.study);
  out.Short(0x28, 2, 1)
      .Text(0x28, 4, "CS", film.photometric)
      .Short(0x28, 0x10, 2)
      .Short(0x28, 0x11, 2);
  out.Short(0x28, 0x100, static_cast<unsigned>(film.bits))
      .Short(0x28, 0x101, static_cast<unsigned>(film.stored))
      .Short(0x28, 0x102, static_cast<unsigned>(film.stored - 1))
      .Short(0x28, 0x103, film.is_signed ? 1 : 0);
  if (!film.center.empty())
    out.Text(0x28, 0x1050, "DS", film.center).Text(0x28, 0x1051, "DS", film.width);
  if (!film.slope.empty())
    out.Text(0x28, 0x1052, "DS", film.intercept).Text(0x28, 0x1053, "DS", film.slope);
  out.Write(path, bytes);
}

TEST(Dicom, FilesOfOtherWritersAsTheirOracleSays) {
  VESALIUS_NEEDS_SHARED("data/dicom");
  const std::string folder = SharedData("data/dicom");
  const auto oracle = nlohmann::json::parse(ReadFile(folder + "/oracle.json"));
  int read = 0, refused = 0;
  for (const auto& [name, want] : oracle.items()) {
    SCOPED_TRACE(name);
    const std::string path = folder + "/" + name;
    if (!want.contains("shape")) {
      EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { ReadDicom(path); }), HasSubstr(name));
      ++refused;
      continue;
    }
    const Dicom dicom = ReadDicom(path);
    const DicomPixels& pixels = dicom.pixels;
    EXPECT_EQ(pixels.height, want["shape"][0]);
    EXPECT_EQ(pixels.width, want["shape"][1]);
    EXPECT_EQ(pixels.channels, want["shape"].size() == 3 ? want["shape"][2].get<int>() : 1);
    EXPECT_EQ(Sha256Hex(std::string(pixels.bytes.begin(), pixels.bytes.end())),
              want["sha256_le_pixels"]);
    EXPECT_EQ(dicom.modality, want.value("Modality", ""));
    const Image image = ToImage(pixels);
    EXPECT_EQ(image.u8.size() + image.u16.size(),
              static_cast<std::size_t>(pixels.width) * pixels.height * pixels.channels);
    ++read;
  }
  EXPECT_EQ(read, 16);
  EXPECT_EQ(refused, 7);
}

TEST(Dicom, WindowRescaleInversionAndDepth) {
  const TempDir dir;
  const std::string path = dir.path() + "/a.dcm";
  const auto image = [&](const Film& film, const std::vector<int>& pixels) {
    WriteFilm(path, film, pixels);
    return ToImage(ReadDicom(path).pixels);
  };
  const auto shares = [](const Image& image) {
    std::vector<double> out;
    for (const auto value : image.u16) out.push_back(value / 65535.0);
    return out;
  };
  const auto near = [](double a, double b, double c, double d) {
    return testing::Pointwise(testing::DoubleNear(1e-5), std::vector<double>{a, b, c, d});
  };
  // The whole of 12 bits.
  EXPECT_THAT(shares(image({}, {0, 4095, 2047, 1})), near(0, 1, 2047 / 4095.0, 1 / 4095.0));
  Film film;
  film.photometric = "MONOCHROME1";
  EXPECT_THAT(shares(image(film, {0, 4095, 2047, 1})),
              near(1, 0, 1 - 2047 / 4095.0, 1 - 1 / 4095.0));
  // PS3.3 C.11.2.1.2.1 with c = 2048, w = 4096: x <= 0 is black, x >= 4095 white; several windows:
  // the first.
  film = {};
  film.center = "1000\\40";
  film.width = "101\\400";
  EXPECT_THAT(shares(image(film, {900, 1100, 999, 1024})),
              near(0, 1, (999 - 949.5) / 100, (1024 - 949.5) / 100));
  // Hounsfield units: stored 0 is -1024.
  film.center = "40";
  film.width = "401";
  film.slope = "1";
  film.intercept = "-1024";
  EXPECT_THAT(shares(image(film, {0, 4000, 1064, 1164})),
              near(0, 1, (40 - -160.5) / 400, (140 - -160.5) / 400));
  film = {};
  film.is_signed = true;
  film.bits = film.stored = 16;
  EXPECT_THAT(shares(image(film, {-32768, 32767, 0, -1})),
              near(0, 1, 32768 / 65535.0, 32767 / 65535.0));
  film = {};
  film.bits = film.stored = 8;
  EXPECT_THAT(image(film, {0, 255, 7, 128}).u8, testing::ElementsAre(0, 255, 7, 128));
  film.photometric = "MONOCHROME1";
  EXPECT_THAT(image(film, {0, 255, 7, 128}).u8, testing::ElementsAre(255, 0, 248, 127));
}

TEST(Dicom, DamageIsRefused) {
  const TempDir dir;
  const std::string path = dir.path() + "/a.dcm";
  WriteFilm(path, {}, {1, 2, 3, 4});
  const std::string whole = ReadFile(path);
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    WriteFileAtomic(path, whole.substr(0, size));
    try {
      const Image image = ToImage(ReadDicom(path).pixels);
      EXPECT_EQ(image.u16.size(), 4u) << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInvalidData);
    }
  }
  std::string huge = whole;  // rows and columns of 65535
  const std::size_t rows = huge.find(std::string("\x28\0\x10\0US", 6));
  ASSERT_NE(rows, std::string::npos);
  for (const std::size_t at : {rows + 8, rows + 18}) huge.replace(at, 2, "\xff\xff");
  WriteFileAtomic(path, huge);
  EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { ReadDicom(path); }), HasSubstr(path));
}

TEST(ImportDicom, ReportsByAnyNameAndNothingPrivate) {
  const TempDir dir;
  const std::string in = dir.path() + "/in", out = dir.path() + "/out";
  MakeDirs(in + "/deep");
  for (int i = 0; i < 6; ++i) {
    Film film;
    film.uid = StrCat("1.2.3.", i);
    film.study = StrCat("9.8.", i);
    film.patient = StrCat("MRN ", 100 + i / 2);
    WriteFilm(StrCat(in, i < 3 ? "/" : "/deep/", "film", i, ".dcm"), film, {0, 1000, 2000, 4095});
  }
  WriteFileAtomic(in + "/notes.txt", "no film");
  WriteFileAtomic(in + "/broken.dcm", "no film either");
  WriteFileAtomic(dir.path() + "/reports.csv",
                  "image,study,report\n1.2.3.0,,no effusion\nfilm1,,small effusion\n"
                  "deep/film3.dcm,,clear lungs\n,9.8.4,big heart\n,9.8.5,\n");
  DicomOptions options;
  options.in = in;
  options.size = 16;
  options.reports = dir.path() + "/reports.csv";
  const ImportReport report = Import(*OpenDicom(options), {.out = out, .size = 16, .progress = {}});
  EXPECT_EQ(report.read, 7);
  EXPECT_EQ(report.written, 4);
  EXPECT_EQ(report.by_kind().at("text empty"), 2);
  EXPECT_EQ(report.by_kind().at("not a film"), 1);
  EXPECT_EQ(report.leaking_patients, 0);
  std::set<std::string> texts;
  for (const Split split : {Split::kTrain, Split::kTest}) {
    const auto dataset = OpenDataset(out, split);
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      const Record record = dataset->Get(i);
      texts.insert(record.report);
      EXPECT_EQ(record.view, View::kPa);
      EXPECT_EQ(record.image.u16.size(), 256u);
    }
  }
  EXPECT_THAT(texts,
              testing::ElementsAre("big heart", "clear lungs", "no effusion", "small effusion"));
  for (const std::string& name : ListDir(out)) {
    const std::string bytes = ReadFile(out + "/" + name);
    for (const char* word : {"DOE", "MRN", "1.2.3.", "9.8."})
      EXPECT_EQ(bytes.find(word), std::string::npos) << word << " in " << name;
  }
}

}  // namespace
}  // namespace vesalius::data
