// The plug-in on a machine without a GPU or without the plug-in: a configuration error that says
// what to do. With a GPU: the CUDA sum of squares equals the CPU's bit for bit, and NCCL of one
// rank passes the conformance suite.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/cuda_plugin.h"
#include "ops/sum_squares.h"
#include "tests/dist/conformance.h"

namespace vesalius::dist {
namespace {

TEST(CudaPlugin, LoadsOrSaysWhatToDo) {
  try {
    LoadCudaPlugin();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kConfig);
    EXPECT_THAT(error.what(), testing::HasSubstr("use --device cpu"));
    GTEST_SKIP() << "no GPU here: " << error.what();
  }
  for (const std::int64_t count : {0, 1, 1000, 65536, 300'001}) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      const at::Tensor x = at::sin(at::arange(count, at::kDouble)).to(type);
      EXPECT_EQ(ops::SumSquares(x.to(at::kCUDA)).item<double>(), ops::SumSquares(x).item<double>());
    }
  }
  const auto bootstrap = MakeBootstrap();
  const auto comm = bootstrap->MakeCommunicator(Device::kCuda, {});
  RunConformance(*comm, true);
}

}  // namespace
}  // namespace vesalius::dist
