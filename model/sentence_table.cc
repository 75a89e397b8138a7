#include "model/sentence_table.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "base/hash.h"
#include "dist/gather.h"
#include "dist/tensor.h"

namespace vesalius::model {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::size_t kTogether = 256;  // texts encoded at once
constexpr std::uint64_t kOfReports = 0x5bd1e9955bd1e995;

at::Tensor View(const Ids& values) {
  return at::from_blob(const_cast<std::int64_t*>(values.data()),
                       {static_cast<std::int64_t>(values.size())}, at::kLong);
}

Ids ToVector(const at::Tensor& values) {
  const at::Tensor host = values.cpu().contiguous();
  const std::int64_t* data = host.const_data_ptr<std::int64_t>();
  return {data, data + host.numel()};
}

// A key and the lowest rank that knows its text.
struct Known {
  std::int64_t key;
  int rank;
  bool operator<(const Known& other) const {
    return key != other.key ? key < other.key : rank < other.rank;
  }
};

// The keys of all ranks, ascending, each once.
std::vector<Known> AllKeys(dist::Communicator& comm, const SentenceTable::Texts& texts) {
  Ids mine;
  for (const auto& [key, ids] : texts) mine.push_back(key);
  const at::Device device = dist::DeviceOf(comm);
  const Ids counts =
      dist::GatherCounts(comm, "sentence keys", static_cast<std::int64_t>(mine.size()));
  const Ids all =
      ToVector(dist::GatherRowsDetached(comm, "sentence keys", View(mine).to(device), counts));
  std::vector<Known> known;
  std::size_t at = 0;
  for (std::size_t rank = 0; rank < counts.size(); ++rank)
    for (std::int64_t i = 0; i < counts[rank]; ++i)
      known.push_back({all[at++], static_cast<int>(rank)});
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end(),
                          [](const Known& a, const Known& b) { return a.key == b.key; }),
              known.end());
  return known;
}

Ids AllToAll(dist::Communicator& comm, const char* name, const Ids& in, const Ids& send,
             const Ids& receive) {
  const at::Tensor there = View(in).to(dist::DeviceOf(comm));
  at::Tensor out = at::empty({std::accumulate(receive.begin(), receive.end(), std::int64_t{0})},
                             there.options());
  comm.AllToAll(name, there.const_data_ptr(), send, out.mutable_data_ptr(), receive,
                dist::DType::kInt64)
      .Wait();
  return ToVector(out);
}

// The token ids of the keys [begin, end) of `known`, brought here from who knows them.
std::vector<Ids> BringTexts(dist::Communicator& comm, const SentenceTable::Texts& texts,
                            const std::vector<Known>& known, std::size_t each) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  const auto owner = [&](std::size_t row) { return row / each; };
  Ids lengths, tokens, send(ranks, 0), send_tokens(ranks, 0), receive(ranks, 0);
  for (std::size_t row = 0; row < known.size(); ++row) {
    if (owner(row) == static_cast<std::size_t>(comm.rank())) ++receive[known[row].rank];
    if (known[row].rank != comm.rank()) continue;
    const Ids& ids = texts.at(known[row].key);
    ++send[owner(row)];
    send_tokens[owner(row)] += static_cast<std::int64_t>(ids.size());
    lengths.push_back(static_cast<std::int64_t>(ids.size()));
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }
  const Ids their_lengths = AllToAll(comm, "sentence lengths", lengths, send, receive);
  Ids receive_tokens;
  std::size_t at = 0;
  for (const std::int64_t count : receive) {
    receive_tokens.push_back(std::accumulate(
        their_lengths.begin() + static_cast<std::ptrdiff_t>(at),
        their_lengths.begin() + static_cast<std::ptrdiff_t>(at) + count, std::int64_t{0}));
    at += static_cast<std::size_t>(count);
  }
  const Ids all = AllToAll(comm, "sentences", tokens, send_tokens, receive_tokens);

  // From every rank in ascending order of keys: dealt to the rows in that order.
  std::vector<std::size_t> next_text(ranks, 0), next_token(ranks, 0);
  for (std::size_t r = 1; r < ranks; ++r) {
    next_text[r] = next_text[r - 1] + static_cast<std::size_t>(receive[r - 1]);
    next_token[r] = next_token[r - 1] + static_cast<std::size_t>(receive_tokens[r - 1]);
  }
  std::vector<Ids> out;
  for (std::size_t row = 0; row < known.size(); ++row) {
    if (owner(row) != static_cast<std::size_t>(comm.rank())) continue;
    const auto from = static_cast<std::size_t>(known[row].rank);
    const auto length = static_cast<std::size_t>(their_lengths[next_text[from]++]);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(next_token[from]);
    out.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(length));
    next_token[from] += length;
  }
  return out;
}

