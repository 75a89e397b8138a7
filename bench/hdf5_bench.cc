// `./run bench hdf5`: reading 512 x 512 16-bit images at random out of HDF5 files that are in the
// page cache: ours (by offset, decoded on 1 or 2 threads) beside the C library's H5Dread, and
// beside PyTorch's DataLoader over h5py and MosaicML Streaming on the same images (hdf5_peers.py,
// where VESALIUS_PEER_PYTHON has h5py, torch and mosaicml-streaming). The index of 32,768 chunks.
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "bench/harness.h"
#include "data/hdf5/array_file.h"
#include "data/shards/tile_plan.h"

namespace vesalius::bench {
namespace {

constexpr int kSide = 512, kImages = 800, kDistinct = 160, kCrop = 224;
constexpr int kPerRound = 256, kRounds = 7, kPeerRounds = 5, kBatch = 32;
constexpr int kPixels = kSide * kSide;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A smooth body, two lungs, ribs, a mediastinum and 12-bit noise, as data_peers.py draws it.
std::vector<std::uint16_t> Chest(int index) {
  Random random(1, Purpose::kTest, static_cast<std::uint64_t>(index));
  const double wide = random.Uniform(.9, 1.1), high = random.Uniform(.9, 1.1);
  const double phase = random.Uniform(0, 6);
  std::vector<std::uint16_t> image(kPixels);
  for (int i = 0; i < kPixels; ++i) {
    const double x = (2.0 * (i % kSide) / (kSide - 1) - 1) * wide;
    const double y = (2.0 * (i / kSide) / (kSide - 1) - 1) * high;
    double v = 2600 * std::exp(-(std::pow(x / .95, 4) + std::pow(y / 1.2, 4)));
    for (const double side : {-1.0, 1.0})
      v -= 1300 / (1 + std::exp((std::pow(x - .42 * side, 2) / .07 + y * y / .42 - 1) * 8));
    if (std::abs(x) < .85)
      v += 250 * std::pow(std::max(0.0, std::sin(14 * y + 4 * std::abs(x) + phase)), 4);
    if (y > -.8) v += 600 * std::exp(-std::pow(x / .12, 2));
    image[i] = static_cast<std::uint16_t>(std::clamp(v + 300 + 30 * random.Normal(), 0.0, 4095.0));
  }
  return image;
}

// `image` [images, side, side], a chunk an image; the first kDistinct images go through
// the library's filters, the others repeat their stored chunks.
void WriteImages(const std::string& path, const std::vector<std::vector<std::uint16_t>>& distinct,
                 bool gzip) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t dims[3] = {kImages, kSide, kSide}, chunk[3] = {1, kSide, kSide};
  const hid_t space = H5Screate_simple(3, dims, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 3, chunk);
  if (gzip) {
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 4);
  }
  const hid_t set =
      H5Dcreate2(file, "image", H5T_STD_U16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  const hsize_t extent[3] = {1, kSide, kSide};
  const hid_t memory = H5Screate_simple(3, extent, nullptr);
  for (hsize_t i = 0; i < distinct.size(); ++i) {
    const hsize_t start[3] = {i, 0, 0};
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, extent, nullptr);
    Require(H5Dwrite(set, H5T_NATIVE_UINT16, memory, space, H5P_DEFAULT, distinct[i].data()) >= 0,
            ExitCode::kCannotCreate, path, " cannot be written");
  }
  H5Fflush(file, H5F_SCOPE_LOCAL);
  std::vector<char> stored;
  for (hsize_t i = distinct.size(); i < kImages; ++i) {
    const hsize_t from[3] = {i % distinct.size(), 0, 0}, to[3] = {i, 0, 0};
    hsize_t bytes = 0;
    std::uint32_t mask = 0;
    H5Dget_chunk_storage_size(set, from, &bytes);
    stored.resize(bytes);
    H5Dread_chunk(set, H5P_DEFAULT, from, &mask, stored.data());
    Require(H5Dwrite_chunk(set, H5P_DEFAULT, mask, to, bytes, stored.data()) >= 0,
            ExitCode::kCannotCreate, path, " cannot be written");
  }
  H5Sclose(memory), H5Dclose(set), H5Pclose(creation), H5Sclose(space), H5Fclose(file);
}

