// Files that other programs wrote: every data set reads as another reader says, or is refused with
// a reason; and the places that the recorder hears are those that the library tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "data/hdf5/array_file.h"
#include "data/hdf5/survey.h"
#include "tests/util/sha256.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

std::string HexOf(const std::string& bytes) {
  std::string hex;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    hex += digits;
  }
  return hex;
}

void ExpectAsOracle(const ArrayFile& file, const std::string& name, const json& want) {
  const Hdf5Array* array = file.Find(name);
  ASSERT_NE(array, nullptr);
  if (want["shape"].is_null()) {
    EXPECT_TRUE(array->null);
  } else {
    EXPECT_EQ(json(array->shape), want["shape"]);
  }
  if (!want["chunks"].is_null()) {
    EXPECT_EQ(json(array->chunk), want["chunks"]);
  }
  if (want.contains("sha256_le_c")) {
    const std::vector<unsigned char> values = file.ReadAll(*array);
    EXPECT_EQ(Sha256Hex(std::string(values.begin(), values.end())), want["sha256_le_c"]);
    EXPECT_TRUE(array->direct()) << array->indirect;
  }
  if (want.contains("first_strings_hex")) {
    const std::vector<std::string> texts = file.ReadStrings(*array);
    ASSERT_EQ(texts.size(), want["n"]);
    const json& first = want["first_strings_hex"];
    for (std::size_t i = 0; i < first.size(); ++i) {
      const auto hex = first[i].get<std::string>();  // of at most the first 60 bytes
      EXPECT_EQ(HexOf(texts[i]).substr(0, hex.size()), hex);
    }
  }
}

TEST(Hdf5Files, ReadAsTheirOracleSays) {
  VESALIUS_NEEDS_SHARED("data/hdf5");
  const std::string folder = SharedData("data/hdf5");
  // Its writer put infinities into it, which are no JSON.
  const json oracle = json::parse(
      Replace(Replace(ReadFile(folder + "/oracle.json"), "-Infinity", "-1"), "Infinity", "1"));
  int datasets = 0, hashed = 0;
  for (const auto& [path, wanted] : oracle.items()) {
    const ArrayFile file(folder + "/" + path);
    for (const auto& [name, want] : wanted.items()) {
      SCOPED_TRACE(path + " " + name);
      if (name == "@root_attrs") {
        for (const auto& [key, value] : want.items()) EXPECT_EQ(file.attributes().at(key), value);
        continue;
      }
      ExpectAsOracle(file, name, want);
      ++datasets;
      hashed += want.contains("sha256_le_c");
    }
  }
  EXPECT_GT(datasets, 90);
  EXPECT_GT(hashed, 60);
}

// What cannot be read says why, and says it in place of values.
TEST(Hdf5Files, RefusalsHaveReasons) {
  VESALIUS_NEEDS_SHARED("data/hdf5");
  const ArrayFile file(SharedData("data/hdf5") + "/jhdf/test_multidimensional_array.hdf5");
  const Hdf5Array& array = *file.Find("/GROUP1/GROUP2/DATASET2");
  EXPECT_FALSE(array.direct());
  EXPECT_THAT(array.indirect, testing::HasSubstr("myUnitSymbol: string"));
  try {
    file.ReadAll(array);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInvalidData);
    EXPECT_THAT(error.what(), testing::HasSubstr("myUnitSymbol: string"));
  }
}

struct Shape {
  const char* name;
  std::vector<hsize_t> dims, most, chunk;
  bool filtered, early;
};

// One data set for each kind of chunk table: single chunk, implicit, fixed array, extensible array,
// B-trees of version 1 and 2.
TEST(Hdf5Files, PlacesOfChunksAreThoseTheLibraryTells) {
  const hsize_t free = H5S_UNLIMITED;
  const std::vector<Shape> shapes = {{"single", {30, 20}, {30, 20}, {30, 20}, true, false},
                                     {"implicit", {31, 20}, {31, 20}, {4, 7}, false, true},
                                     {"fixed", {31, 20}, {31, 20}, {4, 7}, true, false},
                                     {"paged", {3000, 2}, {3000, 2}, {1, 2}, true, false},
                                     {"extensible", {301, 20}, {free, 20}, {2, 7}, true, false},
                                     {"tree", {31, 20}, {free, free}, {4, 7}, true, false},
                                     {"tree_plain", {31, 20}, {free, free}, {4, 7}, false, false}};
  const TempDir dir;
  for (const bool latest : {false, true}) {
    const std::string path = StrCat(dir.path(), "/", latest, ".h5");
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (latest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
    for (const Shape& shape : shapes) {
      const hid_t space = H5Screate_simple(2, shape.dims.data(), shape.most.data());
      const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
      H5Pset_chunk(creation, 2, shape.chunk.data());
      if (shape.filtered) H5Pset_deflate(creation, 3);
      if (shape.early) H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
      const hid_t dataset =
          H5Dcreate2(file, shape.name, H5T_STD_I32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
      std::vector<int> values(shape.dims[0] * shape.dims[1]);
      std::iota(values.begin(), values.end(), 0);
      // All but the last row of chunks.
      const hsize_t zero[2] = {0, 0}, part[2] = {shape.dims[0] - 1, shape.dims[1]};
      const hid_t memory = H5Screate_simple(2, part, nullptr);
      H5Sselect_hyperslab(space, H5S_SELECT_SET, zero, nullptr, part, nullptr);
      ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_INT, memory, space, H5P_DEFAULT, values.data()), 0);
      H5Sclose(memory), H5Dclose(dataset), H5Pclose(creation), H5Sclose(space);
    }
    H5Fclose(file);
    H5Pclose(access);
    const Hdf5Contents contents = SurveyHdf5(path);
    const hid_t again = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    for (const Hdf5Array& array : contents.arrays) {
      SCOPED_TRACE(StrCat(path, array.path));
      const hid_t dataset = H5Dopen2(again, array.path.c_str(), H5P_DEFAULT);
      const hid_t space = H5Dget_space(dataset);
      hsize_t count = 0, stored = 0;
      ASSERT_GE(H5Dget_num_chunks(dataset, space, &count), 0);
      for (const ChunkPlace& chunk : array.chunks) stored += chunk.offset != ChunkPlace::kNowhere;
      EXPECT_EQ(stored, count);
      const std::vector<std::uint64_t> grid = ChunkGrid(array);
      for (hsize_t i = 0; i < count; i += 1 + count / 200) {
        hsize_t at[2], bytes;
        haddr_t offset;
        unsigned mask;
        ASSERT_GE(H5Dget_chunk_info(dataset, space, i, at, &mask, &offset, &bytes), 0);
        const ChunkPlace& chunk =
            array.chunks[at[0] / array.chunk[0] * grid[1] + at[1] / array.chunk[1]];
        EXPECT_EQ(chunk.offset, offset);
        EXPECT_EQ(chunk.bytes, bytes);
        EXPECT_EQ(chunk.skipped, mask);
      }
      H5Sclose(space), H5Dclose(dataset);
    }
    H5Fclose(again);
  }
}

}  // namespace
}  // namespace vesalius::data
