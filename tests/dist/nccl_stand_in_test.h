// The fixture of tests that use the stand-in as the backend of GPUs.
#pragma once

#include <gtest/gtest.h>

#include "dist/backend_registry.h"
#include "dist/bootstrap.h"
#include "dist/nccl/nccl_communicator.h"
#include "tests/dist/nccl_stand_in.h"

namespace vesalius::dist::nccl {

class StandInTest : public testing::Test {
 protected:
  void SetUp() override {
    RegisterBackend(Device::kCuda, [api = MakeStandIn(faults_)](
                                       Bootstrap& bootstrap, const CommunicatorOptions& options) {
      return MakeNcclCommunicator(api, bootstrap.node_rank(), bootstrap, options);
    });
  }
  void TearDown() override { RegisterBackend(Device::kCuda, nullptr); }

  Faults faults_;
};

}  // namespace vesalius::dist::nccl
