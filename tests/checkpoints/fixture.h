// Small checkpoints for tests: a model made of a few tensors whose values follow from the step, and
// ranks played by threads that exchange bytes at a barrier.
#pragma once

#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "checkpoints/boxes.h"
#include "checkpoints/protections.h"
#include "checkpoints/reader.h"
#include "checkpoints/writer.h"

namespace vesalius::checkpoints {

// Tensors in memory, as one rank holds them.
struct State {
  std::vector<TensorView> views;
  std::vector<std::unique_ptr<std::vector<char>>> memory;

  TensorView& Add(const std::string& name, const std::string& dtype,
                  const std::vector<std::int64_t>& shape, Role role, const Box& box) {
    memory.push_back(std::make_unique<std::vector<char>>(
        static_cast<std::size_t>(Volume(box.extent)) * ItemSize(dtype)));
    views.push_back({{name, dtype, shape, role},
                     box.offset,
                     box.extent,
                     memory.back()->data(),
                     memory.back()->size()});
    return views.back();
  }
};

// The value of element `number` (row-major in the global tensor) of tensor `t` at `step`.
inline float ValueAt(std::int64_t step, std::size_t t, std::int64_t number) {
  return static_cast<float>((step * 31 + static_cast<std::int64_t>(t) * 7 + number) % 100003) / 8;
}

// A model of fp32 tensors with both moments, a scalar and an empty buffer. With `ranks` > 1 the
// table is split by columns over the ranks; everything else is replicated. Values are filled in.
inline State MakeState(std::int64_t step, int rank = 0, int ranks = 1) {
  State state;
  const std::vector<std::vector<std::int64_t>> shapes = {{3, 4, 5}, {17}, {40, 25}};
  for (const Role role : {Role::kParameter, Role::kMoment1, Role::kMoment2})
    for (std::size_t i = 0; i < shapes.size(); ++i)
      state.Add("block." + std::to_string(i) + ".weight", "F32", shapes[i], role, Whole(shapes[i]));
  const std::int64_t begin = 25 * rank / ranks, end = 25 * (rank + 1) / ranks;
  state.Add("table", "F32", {60, 25}, Role::kParameter, {{0, begin}, {60, end - begin}});
  state.Add("temperature", "F32", {}, Role::kScalar, {{}, {}});
  state.Add("nothing", "F32", {0, 8}, Role::kBuffer, {{0, 0}, {0, 8}});
  for (std::size_t t = 0; t < state.views.size(); ++t) {
    const TensorView& view = state.views[t];
    const Box whole = Whole(view.meta.shape);
    std::vector<float> all(static_cast<std::size_t>(Volume(view.meta.shape)));
    for (std::size_t n = 0; n < all.size(); ++n)
      all[n] = ValueAt(step, t, static_cast<std::int64_t>(n));
    if (view.bytes > 0)
      CopyBox({view.offset, view.extent}, whole, all.data(), {view.offset, view.extent}, view.data,
              4);
  }
  return state;
}

inline StepInfo MakeInfo(std::int64_t step) {
  StepInfo info;
  info.step = step;
  info.samples = step * 16;
  info.config_hash = "c0ffee";
  info.config_text = "seed: 1\n";
  info.version = "test";
  info.wall_time = 1.5e9;
  info.blobs = {{"loader", std::string("\0\1\2", 3)}, {"vocab", "[PAD]\n[UNK]\n"}};
  return info;
}

// Reads the checkpoint as `rank` of `ranks` would and compares every value with those of its step.
inline void ExpectContent(const std::string& folder, std::int64_t step, int rank = 0,
                          int ranks = 1) {
  const Reader reader(folder);
  EXPECT_EQ(reader.info().step, step);
  EXPECT_EQ(reader.info().samples, step * 16);
  EXPECT_EQ(reader.info().blobs, MakeInfo(step).blobs);
  const State expected = MakeState(step, rank, ranks);
  for (const TensorView& view : expected.views) {
    std::vector<char> bytes(view.bytes, 'x');
    TensorView out = view;
    out.data = bytes.data();
    reader.Read(out);
    if (view.bytes == 0) continue;
    EXPECT_EQ(std::memcmp(bytes.data(), view.data, view.bytes), 0) << view.meta.name;
  }
}

inline Exchange Alone() {
  return [](const std::string&, const std::string& mine) { return std::vector<std::string>{mine}; };
}

// Runs `body(rank, exchange)` on a thread for each rank; returns what each threw ("" for nothing).
struct Thrown {
  ExitCode code = ExitCode::kFinished;
  std::string message;
};
inline std::vector<Thrown> OnRanks(int ranks,
                                   const std::function<void(int, const Exchange&)>& body) {
  std::barrier<> meet(ranks);
  std::vector<std::string> slots(static_cast<std::size_t>(ranks));
  std::vector<Thrown> thrown(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      const Exchange exchange = [&, rank](const std::string&, const std::string& mine) {
        slots[static_cast<std::size_t>(rank)] = mine;
        meet.arrive_and_wait();
        std::vector<std::string> all = slots;
        meet.arrive_and_wait();
        return all;
      };
      try {
        body(rank, exchange);
      } catch (const Error& error) {
        thrown[static_cast<std::size_t>(rank)] = {error.code(), error.what()};
      }
    });
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

// Saves `step` with `ranks` ranks; what each rank threw.
inline std::vector<Thrown> SaveStep(const std::string& run, const Attempt* attempt,
                                    std::int64_t step, int ranks, int keep = 3) {
  return OnRanks(ranks, [&](int rank, const Exchange& exchange) {
    Writer writer({.run_folder = run, .rank = rank, .ranks = ranks, .keep = {.newest = keep}},
                  rank == 0 ? attempt : nullptr, exchange);
    const State state = MakeState(step, rank, ranks);
    writer.Save(MakeInfo(step), state.views);
  });
}

inline void ExpectAll(const std::vector<Thrown>& thrown, ExitCode code,
                      const std::string& fragment = "") {
  for (const Thrown& one : thrown) {
    EXPECT_EQ(one.code, code) << one.message;
    EXPECT_NE(one.message.find(fragment), std::string::npos) << one.message;
  }
}

// Takes a protection away until the end of the block.
class Without {
 public:
  explicit Without(Protection protection) { Remove(protection); }
  ~Without() { Remove(Protection::kNone); }
};

// The Error that `body` throws.
inline Thrown Caught(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

}  // namespace vesalius::checkpoints
