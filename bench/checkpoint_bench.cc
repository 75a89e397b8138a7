// `./run bench checkpoint`: what a save costs, on the disk that holds the temporary folder.
//
//   checkpoint.write_share       a save's bytes by the time from the copy to the commit, over the
//   disk's
//                                own rate for one file of as many bytes (write in pieces and sync,
//                                through the page cache or past it, whichever is faster), in turn
//   checkpoint.stall             the time for which training waits, over memcpy of the same tensors
//                                into memory that is already there
//   checkpoint.step_during_save  mean step from the copy to the commit over a quiet one: one rank,
//   one
//                                computing thread
//   checkpoint.rss_growth        resident memory after 200 saves over that after 10
//   checkpoint.bytes_read        the worst of several reshardings: bytes read over bytes needed
//   checkpoint.commit            joining and encoding the parts of 64 ranks with 1,000 tensors
//   checkpoint.two_ranks.*       1 GB, half a rank, as bench/checkpoint_pytorch.sh has it for
//   PyTorch
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <barrier>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/direct_file.h"
#include "base/error.h"
#include "base/file.h"
#include "bench/harness.h"
#include "checkpoints/attempt.h"
#include "checkpoints/boxes.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"
#include "checkpoints/save_plan.h"
#include "checkpoints/writer.h"

namespace vesalius::bench {
namespace {

using checkpoints::Role;
using checkpoints::TensorView;
using checkpoints::Writer;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 7, kWritingRounds = 15;
constexpr std::size_t kPiece = std::size_t{8} << 20;
constexpr std::size_t kMiB = std::size_t{1} << 20;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Parameters and both moments of a transformer of 12 layers: 400 tensors with a wide vocabulary
// matrix, `bytes` in all. Of every tensor rank `rank` holds its share of the rows.
class TransformerState {
 public:
  TransformerState(double bytes, int rank, int ranks) : rank_(rank), ranks_(ranks) {
    // The layers take four fifths, the words the rest.
    const auto width = static_cast<std::int64_t>(768 * std::sqrt(0.8 * bytes / 1.021e9)) / 2 * 2;
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
    for (int layer = 0; layer < 12; ++layer) {
      const std::string at = "layer." + std::to_string(layer) + ".";
      shapes.insert(shapes.end(), {{at + "qkv.weight", {3 * width, width}},
                                   {at + "qkv.bias", {3 * width}},
                                   {at + "proj.weight", {width, width}},
                                   {at + "proj.bias", {width}},
                                   {at + "fc1.weight", {4 * width, width}},
                                   {at + "fc1.bias", {4 * width}},
                                   {at + "fc2.weight", {width, 4 * width}},
                                   {at + "fc2.bias", {width}},
                                   {at + "norm1", {2 * width}},
                                   {at + "norm2", {2 * width}},
                                   {at + "norm3", {2 * width}}});
    }
    std::int64_t elements = 0;
    for (const auto& [name, shape] : shapes) elements += checkpoints::Volume(shape);
    const std::int64_t rows =
        std::max<std::int64_t>(2, (static_cast<std::int64_t>(bytes / 12) - elements) / width);
    shapes.push_back({"words", {rows, width}});
    for (const Role role : {Role::kParameter, Role::kMoment1, Role::kMoment2})
      for (const auto& [name, shape] : shapes) Add(name, shape, role);
  }

