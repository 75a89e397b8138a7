// F10, F25 and F26 at the checkpoint itself: bytes flipped anywhere in a folder, files cut, lost or
// exchanged between two steps are named and never read as values; and whatever world size or
// sharding wrote a step, any other reads the same bits. VESALIUS_FLIPS sets how many flips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/random.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "checkpoints/source.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Changes the byte at `at` to something else; the same `mask` again brings it back.
void Flip(const std::string& path, std::uint64_t at, char mask) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ mask));
}

// What two ranks would load, as training does: "" when it is right, else what an Error says, or
// "other values".
std::string Load(const std::string& source, std::int64_t step) {
  try {
    for (int rank = 0; rank < 2; ++rank) {
      const std::unique_ptr<Reader> reader = OpenSource(source);
      if (reader->info().blobs != MakeInfo(step).blobs) return "other values";
      for (const TensorView& view : MakeState(step, rank, 2).views) {
        std::vector<char> bytes(view.bytes);
        TensorView out = view;
        out.data = bytes.data();
        reader->Read(out);
        if (view.bytes > 0 && std::memcmp(bytes.data(), view.data, view.bytes) != 0)
          return "other values";
      }
    }
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

struct Flips {
  int detected = 0, harmless = 0, trained_on = 0;
};

Flips FlipBytes(int count) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  ExpectAll(SaveStep(dir.path(), attempt.get(), 2, 3), ExitCode::kFinished);
  const std::string folder = dir.path() + "/ckpt/" + StepName(2);
  std::vector<std::pair<std::string, std::uint64_t>> files;  // and where their bytes begin
  std::uint64_t total = 0;
  for (const std::string& name : ListDir(folder)) {
    files.emplace_back(folder + "/" + name, total);
    total += FileSize(files.back().first);
  }
  Random random(17, Purpose::kTest);
  Flips flips;
  for (int i = 0; i < count; ++i) {
    // Every other one in the manifest, which is small beside the shards' padding.
    const std::uint64_t at = i % 2 == 0 ? random.Below(total) : random.Below(files[1].second);
    std::size_t file = 0;
    while (file + 1 < files.size() && files[file + 1].second <= at) ++file;
    const char mask = static_cast<char>(1 << random.Below(8));
    Flip(files[file].first, at - files[file].second, mask);
    const std::string found = Load(folder, 2);
    Flip(files[file].first, at - files[file].second, mask);
    if (found == "other values") {
      ++flips.trained_on;
    } else if (found.empty()) {
      ++flips.harmless;  // the values are right: it was padding
    } else {
      ++flips.detected;
      EXPECT_THAT(found, HasSubstr(files[file].first));
    }
  }
  EXPECT_EQ(Load(folder, 2), "");
  return flips;
}

TEST(F10_Damage, NoFlippedByteIsTrainedOn) {
  const char* given = std::getenv("VESALIUS_FLIPS");
  const Flips flips = FlipBytes(given != nullptr ? std::atoi(given) : 1000);
  std::printf("%d flips found, %d in padding, %d trained on\n", flips.detected, flips.harmless,
              flips.trained_on);
  EXPECT_EQ(flips.trained_on, 0);
  EXPECT_GT(flips.detected, 500);
}

TEST(F10_Damage, WithoutChecksumsItIsFoundWrong) {
  const Without checksum(Protection::kChecksum);
  EXPECT_GT(FlipBytes(300).trained_on, 0);
}

TEST(F10_Damage, FilesCutLostAndExchanged) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  for (const int step : {1, 2})
    ExpectAll(SaveStep(dir.path(), attempt.get(), step, 2), ExitCode::kFinished);
  const std::string older = dir.path() + "/ckpt/" + StepName(1);
  const std::string newer = dir.path() + "/ckpt/" + StepName(2);
  for (const std::string& name : ListDir(newer)) {
    const std::string path = newer + "/" + name, whole = ReadFile(path);
    for (const std::uint64_t size : {whole.size() - 1, whole.size() / 2, std::size_t{0}}) {
      fs::resize_file(path, size);
      EXPECT_THAT(Load(newer, 2), HasSubstr(path)) << size;
      fs::remove(path);
      WriteFileAtomic(path, whole);
    }
    fs::remove(path);
    EXPECT_THAT(Load(newer, 2), HasSubstr(name));
    fs::copy_file(older + "/" + name, path);
    EXPECT_NE(Load(newer, 2), "");
    EXPECT_NE(Load(newer, 2), "other values");
    fs::remove(path);
    WriteFileAtomic(path, whole);
    EXPECT_EQ(Load(newer, 2), "");
  }
}

