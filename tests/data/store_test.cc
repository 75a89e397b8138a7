// Shards and manifest: everything that is written comes back, damage anywhere is found and named,
// and nothing partial passes for a data set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "data/dataset.h"
#include "data/hdf5/array_file.h"
#include "data/shards/dataset_files.h"
#include "data/shards/fingerprint.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_reader.h"
#include "data/shards/shard_row.h"
#include "data/shards/tile_plan.h"
#include "data/shards/writer.h"
#include "tests/data/shard_v1.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

constexpr int kSize = 12, kFindings = 3, kLabels = 2;

// A record whose every field differs from its default and from its neighbours'.
Record MakeRecord(std::uint64_t index, bool deep = false, int channels = 1) {
  Random random(5, Purpose::kPhantom, index);
  Record record;
  record.image_id = StrCat("image-", index, ".png");
  record.study_id = StrCat("study-", index / 2);
  record.patient_id = index % 3 == 0 ? "" : StrCat("patient ", index / 4);
  record.split = static_cast<Split>(index % 3);
  record.view = static_cast<View>(index % 4);
  record.image.width = record.image.height = kSize;
  record.image.channels = channels;
  for (int i = 0; i < kSize * kSize * channels; ++i)
    deep ? record.image.u16.push_back(static_cast<std::uint16_t>(random.Next32()))
         : record.image.u8.push_back(static_cast<std::uint8_t>(random.Below(20)));
  record.geometry = {1000 + static_cast<int>(index), 700, 0.012f, 0, 2};
  record.report =
      index == 4 ? "" : StrCat("Report ", index, ", with \"quotes\",\r\nlines and \xc3\xa9.");
  record.report_hash = Hash64(NormalisedText(record.report));
  for (int region = 0; region < kRegions; ++region) {
    const auto value = static_cast<float>(random.Uniform());
    record.boxes[region] = {value, 1 - value, value / 2, value / 3};
    record.box_valid[region] = random.Bernoulli(0.5);
    record.region_abnormal[region] = static_cast<std::int8_t>(random.Below(3)) - 1;
    for (std::uint64_t s = random.Below(3); s > 0; --s)
      record.sentences[region].push_back(
          {StrCat("Sentence ", s, " of ", region, "."),
           static_cast<std::int16_t>(static_cast<int>(random.Below(5)) - 2),
           static_cast<std::int8_t>(s % 2)});
  }
  for (int i = 0; i < kRegions * kFindings; ++i)
    record.region_labels.push_back(static_cast<std::int8_t>(random.Below(3)) - 1);
  for (int i = 0; i < kLabels; ++i)
    record.image_labels.push_back(static_cast<std::int8_t>(random.Below(3)) - 1);
  return record;
}

Vocabulary MakeVocabulary() {
  Vocabulary vocabulary;
  vocabulary.findings = {
      {"effusion", {"effusion", "pleural fluid"}}, {"nodule", {}}, {"mass", {"mass"}}};
  vocabulary.image_labels = {"normal", "abnormal"};
  vocabulary.can.assign(kRegions * kFindings, 1);
  vocabulary.can[7] = 0;
  vocabulary.parent[1] = 0;
  vocabulary.positive_forms = {"{f} in the {r}."};
  vocabulary.negative_forms = {"no {f} in the {r}.", "the {r} is free of {f}."};
  vocabulary.normal_forms = {"the {r} is normal."};
  vocabulary.wordpieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "##a"};
  return vocabulary;
}

