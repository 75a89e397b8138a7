// Dedupe, layouts and tiered memory of the tables.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/random.h"
#include "dist/table/dedupe.h"
#include "dist/table/layout.h"
#include "dist/table/tiered_memory.h"

namespace vesalius::dist {
namespace {

// By a map: distinct ids in order of first appearance.
void ExpectDistinct(Dedupe& dedupe, const std::vector<std::int64_t>& ids) {
  dedupe.Run(ids);
  std::map<std::int64_t, std::int32_t> seen;
  std::vector<std::int64_t> unique;
  std::vector<std::int32_t> inverse;
  for (const std::int64_t id : ids) {
    const auto [found, added] = seen.emplace(id, static_cast<std::int32_t>(unique.size()));
    if (added) unique.push_back(id);
    inverse.push_back(found->second);
  }
  EXPECT_EQ(dedupe.unique(), unique);
  EXPECT_EQ(dedupe.inverse(), inverse);
}

TEST(Dedupe, IsOrderOfFirstAppearance) {
  Dedupe dedupe;
  ExpectDistinct(dedupe, {});
  ExpectDistinct(dedupe, {7});
  ExpectDistinct(dedupe, {-1, 0, -1, INT64_MIN, INT64_MAX, 0});
  ExpectDistinct(dedupe, std::vector<std::int64_t>(1000, 42));
}

TEST(Dedupe, NeedsNoClearingBetweenBatches) {
  Dedupe dedupe;
  Random random(1, Purpose::kTest);
  for (int batch = 0; batch < 200; ++batch) {
    std::vector<std::int64_t> ids(random.Below(3000));
    const std::uint64_t range = 1 + random.Below(5000);
    // Multiples of a large power of two would all meet in one slot of a weak hash.
    const std::int64_t stride = batch % 3 == 0 ? std::int64_t{1} << 40 : 1;
    for (auto& id : ids) id = static_cast<std::int64_t>(random.Below(range)) * stride;
    ExpectDistinct(dedupe, ids);
  }
}

TEST(GroupPositions, AscendInEachGroup) {
  const std::vector<std::int32_t> inverse{2, 0, 2, 1, 0, 2};
  const Groups groups = GroupPositions(inverse, 4);
  EXPECT_EQ(groups.offsets, (std::vector<std::int32_t>{0, 2, 3, 6, 6}));
  EXPECT_EQ(groups.positions, (std::vector<std::int32_t>{1, 4, 3, 0, 2, 5}));
}

TEST(TableLayout, TilesTheTable) {
  for (const TableStrategy strategy : {TableStrategy::kRows, TableStrategy::kColumns})
    for (const std::int64_t rows : {1, 2, 7, 64})
      for (const std::int64_t width : {1, 16, 40, 100})
        for (int ranks = 1; ranks <= 4; ++ranks) {
          const TableLayout layout{strategy, rows, width, ranks};
          std::vector<int> covered(static_cast<std::size_t>(rows * width), 0);
          for (int rank = 0; rank < ranks; ++rank) {
            const TableBlock block = layout.Block(rank);
            for (std::int64_t r = block.row; r < block.row + block.rows; ++r) {
              if (strategy == TableStrategy::kRows) {
                EXPECT_EQ(layout.OwnerOfRow(r), rank);
              }
              for (std::int64_t c = block.column; c < block.column + block.columns; ++c)
                ++covered[static_cast<std::size_t>(r * width + c)];
            }
          }
          EXPECT_EQ(std::count(covered.begin(), covered.end(), 1), rows * width)
              << Name(strategy) << " " << rows << "x" << width << " on " << ranks;
        }
}

TEST(TieredMemory, IsOneRangeWhateverTheBudget) {
  constexpr std::size_t kBytes = 100000;
  for (const std::size_t fast : {std::size_t{0}, std::size_t{1}, std::size_t{50000}, kBytes}) {
    const TieredMemory memory(kBytes, fast);
    EXPECT_EQ(memory.slow_bytes() == 0, fast == kBytes);
    auto* bytes = static_cast<unsigned char*>(memory.data());
    EXPECT_TRUE(std::all_of(bytes, bytes + kBytes, [](unsigned char b) { return b == 0; }));
    for (std::size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<unsigned char>(i * 7);
    for (std::size_t i = 0; i < kBytes; ++i)
      ASSERT_EQ(bytes[i], static_cast<unsigned char>(i * 7)) << i;
  }
  EXPECT_EQ(TieredMemory(0).data(), nullptr);
}

}  // namespace
}  // namespace vesalius::dist
