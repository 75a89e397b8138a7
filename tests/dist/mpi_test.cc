// Run under mpirun with 2 and 3 processes.
#include <gtest/gtest.h>

#include <cstring>

#include "base/log.h"
#include "dist/bootstrap.h"
#include "dist/bootstrap_kinds.h"
#include "tests/dist/conformance.h"

namespace vesalius::dist {
namespace {

Bootstrap* g_bootstrap = nullptr;

TEST(Mpi, KnowsItsPlace) {
  EXPECT_STREQ(g_bootstrap->kind(), "mpi");
  EXPECT_GE(g_bootstrap->size(), 2);
  EXPECT_EQ(g_bootstrap->node_rank(), g_bootstrap->rank());
  EXPECT_EQ(g_bootstrap->node_size(), g_bootstrap->size());
  const auto all = g_bootstrap->Exchange("ids", std::to_string(g_bootstrap->rank() * 11));
  for (int r = 0; r < g_bootstrap->size(); ++r) EXPECT_EQ(all[r], std::to_string(r * 11));
}

TEST(Mpi, Conformance) {
  const auto comm = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  EXPECT_STREQ(comm->backend(), "mpi");
  RunConformance(*comm, true);
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
  // With "mpi" as argument, ranks of one node take the way between nodes.
  const bool share_memory = argc < 2 || std::strcmp(argv[1], "mpi") != 0;
  auto bootstrap = vesalius::dist::MakeMpiBootstrap(0, share_memory);
  vesalius::dist::g_bootstrap = bootstrap.get();
  const int status = RUN_ALL_TESTS();
  bootstrap.reset();
  return status;
}