  const std::vector<TensorView>& views() const { return views_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void Add(const std::string& name, const std::vector<std::int64_t>& shape, Role role) {
    checkpoints::Box box = checkpoints::Whole(shape);
    box.offset[0] = shape[0] * rank_ / ranks_;
    box.extent[0] = shape[0] * (rank_ + 1) / ranks_ - box.offset[0];
    const auto bytes = static_cast<std::size_t>(checkpoints::Volume(box.extent)) * 4;
    memory_.emplace_back(new float[bytes / 4]);
    for (std::size_t i = 0; i < bytes / 4; ++i)
      memory_.back()[i] = static_cast<float>(i) * 1e-6f + static_cast<float>(memory_.size());
    views_.push_back(
        {{name, "F32", shape, role}, box.offset, box.extent, memory_.back().get(), bytes});
    bytes_ += bytes;
  }

  int rank_, ranks_;
  std::vector<TensorView> views_;
  std::vector<std::unique_ptr<float[]>> memory_;
  std::size_t bytes_ = 0;
};

checkpoints::StepInfo Info(std::int64_t step) {
  checkpoints::StepInfo info;
  info.step = step;
  return info;
}

// Memory that is there: pages touched, page-aligned.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : bytes_((bytes + 4095) / 4096 * 4096) {
    data_ = static_cast<char*>(
        ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 1, bytes_);
  }
  ~Buffer() { ::munmap(data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data() { return data_; }

 private:
  std::size_t bytes_;
  char* data_;
};

// Seconds to write `bytes` to a file and sync them.
template <typename File>
double WriteAndSync(const std::string& path, const char* data, std::size_t bytes) {
  const auto start = Clock::now();
  File file(path, ExitCode::kCannotCreate);
  for (std::size_t done = 0; done < bytes; done += kPiece)
    file.Write(data + done, std::min(kPiece, bytes - done));
  file.Sync();
  file.Close();
  const double seconds = Since(start);
  RemoveTree(path);
  return seconds;
}

// Threads that play ranks and meet to exchange bytes.
class Ranks {
 public:
  explicit Ranks(int ranks) : meet_(ranks), slots_(static_cast<std::size_t>(ranks)) {}
  checkpoints::Exchange Of(int rank) {
    return [this, rank](const std::string&, const std::string& mine) {
      slots_[static_cast<std::size_t>(rank)] = mine;
      meet_.arrive_and_wait();
      std::vector<std::string> all = slots_;
      meet_.arrive_and_wait();
      return all;
    };
  }
  void Run(const std::function<void(int rank)>& body) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < static_cast<int>(slots_.size()); ++rank)
      threads.emplace_back([&body, rank] { body(rank); });
    for (std::thread& thread : threads) thread.join();
  }
  double Slowest(int rank, double mine) {
    const std::string bytes(reinterpret_cast<const char*>(&mine), sizeof(mine));
    double most = 0;
    for (const std::string& text : Of(rank)("slowest", bytes)) {
      double one;
      std::memcpy(&one, text.data(), sizeof(one));
      most = std::max(most, one);
    }
    return most;
  }

 private:
  std::barrier<> meet_;
  std::vector<std::string> slots_;
};

// A training step: a product of two matrices on this thread, then the writer's flags.
class Loop {
 public:
  Loop(Writer& writer, checkpoints::Exchange exchange)
      : writer_(writer),
        exchange_(std::move(exchange)),
        x_(kSide * kSide, 0.5f),
        y_(kSide * kSide) {}

  double Step() {
    const auto start = Clock::now();
    std::fill(y_.begin(), y_.end(), 0.f);
    for (std::size_t i = 0; i < kSide; ++i)
      for (std::size_t k = 0; k < kSide; ++k) {
        const float a = x_[i * kSide + k];
        for (std::size_t j = 0; j < kSide; ++j) y_[i * kSide + j] += a * x_[k * kSide + j];
      }
    const double seconds = Since(start);
    const auto flags = writer_.Flags();
    std::array<double, Writer::kFlags> sums{};
    const std::string mine(reinterpret_cast<const char*>(flags.data()), sizeof(flags));
    for (const std::string& bytes : exchange_("step", mine)) {
      std::array<double, Writer::kFlags> one;
      std::memcpy(one.data(), bytes.data(), sizeof(one));
      for (std::size_t f = 0; f < sums.size(); ++f) sums[f] += one[f];
    }
    writer_.Agree(sums);
    return seconds;
  }
  std::vector<double> Quiet(int steps) {
    std::vector<double> seconds;
    for (int i = 0; i < steps; ++i) seconds.push_back(Step());
    return seconds;
  }
  // Steps until the save under way is committed.
  std::vector<double> UntilCommitted(std::int64_t step) {
    std::vector<double> seconds;
    while (writer_.committed_step() != step) {
      Require(writer_.abandoned() == 0, ExitCode::kCannotSave, "a save was given up");
      seconds.push_back(Step());
    }
    return seconds;
  }

 private:
  static constexpr std::size_t kSide = 256;
  Writer& writer_;
  checkpoints::Exchange exchange_;
  std::vector<float> x_, y_;
};

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.) / static_cast<double>(values.size());
}