void ExpectEqual(const Record& a, const Record& b) {
  EXPECT_EQ(a.image_id, b.image_id);
  EXPECT_EQ(a.study_id, b.study_id);
  EXPECT_EQ(a.patient_id, b.patient_id);
  EXPECT_EQ(a.split, b.split);
  EXPECT_EQ(a.view, b.view);
  EXPECT_EQ(a.image.width, b.image.width);
  EXPECT_EQ(a.image.height, b.image.height);
  EXPECT_EQ(a.image.channels, b.image.channels);
  EXPECT_EQ(a.image.u8, b.image.u8);
  EXPECT_EQ(a.image.u16, b.image.u16);
  EXPECT_EQ(a.geometry.original_width, b.geometry.original_width);
  EXPECT_EQ(a.geometry.original_height, b.geometry.original_height);
  EXPECT_EQ(a.geometry.scale, b.geometry.scale);
  EXPECT_EQ(a.geometry.pad_left, b.geometry.pad_left);
  EXPECT_EQ(a.geometry.pad_top, b.geometry.pad_top);
  EXPECT_EQ(a.report, b.report);
  EXPECT_EQ(a.report_hash, b.report_hash);
  EXPECT_EQ(a.box_valid, b.box_valid);
  EXPECT_EQ(a.region_labels, b.region_labels);
  EXPECT_EQ(a.region_abnormal, b.region_abnormal);
  EXPECT_EQ(a.image_labels, b.image_labels);
  for (int region = 0; region < kRegions; ++region) {
    EXPECT_EQ(a.boxes[region].cx, b.boxes[region].cx);
    EXPECT_EQ(a.boxes[region].cy, b.boxes[region].cy);
    EXPECT_EQ(a.boxes[region].w, b.boxes[region].w);
    EXPECT_EQ(a.boxes[region].h, b.boxes[region].h);
    ASSERT_EQ(a.sentences[region].size(), b.sentences[region].size());
    for (std::size_t s = 0; s < a.sentences[region].size(); ++s) {
      EXPECT_EQ(a.sentences[region][s].text, b.sentences[region][s].text);
      EXPECT_EQ(a.sentences[region][s].finding, b.sentences[region][s].finding);
      EXPECT_EQ(a.sentences[region][s].polarity, b.sentences[region][s].polarity);
    }
  }
}

// `records` records, every fifth of 16 bits, three a shard.
void WriteSet(const std::string& folder, int records, int per_shard = 3) {
  DatasetWriter writer({folder, "test", kSize, per_shard});
  for (int i = 0; i < records; ++i) writer.Add(MakeRecord(i, i % 5 == 2));
  writer.Finish(MakeVocabulary());
}

// Runs `action` and gives the error's code and message.
template <typename Action>
std::pair<ExitCode, std::string> Caught(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ExitCode::kFinished, "no error"};
}

std::string Overwrite(const std::string& path, std::string bytes) {
  OutputFile file(path);
  file.Write(bytes);
  file.Close();
  return bytes;
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
  const std::vector<RowRequest> requests = {{7, {2, 3, 4, 5}}, {1, {}}};
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

// An image of `side` with structure (smooth) or without (noise).
Record MakeLarge(int side, std::uint64_t index, bool deep, bool noise) {
  Record record = MakeRecord(index);
  record.image = {side, side, 1, {}, {}};
  Random random(6, Purpose::kTest, index);
  for (int i = 0; i < side * side; ++i) {
    const auto smooth = static_cast<std::uint32_t>(i / side + (i % side) * index);
    const std::uint32_t value = noise ? random.Next32() : smooth + random.Next32() % 32;
    deep ? record.image.u16.push_back(static_cast<std::uint16_t>(value))
         : record.image.u8.push_back(static_cast<std::uint8_t>(value));
  }
  return record;
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

// Damage in an image is found whichever window touches it, and only there.
TEST(Store, DamagedTileFailsOnlyTheWindowsThatNeedIt) {
  constexpr int kSide = 500;
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/shard-00000.h5";
  {
    DatasetWriter writer({folder, "test", kSide, 8});
    writer.Add(MakeLarge(kSide, 0, true, false));
    writer.Finish(MakeVocabulary());
  }
  std::string bytes = ReadFile(path);
  {
    const ArrayFile file(path);
    const std::uint64_t start[] = {0, 0, 0, 0}, count[] = {1, 1, 1, 1};
    const ByteRange tile = file.Places(*file.Find("/image_u16"), start, count).front();
    bytes[tile.offset + tile.bytes / 2] ^= 1;
  }
  Overwrite(path, bytes);
  const auto dataset = OpenDataset(folder, Split::kTrain);
  const std::vector<SampleRequest> requests = {{0, {0, 0, 10, 10}}, {0, {300, 300, 100, 100}}};
  const auto fetched = dataset->Fetch(requests);
  EXPECT_EQ(fetched->Decode(1).image.width, 100);
  const auto [code, message] = Caught([&] { fetched->Decode(0); });
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr(path + ", record 0 is damaged"));
  EXPECT_THAT(message, HasSubstr("Fletcher-32"));
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

// Whichever byte of a shard is flipped: opening fails, or the record concerned fails, or the byte
// belongs to no record, and then all records are whole and the file checksum tells.
TEST(Store, FlippedByteAnywhereInAShardIsFound) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/shard-00000.h5";
  WriteSet(folder, 3);
  const std::string good = ReadFile(path);
  int at_open = 0, at_record = 0, outside = 0;
  for (std::size_t at = 0; at < good.size(); at += 41) {
    SCOPED_TRACE(at);
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
    Overwrite(path, bad);
    int damaged = 0;
    for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
      std::unique_ptr<Dataset> dataset;
      const auto opening = Caught([&] { dataset = OpenDataset(folder, split); });
      if (!dataset) {
        EXPECT_EQ(opening.first, ExitCode::kInvalidData) << opening.second;
        EXPECT_THAT(opening.second, HasSubstr(path));
        damaged = -1;
        break;
      }
      const int index = static_cast<int>(split);
      const auto reading =
          Caught([&] { ExpectEqual(dataset->Get(0), MakeRecord(index, index == 2)); });
      if (reading.first == ExitCode::kFinished) continue;
      EXPECT_EQ(reading.first, ExitCode::kInvalidData) << reading.second;
      EXPECT_THAT(reading.second, HasSubstr(StrCat(path, ", record ", index)));
      ++damaged;
    }
    (damaged < 0 ? at_open : damaged > 0 ? at_record : outside) += 1;
    const std::vector<Damage> damages = VerifyDataset(folder);
    ASSERT_FALSE(damages.empty());
    EXPECT_EQ(damages[0].file, path);
    EXPECT_EQ(damages[0].record >= 0, damaged > 0);
  }
  EXPECT_GT(at_open, 0);
  EXPECT_GT(at_record, 50);
  EXPECT_GT(outside, 0);
}

