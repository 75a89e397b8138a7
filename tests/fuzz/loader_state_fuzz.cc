// The loader's state in a checkpoint: what is accepted comes out the same once stored.
#include <google/protobuf/stubs/logging.h>

#include "data/loader/batch.h"
#include "tests/fuzz/fuzz.h"

namespace {
[[maybe_unused]] const auto kNoLog = google::protobuf::SetLogHandler(nullptr);  // of its complaints
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using vesalius::data::ParseLoaderState;
  using vesalius::data::SerializeLoaderState;
  vesalius::data::LoaderState state;
  if (!vesalius::fuzz::Accepts([&] { state = ParseLoaderState(vesalius::fuzz::Text(data, size)); }))
    return 0;
  const std::string once = SerializeLoaderState(state);
  vesalius::fuzz::Check(SerializeLoaderState(ParseLoaderState(once)) == once);
  return 0;
}
