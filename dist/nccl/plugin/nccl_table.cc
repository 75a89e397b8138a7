#include "dist/nccl/plugin/nccl_table.h"

#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime.h>
#include <nccl.h>

#include <cstring>

namespace vesalius::dist::nccl {
namespace {

static_assert(kSuccess == ncclSuccess && kSuccess == cudaSuccess && kInProgress == ncclInProgress &&
              kNotReady == cudaErrorNotReady && kInvalidUsage == ncclInvalidUsage);
static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId));

ncclComm_t Real(Comm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t RealStream(Stream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t RealEvent(Event event) { return static_cast<cudaEvent_t>(event); }

ncclDataType_t Real(DType type) {
  switch (type) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kBFloat16:
      return ncclBfloat16;
    case DType::kInt32:
      return ncclInt32;
    case DType::kInt64:
      return ncclInt64;
    case DType::kUInt8:
      return ncclUint8;
  }
  return ncclUint8;
}

int InitRank(Comm* comm, int ranks, const UniqueId& id, int rank) {
  ncclUniqueId real;
  std::memcpy(&real, &id, sizeof(real));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t made = nullptr;
  const int result = ncclCommInitRankConfig(&made, ranks, real, rank, &config);
  *comm = made;
  return result;
}

std::string ErrorText(int result, Comm comm) {
  std::string text = ncclGetErrorString(static_cast<ncclResult_t>(result));
  const char* last = ncclGetLastError(Real(comm));
  if (last != nullptr && *last != '\0') text += std::string(" (") + last + ")";
  return text;
}

void FillComm(Api& api) {
  api.get_unique_id = [](UniqueId* id) {
    return static_cast<int>(ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(id)));
  };
  api.comm_init_rank = InitRank;
  api.comm_split = [](Comm comm, int color, int key, Comm* part) -> int {
    static_assert(sizeof(Comm) == sizeof(ncclComm_t));
    return ncclCommSplit(Real(comm), color < 0 ? NCCL_SPLIT_NOCOLOR : color, key,
                         reinterpret_cast<ncclComm_t*>(part), nullptr);
  };
  api.comm_get_async_error = [](Comm comm, int* result) {
    ncclResult_t state = ncclSuccess;
    const int asked = ncclCommGetAsyncError(Real(comm), &state);
    *result = state;
    return asked;
  };
  api.comm_finalize = [](Comm comm) { return static_cast<int>(ncclCommFinalize(Real(comm))); };
  api.comm_destroy = [](Comm comm) { return static_cast<int>(ncclCommDestroy(Real(comm))); };
  api.comm_abort = [](Comm comm) { return static_cast<int>(ncclCommAbort(Real(comm))); };
  api.group_start = [] { return static_cast<int>(ncclGroupStart()); };
  api.group_end = [] { return static_cast<int>(ncclGroupEnd()); };
  api.mem_alloc = [](void** memory, std::size_t bytes) {
    return static_cast<int>(ncclMemAlloc(memory, bytes));
  };
  api.mem_free = [](void* memory) { return static_cast<int>(ncclMemFree(memory)); };
  api.error_text = ErrorText;
}

void FillMoves(Api& api) {
  api.all_reduce = [](const void* in, void* out, std::size_t count, DType type, Comm comm,
                      Stream stream) -> int {
    return ncclAllReduce(in, out, count, Real(type), ncclSum, Real(comm), RealStream(stream));
  };
  api.all_gather = [](const void* in, void* out, std::size_t count, DType type, Comm comm,
                      Stream stream) -> int {
    return ncclAllGather(in, out, count, Real(type), Real(comm), RealStream(stream));
  };
  api.reduce_scatter = [](const void* in, void* out, std::size_t count, DType type, Comm comm,
                          Stream stream) -> int {
    return ncclReduceScatter(in, out, count, Real(type), ncclSum, Real(comm), RealStream(stream));
  };
  api.broadcast = [](const void* in, void* out, std::size_t count, DType type, int root, Comm comm,
                     Stream stream) -> int {
    return ncclBroadcast(in, out, count, Real(type), root, Real(comm), RealStream(stream));
  };
  api.send = [](const void* in, std::size_t count, DType type, int peer, Comm comm,
                Stream stream) -> int {
    return ncclSend(in, count, Real(type), peer, Real(comm), RealStream(stream));
  };
  api.receive = [](void* out, std::size_t count, DType type, int peer, Comm comm,
                   Stream stream) -> int {
    return ncclRecv(out, count, Real(type), peer, Real(comm), RealStream(stream));
  };
  api.reduce = [](const void* in, void* out, std::size_t count, DType type, int root, Comm comm,
                  Stream stream) -> int {
    return ncclReduce(in, out, count, Real(type), ncclSum, root, Real(comm), RealStream(stream));
  };
}

void FillRuntime(Api& api) {
  api.set_device = [](int device) -> int { return cudaSetDevice(device); };
  api.current_stream = []() -> Stream { return c10::cuda::getCurrentCUDAStream().stream(); };
  api.stream_create = [](Stream* stream) -> int {
    int least = 0;
    int greatest = 0;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    cudaStream_t made = nullptr;
    const cudaError_t result = cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, greatest);
    *stream = made;
    return result;
  };
  api.stream_destroy = [](Stream stream) -> int { return cudaStreamDestroy(RealStream(stream)); };
  api.stream_wait_event = [](Stream stream, Event event) -> int {
    return cudaStreamWaitEvent(RealStream(stream), RealEvent(event), 0);
  };
  api.event_create = [](Event* event) -> int {
    cudaEvent_t made = nullptr;
    const cudaError_t result = cudaEventCreate(&made);
    *event = made;
    return result;
  };
  api.event_destroy = [](Event event) -> int { return cudaEventDestroy(RealEvent(event)); };
  api.event_record = [](Event event, Stream stream) -> int {
    return cudaEventRecord(RealEvent(event), RealStream(stream));
  };
  api.event_query = [](Event event) -> int { return cudaEventQuery(RealEvent(event)); };
  api.event_elapsed = [](float* milliseconds, Event begin, Event end) -> int {
    return cudaEventElapsedTime(milliseconds, RealEvent(begin), RealEvent(end));
  };
  // In the order of the computing stream.
  api.copy = [](void* to, const void* from, std::size_t bytes) -> int {
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
    const cudaError_t result = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);
    return result == cudaSuccess ? cudaStreamSynchronize(stream) : result;
  };
  api.zero = [](void* memory, std::size_t bytes) -> int {
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
    const cudaError_t result = cudaMemsetAsync(memory, 0, bytes, stream);
    return result == cudaSuccess ? cudaStreamSynchronize(stream) : result;
  };
  api.cuda_error_text = [](int result) -> std::string {
    return cudaGetErrorString(static_cast<cudaError_t>(result));
  };
}

}  // namespace

std::shared_ptr<const Api> MakeRealApi() {
  auto api = std::make_shared<Api>();
  FillComm(*api);
  FillMoves(*api);
  FillRuntime(*api);
  return api;
}

}  // namespace vesalius::dist::nccl