TEST(Store, DamagedRecordLeavesTheOthersReadable) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/shard-00000.h5";
  WriteSet(folder, 6, 6);
  std::string bytes = ReadFile(path);
  const std::size_t at = bytes.find("Report 3, with");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'r';
  Overwrite(path, bytes);
  const auto dataset = OpenDataset(folder, Split::kTrain);  // records 0 and 3
  ExpectEqual(dataset->Get(0), MakeRecord(0));
  const auto [code, message] = Caught([&] { dataset->Get(1); });
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr(path + ", record 3"));
  const std::vector<Damage> damages = VerifyDataset(folder);
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].record, 3);
}

TEST(Store, DamagedManifestIsRefused) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/manifest.pb";
  WriteSet(folder, 2);
  const std::string good = ReadFile(path);
  for (std::size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    Overwrite(path, bad);
    const auto [code, message] = Caught([&] { OpenDataset(folder, Split::kTrain); });
    EXPECT_EQ(code, ExitCode::kInvalidData) << at;
    EXPECT_THAT(message, HasSubstr(path));
    EXPECT_THAT(message, HasSubstr("import it anew"));
  }
  Overwrite(path, good.substr(0, good.size() / 2));
  EXPECT_EQ(Caught([&] { OpenDataset(folder, Split::kTrain); }).first, ExitCode::kInvalidData);
  EXPECT_FALSE(VerifyDataset(folder).empty());
}

// `bytes` with the one place where `from` stands overwritten by `to`.
template <typename T>
void Patch(std::string& bytes, const std::vector<T>& from, const std::vector<T>& to) {
  const std::string_view old(reinterpret_cast<const char*>(from.data()), from.size() * sizeof(T));
  const std::size_t at = bytes.find(old);
  ASSERT_NE(at, std::string::npos);
  ASSERT_EQ(bytes.find(old, at + 1), std::string::npos);
  std::memcpy(bytes.data() + at, to.data(), to.size() * sizeof(T));
}

