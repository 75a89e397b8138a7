// Shards and manifest: everything that is written comes back, in any order and by any thread.
#include <zlib.h>

#include <atomic>
#include <thread>

#include "data/hdf5/array_file.h"
#include "data/hdf5/encode.h"
#include "data/shards/dataset_files.h"
#include "data/shards/fingerprint.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_reader.h"
#include "data/shards/tile_plan.h"
#include "tests/data/shard_v1.h"
#include "tests/data/store_fixture.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

// By zlib itself; empty: it refuses.
std::vector<unsigned char> ZlibInflated(const std::string& stream, std::size_t bytes) {
  std::vector<unsigned char> out(bytes);
  uLongf size = bytes;
  const int status =
      uncompress(out.data(), &size, reinterpret_cast<const Bytef*>(stream.data()), stream.size());
  return status == Z_OK && size == bytes ? out : std::vector<unsigned char>();
}

TEST(Store, RoundTripKeepsEveryField) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  WriteSet(folder, 11);
  int seen = 0;
  for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
    const auto dataset = OpenDataset(folder, split);
    EXPECT_EQ(dataset->stored_size(), kSize);
    EXPECT_EQ(dataset->path(), folder);
    for (std::int64_t i = 0; i < dataset->size(); ++i, ++seen) {
      const int index = static_cast<int>(i) * 3 + static_cast<int>(split);
      SCOPED_TRACE(index);
      ExpectEqual(dataset->Get(i), MakeRecord(index, index % 5 == 2));
    }
  }
  EXPECT_EQ(seen, 11);
  EXPECT_TRUE(VerifyDataset(folder).empty());
  EXPECT_THAT(ListDir(folder),
              testing::ElementsAre("manifest.pb", "shard-00000.h5", "shard-00001.h5",
                                   "shard-00002.h5", "shard-00003.h5"));
}

TEST(Store, ColourAndEmptyVocabulary) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  Record record = MakeRecord(0, false, 3);
  record.region_labels.clear();
  record.image_labels.clear();
  for (auto& sentences : record.sentences) sentences.clear();
  {
    DatasetWriter writer({folder, "test", kSize, 10});
    writer.Add(record);
    writer.Finish(Vocabulary());
  }
  const auto dataset = OpenDataset(folder, Split::kTrain);
  ExpectEqual(dataset->Get(0), record);
  EXPECT_TRUE(dataset->vocabulary().findings.empty());
}

TEST(Store, VocabularyComesBack) {
  const TempDir dir;
  WriteSet(dir.path() + "/set", 1);
  const Vocabulary want = MakeVocabulary();
  const auto dataset = OpenDataset(dir.path() + "/set", Split::kTrain);
  const Vocabulary& got = dataset->vocabulary();
  ASSERT_EQ(got.findings.size(), want.findings.size());
  for (std::size_t i = 0; i < want.findings.size(); ++i) {
    EXPECT_EQ(got.findings[i].name, want.findings[i].name);
    EXPECT_EQ(got.findings[i].synonyms, want.findings[i].synonyms);
  }
  EXPECT_EQ(got.image_labels, want.image_labels);
  EXPECT_EQ(got.can, want.can);
  EXPECT_EQ(got.parent, want.parent);
  EXPECT_EQ(got.positive_forms, want.positive_forms);
  EXPECT_EQ(got.negative_forms, want.negative_forms);
  EXPECT_EQ(got.normal_forms, want.normal_forms);
  EXPECT_EQ(got.wordpieces, want.wordpieces);
}

TEST(Store, BytesFollowFromContentAndFingerprintIgnoresShards) {
  const TempDir dir;
  WriteSet(dir.path() + "/a", 7);
  WriteSet(dir.path() + "/b", 7);
  WriteSet(dir.path() + "/c", 7, 100);
  WriteSet(dir.path() + "/d", 6);
  EXPECT_EQ(ReadFile(dir.path() + "/a/manifest.pb"), ReadFile(dir.path() + "/b/manifest.pb"));
  const auto fingerprint = [&](const char* name) {
    return ReadManifest(ManifestPath(dir.path() + "/" + name)).fingerprint;
  };
  EXPECT_EQ(fingerprint("a"), fingerprint("c"));
  EXPECT_NE(fingerprint("a"), fingerprint("d"));
}

