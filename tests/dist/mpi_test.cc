// Run under mpirun with 2 and 3 processes.
#include <gtest/gtest.h>


#include "base/log.h"
#include "dist/bootstrap.h"
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
  RunConformance(*comm, true);
}

}  // namespace
}  // namespace vesalius::dist

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  vesalius::log::Init(argv[0]);
  auto bootstrap = vesalius::dist::MakeBootstrap();
  vesalius::dist::g_bootstrap = bootstrap.get();
  const int status = RUN_ALL_TESTS();
  bootstrap.reset();
  return status;
}
