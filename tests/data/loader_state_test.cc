// LoaderState's stored form: nothing is lost, and what is not one is refused.
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "data/loader/batch.h"

namespace vesalius::data {
namespace {

ExitCode CodeOf(std::string_view bytes) {
  try {
    ParseLoaderState(bytes);
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::kFinished;
}

TEST(LoaderState, RoundTrip) {
  LoaderState state;
  state.seed = std::numeric_limits<std::uint64_t>::max();
  state.global_batch = 4096;
  state.samples = std::int64_t{1} << 40;
  state.sources = {{"abc", 3, 128}, {"", 0, 0}};
  const LoaderState back = ParseLoaderState(SerializeLoaderState(state));
  EXPECT_EQ(back.seed, state.seed);
  EXPECT_EQ(back.global_batch, 4096);
  EXPECT_EQ(back.samples, state.samples);
  ASSERT_EQ(back.sources.size(), 2u);
  EXPECT_EQ(back.sources[0].fingerprint, "abc");
  EXPECT_EQ(back.sources[0].epoch, 3);
  EXPECT_EQ(back.sources[0].position, 128);
  EXPECT_EQ(SerializeLoaderState(back), SerializeLoaderState(state));
}

TEST(LoaderState, StoredByVersionOne) {  // byte for byte what version 1 wrote, fields in order
  const std::string bytes(
      "\x08\x01"                              // version 1
      "\x11\x07\x00\x00\x00\x00\x00\x00\x00"  // seed 7
      "\x18\x10"                              // global batch 16
      "\x20\xC0\x01"                          // samples 192
      "\x2A\x08\x0A\x02"
      "ff"                 // fingerprint
      "\x10\x02\x18\x40",  // epoch 2, position 64
      26);
  const LoaderState state = ParseLoaderState(bytes);
  EXPECT_EQ(state.seed, 7u);
  EXPECT_EQ(state.global_batch, 16);
  EXPECT_EQ(state.samples, 192);
  ASSERT_EQ(state.sources.size(), 1u);
  EXPECT_EQ(state.sources[0].fingerprint, "ff");
  EXPECT_EQ(state.sources[0].epoch, 2);
  EXPECT_EQ(state.sources[0].position, 64);
  EXPECT_EQ(SerializeLoaderState(state), bytes);
}

TEST(LoaderState, RefusesWhatIsNotOne) {
  LoaderState state;
  state.sources = {{"abc", 3, 128}};
  const std::string good = SerializeLoaderState(state);
  EXPECT_EQ(CodeOf(""), ExitCode::kInvalidData);
  EXPECT_EQ(CodeOf("not a message"), ExitCode::kInvalidData);
  EXPECT_EQ(CodeOf(good.substr(0, good.size() - 1)), ExitCode::kInvalidData);
  std::string newer = good;
  newer[1] = 2;
  EXPECT_EQ(CodeOf(newer), ExitCode::kInvalidData);
  EXPECT_EQ(CodeOf(good.substr(0, 2)), ExitCode::kInvalidData);  // a version and nothing else
  state.sources[0].position = -1;
  EXPECT_EQ(CodeOf(SerializeLoaderState(state)), ExitCode::kInvalidData);
}

}  // namespace
}  // namespace vesalius::data
