// Every function of the NCCL and CUDA tables fails, is slow, or hangs: the communicator returns
// within its deadline on all ranks, an error is thrown wherever a result could be wrong, and says
// which call of the program it was; what fails while cleaning up does not throw.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "base/error.h"
#include "dist/backend_registry.h"
#include "dist/bootstrap.h"
#include "dist/nccl/nccl_communicator.h"
#include "tests/dist/nccl_stand_in.h"

namespace vesalius::dist::nccl {
namespace {

using std::chrono::milliseconds;

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr int kRanks = 2;
constexpr int kNcclError = 3;    // ncclInternalError
constexpr int kCudaError = 700;  // cudaErrorIllegalAddress
constexpr auto kDeadline = milliseconds(400);

// Each kind of collective once, and a split.
void UseEverything(Communicator& comm) {
  const std::vector<std::int64_t> even(kRanks, 4);
  const std::vector<std::int64_t> uneven{3, 5};
  const auto in = comm.Allocate(64);
  const auto out = comm.Allocate(64);
  const std::vector<float> values(8, 1.f);
  comm.FromHost(in.get(), values.data(), 8 * sizeof(float));
  comm.AllReduce("all-reduce", in.get(), 8, DType::kFloat32).Wait();
  comm.AllGather("even rows", in.get(), out.get(), even, DType::kFloat32).Wait();
  comm.AllGather("uneven rows", in.get(), out.get(), uneven, DType::kFloat32).Wait();
  comm.ReduceScatter("even slices", in.get(), out.get(), even, DType::kFloat32).Wait();
  comm.ReduceScatter("uneven slices", in.get(), out.get(), uneven, DType::kFloat32).Wait();
  comm.Broadcast("broadcast", in.get(), 8, DType::kFloat32, 0).Wait();
  comm.AllToAll("letters", in.get(), even, out.get(), even, DType::kFloat32).Wait();
  comm.Barrier("barrier").Wait();
  const auto part = comm.Split("split", 0);
  part->Barrier("barrier of the part").Wait();
  std::vector<float> result(8);
  comm.ToHost(result.data(), out.get(), 8 * sizeof(float));
}

class NcclInjected : public testing::Test {
 protected:
  // The messages of the ranks that failed, after all ranks have ended; checks the time it took.
  std::vector<std::string> Run(const Injection& injection,
                               const std::function<void(Communicator&)>& body = UseEverything) {
    // Never freed: a call that hangs may come back after the test.
    static auto& all = *new std::vector<std::unique_ptr<Faults>>;
    Faults& faults = *all.emplace_back(std::make_unique<Faults>());
    faults.injection = injection;
    RegisterBackend(Device::kCuda, [api = MakeStandIn(faults)](Bootstrap& bootstrap,
                                                               const CommunicatorOptions& options) {
      return MakeNcclCommunicator(api, bootstrap.node_rank(), bootstrap, options);
    });
    std::mutex mutex;
    std::vector<std::string> messages;
    const auto start = std::chrono::steady_clock::now();
    // What a rank throws must reach the others through the communicator alone.
    RunLocalRanks(kRanks, [&](Bootstrap& bootstrap) {
      try {
        const auto comm = bootstrap.MakeCommunicator(Device::kCuda, {.deadline = kDeadline});
        body(*comm);
      } catch (const Error& error) {
        std::lock_guard lock(mutex);
        messages.emplace_back(error.what());
      }
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 5) << injection.call;
    EXPECT_TRUE(faults.struck()) << injection.call << " was never called";
    RegisterBackend(Device::kCuda, nullptr);
    return messages;
  }
};

// The calls of a collective, with what the message must name.
const std::vector<std::pair<std::string, std::string>> kNcclCalls = {
    {"all_reduce", "all-reduce 'all-reduce'"},
    {"all_gather", "all-gather 'even rows'"},
    {"reduce_scatter", "reduce-scatter 'even slices'"},
    {"broadcast", "all-gather 'uneven rows'"},  // of which it is made
    {"reduce", "reduce-scatter 'uneven slices'"},
    {"send", "all-to-all 'letters'"},
    {"receive", "all-to-all 'letters'"},
    {"group_start", "all-gather 'uneven rows'"},
    {"group_end", "all-gather 'uneven rows'"},
    {"comm_split", "splitting the NCCL communicator for 'split'"},
};

TEST_F(NcclInjected, AFailedCallOfACollectiveIsNamedAndEndsAllRanks) {
  for (const auto& [call, name] : kNcclCalls) {
    SCOPED_TRACE(call);
    const auto messages = Run({.call = call, .result = kNcclError});
    EXPECT_THAT(messages, SizeIs(kRanks));
    EXPECT_THAT(messages, testing::Contains(HasSubstr(name)));
  }
}

TEST_F(NcclInjected, FailuresOfTheRuntimeAreNamed) {
  for (const auto& [call, name] : std::vector<std::pair<std::string, std::string>>{
           {"event_record", "cudaEventRecord"},
           {"stream_wait_event", "cudaStreamWaitEvent"},
           {"event_query", "failed"},
           {"mem_alloc", "ncclMemAlloc"},
           {"zero", "cudaMemset"},
           {"copy", "cudaMemcpy"},
           {"set_device", "cudaSetDevice"},
           {"stream_create", "cudaStreamCreate"},
           {"event_create", "cudaEventCreate"}}) {
    SCOPED_TRACE(call);
    const auto messages = Run({.call = call, .result = kCudaError});
    EXPECT_THAT(messages, Not(IsEmpty()));
    EXPECT_THAT(messages, testing::Contains(HasSubstr(name)));
  }
}

TEST_F(NcclInjected, FailuresToJoinAreNamed) {
  for (const std::string call : {"get_unique_id", "comm_init_rank", "comm_get_async_error"}) {
    SCOPED_TRACE(call);
    EXPECT_THAT(Run({.call = call, .result = kNcclError}), Not(IsEmpty()));
  }
}

TEST_F(NcclInjected, FailuresToCleanUpAreNotThrown) {
  for (const std::string call :
       {"comm_finalize", "comm_destroy", "mem_free", "stream_destroy", "event_destroy"}) {
    SCOPED_TRACE(call);
    EXPECT_THAT(Run({.call = call, .result = kCudaError}), IsEmpty());
  }
}

TEST_F(NcclInjected, SlowCallsChangeNothing) {
  for (const auto& [call, name] : kNcclCalls) {
    SCOPED_TRACE(call);
    EXPECT_THAT(Run({.call = call, .delay = milliseconds(60)}), IsEmpty());
  }
}

TEST_F(NcclInjected, CallsThatHangEndAtTheDeadline) {
  for (const auto& [call, name] : kNcclCalls) {
    if (call == "comm_split") continue;  // below
    SCOPED_TRACE(call);
    const auto messages = Run({.call = call, .hang = true});
    EXPECT_THAT(messages, SizeIs(kRanks));
    EXPECT_THAT(messages, testing::Contains(HasSubstr(name)));
  }
  for (const std::string call : {"comm_init_rank", "comm_split"}) {
    SCOPED_TRACE(call);
    const auto messages = Run({.call = call, .hang = true});
    EXPECT_THAT(messages, SizeIs(kRanks));
    EXPECT_THAT(messages, testing::Contains(HasSubstr("within 400 ms")));
  }
}

TEST_F(NcclInjected, AnAbortThatHangsHoldsNobody) {
  const auto messages = Run({.call = "comm_abort", .hang = true}, [](Communicator& comm) {
    if (comm.rank() == 0) comm.Abort("the disk is full");
    comm.Barrier("after the abort").Wait();
  });
  EXPECT_THAT(messages, SizeIs(kRanks));
}

}  // namespace
}  // namespace vesalius::dist::nccl
