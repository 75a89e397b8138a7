// Tests that run the same body on 1-4 local ranks and, under mpirun, on its processes, which an
// argument (one letter a rank) declares to be on several nodes. Include in one source only: it
// holds main().
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "dist/bootstrap.h"

namespace vesalius::dist {

inline Bootstrap* g_mpi = nullptr;  // set when started by mpirun

inline void OnRanks(int ranks, const std::function<void(Communicator&)>& body) {
  const auto run = [&](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    SCOPED_TRACE(testing::Message() << "rank " << comm->rank() << " of " << comm->size());
    body(*comm);
  };
  if (g_mpi != nullptr) return run(*g_mpi);
  RunLocalRanks(ranks, run);
}

}  // namespace vesalius::dist

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  vesalius::log::Init(argv[0]);
  if (const char* rank = std::getenv("OMPI_COMM_WORLD_RANK"); rank != nullptr && argc == 2)
    setenv("VESALIUS_DECLARED_NODE", std::string(1, argv[1][std::atoi(rank)]).c_str(), 1);
  const std::unique_ptr<vesalius::dist::Bootstrap> mpi = vesalius::dist::MakeBootstrap();
  if (mpi->size() > 1) {
    vesalius::dist::g_mpi = mpi.get();
    // The rank count is mpirun's; one instance of each test.
    testing::GTEST_FLAG(filter) = "*/0";
  }
  return RUN_ALL_TESTS();
}