// The same images in tiles as the shard writer cuts and stores them.
void WriteTiles(const std::string& path, const std::vector<std::vector<std::uint16_t>>& distinct) {
  std::vector<std::uint16_t> pixels;
  for (const auto& image : distinct) pixels.insert(pixels.end(), image.begin(), image.end());
  const data::ImageBlock block{{reinterpret_cast<const unsigned char*>(pixels.data()),
                                pixels.size() * sizeof(std::uint16_t)},
                               static_cast<std::int64_t>(distinct.size()),
                               kSide,
                               1,
                               sizeof(std::uint16_t)};
  const data::TilePlan plan = data::ChooseTiles(block);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const auto tile = static_cast<hsize_t>(plan.tile);
  const hsize_t dims[3] = {kImages, kSide, kSide}, chunk[3] = {1, tile, tile};
  const hid_t space = H5Screate_simple(3, dims, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 3, chunk);
  if (plan.filters.shuffle) H5Pset_shuffle(creation);
  if (plan.filters.deflate) H5Pset_deflate(creation, data::kDeflateLevel);
  if (plan.filters.fletcher32) H5Pset_fletcher32(creation);
  const hid_t set =
      H5Dcreate2(file, "image", H5T_STD_U16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  for (hsize_t i = 0; i < kImages; ++i) {
    for (hsize_t y = 0; y < kSide; y += tile) {
      for (hsize_t x = 0; x < kSide; x += tile) {
        const std::string stored =
            data::EncodeTile(block, plan, static_cast<std::int64_t>(i % distinct.size()),
                             static_cast<int>(y / tile), static_cast<int>(x / tile));
        const hsize_t at[3] = {i, y, x};
        Require(H5Dwrite_chunk(set, H5P_DEFAULT, 0, at, stored.size(), stored.data()) >= 0,
                ExitCode::kCannotCreate, path, " cannot be written");
      }
    }
  }
  H5Dclose(set), H5Pclose(creation), H5Sclose(space), H5Fclose(file);
  std::printf("tiles of %d, %.0f bytes an image\n", plan.tile,
              static_cast<double>(FileSize(path)) / kImages);
}

// What a round reads: distinct images, and where their crops lie.
struct Draw {
  std::vector<std::uint64_t> images, x, y;
};
Draw DrawOf(std::uint64_t round) {
  Random random(2, Purpose::kTest, round);
  Draw draw;
  draw.images.resize(kImages);
  std::iota(draw.images.begin(), draw.images.end(), 0);
  random.Shuffle(draw.images);
  draw.images.resize(kPerRound);
  for (int i = 0; i < kPerRound; ++i) {
    draw.x.push_back(random.Below(kSide - kCrop + 1));
    draw.y.push_back(random.Below(kSide - kCrop + 1));
  }
  return draw;
}

// The file as the library reads it, one image or crop a call, into the kept memory of a batch.
class LibrarySide {
 public:
  explicit LibrarySide(const std::string& path)
      : file_(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)),
        set_(H5Dopen2(file_, "image", H5P_DEFAULT)),
        space_(H5Dget_space(set_)) {}
  ~LibrarySide() { H5Sclose(space_), H5Dclose(set_), H5Fclose(file_); }

  double Rate(bool crop) {
    const Draw draw = DrawOf(round_++);
    const hsize_t side = crop ? kCrop : kSide, extent[3] = {1, side, side};
    const hid_t memory = H5Screate_simple(3, extent, nullptr);
    batch_.resize(kBatch * side * side);
    const double start = Now();
    for (int i = 0; i < kPerRound; ++i) {
      const hsize_t at[3] = {draw.images[i], crop ? draw.y[i] : 0, crop ? draw.x[i] : 0};
      H5Sselect_hyperslab(space_, H5S_SELECT_SET, at, nullptr, extent, nullptr);
      Require(H5Dread(set_, H5T_NATIVE_UINT16, memory, space_, H5P_DEFAULT,
                      batch_.data() + i % kBatch * side * side) >= 0,
              ExitCode::kBug, "H5Dread failed");
    }
    const double seconds = Now() - start;
    H5Sclose(memory);
    return kPerRound / seconds;
  }

 private:
  hid_t file_, set_, space_;
  std::vector<std::uint16_t> batch_;
  std::uint64_t round_ = 0;
};

