// Reports tokenised once: the file says what the tokenizer says, is found again, made anew when it
// is of other data or damaged, and balances a step's tokens between ranks.
#include "data/loader/token_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/random.h"
#include "data/loader/balance.h"
#include "data/loader/order.h"
#include "data/text/tokenizer.h"
#include "tests/data/loader_steps.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

// Reports of very different lengths; counts how often they are read.
class Talkative : public MemoryDataset {
 public:
  using MemoryDataset::MemoryDataset;
  Record Get(std::int64_t index) const override {
    Record record = MemoryDataset::Get(index);
    for (std::int64_t i = 0; i < index * 7 % 23; ++i) record.report += " no nodule in the lung.";
    return record;
  }
  std::string Report(std::int64_t index) const override {
    ++reads;
    return Dataset::Report(index);
  }
  mutable int reads = 0;
};

std::shared_ptr<const TokenStore> Open(const Dataset& data, std::vector<std::string> folders) {
  return OpenTokenStore(data, folders, nullptr);
}

TEST(TokenStore, SaysWhatTheTokenizerSays) {
  const TempDir dir;
  Talkative data(30);
  data.Break(4);
  const auto store = Open(data, {dir.path()});
  const Tokenizer tokenizer(data.vocabulary().wordpieces);
  for (std::int64_t i = 0; i < 30; ++i) {
    if (i == 4) {
      EXPECT_EQ(store->Read(i), std::nullopt);
      EXPECT_EQ(store->Length(i), 0);
      continue;
    }
    const auto ids = tokenizer.Encode(data.Get(i).report);
    EXPECT_EQ(store->Read(i), ids);
    EXPECT_EQ(store->Length(i), std::ssize(ids));
  }
  EXPECT_EQ(data.reads, 30);
  EXPECT_EQ(ListDir(dir.path()).size(), 1u);  // nothing half-made is left
  Open(data, {dir.path() + "/absent", dir.path()});
  EXPECT_EQ(data.reads, 30) << "the file was not found again";
}

TEST(TokenStore, IsMadeAnewForOtherDataOrWhenDamaged) {
  const TempDir dir;
  Talkative data(30);
  Open(data, {dir.path()});
  data.SetFingerprint("0123");
  Open(data, {dir.path()});
  EXPECT_EQ(data.reads, 60);
  Talkative longer(31);
  Open(longer, {dir.path()});
  EXPECT_EQ(ListDir(dir.path()).size(), 3u);

  // Every file cut short or changed in its header is made anew; a changed token is noticed.
  const std::string path = dir.path() + "/" + ListDir(dir.path())[0];
  const std::string whole = ReadFile(path);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{40}, whole.size() - 1}) {
    WriteFileAtomic(path, whole.substr(0, cut));
    Open(data, {dir.path()});
    Open(longer, {dir.path()});
  }
  data.SetFingerprint("4567");
  const TempDir other;
  Open(data, {other.path()});
  const std::string fresh = other.path() + "/" + ListDir(other.path())[0];
  std::string bytes = ReadFile(fresh);
  for (const std::size_t at : {std::size_t{3}, std::size_t{9}, std::size_t{20}, std::size_t{50}}) {
    std::string wrong = bytes;
    wrong[at] ^= 1;
    WriteFileAtomic(fresh, wrong);
    const int before = data.reads;
    Open(data, {other.path()});
    EXPECT_EQ(data.reads, before + 30) << "byte " << at;
  }
  bytes[bytes.size() - 1] ^= 1;  // in the last report's tokens
  WriteFileAtomic(fresh, bytes);
  const auto store = Open(data, {other.path()});
  EXPECT_EQ(store->Read(29), std::nullopt);
  EXPECT_NE(store->Read(28), std::nullopt);
}

TEST(TokenStore, ReadOnlyFoldersArePassedOver) {
  const TempDir dir;
  WriteFileAtomic(dir.path() + "/file", "no folder");
  Talkative data(10);
  Open(data, {dir.path() + "/file", dir.path() + "/run/tokens"});
  EXPECT_EQ(ListDir(dir.path() + "/run/tokens").size(), 1u);
  EXPECT_EQ(CodeOf([&] { Open(Talkative(11), {dir.path() + "/file"}); }), ExitCode::kCannotCreate);
}

TEST(BalancedRows, JoinToTheStepAndBalance) {
  Random random(1, Purpose::kTest);
  for (int trial = 0; trial < 200; ++trial) {
    const auto rows = static_cast<std::int64_t>(1 + random.Below(60));
    const int ranks = static_cast<int>(1 + random.Below(9));
    std::vector<std::int64_t> lengths;
    for (std::int64_t i = 0; i < rows; ++i)
      lengths.push_back(static_cast<std::int64_t>(random.Below(200)));
    std::vector<int> taken(lengths.size());
    std::vector<std::int64_t> sums;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto mine = BalancedRows(lengths, rank, ranks);
      const PositionRange share = RankSlice(0, rows, rank, ranks);
      EXPECT_EQ(std::ssize(mine), share.end - share.begin);
      EXPECT_TRUE(std::ranges::is_sorted(mine));
      sums.push_back(0);
      for (const std::size_t row : mine) {
        ++taken[row];
        sums.back() += lengths[row];
      }
    }
    for (const int count : taken) EXPECT_EQ(count, 1);
    if (rows % ranks == 0) {
      // A share's last row fills a gap of at most one length.
      EXPECT_LE(std::ranges::max(sums) - std::ranges::min(sums), 200);
    }
  }
}

TEST(TokenStore, BalancesRanksWithoutChangingTheStep) {
  const TempDir dir;
  const auto data = std::make_shared<Talkative>(64);
  PipelineOptions options = Augmented(16);
  const std::vector<Step> expected = Collect(data, options, 1, 8);
  const auto spread = [&](const PipelineOptions& with) {
    double worst = 0;
    std::vector<std::vector<double>> tokens(4);
    for (int rank = 0; rank < 4; ++rank) {
      PipelineOptions mine = with;
      mine.rank = rank;
      mine.ranks = 4;
      Pipeline pipeline({data}, mine, {});
      for (int step = 0; step < 8; ++step) {
        const Batch batch = pipeline.Next();
        double sum = 0;
        for (const std::int64_t id : batch.reports.ids) sum += id != 0;
        tokens[rank].push_back(sum);
      }
    }
    for (int step = 0; step < 8; ++step) {
      double most = 0, all = 0;
      for (const auto& of_rank : tokens) most = std::max(most, of_rank[step]), all += of_rank[step];
      worst = std::max(worst, most / (all / 4));
    }
    return worst;
  };
  const double before = spread(options);
  options.tokens = Open(*data, {dir.path()});
  EXPECT_TRUE(Collect(data, options, 4, 8) == expected);
  EXPECT_TRUE(Collect(data, options, 3, 8) == expected);
  const double after = spread(options);
  EXPECT_GT(before, 1.3);
  EXPECT_LT(after, 1.1);
}

}  // namespace
}  // namespace vesalius::data
