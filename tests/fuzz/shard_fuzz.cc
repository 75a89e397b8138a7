// A shard: opened, and some of its records read one by one and as a batch with windows.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "data/shards/shard_reader.h"
#include "tests/fuzz/fuzz.h"

namespace {

[[maybe_unused]] const int kNoCache = setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);

constexpr std::int64_t kMostRecords = 4;

}  // namespace

// HDF5 1.10 leaks the object header (424 bytes) of a damaged file inside H5O_protect.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5_serial"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using vesalius::fuzz::Accepts;
  const vesalius::fuzz::MemoryFile file(vesalius::fuzz::Text(data, size));
  std::unique_ptr<vesalius::data::ShardReader> shard;
  if (!Accepts([&] { shard = vesalius::data::OpenShard(file.path()); })) return 0;
  const int side = shard->shape().stored_size;
  std::vector<vesalius::data::SampleRequest> requests;
  for (std::int64_t row = 0; row < std::min(shard->records(), kMostRecords); ++row) {
    Accepts([&] { shard->Read(row); });
    requests.push_back({row, {side / 3, side / 4, side - side / 3, side - side / 4}});
  }
  const auto fetched = shard->Fetch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) Accepts([&] { fetched->Decode(i); });
  return 0;
}