TEST(Store, FetchCutsWindowsInAnyOrder) {
  const TempDir dir;
  WriteSet(dir.path() + "/set", 24, 7);
  const auto dataset = OpenDataset(dir.path() + "/set", Split::kTrain);
  const std::vector<SampleRequest> requests = {{6, {}},
                                               {0, {3, 1, 5, 7}},
                                               {6, {0, 0, kSize, kSize}},
                                               {4, {kSize - 1, kSize - 1, 1, 1}},
                                               {0, {0, 4, kSize, 2}}};
  const auto fetched = dataset->Fetch(requests);
  for (std::size_t i : {3u, 1u, 4u, 0u, 2u, 1u}) {
    SCOPED_TRACE(i);
    Record want = dataset->Get(requests[i].index);
    if (requests[i].window.width > 0) want.image = CutWindow(want.image, requests[i].window);
    ExpectEqual(fetched->Decode(i), want);
  }
  EXPECT_EQ(fetched->Decode(3).image.width, 1);
  EXPECT_EQ(Caught([&] { CutWindow(dataset->Get(0).image, {8, 0, 5, 1}); }).first, ExitCode::kBug);
}

TEST(Store, Version1IsStillRead) {
  const TempDir dir;
  const std::string path = dir.path() + "/shard.h5";
  shard_v1::Builder builder({kSize, 1, kFindings, kLabels});
  for (int i = 0; i < 9; ++i) builder.Add(MakeRecord(i, i % 5 == 2));
  builder.Write(path);
  const auto shard = OpenShard(path);
  EXPECT_EQ(shard->schema_version(), 1u);
  ASSERT_EQ(shard->records(), 9);
  for (int i = 0; i < 9; ++i) ExpectEqual(shard->Read(i), MakeRecord(i, i % 5 == 2));
  const std::vector<SampleRequest> requests = {{7, {2, 3, 4, 5}}, {1, {}}};
  const auto fetched = shard->Fetch(requests);
  Record want = MakeRecord(7, true);
  want.image = CutWindow(want.image, requests[0].window);
  ExpectEqual(fetched->Decode(0), want);
  ExpectEqual(fetched->Decode(1), MakeRecord(1));
  EXPECT_EQ(shard->Audit(5, 1), 5);

  std::string bytes = ReadFile(path);
  bytes[bytes.find("Report 3, with")] = 'r';
  Overwrite(path, bytes);
  ExpectEqual(OpenShard(path)->Read(2), MakeRecord(2, true));
  const auto [code, message] = Caught([&] { OpenShard(path)->Read(3); });
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr(path + ", record 3 is damaged: wrong checksum"));
}

TEST(Store, LargeImagesAreTiledAndWindowsReadFewTiles) {
  constexpr int kSide = 500;  // its last tiles reach over the edge
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  {
    DatasetWriter writer({folder, "test", kSide, 8});
    for (int i = 0; i < 12; ++i) writer.Add(MakeLarge(kSide, i, i % 2 == 0, false));
    writer.Finish(MakeVocabulary());
  }
  const ArrayFile file(folder + "/shard-00000.h5");
  const Hdf5Array& images = *file.Find("/image_u16");
  EXPECT_LT(images.chunk[1], 300u);
  EXPECT_EQ(images.filters.size(), 3u);  // shuffle, deflate, Fletcher-32
  const std::uint64_t start[] = {0, 10, 20, 0}, count[] = {1, 60, 60, 1};
  EXPECT_LE(file.Places(images, start, count).size(), 4u);
  const auto dataset = OpenDataset(folder, Split::kTrain);
  ASSERT_EQ(dataset->size(), 4);
  Random random(7, Purpose::kTest);
  std::vector<SampleRequest> requests;
  for (int i = 0; i < 30; ++i) {
    const int width = 1 + static_cast<int>(random.Below(kSide)),
              height = 1 + static_cast<int>(random.Below(kSide));
    requests.push_back({static_cast<std::int64_t>(random.Below(4)),
                        {static_cast<int>(random.Below(kSide - width + 1)),
                         static_cast<int>(random.Below(kSide - height + 1)), width, height}});
  }
  const auto fetched = dataset->Fetch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::int64_t record = requests[i].index * 3;
    Record want = MakeLarge(kSide, record, record % 2 == 0, false);
    want.image = CutWindow(want.image, requests[i].window);
    ExpectEqual(fetched->Decode(i), want);
  }
  EXPECT_TRUE(VerifyDataset(folder).empty());
  EXPECT_EQ(ListDir(folder).size(), 3u);  // no index beside the shards
}

