// ArrayFile against the HDF5 library: layouts, types, filters, masks, fill values, boxes; the
// index; damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <lz4.h>
#include <sys/stat.h>
#include <zstd.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "data/hdf5/array_file.h"
#include "data/hdf5/index.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using Dims = std::vector<hsize_t>;

std::vector<std::uint16_t> Values(std::size_t n) {
  std::vector<std::uint16_t> values(n);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<std::uint16_t>(i / 7 + random() % 16);
  return values;
}

std::size_t Count(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), std::size_t{1}, std::multiplies<>());
}

// Writes `values` as `name` with what `set` does to the creation properties.
template <typename Set>
void Write(hid_t file, const char* name, hid_t type, const Dims& dims, const Set& set,
           const std::vector<std::uint16_t>& values) {
  const hid_t space = H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  set(creation);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0) << name;
  const herr_t written = values.empty() ? 0
                                        : H5Dwrite(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL,
                                                   H5P_DEFAULT, values.data());
  EXPECT_GE(written, 0) << name;
  H5Dclose(dataset);
  H5Pclose(creation);
  H5Sclose(space);
}

void Chunk(hid_t creation, const Dims& chunk) {
  H5Pset_chunk(creation, static_cast<int>(chunk.size()), chunk.data());
}

class Hdf5Test : public testing::Test {
 protected:
  std::string Path(const char* name) const { return folder_.path() + "/" + name; }
  hid_t Create(const char* name, hid_t access = H5P_DEFAULT, hid_t creation = H5P_DEFAULT) {
    return H5Fcreate(Path(name).c_str(), H5F_ACC_TRUNC, creation, access);
  }
  TempDir folder_;
};

// Boxes of all sizes, among them ones that cross chunks and the ragged edge.
void ExpectBoxes(const ArrayFile& file, const std::string& name,
                 const std::vector<std::uint16_t>& values) {
  SCOPED_TRACE(name);
  const Hdf5Array* array = file.Find("/" + name);
  ASSERT_NE(array, nullptr);
  const auto& shape = array->shape;
  std::mt19937 random(2);
  for (int trial = 0; trial < 40; ++trial) {
    std::vector<std::uint64_t> start(shape.size()), count(shape.size());
    std::uint64_t n = 1;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      start[d] = trial == 0 ? 0 : random() % shape[d];
      count[d] = trial == 0 ? shape[d] : 1 + random() % (shape[d] - start[d]);
      n *= count[d];
    }
    std::vector<std::uint16_t> box(n);
    const Prefetched ahead(file.file(), file.Places(*array, start, count));
    file.Read(*array, start, count, box.data(), trial % 2 == 0 ? nullptr : &ahead);
    std::vector<std::uint64_t> at = start;
    for (std::uint64_t i = 0; i < n; ++i) {
      std::uint64_t flat = 0, rest = i;
      for (std::size_t d = shape.size(); d-- > 0; rest /= count[d])
        at[d] = start[d] + rest % count[d];
      for (std::size_t d = 0; d < shape.size(); ++d) flat = flat * shape[d] + at[d];
      ASSERT_EQ(box[i], values[flat]) << "trial " << trial << ", element " << i;
    }
  }
}

TEST_F(Hdf5Test, LayoutsAndFilters) {
  const Dims dims{5, 37, 41};
  const auto values = Values(Count(dims));
  const hid_t file = Create("a.h5");
  const auto put = [&](const char* name, const auto& set) {
    Write(file, name, H5T_STD_U16LE, dims, set, values);
  };
  put("contiguous", [](hid_t) {});
  put("chunked", [](hid_t p) { Chunk(p, {1, 16, 16}); });
  put("gzip", [](hid_t p) { Chunk(p, {1, 37, 41}), H5Pset_deflate(p, 4); });
  put("shuffled", [](hid_t p) { Chunk(p, {2, 16, 41}), H5Pset_shuffle(p), H5Pset_deflate(p, 1); });
  put("checked", [](hid_t p) {
    Chunk(p, {1, 16, 16}), H5Pset_shuffle(p), H5Pset_deflate(p, 9), H5Pset_fletcher32(p);
  });
  put("check_first", [](hid_t p) {
    Chunk(p, {1, 15, 17}), H5Pset_fletcher32(p), H5Pset_deflate(p, 9);
  });
  put("nbit", [](hid_t p) { Chunk(p, {1, 16, 16}), H5Pset_nbit(p); });
  put("scaleoffset", [](hid_t p) { Chunk(p, {1, 16, 16}), H5Pset_scaleoffset(p, H5Z_SO_INT, 0); });
  Write(
      file, "big", H5T_STD_U16BE, dims,
      [](hid_t p) {
        Chunk(p, {1, 16, 16}), H5Pset_shuffle(p), H5Pset_deflate(p, 4);
      },
      values);
  Write(
      file, "small", H5T_STD_U16LE, {3, 4}, [](hid_t p) { H5Pset_layout(p, H5D_COMPACT); },
      Values(12));
  H5Fclose(file);
  const ArrayFile ours(Path("a.h5"));
  for (const char* name : {"contiguous", "chunked", "gzip", "shuffled", "checked", "check_first",
                           "nbit", "scaleoffset", "big"})
    ExpectBoxes(ours, name, values);
  ExpectBoxes(ours, "small", Values(12));
  for (const Hdf5Array& array : ours.arrays())
    EXPECT_EQ(array.direct(), array.path != "/nbit" && array.path != "/scaleoffset") << array.path;
  EXPECT_EQ(ours.Audit(40, 1), 40);
}