// The rows of `sentence` of the record's first region.
std::vector<char> SentenceRows(const Record& record) {
  std::vector<char> rows;
  for (const Sentence& sentence : record.sentences[0]) {
    const SentenceRow row{0, sentence.finding, sentence.polarity,
                          static_cast<std::uint32_t>(sentence.text.size())};
    VisitSentence(row, [&](const char*, const auto* value, RowDims) {
      const auto* bytes = reinterpret_cast<const char*>(value);
      rows.insert(rows.end(), bytes, bytes + sizeof(*value));
    });
  }
  return rows;
}

// Checksums agree, as those of a writer with a fault would.
TEST(Store, SentencesOutOfRangeAreRefused) {
  const TempDir dir;
  Record good = MakeRecord(0);
  for (auto& sentences : good.sentences) sentences.clear();
  Random random(1, Purpose::kPhantom);
  for (int i = 0; i < 64; ++i)
    good.sentences[0].push_back({"It is so.",
                                 static_cast<std::int16_t>(static_cast<int>(random.Below(5)) - 2),
                                 static_cast<std::int8_t>(random.Below(2))});
  const auto write = [&](const std::string& folder, const Record& record) {
    DatasetWriter writer({folder, "test", kSize, 3});
    writer.Add(record);
    writer.Finish(MakeVocabulary());
  };
  for (const auto& [finding, polarity, name] :
       {std::tuple(kFindings, 0, "finding 3 of 3"), std::tuple(-3, 0, "finding -3 of 3"),
        std::tuple(0, 2, "polarity 2"), std::tuple(0, -1, "polarity -1")}) {
    SCOPED_TRACE(StrCat(finding, " ", polarity));
    Record bad = good;
    bad.sentences[0][9].finding = static_cast<std::int16_t>(finding);
    bad.sentences[0][9].polarity = static_cast<std::int8_t>(polarity);
    const std::string folder = dir.path() + "/set", path = folder + "/shard-00000.h5";
    EXPECT_EQ(Caught([&] { write(folder, bad); }).first, ExitCode::kBug);
    write(folder, good);
    std::string bytes = ReadFile(path);
    Patch(bytes, SentenceRows(good), SentenceRows(bad));
    Patch<std::uint32_t>(bytes, {FieldsCrc(good)}, {FieldsCrc(bad)});
    Overwrite(path, bytes);
    const auto [code, message] = Caught([&] { OpenShard(path)->Read(0); });
    EXPECT_EQ(code, ExitCode::kInvalidData);
    EXPECT_THAT(message, HasSubstr(path + ", record 0"));
    EXPECT_THAT(message, HasSubstr(name));
    RemoveTree(folder);
  }
}

TEST(Store, ATableOfAnotherSizeThanTheFindingsIsRefused) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = ManifestPath(folder);
  WriteSet(folder, 2);
  for (const std::size_t size : {0, kRegions * kFindings - 1}) {
    Manifest manifest = ReadManifest(path);
    manifest.vocabulary.can.resize(size);
    const std::string other = dir.path() + "/manifest.pb";
    WriteManifest(other, manifest);
    const auto [code, message] = Caught([&] { ReadManifest(other); });
    EXPECT_EQ(code, ExitCode::kInvalidData);
    EXPECT_THAT(message, HasSubstr(StrCat("a region-finding table of ", size, " entries")));
    DatasetWriter writer({dir.path() + "/refused", "test", kSize, 3});
    writer.Add(MakeRecord(0));
    EXPECT_EQ(Caught([&] { writer.Finish(manifest.vocabulary); }).first, ExitCode::kBug);
  }
}

TEST(Store, NewerSchemaVersionIsNamed) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/manifest.pb";
  WriteSet(folder, 2);
  std::string bytes = ReadFile(path);
  bytes[8] = 9;
  bytes.resize(bytes.size() - 4);
  const std::uint32_t crc = Crc32c(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  Overwrite(path, bytes);
  EXPECT_THAT(Caught([&] { OpenDataset(folder, Split::kTrain); }).second,
              HasSubstr("schema version 9; this program reads versions 1 to 2"));
}

