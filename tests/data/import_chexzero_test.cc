// CheXzero's layout: the real file as it stands, and small ones made here.
#include "data/import/import_chexzero.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <set>

#include "base/file.h"
#include "data/dataset.h"
#include "tests/util/message_of.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

// `cxr` with images of side 4 whose pixels are all the image's number times `step`.
void WriteImages(const std::string& path, hsize_t images, float step, hid_t type) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t dims[] = {images, 4, 4};
  const hid_t space = H5Screate_simple(3, dims, nullptr);
  const hid_t dataset = H5Dcreate2(file, "cxr", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  std::vector<float> values;
  for (hsize_t i = 0; i < images; ++i)
    for (int k = 0; k < 16; ++k)
      values.push_back(static_cast<float>(i) * step + (k == 0 ? step : 0));
  EXPECT_GE(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Fclose(file);
}

struct Fixture {
  TempDir dir;
  ChexzeroOptions options;
  Fixture() {
    MakeDirs(dir.path() + "/in");
    options.in = dir.path() + "/in";
    options.size = 16;
    options.test_share = 0.3;
  }
  void Table(const std::string& text) const {
    WriteFileAtomic(options.in + "/impressions.csv", text);
  }
  ImportReport Run() const {
    return Import(*OpenChexzero(options), {.out = dir.path() + "/out", .size = 16, .progress = {}});
  }
  std::vector<Record> Records() const {
    std::vector<Record> records;
    for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
      const auto dataset = OpenDataset(dir.path() + "/out", split);
      for (std::int64_t i = 0; i < dataset->size(); ++i) records.push_back(dataset->Get(i));
    }
    return records;
  }
};

TEST(ImportChexzero, PatientsAndStudiesOfMimicPaths) {
  const Fixture f;
  WriteImages(f.options.in + "/cxr.h5", 4, 20, H5T_IEEE_F32LE);
  f.Table(
      "filename,impression\nfiles/p10/p10000032/s50414267/a.jpg,clear\n"
      "files/p10/p10000032/s50414268/b.jpg,small effusion\nfiles/p11/p11000000/s50000000/c.jpg,\n"
      "d.jpg,big heart\n");
  const ImportReport report = f.Run();
  EXPECT_EQ(report.written, 3);
  EXPECT_EQ(report.by_kind().at("text empty"), 1);
  std::set<std::string> patients, studies;
  for (const Record& record : f.Records()) {
    patients.insert(record.patient_id);
    studies.insert(record.study_id);
    ASSERT_EQ(record.image.u8.size(), 256u);
    const int number = record.image_id.ends_with("a.jpg")   ? 0
                       : record.image_id.ends_with("b.jpg") ? 1
                                                            : 3;
    EXPECT_EQ(record.image.u8[0], number * 20 + 20) << record.image_id;
    EXPECT_EQ(record.image.u8[255], number * 20) << record.image_id;
    EXPECT_EQ(record.geometry.original_width, 4);
  }
  EXPECT_THAT(patients, testing::ElementsAre("d.jpg", "p10000032"));
  EXPECT_THAT(studies, testing::ElementsAre("d.jpg", "s50414267", "s50414268"));
}

TEST(ImportChexzero, ValuesBeyondBytesBecomeSixteenBits) {
  const Fixture f;
  WriteImages(f.options.in + "/cxr.h5", 3, 1000, H5T_STD_I16BE);
  f.Table("filename,impression\na,one\nb,two\nc,three\n");
  EXPECT_EQ(f.Run().written, 3);
  for (const Record& record : f.Records()) {
    ASSERT_EQ(record.image.u16.size(), 256u);
    EXPECT_EQ(record.image.u16[0], 65535);
    EXPECT_EQ(record.image.u16[255], 0);
  }
}

TEST(ImportChexzero, WhatDoesNotFitIsRefused) {
  const Fixture f;
  const auto refused = [&](const char* word) {
    EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { OpenChexzero(f.options); }),
                HasSubstr(word));
  };
  refused("0 files that end in .h5");
  WriteImages(f.options.in + "/cxr.h5", 3, 20, H5T_IEEE_F32LE);
  refused("0 files that end in .csv");
  f.Table("filename,impression\na,one\nb,two\n");
  refused("2 rows for the 3 images");
  f.Table("filename,note\na,one\nb,two\nc,three\n");
  refused("no column 'impression'");
}

TEST(ImportChexzero, AFileOfAnotherWriter) {
  VESALIUS_NEEDS_SHARED("data/hdf5/chexzero_layout");
  Fixture f;
  f.options.in = SharedData("data/hdf5/chexzero_layout");
  const ImportReport report = f.Run();
  EXPECT_EQ(report.read, 8);
  EXPECT_EQ(report.written, 7);
  for (const Record& record : f.Records()) EXPECT_EQ(record.geometry.original_width, 320);
}

}  // namespace
}  // namespace vesalius::data
