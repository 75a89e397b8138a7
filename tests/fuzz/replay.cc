// Gives every file of a corpus folder to one fuzzer's entry, without libFuzzer and sanitizers: the
// ordinary tests so keep what fuzzing found. Fails when an input is not handled or makes the memory
// grow out of proportion.
#include <sys/resource.h>

#include <cstdio>
#include <exception>

#include "base/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr long kMostGrowth = 512 << 10;  // KiB

long PeakKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 64;
  }
  int inputs = 0;
  for (const std::string& name : vesalius::ListDir(argv[1])) {
    const std::string path = std::string(argv[1]) + "/" + name;
    const std::string content = vesalius::ReadFile(path);
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);  // the last line names the input of a crash
    const long before = PeakKib();
    try {
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", path.c_str(), error.what());
      return 1;
    }
    if (const long grown = PeakKib() - before; grown > kMostGrowth) {
      std::fprintf(stderr, "%s: memory grew by %ld MiB\n", path.c_str(), grown >> 10);
      return 1;
    }
    ++inputs;
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
