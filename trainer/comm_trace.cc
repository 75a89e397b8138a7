#include "trainer/comm_trace.h"

#include <algorithm>

#include "base/strings.h"

namespace vesalius::trainer {
namespace {

using dist::Kind;

constexpr int kFixed = 4;  // columns before the kinds
constexpr int kColumns = kFixed + dist::kKinds;

std::string ColumnName(int column) {
  static const char* const fixed[kFixed] = {"seconds", "exposed", "waiting", "bytes"};
  if (column < kFixed) return fixed[column];
  return StrCat("bytes.", dist::Name(static_cast<Kind>(column - kFixed)));
}

std::vector<double> RowOf(const dist::Traffic& traffic) {
  std::vector<double> row = {traffic.seconds, traffic.seconds_exposed, traffic.seconds_waiting,
                             static_cast<double>(traffic.bytes_sent)};
  for (const dist::TrafficCount& kind : traffic.kinds)
    row.push_back(static_cast<double>(kind.bytes_sent));
  return row;
}

}  // namespace

CommTrace::CommTrace(dist::Communicator& comm)
    : comm_(comm), start_(comm.traffic()), last_(start_) {}

FiguresByRank CommTrace::EndStep() {
  const dist::Traffic now = comm_.traffic();
  const std::vector<double> mine = RowOf(now - last_);
  last_ = now;
  ++steps_;

  const std::size_t bytes = kColumns * sizeof(double), ranks = comm_.size();
  const auto in = comm_.Allocate(bytes), out = comm_.Allocate(bytes * ranks);
  comm_.FromHost(in.get(), mine.data(), bytes);
  comm_
      .AllGather("step trace", in.get(), out.get(), std::vector<std::int64_t>(ranks, kColumns),
                 dist::DType::kFloat64)
      .Wait();
  std::vector<double> rows(kColumns * ranks);
  comm_.ToHost(rows.data(), out.get(), bytes * ranks);

  FiguresByRank figures;
  for (int column = 0; column < kColumns; ++column) {
    std::vector<double> values;
    for (std::size_t r = 0; r < ranks; ++r) values.push_back(rows[r * kColumns + column]);
    const bool used = std::ranges::any_of(values, [](double value) { return value != 0; });
    if (column < kFixed || used) figures.emplace_back(ColumnName(column), std::move(values));
  }
  return figures;
}

std::string CommTrace::Summary() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  const dist::Traffic all = last_ - start_;
  const auto a_step = [&](std::int64_t bytes) {
    return HumanBytes(static_cast<std::size_t>(bytes / std::max<std::int64_t>(steps_, 1)));
  };
  const auto share = [&](double part) {
    return StrCat(Fixed(100 * part / std::max(seconds, 1e-9), 1), " %");
  };
  std::vector<std::string> kinds;
  for (int k = 0; k < dist::kKinds; ++k) {
    const dist::TrafficCount& kind = all.of(static_cast<Kind>(k));
    if (kind.bytes_sent > 0)
      kinds.push_back(StrCat(dist::Name(static_cast<Kind>(k)), " ", a_step(kind.bytes_sent)));
  }
  return StrCat("communication of rank ", comm_.rank(), ": ", a_step(all.bytes_sent), " a step",
                kinds.empty() ? "" : StrCat(" (", Join(kinds, ", "), ")"), "; of the time ",
                share(all.seconds), " communicating, ", share(all.seconds_exposed), " exposed, ",
                share(all.seconds_waiting), " waiting for other ranks");
}

}  // namespace vesalius::trainer