TEST_F(Hdf5Test, FillValuesMasksAndUserBlocks) {
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_userblock(creation, 512);
  const hid_t file = Create("b.h5", H5P_DEFAULT, creation);
  const std::uint16_t fill = 513;
  const Dims dims{4, 8};
  Write(file, "empty", H5T_STD_U16BE, dims,
        [&](hid_t p) {
          Chunk(p, {2, 3}), H5Pset_fill_value(p, H5T_NATIVE_UINT16, &fill);
        },
        {});
  Write(file, "unwritten", H5T_STD_U16LE, dims,
        [&](hid_t p) { H5Pset_fill_value(p, H5T_NATIVE_UINT16, &fill); }, {});
  auto values = Values(Count(dims));
  Write(
      file, "masked", H5T_STD_U16LE, dims,
      [](hid_t p) {
        Chunk(p, {2, 8}), H5Pset_shuffle(p), H5Pset_deflate(p, 4);
      },
      values);
  // The second chunk without its filters.
  const hid_t dataset = H5Dopen2(file, "masked", H5P_DEFAULT);
  const hsize_t at[] = {2, 0};
  ASSERT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 3, at, 32, values.data()), 0);
  std::copy(values.begin(), values.begin() + 16, values.begin() + 16);
  H5Dclose(dataset);
  H5Fclose(file);
  const ArrayFile ours(Path("b.h5"));
  ExpectBoxes(ours, "empty", std::vector<std::uint16_t>(32, fill));
  ExpectBoxes(ours, "unwritten", std::vector<std::uint16_t>(32, fill));
  ExpectBoxes(ours, "masked", values);
  for (const Hdf5Array& array : ours.arrays()) EXPECT_TRUE(array.direct()) << array.path;
}

// Filters that this library does not know: their chunks are written as they are.
TEST_F(Hdf5Test, Lz4AndZstandard) {
  const Dims dims{3, 600};
  const auto values = Values(Count(dims));
  const auto never = [](unsigned, std::size_t, const unsigned*, std::size_t, std::size_t*,
                        void**) -> std::size_t { return 0; };
  for (const int id : {32004, 32015}) {
    const H5Z_class2_t filter{H5Z_CLASS_T_VERS, id, 1, 1, "stands in", nullptr, nullptr, never};
    ASSERT_GE(H5Zregister(&filter), 0);
  }
  const hid_t file = Create("c.h5");
  for (const int id : {32004, 32015}) {
    const char* name = id == 32004 ? "lz4" : "zstd";
    Write(file, name, H5T_STD_U16LE, dims,
          [&](hid_t p) {
            Chunk(p, {1, 600}), H5Pset_filter(p, id, H5Z_FLAG_OPTIONAL, 0, nullptr);
          },
          {});
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    for (hsize_t row = 0; row < 3; ++row) {
      const char* raw = reinterpret_cast<const char*>(values.data() + row * 600);
      std::string stored;
      if (id == 32015) {
        stored.resize(ZSTD_compressBound(1200));
        stored.resize(ZSTD_compress(stored.data(), stored.size(), raw, 1200, 3));
      } else {
        // Blocks of 512 bytes.
        stored = std::string("\0\0\0\0\0\0\x04\xb0\0\0\x02\0", 12);
        for (int begin = 0; begin < 1200; begin += 512) {
          const int size = std::min(512, 1200 - begin);
          std::string block(static_cast<std::size_t>(LZ4_compressBound(size)), '\0');
          int n =
              LZ4_compress_default(raw + begin, block.data(), size, static_cast<int>(block.size()));
          if (n >= size) block.assign(raw + begin, static_cast<std::size_t>(n = size));
          for (int shift = 24; shift >= 0; shift -= 8) stored += static_cast<char>(n >> shift);
          stored.append(block, 0, static_cast<std::size_t>(n));
        }
      }
      const hsize_t at[] = {row, 0};
      ASSERT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, at, stored.size(), stored.data()), 0);
    }
    H5Dclose(dataset);
  }
  H5Fclose(file);
  const ArrayFile ours(Path("c.h5"));
  ExpectBoxes(ours, "lz4", values);
  ExpectBoxes(ours, "zstd", values);
}

