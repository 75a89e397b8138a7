// Run under mpirun with 2 and more processes. An argument says which way data takes between them:
// "shared" memory, "mpi" as between nodes, or, like "aab", letter by letter the node that each rank
// is declared to be on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "dist/bootstrap.h"
#include "dist/bootstrap_kinds.h"
#include "tests/dist/conformance.h"

namespace vesalius::dist {
namespace {

Bootstrap* g_bootstrap = nullptr;
std::string g_nodes;  // by rank, where nodes are declared

int NodeSizeOf(int rank) {
  return static_cast<int>(std::count(g_nodes.begin(), g_nodes.end(), g_nodes[rank]));
}

TEST(Mpi, KnowsItsPlace) {
  EXPECT_STREQ(g_bootstrap->kind(), "mpi");
  EXPECT_GE(g_bootstrap->size(), 2);
  EXPECT_EQ(g_bootstrap->node_size(), NodeSizeOf(g_bootstrap->rank()));
  EXPECT_LT(g_bootstrap->node_rank(), g_bootstrap->node_size());
  const auto all = g_bootstrap->Exchange("ids", std::to_string(g_bootstrap->rank() * 11));
  for (int r = 0; r < g_bootstrap->size(); ++r) EXPECT_EQ(all[r], std::to_string(r * 11));
}

TEST(Mpi, Conformance) {
  const auto comm = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  EXPECT_STREQ(comm->backend(), "mpi");
  RunConformance(*comm, true);
}

TEST(Mpi, KnowsItsNodes) {
  const auto comm = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  const Topology& topology = comm->topology();
  std::string seen;  // nodes in order of their first ranks
  for (int r = 0; r < comm->size(); ++r) {
    if (seen.find(g_nodes[r]) == std::string::npos) seen += g_nodes[r];
    EXPECT_EQ(topology.node_of[r], static_cast<int>(seen.find(g_nodes[r])));
  }
  EXPECT_EQ(topology.node_count, static_cast<int>(seen.size()));
  EXPECT_EQ(topology.node, topology.node_of[comm->rank()]);
  EXPECT_EQ(topology.node_size, NodeSizeOf(comm->rank()));
  const auto inside = comm->Split("node", topology.node);
  EXPECT_EQ(inside->size(), topology.node_size);
  EXPECT_EQ(inside->rank(), topology.node_rank);
  EXPECT_EQ(inside->topology().node_count, 1);
}

// What crosses between nodes, of all ranks together, against what a flat exchange sends: 1 / ranks
// a node. Nothing crosses inside a node.
TEST(Mpi, CrossesBetweenNodesOnceANode) {
  const auto comm = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  const auto flat = MakeFlatCommunicator(*g_bootstrap, {});
  constexpr std::int64_t kCount = 240'000;
  const auto memory = comm->Allocate(kCount * sizeof(float));
  const auto crossed = [&](Communicator& way) {
    const Traffic before = way.traffic();
    way.AllReduce("counted", memory.get(), kCount, DType::kFloat32).Wait();
    std::int64_t bytes = (way.traffic() - before).of(Kind::kAllReduce).bytes_between_nodes;
    AllReduceNow(way, "sum of counts", std::span(&bytes, 1));
    return bytes;
  };
  const std::int64_t ours = crossed(*comm);
  const std::int64_t others = crossed(*flat);
  const Topology& topology = comm->topology();
  if (topology.node_count == 1) {
    EXPECT_EQ(ours, 0);
  } else if (g_nodes == "aabb") {
    EXPECT_EQ(2 * ours, others);
  } else {
    EXPECT_LE(ours, others);
  }
  EXPECT_EQ(ours, 2 * kCount * 4 * (topology.node_count - 1));
}

TEST(Mpi, TwoCommunicatorsDoNotMixTheirCalls) {
  const auto a = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  const auto b = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  std::int64_t one = 1;
  std::int64_t rank = a->rank();
  AllReduceNow(*a, "ones", std::span(&one, 1));
  AllReduceNow(*b, "ranks", std::span(&rank, 1));
  EXPECT_EQ(one, a->size());
  EXPECT_EQ(rank, a->size() * (a->size() - 1) / 2);
}

}  // namespace
}  // namespace vesalius::dist

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  vesalius::log::Init(argv[0]);
  const std::string way = argc < 2 ? "shared" : argv[1];
  const int rank = std::atoi(std::getenv("OMPI_COMM_WORLD_RANK"));
  const int size = std::atoi(std::getenv("OMPI_COMM_WORLD_SIZE"));
  vesalius::dist::g_nodes = std::string(size, 'a');
  if (way != "shared" && way != "mpi") {
    vesalius::dist::g_nodes = way;
    setenv("VESALIUS_DECLARED_NODE", way.substr(rank, 1).c_str(), 1);
  }
  auto bootstrap = vesalius::dist::MakeMpiBootstrap(0, way != "mpi");
  vesalius::dist::g_bootstrap = bootstrap.get();
  const int status = RUN_ALL_TESTS();
  bootstrap.reset();
  return status;
}
