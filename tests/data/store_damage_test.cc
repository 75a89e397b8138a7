// Damage anywhere in shards and manifest is found and named, and nothing partial passes for a data
// set.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/hdf5/array_file.h"
#include "data/shards/dataset_files.h"
#include "data/shards/fingerprint.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_reader.h"
#include "data/shards/shard_row.h"
#include "tests/data/store_fixture.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

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

}  // namespace
}  // namespace vesalius::data
