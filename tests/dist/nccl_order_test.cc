// The order check of NCCL, where nothing rides with the data: calls that differ and yet move data
// are found by the hash that rides in the next exchange, and the rings of the last calls name them.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "base/random.h"
#include "dist/flag_slots.h"
#include "dist/order_rider.h"
#include "tests/dist/nccl_stand_in_test.h"
#include "tests/util/message_of.h"

namespace vesalius::dist::nccl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using NcclOrder = StandInTest;

void Sum(Communicator& comm, const std::string& name, CallSite site = CallSite::current()) {
  const auto memory = comm.Allocate(64);
  comm.AllReduce(name, memory.get(), 8, DType::kFloat32, site).Wait();
}

// As the gradient exchange does: flags and hash in the last bucket.
std::vector<double> Exchange(Communicator& comm, const std::vector<double>& flags) {
  const auto count = static_cast<std::int64_t>(flags.size());
  at::Tensor slots = PackFlags(WithOrder(flags, comm), comm.rank(), comm.size(), at::kFloat);
  const auto memory = comm.Allocate(slots.nbytes());
  comm.FromHost(memory.get(), slots.const_data_ptr(), slots.nbytes());
  comm.AllReduce("riders", memory.get(), slots.numel(), DType::kFloat32).Wait();
  comm.ToHost(slots.mutable_data_ptr(), memory.get(), slots.nbytes());
  return CheckOrder(comm, slots, count);
}

void OnRanks(int ranks, const std::function<void(Communicator&)>& body) {
  RunLocalRanks(
      ranks, [&](Bootstrap& bootstrap) { body(*bootstrap.MakeCommunicator(Device::kCuda, {})); });
}

TEST_F(NcclOrder, EqualCallsPassAndFlagsArrive) {
  OnRanks(3, [](Communicator& comm) {
    for (int step = 0; step < 100; ++step) {
      Sum(comm, "loss");
      EXPECT_THAT(Exchange(comm, {1.0 + comm.rank(), 0.5}), ElementsAre(6, 1.5));
    }
  });
}

TEST_F(NcclOrder, TheFirstDifferenceIsNamedOnAllRanks) {
  std::atomic<int> named = 0;
  for (int trial = 0; trial < 20; ++trial) {
    Random random(99, Purpose::kTest, static_cast<std::uint64_t>(trial));
    const int ranks = 2 + static_cast<int>(random.Below(3));
    const int guilty = static_cast<int>(random.Below(ranks));
    const auto before = random.Below(100);
    const auto after = random.Below(20);
    OnRanks(ranks, [&](Communicator& comm) {
      for (std::uint64_t i = 0; i < before; ++i) Sum(comm, "before");
      Sum(comm, comm.rank() == guilty ? "momentum" : "gradient");
      for (std::uint64_t i = 0; i < after; ++i) Sum(comm, "after");
      const std::string message = MessageOf(ExitCode::kBug, [&] { Exchange(comm, {1}); });
      EXPECT_THAT(message, AllOf(HasSubstr("'momentum'"), HasSubstr("'gradient'"),
                                 HasSubstr(StrCat("(call ", before, ", ")),
                                 HasSubstr("tests/dist/nccl_order_test.cc:"),
                                 HasSubstr(StrCat("rank ", guilty, " called"))));
      ++named;
    });
  }
  EXPECT_GE(named, 40);
}

TEST_F(NcclOrder, CallSitesCountAndOldDifferencesAreSaidToBeOld) {
  OnRanks(2, [](Communicator& comm) {
    const auto here = CallSite::current();
    const auto there = CallSite::current();
    Sum(comm, "sum", comm.rank() == 0 ? here : there);
    for (int i = 0; i < 100; ++i) Sum(comm, "after");
    EXPECT_THAT(MessageOf(ExitCode::kBug, [&] { Exchange(comm, {}); }),
                HasSubstr("longer ago than the last 64 calls"));
  });
}

}  // namespace
}  // namespace vesalius::dist::nccl