// Ours: threads take images in turn and decode into the kept memory of a batch.
class OurSide {
 public:
  explicit OurSide(const std::string& path) : file_(path), images_(*file_.Find("/image")) {}

  double Rate(int threads, bool crop) {
    const Draw draw = DrawOf(round_++);
    const std::uint64_t side = crop ? kCrop : kSide;
    batch_.resize(kBatch * side * side);
    const double start = Now();
    std::vector<std::thread> team;
    for (int t = 0; t < threads; ++t) {
      team.emplace_back([&, t] {
        for (int i = t; i < kPerRound; i += threads) {
          const std::uint64_t at[3] = {draw.images[i], crop ? draw.y[i] : 0, crop ? draw.x[i] : 0};
          const std::uint64_t extent[3] = {1, side, side};
          file_.Read(images_, at, extent, batch_.data() + i % kBatch * side * side);
        }
      });
    }
    for (std::thread& thread : team) thread.join();
    return kPerRound / (Now() - start);
  }

  void RequireEqual(const std::vector<std::vector<std::uint16_t>>& distinct) {
    std::vector<std::uint16_t> out(kPixels);
    for (const std::uint64_t row : {0, 7, kDistinct + 7, kImages - 1}) {
      const std::uint64_t at[3] = {row, 0, 0}, extent[3] = {1, kSide, kSide};
      file_.Read(images_, at, extent, out.data());
      Invariant(out == distinct[row % distinct.size()], "image ", row, " reads otherwise");
    }
  }

 private:
  data::ArrayFile file_;
  const data::Hdf5Array& images_;
  std::vector<std::uint16_t> batch_;
  std::uint64_t round_ = 0;
};

struct Store {
  explicit Store(const std::string& folder)
      : gz(folder + "/gz.h5"), raw(folder + "/raw.h5"), tiles(folder + "/tiles.h5") {
    std::vector<std::vector<std::uint16_t>> distinct;
    for (int i = 0; i < kDistinct; ++i) distinct.push_back(Chest(i));
    WriteImages(gz, distinct, true);
    WriteImages(raw, distinct, false);
    WriteTiles(tiles, distinct);
    for (const std::string& path : {gz, raw, tiles}) OurSide(path).RequireEqual(distinct);
  }
  std::string gz, raw, tiles;
};

void CompareWithLibrary(Report& report, const Store& store) {
  OurSide gz(store.gz), raw(store.raw), tiles(store.tiles);
  LibrarySide library_gz(store.gz), library_raw(store.raw);
  const auto figures = Interleave({{"gz2", [&] { return gz.Rate(2, false); }},
                                   {"gz1", [&] { return gz.Rate(1, false); }},
                                   {"raw2", [&] { return raw.Rate(2, false); }},
                                   {"crop2", [&] { return tiles.Rate(2, true); }},
                                   {"tiles2", [&] { return tiles.Rate(2, false); }},
                                   {"library", [&] { return library_gz.Rate(false); }},
                                   {"library_raw", [&] { return library_raw.Rate(false); }},
                                   {"library_crop", [&] { return library_gz.Rate(true); }}},
                                  kRounds);
  const auto compare = [&](const char* name, const char* ours, const char* peer) {
    report.Compare(name, "images/s", figures.at(ours), figures.at(peer), Value::kOursByPeer);
  };
  compare("hdf5.gzip", "gz2", "library");
  compare("hdf5.raw", "raw2", "library_raw");
  compare("hdf5.gzip_1t", "gz1", "library");
  compare("hdf5.crop", "crop2", "library_crop");
  report.Add("hdf5.whole_from_tiles", "images/s", figures.at("tiles2"));
}