TEST_F(Hdf5Test, OtherFilesAndIndexesOfChunks) {
  // The format's newest version: other headers and other indexes of chunks.
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  const Dims dims{40, 30};
  const auto values = Values(Count(dims));
  hid_t file = Create("new.h5", access);
  Write(
      file, "x", H5T_STD_U16LE, dims,
      [](hid_t p) {
        Chunk(p, {7, 7}), H5Pset_shuffle(p), H5Pset_deflate(p, 4);
      },
      values);
  Write(
      file, "one", H5T_STD_U16LE, dims,
      [](hid_t p) {
        Chunk(p, {40, 30});
      },
      values);
  H5Fclose(file);
  const ArrayFile ours(Path("new.h5"));
  ExpectBoxes(ours, "x", values);
  ExpectBoxes(ours, "one", values);

  // A virtual data set over it, read by the library.
  file = Create("virtual.h5", access);
  Write(file, "v", H5T_STD_U16LE, dims,
        [&](hid_t p) {
          const hid_t space = H5Screate_simple(2, dims.data(), nullptr);
          H5Pset_virtual(p, space, Path("new.h5").c_str(), "/x", space);
          H5Sclose(space);
        },
        {});
  H5Fclose(file);
  const ArrayFile through(Path("virtual.h5"));
  EXPECT_FALSE(through.Find("/v")->direct());
  ExpectBoxes(through, "v", values);
}

TEST_F(Hdf5Test, IndexIsKeptAndRenewed) {
  const Dims dims{60, 60};
  auto values = Values(Count(dims));
  const auto write = [&] {
    const hid_t file = Create("d.h5");
    Write(
        file, "x", H5T_STD_U16LE, dims,
        [](hid_t p) {
          Chunk(p, {3, 3}), H5Pset_deflate(p, 4);
        },
        values);
    H5Fclose(file);
  };
  write();
  const std::string kept = Path("d.h5.vidx");
  { ExpectBoxes(ArrayFile(Path("d.h5")), "x", values); }
  ASSERT_TRUE(Exists(kept));
  Hdf5Contents contents;
  EXPECT_TRUE(ParseIndex(ReadFile(kept), RandomFile(Path("d.h5")), contents));
  { ExpectBoxes(ArrayFile(Path("d.h5")), "x", values); }  // from the index
  // Another file under the same name and time: the headers tell.
  struct stat before {};
  ::stat(Path("d.h5").c_str(), &before);
  std::reverse(values.begin(), values.end());
  write();
  EXPECT_FALSE(ParseIndex(ReadFile(kept), RandomFile(Path("d.h5")), contents));
  { ExpectBoxes(ArrayFile(Path("d.h5")), "x", values); }
  // A damaged index is none.
  std::string bytes = ReadFile(kept);
  for (std::size_t at = 0; at < bytes.size(); at += 97) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_FALSE(ParseIndex(damaged, RandomFile(Path("d.h5")), contents));
  }
  EXPECT_FALSE(ParseIndex(bytes.substr(0, bytes.size() / 2), RandomFile(Path("d.h5")), contents));
}

// Where nothing can be put beside the file, the index goes to the cache; where that fails too, it
// stays in memory.
TEST_F(Hdf5Test, IndexGoesToTheCacheOrStaysInMemory) {
  const auto values = Values(3600);
  const hid_t file = Create("f.h5");
  Write(
      file, "x", H5T_STD_U16LE, {60, 60},
      [](hid_t p) {
        Chunk(p, {3, 3});
      },
      values);
  H5Fclose(file);
  std::filesystem::create_directory(Path("f.h5.vidx"));
  const std::string cache = Path("cache");
  ASSERT_EQ(setenv("XDG_CACHE_HOME", cache.c_str(), 1), 0);
  for (int time = 0; time < 2; ++time) ExpectBoxes(ArrayFile(Path("f.h5")), "x", values);
  ASSERT_EQ(ListDir(cache + "/vesalius/hdf5").size(), 1u);
  ASSERT_EQ(setenv("XDG_CACHE_HOME", "/proc/nowhere", 1), 0);
  ExpectBoxes(ArrayFile(Path("f.h5")), "x", values);
  ASSERT_EQ(unsetenv("XDG_CACHE_HOME"), 0);
}

TEST_F(Hdf5Test, DamageIsNamed) {
  const Dims dims{64, 64};
  const auto values = Values(Count(dims));
  const hid_t file = Create("e.h5");
  Write(
      file, "x", H5T_STD_U16LE, dims,
      [](hid_t p) {
        Chunk(p, {64, 64}), H5Pset_fletcher32(p);
      },
      values);
  H5Fclose(file);
  const ByteRange place = [&] {
    const ArrayFile ours(Path("e.h5"));
    const std::uint64_t start[] = {0, 0}, count[] = {64, 64};
    return ours.Places(*ours.Find("/x"), start, count).front();
  }();
  std::string bytes = ReadFile(Path("e.h5"));
  bytes[place.offset + 100] = static_cast<char>(bytes[place.offset + 100] ^ 1);
  WriteFileAtomic(Path("e.h5"), bytes);
  const ArrayFile ours(Path("e.h5"));
  EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { ours.ReadAll(*ours.Find("/x")); }),
              testing::AllOf(testing::HasSubstr("e.h5, data set /x: chunk 0"),
                             testing::HasSubstr("Fletcher-32")));
  WriteFileAtomic(Path("cut.h5"), bytes.substr(0, bytes.size() / 2));
  EXPECT_THROW(ArrayFile(Path("cut.h5")), Error);
}

}  // namespace
}  // namespace vesalius::data
