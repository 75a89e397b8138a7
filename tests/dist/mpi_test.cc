// Run under mpirun with 2 and 3 processes.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

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

TEST(Mpi, SmallAllReduceTakesWellBelowAMillisecond) {
  const auto comm = g_bootstrap->MakeCommunicator(Device::kCpu, {});
  std::vector<float> data(1024, 1.f);
  constexpr int kCalls = 500;
  comm->Barrier("start").Wait();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) {
    comm->AllReduce("latency", data.data(), 1024, DType::kFloat32).Wait();
  }
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  if (comm->rank() == 0) std::printf("all-reduce of 4 KiB: %.1f us\n", time.count() / kCalls);
  // Generous: other tests may share the processors.
  EXPECT_LT(time.count() / kCalls, comm->size() == 2 ? 1000 : 20'000);
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