void MeasureIndex(Report& report, const std::string& folder) {
  constexpr hsize_t kChunks = 32768, kEdge = 16;
  const std::string path = folder + "/many.h5";
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t dims[3] = {kChunks, kEdge, kEdge}, chunk[3] = {1, kEdge, kEdge};
  const hid_t space = H5Screate_simple(3, dims, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 3, chunk);
  H5Pset_shuffle(creation);
  H5Pset_deflate(creation, 1);
  const hid_t set =
      H5Dcreate2(file, "image", H5T_STD_U16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  std::vector<std::uint16_t> values(kChunks * kEdge * kEdge);
  std::iota(values.begin(), values.end(), 0);
  Require(H5Dwrite(set, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
          ExitCode::kCannotCreate, path, " cannot be written");
  H5Dclose(set), H5Pclose(creation), H5Sclose(space), H5Fclose(file);
  const auto open = [&] {
    const double start = Now();
    const data::ArrayFile opened(path);
    Invariant(opened.chunks() == kChunks, "chunks are missing");
    return Now() - start;
  };
  std::vector<double> build, reopen;
  for (int round = 0; round < kRounds; ++round) {
    ::unlink(data::IndexPaths(path).front().c_str());
    build.push_back(open());
    reopen.push_back(1e3 * open());
  }
  report.Add("hdf5.index_s", "s", build);
  report.Add("hdf5.reopen_ms", "ms", reopen);
}

constexpr const char* kPeerFigures[] = {"hdf5.dataloader", "hdf5.dataloader_raw", "hdf5.streaming",
                                        "hdf5.streaming_raw"};

void CompareWithLoaders(Report& report, const Store& store, const std::string& folder) {
  const std::string script = "bench/hdf5_peers.py";
  const char* missing = PeerPython().empty() ? "VESALIUS_PEER_PYTHON is not set"
                        : !Exists(script)    ? "run it from the source tree: bench/hdf5_peers.py"
                                             : nullptr;
  if (missing != nullptr) {
    for (const char* name : kPeerFigures) report.LeaveOut(name, "x", missing);
    return;
  }
  const auto peer = [&](const char* kind) {
    return [&, kind, round = 0]() mutable {
      return NumberFrom(StrCat("OMP_NUM_THREADS=1 ", PeerPython(), " ", script, " ", folder, " ",
                               kind, " ", kImages, " ", round++));
    };
  };
  OurSide gz(store.gz), raw(store.raw);
  const auto figures = Interleave({{"gz", [&] { return gz.Rate(2, false); }},
                                   {"raw", [&] { return raw.Rate(2, false); }},
                                   {"h5py_gz", peer("h5_gz")},
                                   {"h5py_raw", peer("h5_raw")},
                                   {"streaming", peer("streaming")}},
                                  kPeerRounds);
  const auto compare = [&](const char* name, const char* ours, const char* theirs) {
    report.Compare(name, "images/s", figures.at(ours), figures.at(theirs), Value::kOursByPeer);
  };
  compare(kPeerFigures[0], "gz", "h5py_gz");
  compare(kPeerFigures[1], "raw", "h5py_raw");
  compare(kPeerFigures[2], "gz", "streaming");
  compare(kPeerFigures[3], "raw", "streaming");
}

void Body(Report& report) {
  const ScratchFolder folder;
  MeasureIndex(report, folder.path());
  const Store store(folder.path());
  CompareWithLibrary(report, store);
  CompareWithLoaders(report, store, folder.path());
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