TEST(Store, MissingOrShortShardIsNamedBeforeTraining) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set", path = folder + "/shard-00001.h5";
  EXPECT_EQ(Caught([&] { OpenDataset(folder, Split::kTrain); }).first, ExitCode::kInputMissing);
  WriteSet(folder, 6);
  const std::string good = ReadFile(path);
  Overwrite(path, good.substr(0, good.size() - 1));
  auto [code, message] = Caught([&] { OpenDataset(folder, Split::kTrain); });
  EXPECT_EQ(code, ExitCode::kInvalidData);
  EXPECT_THAT(message, HasSubstr(path));
  RemoveTree(path);
  std::tie(code, message) = Caught([&] { OpenDataset(folder, Split::kTrain); });
  EXPECT_EQ(code, ExitCode::kInputMissing);
  EXPECT_THAT(message, HasSubstr(path));
  Overwrite(path, ReadFile(folder + "/shard-00000.h5"));  // a shard of the set, at a wrong place
  EXPECT_NE(Caught([&] { OpenDataset(folder, Split::kTrain); }).first, ExitCode::kBug);
  EXPECT_FALSE(VerifyDataset(folder).empty());
}

// Every operation on the disk fails once, with a full disk: always the right code and path, and
// never anything left that passes for a data set.
TEST(Store, FullDiskAtAnyOperationLeavesNothing) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  bool failed = true;
  int operation = 0;
  for (; failed; ++operation) {
    ASSERT_LT(operation, 100);
    int calls = 0;
    SetFileFault([&](FileOp op, const std::string& path) {
      const bool ours = path.starts_with(folder) && op != FileOp::kRead;
      return ours && calls++ == operation ? ENOSPC : 0;
    });
    const auto [code, message] = Caught([&] { WriteSet(folder, 7); });
    SetFileFault(nullptr);
    failed = code != ExitCode::kFinished;
    if (!failed) break;
    EXPECT_EQ(code, ExitCode::kCannotCreate) << message;
    EXPECT_THAT(message, HasSubstr(folder));
    EXPECT_THAT(message, HasSubstr("free some space"));
    EXPECT_FALSE(Exists(folder)) << operation << " " << message;
  }
  EXPECT_GT(operation, 15);
  EXPECT_TRUE(VerifyDataset(folder).empty());
}

TEST(Store, ReallyFullDevice) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  MakeDirs(folder);
  const std::string shard = StrCat(folder, "/shard-00000.h5.tmp-", ::getpid());
  ASSERT_EQ(::symlink("/dev/full", shard.c_str()), 0);
  const auto [code, message] = Caught([&] { WriteSet(folder, 2); });
  EXPECT_EQ(code, ExitCode::kCannotCreate);
  EXPECT_THAT(message, HasSubstr(shard + ": No space left on device; free some space"));
  EXPECT_TRUE(ListDir(folder).empty());
}

TEST(Store, FolderThatCannotBeMade) {
  const auto [code, message] = Caught([&] { WriteSet("/proc/vesalius/set", 1); });
  EXPECT_EQ(code, ExitCode::kCannotCreate);
  EXPECT_THAT(message, HasSubstr("/proc/vesalius"));
}

TEST(Store, UnfinishedOrEmptyLeavesNothing) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  {
    DatasetWriter writer({folder, "test", kSize, 2});
    for (int i = 0; i < 5; ++i) writer.Add(MakeRecord(i));
  }
  EXPECT_FALSE(Exists(folder));
  EXPECT_EQ(Caught([&] {
              DatasetWriter({folder, "test", kSize, 2}).Finish(Vocabulary());
            }).first,
            ExitCode::kInvalidData);
  EXPECT_FALSE(Exists(folder));
}

TEST(Store, SecondWriterIsRefusedAndLeftoversGo) {
  const TempDir dir;
  const std::string folder = dir.path() + "/set";
  MakeDirs(folder);
  Overwrite(folder + "/shard-00007.h5.tmp-1", "left by a killed import");
  WriteSet(folder, 2);
  EXPECT_FALSE(Exists(folder + "/shard-00007.h5.tmp-1"));
  const auto [code, message] = Caught([&] { WriteSet(folder, 2); });
  EXPECT_EQ(code, ExitCode::kCannotCreate);
  EXPECT_THAT(message, HasSubstr("already holds a data set"));
  EXPECT_TRUE(VerifyDataset(folder).empty());
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