TEST(F25_WorldSize, AnyNumberOfRanksGoesOnFromAnyOther) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  std::string digest;
  std::int64_t step = 0;
  for (const int ranks : {4, 2, 3, 8, 1}) {
    ++step;
    // What the ranks hold is what they read from the step before.
    const auto thrown = OnRanks(ranks, [&](int rank, const Exchange& exchange) {
      State state = MakeState(1, rank, ranks);
      if (step > 1) {
        const Reader reader(dir.path() + "/ckpt/" + StepName(step - 1));
        for (const TensorView& view : state.views) {
          if (view.bytes > 0) std::memset(view.data, 0xEE, view.bytes);
          reader.Read(view);
        }
      }
      Writer writer({.run_folder = dir.path(), .rank = rank, .ranks = ranks, .keep = {.newest = 9}},
                    rank == 0 ? attempt.get() : nullptr, exchange);
      writer.Save(MakeInfo(step), state.views);
    });
    ExpectAll(thrown, ExitCode::kFinished);
    const std::string now = Reader(dir.path() + "/ckpt/" + StepName(step)).ParametersDigest();
    if (digest.empty()) digest = now;
    EXPECT_EQ(now, digest) << ranks << " ranks";
  }
}

// A moment as ZeRO-1 shards it (flat ranges), whole, and by columns as a table lies.
TEST(F26_Mesh, AnyShardingGoesOnFromAnyOther) {
  const std::vector<std::int64_t> shape = {37, 11, 5};
  const std::int64_t elements = Volume(shape);
  std::vector<float> values(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 7;
  const auto boxes_of = [&](int way, int rank, int ranks) -> std::vector<Box> {
    if (way == 0) return {Whole(shape)};
    if (way == 1) return FlatBoxes(shape, elements * rank / ranks, elements * (rank + 1) / ranks);
    return {{{0, 11 * rank / ranks, 0}, {37, 11 * (rank + 1) / ranks - 11 * rank / ranks, 5}}};
  };
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  std::int64_t step = 0;
  for (int from = 0; from < 3; ++from) {
    ++step;
    const auto thrown = OnRanks(3, [&](int rank, const Exchange& exchange) {
      State state;
      const std::vector<Box> boxes = boxes_of(from, rank, 3);
      for (const Box& box : boxes) {
        TensorView& view = state.Add("w", "F32", shape, Role::kMoment1, box);
        CopyBox(box, Whole(shape), values.data(), box, view.data, 4);
      }
      // Every rank lists a tensor equally often.
      for (std::size_t i = boxes.size(); i < FlatBoxLimit(3); ++i)
        state.views.push_back({{"w", "F32", shape, Role::kMoment1}, {}, {}});
      Writer writer({.run_folder = dir.path(), .rank = rank, .ranks = 3, .keep = {.newest = 9}},
                    rank == 0 ? attempt.get() : nullptr, exchange);
      writer.Save(MakeInfo(step), state.views);
    });
    ExpectAll(thrown, ExitCode::kFinished);
    for (int to = 0; to < 3; ++to)
      for (int rank = 0; rank < 4; ++rank)
        for (const Box& box : boxes_of(to, rank, 4)) {
          State read, expected;
          const TensorView& view = read.Add("w", "F32", shape, Role::kMoment1, box);
          const TensorView& true_view = expected.Add("w", "F32", shape, Role::kMoment1, box);
          CopyBox(box, Whole(shape), values.data(), box, true_view.data, 4);
          Reader(dir.path() + "/ckpt/" + StepName(step)).Read(view);
          EXPECT_EQ(std::memcmp(view.data, true_view.data, view.bytes), 0)
              << from << " to " << to << " " << ToString(box);
        }
  }
}

}  // namespace
}  // namespace vesalius::checkpoints