void MeasureWriting(Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  const TransformerState state(512 * 1e6, 0, 1);
  Ranks alone(1);
  Writer writer({.run_folder = scratch.path(), .keep = {.newest = 2}}, attempt.get(), alone.Of(0));
  writer.Reserve(state.views());
  Buffer buffer(state.bytes());
  std::int64_t step = 0;
  const std::string raw = scratch.path() + "/raw";
  auto seconds = Interleave(
      {{"cached", [&] { return WriteAndSync<OutputFile>(raw, buffer.data(), state.bytes()); }},
       {"direct", [&] { return WriteAndSync<DirectFile>(raw, buffer.data(), state.bytes()); }},
       {"save",
        [&] {
          const auto start = Clock::now();
          writer.Start(Info(++step), state.views());
          const double copy = Since(start);
          writer.Finish();  // which also waits for the removal of an older one
          return writer.save_seconds() - copy;
        }}},
      kWritingRounds);
  std::vector<double> own, ours;
  for (int round = 0; round < kWritingRounds; ++round) {
    const auto r = static_cast<std::size_t>(round);
    own.push_back(static_cast<double>(state.bytes()) / 1e9 /
                  std::min(seconds["cached"][r], seconds["direct"][r]));
    ours.push_back(static_cast<double>(state.bytes()) / 1e9 / seconds["save"][r]);
  }
  report.Compare("checkpoint.write_share", "GB/s", ours, own, Value::kOursByPeer);
}

void MeasureStall(double bytes, const std::string& name, Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  const TransformerState state(bytes, 0, 1);
  Ranks alone(1);
  Writer writer({.run_folder = scratch.path(), .keep = {.newest = 2}}, attempt.get(), alone.Of(0));
  writer.Reserve(state.views());
  Buffer buffer(state.bytes());
  std::int64_t step = 0;
  auto seconds = Interleave({{"memcpy",
                              [&] {
                                const auto start = Clock::now();
                                char* to = buffer.data();
                                for (const TensorView& view : state.views()) {
                                  std::memcpy(to, view.data, view.bytes);
                                  to += view.bytes;
                                }
                                return Since(start);
                              }},
                             {"stall",
                              [&] {
                                const auto start = Clock::now();
                                writer.Start(Info(++step), state.views());
                                const double stall = Since(start);
                                writer.Finish();
                                return stall;
                              }}},
                            kRounds);
  for (double& value : seconds["memcpy"]) value *= 1e3;
  for (double& value : seconds["stall"]) value *= 1e3;
  report.Compare(name, "ms", seconds["stall"], seconds["memcpy"], Value::kOursByPeer);
}

void MeasureSteps(Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  const TransformerState state(256 * 1.049e6, 0, 1);
  Ranks alone(1);
  Writer writer({.run_folder = scratch.path(), .keep = {.newest = 2}}, attempt.get(), alone.Of(0));
  writer.Reserve(state.views());
  Loop loop(writer, alone.Of(0));
  std::int64_t step = 0;
  std::vector<double> quiet, busy;
  for (int round = 0; round <= kRounds; ++round) {
    const double before = Mean(loop.Quiet(60));
    writer.Start(Info(++step), state.views());
    const double during = Mean(loop.UntilCommitted(step));
    writer.Settle();
    const double after = Mean(loop.Quiet(60));
    if (round == 0) continue;
    quiet.push_back((before + after) / 2 * 1e3);
    busy.push_back(during * 1e3);
  }
  report.Compare("checkpoint.step_during_save", "ms", busy, quiet, Value::kOursByPeer);
}

double ResidentMiB() {
  const std::string text = ReadFile("/proc/self/statm");
  return std::strtod(text.c_str() + text.find(' '), nullptr) * 4096 / static_cast<double>(kMiB);
}

void MeasureMemory(Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  const TransformerState state(32e6, 0, 1);
  Ranks alone(1);
  Writer writer({.run_folder = scratch.path(), .keep = {.newest = 2}}, attempt.get(), alone.Of(0));
  double early = 0, late = 0;
  for (int step = 1; step <= 200; ++step) {
    writer.Save(Info(step), state.views());
    if (step <= 10)
      early = std::max(early, ResidentMiB());
    else
      late = std::max(late, ResidentMiB());
  }
  report.Add("checkpoint.rss_growth", "of early", {late / early - 1});
}

// The state as `writers` wrote it, read by other numbers of ranks.
void MeasureReshard(Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  std::vector<double> worst;
  std::vector<double> rate;
  std::int64_t step = 0;
  for (const int writers : {2, 4}) {
    ++step;
    Ranks ranks(writers);
    ranks.Run([&](int rank) {
      const TransformerState state(1e9, rank, writers);
      Writer writer({.run_folder = scratch.path(), .rank = rank, .ranks = writers},
                    rank == 0 ? attempt.get() : nullptr, ranks.Of(rank));
      writer.Save(Info(step), state.views());
    });
    const std::string folder = checkpoints::ListSteps(scratch.path())[0];
    for (const int readers : {1, 2, 3, 8}) {
      std::uint64_t read = 0, needed = 0;
      double seconds = 0;
      for (int rank = 0; rank < readers; ++rank) {
        const TransformerState state(1e9, rank, readers);
        const checkpoints::Reader reader(folder);
        const auto start = Clock::now();
        for (const TensorView& view : state.views()) reader.Read(view);
        seconds += Since(start);
        read += reader.bytes_read();
        needed += state.bytes();
      }
      worst.push_back(static_cast<double>(read) / static_cast<double>(needed));
      rate.push_back(static_cast<double>(needed) / 1e9 / seconds);
    }
    RemoveTree(folder);
  }
  report.Add("checkpoint.bytes_read", "of needed", {*std::max_element(worst.begin(), worst.end())});
  report.Add("checkpoint.read_rate", "GB/s a rank", rate);
}

