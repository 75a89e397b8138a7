#include "model/text.h"

namespace vesalius::model {
namespace {

// What starting another group costs, in tokens' worth of work.
constexpr std::int64_t kGroupCost = 100;

// Cuts texts of descending lengths into runs, each padded to its first: the ends of the runs that
// minimise padded tokens plus kGroupCost a run (exact, by dynamic programming over distinct
// lengths).
std::vector<std::int64_t> GroupEnds(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> starts;  // of runs of equal length
  const auto n = static_cast<std::int64_t>(lengths.size());
  for (std::int64_t i = 0; i < n; ++i)
    if (i == 0 || lengths[i] != lengths[i - 1]) starts.push_back(i);
  starts.push_back(n);
  std::vector<std::int64_t> cost(starts.size(), 0), cut(starts.size(), 0);
  for (std::size_t end = 1; end < starts.size(); ++end)
    for (std::size_t begin = 0; begin < end; ++begin) {
      const std::int64_t total =
          cost[begin] + kGroupCost + (starts[end] - starts[begin]) * lengths[starts[begin]];
      if (begin == 0 || total < cost[end]) cost[end] = total, cut[end] = begin;
    }
  std::vector<std::int64_t> ends;
  for (std::size_t at = starts.size() - 1; at > 0; at = cut[at]) ends.push_back(starts[at]);
  std::reverse(ends.begin(), ends.end());
  return ends;
}

// Padding is at the end, and lengths say it all; a text that spells out [PAD] has it elsewhere, and
// on a GPU looking would cost a wait: then a mask does.
Keys KeysOf(const at::Tensor& ids) {
  const std::int64_t n = ids.size(0), t = ids.size(1);
  if (!ids.device().is_cpu()) return {{}, ids.ne(0)};
  const at::Tensor rows = ids.contiguous(), lengths = at::empty({n}, at::kLong);
  const auto* id = rows.const_data_ptr<std::int64_t>();
  auto* length = lengths.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < n; ++i, id += t) {
    length[i] = std::find(id, id + t, 0) - id;
    if (std::any_of(id + length[i], id + t, [](std::int64_t x) { return x != 0; }))
      return {{}, ids.ne(0)};
  }
  return {lengths, {}};
}

}  // namespace

TextEncoder::TextEncoder(Initialiser& init, const TextConfig& config, int embed_dim)
    : config_(config) {
  const std::int64_t width = config.width;
  auto embeddings = register_module("embeddings", std::make_shared<torch::nn::Module>());
  at::Tensor words = init.Normal({config.vocabulary, width}, 0.02);
  words[0].zero_();  // [PAD]
  words_ = embeddings->register_parameter("word_embeddings", words);
  positions_ = embeddings->register_parameter("position_embeddings",
                                              init.Normal({config.positions, width}, 0.02));
  token_type_ =
      embeddings->register_parameter("token_type_embeddings", init.Normal({2, width}, 0.02));
  norm_ = embeddings->register_module("norm", std::make_shared<LayerNorm>(width, 1e-12));
  auto layers = register_module("layers", std::make_shared<torch::nn::Module>());
  for (int i = 0; i < config.depth; ++i)
    layers_.push_back(layers->register_module(
        std::to_string(i), std::make_shared<Block>(init, width, config.heads, config.mlp, 1e-12,
                                                   Block::Order::kPostNorm)));
  projection_ =
      register_module("projection", std::make_shared<Linear>(init, width, embed_dim, false));
}

at::Tensor TextEncoder::Hidden(const at::Tensor& ids, const Dropout& dropout) const {
  const std::int64_t t = ids.size(1);
  const Keys keys = KeysOf(ids);
  at::Tensor x = at::embedding(words_, ids, /*padding_idx=*/0) +
                 (positions_.slice(0, 0, t) + token_type_.slice(0, 0, 1));
  x = norm_->Forward(x);
  for (std::size_t i = 0; i < layers_.size(); ++i) x = layers_[i]->Forward(x, keys, dropout, i);
  return x;
}

at::Tensor TextEncoder::Pooled(const at::Tensor& ids, const Dropout& dropout) const {
  const at::Tensor hidden = Hidden(ids, dropout);
  if (config_.pooling == "cls") return hidden.select(1, 0);
  const at::Tensor keep = ids.ne(0).to(hidden.scalar_type()).unsqueeze(-1);
  return (hidden * keep).sum(1) / keep.sum(1).clamp_min(1);
}

at::Tensor TextEncoder::Forward(const at::Tensor& ids, const Dropout& dropout) const {
  if (ids.size(0) == 0) return L2Normalise(projection_->Forward(words_.slice(0, 0, 0)));
  const auto [lengths, order] = ids.ne(0).sum(1).sort(/*stable=*/true, 0, /*descending=*/true);
  const at::Tensor sorted = ids.index_select(0, order), host = lengths.cpu();
  const std::vector<std::int64_t> list(host.const_data_ptr<std::int64_t>(),
                                       host.const_data_ptr<std::int64_t>() + host.numel());
  std::vector<at::Tensor> groups;
  std::int64_t begin = 0;
  for (const std::int64_t end : GroupEnds(list)) {
    const std::int64_t length = std::max<std::int64_t>(list[begin], 1);
    groups.push_back(Pooled(sorted.slice(0, begin, end).slice(1, 0, length),
                            dropout.Of(order.slice(0, begin, end))));
    begin = end;
  }
  return L2Normalise(projection_->Forward(at::cat(groups).index_select(0, order.argsort())));
}

}  // namespace vesalius::model
