// Memory stays flat: over 100,000 samples after 10,000 of warm-up, with threads, from shards. And
// none of it is shared memory, which a killed process would leave behind.
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/data/loader_steps.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

// Anonymous resident memory of this process, bytes.
std::int64_t AnonymousBytes() {
  for (const std::string& line : vesalius::Split(ReadFile("/proc/self/status"), '\n'))
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  ADD_FAILURE() << "no RssAnon in /proc/self/status";
  return 0;
}

TEST(LoaderMemory, StaysFlat) {
  const TempDir dir;
  const Data data = Stored(*Memory(500), dir.path() + "/set", 200);
  PipelineOptions options = Augmented(50);
  options.workers = 2;
  {
    Pipeline pipeline({data}, options, {});
    std::int64_t before = 0;
    for (int step = 0; step < 2200; ++step) {
      if (step == 200) before = AnonymousBytes();
      pipeline.Next();
    }
    const std::int64_t drift = AnonymousBytes() - before;
    RecordProperty("drift_bytes", static_cast<int>(drift));
    EXPECT_LE(drift, 1 << 20) << "of " << before << " bytes";
    EXPECT_EQ(ReadFile("/proc/self/maps").find("/dev/shm/"), std::string::npos);
  }
}

}  // namespace
}  // namespace vesalius::data