// What does not get smaller is not deflated; small images are not cut.
TEST(Store, TilesFollowTheImages) {
  const auto plan = [](int side, bool deep, bool noise) {
    std::vector<unsigned char> pixels;
    for (int i = 0; i < 4; ++i) {
      const Image image = MakeLarge(side, i + 1, deep, noise).image;
      const auto* bytes =
          deep ? reinterpret_cast<const unsigned char*>(image.u16.data()) : image.u8.data();
      pixels.insert(pixels.end(), bytes, bytes + side * side * (deep ? 2 : 1));
    }
    return ChooseTiles({pixels, 4, side, 1, deep ? 2u : 1u});
  };
  EXPECT_FALSE(plan(512, true, true).filters.deflate);
  EXPECT_TRUE(plan(512, true, false).filters.deflate);
  EXPECT_TRUE(plan(512, true, false).filters.shuffle);
  EXPECT_FALSE(plan(512, false, false).filters.shuffle);
  EXPECT_LT(plan(512, true, false).tile, 512);
  EXPECT_EQ(plan(64, true, false).tile, 64);
  EXPECT_EQ(ChooseTiles({{}, 0, 512, 1, 2}).tile, 512);
}

// Noise in the low bytes is stored, the high bytes are deflated, and it is one valid stream: as
// small as all of it deflated, and no flipped bit passes.
TEST(Store, NoisyLowBytesLieInStoredBlocks) {
  constexpr std::size_t kPixels = 200 * 200;
  Random random(4, Purpose::kTest);
  std::vector<std::uint16_t> noisy(kPixels), smooth(kPixels);
  for (std::size_t i = 0; i < kPixels; ++i) {
    noisy[i] = static_cast<std::uint16_t>(i / 4096 * 256 + random.Below(256));
    smooth[i] = static_cast<std::uint16_t>(i / 50);
  }
  const auto bytes = [](const std::vector<std::uint16_t>& values) {
    return std::span(reinterpret_cast<const unsigned char*>(values.data()), 2 * values.size());
  };
  const ChunkFilters filters{true, true, false};
  EXPECT_LT(EncodeChunk(bytes(smooth), 2, filters).size(), kPixels / 8);  // both are deflated
  const std::string stored = EncodeChunk(bytes(noisy), 2, filters);
  EXPECT_LT(stored.size(), kPixels * 1.01);
  EXPECT_EQ(stored[2], '\0') << "the first block is not a stored one";

  const std::vector<unsigned char> whole = ZlibInflated(stored, 2 * kPixels);
  ASSERT_EQ(whole.size(), 2 * kPixels);
  for (std::size_t i = 0; i < kPixels; ++i)
    ASSERT_EQ(whole[i] | whole[kPixels + i] << 8, noisy[i]) << i;
  for (const std::size_t at : {std::size_t{3}, kPixels / 2, kPixels + 20, stored.size() - 1}) {
    std::string damaged = stored;
    damaged[at] ^= 4;
    EXPECT_TRUE(ZlibInflated(damaged, 2 * kPixels).empty()) << at;
  }
}

TEST(Store, ThreadsReadConcurrently) {
  const TempDir dir;
  WriteSet(dir.path() + "/set", 24, 7);
  const auto dataset = OpenDataset(dir.path() + "/set", Split::kTrain);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 64; ++i) {
        const std::int64_t index = (i + t) % dataset->size();
        if (dataset->Get(index).image_id != StrCat("image-", index * 3, ".png")) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Record, NamesAndSplits) {
  EXPECT_EQ(RegionId("Right Lung"), 0);
  EXPECT_EQ(RegionId("abdomen"), 28);
  EXPECT_EQ(RegionId("left knee"), -1);
  EXPECT_EQ(ParseSplit(" Validate"), Split::kValid);
  EXPECT_EQ(Caught([] { ParseSplit("tset"); }).first, ExitCode::kInvalidData);
  EXPECT_EQ(NormalisedText("  No\tACUTE \r\n disease. "), "no acute disease.");
}

}  // namespace
}  // namespace vesalius::data