// Pooled vectors [texts, H]; texts of similar length together.
at::Tensor Encode(const TextEncoder& encoder, const std::vector<Ids>& texts, at::Device device,
                  std::int64_t width, at::ScalarType type) {
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return texts[a].size() > texts[b].size();
  });
  at::Tensor out = at::empty({static_cast<std::int64_t>(texts.size()), width}, type);
  for (std::size_t begin = 0; begin < texts.size(); begin += kTogether) {
    const std::size_t count = std::min(kTogether, texts.size() - begin);
    const Ids rows(order.begin() + static_cast<std::ptrdiff_t>(begin),
                   order.begin() + static_cast<std::ptrdiff_t>(begin + count));
    const auto longest = static_cast<std::int64_t>(texts[rows[0]].size());
    at::Tensor ids = at::zeros({static_cast<std::int64_t>(count), longest}, at::kLong);
    for (std::size_t i = 0; i < count; ++i)
      std::copy(texts[rows[i]].begin(), texts[rows[i]].end(),
                ids.mutable_data_ptr<std::int64_t>() + static_cast<std::int64_t>(i) * longest);
    out.index_copy_(0, View(rows), encoder.Pooled(ids.to(device)).to(at::kCPU, type));
  }
  return out;
}

}  // namespace

std::int64_t ReportKey(std::int64_t hash) {
  return static_cast<std::int64_t>(Mix64(static_cast<std::uint64_t>(hash) ^ kOfReports));
}

at::Tensor ReportKeys(const at::Tensor& hashes) {
  Ids keys = ToVector(hashes);
  for (std::int64_t& key : keys) key = ReportKey(key);
  return View(keys).clone();
}

SentenceTable::SentenceTable(dist::Communicator& comm, const TextEncoder& encoder,
                             const Texts& texts, dist::TableOptions options, at::Device device)
    : width_(encoder.width()) {
  const std::vector<Known> known = AllKeys(comm, texts);
  for (const Known& one : known) keys_.push_back(one.key);
  if (keys_.empty()) return;
  const auto ranks = static_cast<std::size_t>(comm.size());
  const std::vector<Ids> mine = BringTexts(comm, texts, known, (keys_.size() + ranks - 1) / ranks);
  encoded_here_ = static_cast<std::int64_t>(mine.size());
  options.rows = rows();
  options.width = width_;
  options.optimiser = dist::SparseOptimiser::kFrozen;
  table_ = std::make_unique<dist::ShardedTable>(comm, options);
  table_->Fill(Encode(encoder, mine, device, width_, table_->values().scalar_type()));
}

at::Tensor SentenceTable::Pooled(const at::Tensor& keys, const at::Tensor& ids,
                                 const TextEncoder& encoder) {
  const at::NoGradGuard no_grad;
  const Ids wanted = ToVector(keys);
  Ids rows, found, missing;  // rows of the table; places of those with one and without
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto at = std::lower_bound(keys_.begin(), keys_.end(), wanted[i]);
    if (at != keys_.end() && *at == wanted[i]) {
      rows.push_back(at - keys_.begin());
      found.push_back(static_cast<std::int64_t>(i));
    } else {
      missing.push_back(static_cast<std::int64_t>(i));
    }
  }
  at::Tensor there = table_ ? table_->Lookup(View(rows)).to(ids.device()) : at::Tensor();
  if (missing.empty() && there.defined()) return there;
  const at::Tensor lacking = View(missing).to(ids.device());
  const at::Tensor encoded = encoder.Pooled(ids.index_select(0, lacking));
  missed_ += static_cast<std::int64_t>(missing.size());
  at::Tensor out = at::empty({keys.numel(), width_}, encoded.options());
  out.index_copy_(0, lacking, encoded);
  if (there.defined()) out.index_copy_(0, View(found).to(ids.device()), there);
  return out;
}

}  // namespace vesalius::model
