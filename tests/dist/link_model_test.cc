#include "dist/link_model.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::dist {
namespace {

constexpr Links kLinks{{1e-6, 1e9}, {10e-6, 1e8}};

TEST(LinkModel, ByHand) {
  // A ring of 4 on one node: 2 (4 - 1) hops, and the bytes at 1 GB/s.
  EXPECT_DOUBLE_EQ(Seconds(kLinks, Kind::kAllReduce, 1, 4, 3e6, 0), 6e-6 + 3e-3);
  // 2 nodes of 4: a quarter of the bytes crosses at 100 MB/s.
  EXPECT_DOUBLE_EQ(Seconds(kLinks, Kind::kAllGather, 2, 4, 4e6, 1e6), 3e-6 + 3e-3 + 10e-6 + 1e-2);
  EXPECT_DOUBLE_EQ(Seconds(kLinks, Kind::kBroadcast, 1, 5, 0, 0), 3e-6);
  for (int kind = 0; kind < kKinds; ++kind)
    EXPECT_EQ(Seconds(kLinks, static_cast<Kind>(kind), 1, 1, 0, 0), 0) << kind;
}

TEST(LinkModel, ReadsWhatTheBenchmarkWrites) {
  const TempDir folder;
  const std::string path = folder.path() + "/links.json";
  WriteFileAtomic(path,
                  R"([{"name":"links.node.latency_us","value":3,"unit":"us","rounds":[3]},
                      {"name":"links.mpi.bandwidth_GBps","value":2.5,"unit":"GB/s","rounds":[]},
                      {"name":"links.mpi.latency_us","value":null,"reason":"no network"}])");
  const Links links = ReadLinks(path);
  EXPECT_DOUBLE_EQ(links.node.latency, 3e-6);
  EXPECT_DOUBLE_EQ(links.network.bandwidth, 2.5e9);
  EXPECT_EQ(links.network.latency, Links().network.latency);
  EXPECT_EQ(links.node.bandwidth, Links().node.bandwidth);
  for (const char* bad : {"[", "[{}]", R"([{"name":"links.node.latency_us","value":0}])"}) {
    WriteFileAtomic(path, bad);
    EXPECT_NE(MessageOf(ExitCode::kInvalidData, [&] { ReadLinks(path); }).find(path),
              std::string::npos)
        << bad;
  }
}

}  // namespace
}  // namespace vesalius::dist
