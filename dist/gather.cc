#include "dist/gather.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>

#include "base/error.h"
#include "dist/tensor.h"

namespace vesalius::dist {
namespace {

using Counts = std::vector<std::int64_t>;

std::int64_t RowElements(const at::Tensor& x) { return c10::multiply_integers(x.sizes().slice(1)); }

// Elements by rank, from rows by rank.
Counts Elements(const Counts& rows, std::int64_t row_elements) {
  Counts elements = rows;
  for (std::int64_t& count : elements) count *= row_elements;
  return elements;
}

void CheckRows(const Communicator& comm, std::string_view name, const at::Tensor& x,
               const Counts& counts) {
  Invariant(static_cast<int>(counts.size()) == comm.size(), "gather '", name, "': ", counts.size(),
            " counts for ", comm.size(), " ranks");
  Invariant(x.dim() >= 1 && x.size(0) == counts[comm.rank()], "gather '", name, "': rank ",
            comm.rank(), " holds a tensor of shape ", x.sizes(), " but said ", counts[comm.rank()],
            " rows");
}

at::Tensor Gather(Communicator& comm, std::string_view name, const at::Tensor& x,
                  const Counts& counts, CallSite site) {
  CheckRows(comm, name, x, counts);
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape[0] = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty(shape, x.options());
  comm.AllGather(name, in.const_data_ptr(), out.mutable_data_ptr(),
                 Elements(counts, RowElements(x)), DTypeOf(x.scalar_type()), site)
      .Wait();
  return out;
}

class GatherFunction : public torch::autograd::Function<GatherFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            Communicator* comm, const std::string& name, const Counts& counts,
                            const CallSite& site) {
    ctx->saved_data["comm"] = reinterpret_cast<std::int64_t>(comm);
    ctx->saved_data["name"] = name;
    ctx->saved_data["counts"] = counts;
    ctx->saved_data["file"] = reinterpret_cast<std::int64_t>(site.file_name());
    ctx->saved_data["line"] = static_cast<std::int64_t>(site.line());
    return Gather(*comm, name, x, counts, site);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads) {
    auto& comm = *reinterpret_cast<Communicator*>(ctx->saved_data["comm"].toInt());
    const std::string name = ctx->saved_data["name"].toStringRef() + " (backward)";
    const Counts counts = ctx->saved_data["counts"].toIntVector();
    const CallSite site(reinterpret_cast<const char*>(ctx->saved_data["file"].toInt()),
                        static_cast<std::uint32_t>(ctx->saved_data["line"].toInt()));
    // Always defined: autograd hands zeros when this rank took no gradient from the rows.
    const at::Tensor in = grads[0].contiguous();
    std::vector<std::int64_t> shape = in.sizes().vec();
    shape[0] = counts[comm.rank()];
    at::Tensor out = at::empty(shape, in.options());
    comm.ReduceScatter(name, in.const_data_ptr(), out.mutable_data_ptr(),
                       Elements(counts, RowElements(in)), DTypeOf(in.scalar_type()), site)
        .Wait();
    return {out, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Counts GatherCounts(Communicator& comm, std::string_view name, std::int64_t mine, CallSite site) {
  return GatherCounts(comm, name, std::span<const std::int64_t>(&mine, 1), site)[0];
}

std::vector<Counts> GatherCounts(Communicator& comm, std::string_view name,
                                 std::span<const std::int64_t> mine, CallSite site) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  Counts all(mine.size() * ranks, 0);  // by kind, then rank
  for (std::size_t kind = 0; kind < mine.size(); ++kind)
    all[kind * ranks + static_cast<std::size_t>(comm.rank())] = mine[kind];
  AllReduceNow(comm, name, all, site);
  std::vector<Counts> counts;
  for (auto of_kind = all.begin(); of_kind != all.end();
       of_kind += static_cast<std::ptrdiff_t>(ranks))
    counts.emplace_back(of_kind, of_kind + static_cast<std::ptrdiff_t>(ranks));
  return counts;
}

at::Tensor GatherRows(Communicator& comm, std::string_view name, const at::Tensor& x,
                      const std::vector<std::int64_t>& counts, CallSite site) {
  Invariant(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble, "gather '", name,
            "': float32 or float64 wanted, not ", at::toString(x.scalar_type()));
  return GatherFunction::apply(x, &comm, std::string(name), counts, site);
}

at::Tensor GatherRowsDetached(Communicator& comm, std::string_view name, const at::Tensor& x,
                              const std::vector<std::int64_t>& counts, CallSite site) {
  return Gather(comm, name, x.detach(), counts, site);
}

at::Tensor SumOverRanks(Communicator& comm, std::string_view name, const at::Tensor& x,
                        CallSite site) {
  at::Tensor sum = x.detach().clone(at::MemoryFormat::Contiguous);
  comm.AllReduce(name, sum.mutable_data_ptr(), sum.numel(), DTypeOf(sum.scalar_type()), site)
      .Wait();
  return sum;
}

}  // namespace vesalius::dist