void MeasureCommit(Report& report) {
  constexpr int kWriters = 64, kTensors = 1000;
  std::vector<std::string> parts;
  for (int rank = 0; rank < kWriters; ++rank) {
    checkpoints::Manifest part;
    part.files.push_back({checkpoints::ShardName(rank), 0, 0});
    std::vector<std::uint32_t> all;
    for (int t = 0; t < kTensors; ++t) {
      checkpoints::StoredTensor tensor{
          {"layer." + std::to_string(t) + ".weight", "F32", {kWriters, 1024}, Role::kParameter},
          {}};
      tensor.chunks.push_back({{{rank, 0}, {1, 1024}},
                               0,
                               static_cast<std::uint64_t>(t) * 4096,
                               4096,
                               {static_cast<std::uint32_t>(t)}});
      all.push_back(static_cast<std::uint32_t>(t));
      part.tensors.push_back(std::move(tensor));
    }
    part.files[0].bytes = kTensors * 4096;
    part.files[0].crc = checkpoints::CrcOfCrcs(all);
    parts.push_back(checkpoints::EncodeManifest(part));
  }
  std::vector<double> milliseconds;
  std::size_t bytes = 0;
  for (int round = 0; round <= kRounds; ++round) {
    const auto start = Clock::now();
    std::vector<checkpoints::Manifest> decoded;
    for (const std::string& part : parts) decoded.push_back(checkpoints::DecodePart(part, "part"));
    bytes = checkpoints::EncodeManifest(checkpoints::JoinParts(std::move(decoded), "parts")).size();
    if (round > 0) milliseconds.push_back(Since(start) * 1e3);
  }
  report.Add("checkpoint.commit", "ms", milliseconds);
  report.Add("checkpoint.manifest_chunk", "B",
             {static_cast<double>(bytes) / (kWriters * kTensors)});
}

// Two ranks with half of 1 GB each, both computing on one thread, on two cores.
void MeasureTwoRanks(Report& report) {
  const ScratchFolder scratch;
  const auto attempt = checkpoints::Attempt::Acquire(scratch.path());
  std::vector<double> stall, background, lost, slowdown;
  Ranks ranks(2);
  ranks.Run([&](int rank) {
    const TransformerState state(1e9, rank, 2);
    Writer writer({.run_folder = scratch.path(), .rank = rank, .ranks = 2, .keep = {.newest = 2}},
                  rank == 0 ? attempt.get() : nullptr, ranks.Of(rank));
    writer.Reserve(state.views());
    Loop loop(writer, ranks.Of(rank));
    for (int round = 0; round <= 5; ++round) {
      const double quiet = Median(loop.Quiet(60));
      const std::int64_t step = round + 1;
      auto start = Clock::now();
      writer.Start(Info(step), state.views());
      const double waited = ranks.Slowest(rank, Since(start));
      start = Clock::now();
      const std::vector<double> steps = loop.UntilCommitted(step);
      const double until = ranks.Slowest(rank, Since(start));
      double more = 0;
      for (const double one : steps) more += one - quiet;
      more = ranks.Slowest(rank, more);
      const double slower = ranks.Slowest(rank, Mean(steps) / quiet);
      writer.Settle();
      if (rank != 0 || round == 0) continue;
      stall.push_back(waited);
      background.push_back(until);
      lost.push_back(more);
      slowdown.push_back(slower);
    }
  });
  report.Add("checkpoint.two_ranks.stall", "s", stall);
  report.Add("checkpoint.two_ranks.background", "s", background);
  report.Add("checkpoint.two_ranks.lost", "s", lost);
  report.Add("checkpoint.two_ranks.slowdown", "x quiet", slowdown);
}

void Body(Report& report) {
  MeasureWriting(report);
  MeasureStall(256 * 1.049e6, "checkpoint.stall", report);
  MeasureStall(1e9, "checkpoint.stall_1gb", report);
  MeasureSteps(report);
  MeasureMemory(report);
  MeasureReshard(report);
  MeasureCommit(report);
  MeasureTwoRanks(report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
