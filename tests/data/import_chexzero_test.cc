// CheXzero's files, made here with the HDF5 library.
#include "data/import/import_chexzero.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include "base/file.h"
#include "data/dataset.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

// [n, 8, 8] float32: image i is all i + 10, but for the ones below.
void WriteImages(const std::string& path, hsize_t n) {
  std::vector<float> pixels(n * 64);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i / 64 + 10);
  for (std::size_t i = 64; i < 128; ++i) pixels[i] = static_cast<float>(i - 64) / 64;  // shares
  pixels[3 * 64] = -1;
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t dims[3] = {n, 8, 8};
  const hid_t space = H5Screate_simple(3, dims, nullptr);
  const hid_t set =
      H5Dcreate2(file, "cxr", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_GE(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, pixels.data()), 0);
  H5Dclose(set);
  H5Sclose(space);
  H5Fclose(file);
}

TEST(CheXzero, RowsAndImagesMeet) {
  const TempDir dir;
  WriteImages(dir.path() + "/cxr.h5", 6);
  OutputFile table(dir.path() + "/mimic_impressions.csv");
  table.Write(",filename,impression\n");
  for (int i = 0; i < 5; ++i)
    table.Write(StrCat(i, ",files/p10/p1000003", i / 2, "/s5041426", i, "/x", i, ".jpg,",
                       i == 2 ? "" : "\"Clear, and small.\"", "\n"));
  table.Close();
  CheXzeroOptions options;
  options.in = dir.path();
  options.size = 16;
  options.test_share = 0;
  const auto importer = OpenCheXzero(options);
  ImportOptions import;
  import.out = dir.path() + "/out";
  import.size = 16;
  const ImportReport report = Import(*importer, import);
  EXPECT_EQ(report.read, 6);
  EXPECT_EQ(report.written, 3);
  EXPECT_EQ(report.patients, 2);
  const auto kinds = report.by_kind();
  EXPECT_EQ(kinds.at("text empty"), 1);
  EXPECT_EQ(kinds.at("pixels out of range"), 1);
  EXPECT_EQ(kinds.at("no report"), 1);
  const auto dataset = OpenDataset(import.out, Split::kTrain);
  ASSERT_EQ(dataset->size(), 3);
  const Record first = dataset->Get(0), second = dataset->Get(1), last = dataset->Get(2);
  EXPECT_EQ(first.image.u8[0], 10);
  EXPECT_EQ(first.patient_id, "p10000030");
  EXPECT_EQ(first.study_id, "s50414260");
  EXPECT_TRUE(second.image.deep());
  EXPECT_EQ(last.image.u8[100], 14);
  EXPECT_EQ(last.report, "Clear, and small.");

  options.text_column = "report";
  EXPECT_THROW(OpenCheXzero(options), Error);
  options.text_column = "";
  options.in += "/mimic_impressions.csv";
  EXPECT_THROW(OpenCheXzero(options), Error);
}

}  // namespace
}  // namespace vesalius::data
