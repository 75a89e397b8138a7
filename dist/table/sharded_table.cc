#include "dist/table/sharded_table.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "dist/table/dedupe.h"
#include "dist/table/row_kernels.h"
#include "dist/table/table_exchange.h"
#include "dist/table/tiered_memory.h"

namespace vesalius::dist {
namespace {

constexpr std::int64_t kGrain = 256;  // rows of a thread at least

// Calls body(T{}) with the table's value type.
template <typename Body>
void WithType(bool float64, const Body& body) {
  if (float64)
    body(double{});
  else
    body(float{});
}

// A look-up that the next step learns from.
struct LookupRecord : torch::CustomClassHolder {
  TableRoute route;
  std::vector<std::int32_t> inverse;  // position -> place in route.ids
  at::Tensor gradient;  // [n, width], contiguous, on the host; undefined before backward
};
using RecordPtr = c10::intrusive_ptr<LookupRecord>;

// Puts `rows` into the graph: its backward leaves the gradient in the record.
class LookupFunction : public torch::autograd::Function<LookupFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& /*anchor*/,
                            const RecordPtr& record, const std::function<at::Tensor()>& rows) {
    ctx->saved_data["record"] = c10::IValue::make_capsule(record);
    return rows();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads) {
    const auto record =
        c10::static_intrusive_pointer_cast<LookupRecord>(ctx->saved_data["record"].toCapsule());
    record->gradient = grads[0].cpu().contiguous();
    return {at::zeros({0}, record->gradient.options()), at::Tensor(), at::Tensor()};
  }
};

// out[i] = table[ids[i]] on several threads.
template <typename T, typename Id>
void Gather(const at::Tensor& table, const Id* ids, std::int64_t n, at::Tensor* out) {
  const T* from = table.const_data_ptr<T>();
  T* to = out->mutable_data_ptr<T>();
  const std::int64_t width = table.size(1);
  at::parallel_for(0, n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    GatherRows(from, width, ids, begin, end, to);
  });
}

template <typename T>
GradientRows<T> RowsOf(const at::Tensor& gradient, const Groups& groups) {
  return {gradient.const_data_ptr<T>(), gradient.size(1), groups.offsets.data(),
          groups.positions.data()};
}

}  // namespace

struct ShardedTable::Impl {
  Impl(Communicator& communicator, const TableOptions& table_options)
      : comm(communicator),
        options(table_options),
        layout{options.strategy, options.rows, options.width, comm.size()},
        block(layout.Block(comm.rank())),
        exchange(comm, options.name, layout) {
    Invariant(options.rows > 0 && options.width > 0, "table ", options.name, " of ", options.rows,
              " rows of ", options.width, " values");
    const at::ScalarType type = options.float64 ? at::kDouble : at::kFloat;
    const std::size_t value = options.float64 ? 8 : 4;
    const bool adam = options.optimiser == SparseOptimiser::kLazyAdam;
    const bool adagrad = options.optimiser == SparseOptimiser::kRowwiseAdagrad;
    const auto width = static_cast<std::size_t>(block.columns);
    const std::size_t row_bytes = width * value * (adam ? 3 : 1) + (adam      ? sizeof(std::int32_t)
                                                                    : adagrad ? value
                                                                              : 0);
    const std::size_t fast_rows = row_bytes == 0 ? 0 : options.fast_bytes / row_bytes;
    values = Allocate({block.rows, block.columns}, type, fast_rows);
    if (adam) {
      moment1 = Allocate({block.rows, block.columns}, type, fast_rows);
      moment2 = Allocate({block.rows, block.columns}, type, fast_rows);
      last = Allocate({block.rows}, at::kInt, fast_rows);
    }
    if (adagrad) squares = Allocate({block.rows}, type, fast_rows);
    steps = at::zeros({}, at::kLong);
    anchor = at::zeros({0}, type).requires_grad_(options.optimiser != SparseOptimiser::kFrozen);
  }

  // Zeroes in two tiers, of which the first `fast_rows` rows are fast.
  at::Tensor Allocate(at::IntArrayRef shape, at::ScalarType type, std::size_t fast_rows) {
    const std::size_t item = c10::elementSize(type);
    const auto bytes = static_cast<std::size_t>(c10::multiply_integers(shape)) * item;
    const std::size_t row = shape[0] == 0 ? 0 : bytes / static_cast<std::size_t>(shape[0]);
    const auto rows = static_cast<std::size_t>(shape[0]);
    auto memory = std::make_shared<TieredMemory>(bytes, std::min(fast_rows, rows) * row);
    slow_bytes += memory->slow_bytes();
    return at::from_blob(
        memory->data(), shape, [memory](void*) {}, at::TensorOptions().dtype(type));
  }

  // Counts what communicator traffic a scope causes.
  class Counted {
   public:
    explicit Counted(Impl& impl) : impl_(impl), before_(impl.comm.traffic().bytes_sent) {}
    ~Counted() { impl_.stats.bytes_sent += impl_.comm.traffic().bytes_sent - before_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    Impl& impl_;
    std::int64_t before_;
  };

  void CheckIds(std::span<const std::int64_t> ids) const {
    for (const std::int64_t id : ids)
      Require(id >= 0 && id < options.rows, ExitCode::kBug, "table ", options.name, ": row ", id,
              " of ", options.rows, " was looked up");
  }

  // Rows of the own block for `ids`, which are rows of the whole table.
  at::Tensor Serve(const std::vector<std::int64_t>& ids) const {
    at::Tensor out =
        at::empty({static_cast<std::int64_t>(ids.size()), block.columns}, values.options());
    WithType(options.float64, [&](auto type) {
      using T = decltype(type);
      // Ids count from the table's first row, the block from its own.
      const T* table = values.const_data_ptr<T>() - block.row * block.columns;
      T* to = out.mutable_data_ptr<T>();
      at::parallel_for(0, static_cast<std::int64_t>(ids.size()), kGrain,
                       [&](std::int64_t begin, std::int64_t end) {
                         GatherRows(table, block.columns, ids.data(), begin, end, to);
                       });
    });
    return out;
  }

  at::Tensor Forward(const at::Tensor& ids_in, LookupRecord* record) {
    const Counted counted(*this);
    const at::Tensor ids = ids_in.cpu().contiguous();
    const std::int64_t n = ids.numel();
    const std::int64_t* data = ids.const_data_ptr<std::int64_t>();
    dedupe.Run({data, static_cast<std::size_t>(n)});
    CheckIds(dedupe.unique());
    stats.ids += n;
    stats.unique += static_cast<std::int64_t>(dedupe.unique().size());
    std::vector<std::int32_t> position;
    record->route = exchange.Route(dedupe.unique(), &position);
    record->inverse = dedupe.inverse();
    for (std::int32_t& at : record->inverse) at = position[at];
    at::Tensor out = at::empty({n, options.width}, values.options());
    const bool here = comm.size() == 1 || layout.strategy == TableStrategy::kReplicated;
    at::Tensor rows;
    if (!here) rows = exchange.ReturnRows(record->route, Serve(record->route.requests));
    WithType(options.float64, [&](auto type) {
      using T = decltype(type);
      if (here)
        Gather<T>(values, data, n, &out);
      else
        Gather<T>(rows, record->inverse.data(), n, &out);
    });
    return out.to(ids_in.device());
  }

  // The recorded gradients as one: rows, the place of each in `route.ids`, and the route itself. A
  // look-up whose backward did not run counts as zeros, so that all ranks do the same.
  struct Collected {
    TableRoute route;
    std::vector<std::int32_t> inverse;
    at::Tensor rows;
  };
  Collected Collect() {
    for (const RecordPtr& record : records)
      if (!record->gradient.defined())
        record->gradient = at::zeros(
            {static_cast<std::int64_t>(record->inverse.size()), options.width}, values.options());
    if (records.size() == 1)
      return {std::move(records[0]->route), std::move(records[0]->inverse), records[0]->gradient};
    // Each look-up had its own route: summed by id first, then routed together.
    std::vector<std::int64_t> ids;
    std::vector<at::Tensor> rows;
    for (const RecordPtr& record : records) {
      rows.push_back(SumById(record->gradient, record->inverse, record->route.ids.size()));
      ids.insert(ids.end(), record->route.ids.begin(), record->route.ids.end());
    }
    Collected all;
    std::vector<std::int32_t> position;
    dedupe.Run(ids);
    all.route = exchange.Route(dedupe.unique(), &position);
    all.inverse = dedupe.inverse();
    for (std::int32_t& at : all.inverse) at = position[at];
    all.rows = at::cat(rows);
    return all;
  }

  at::Tensor SumById(const at::Tensor& rows, const std::vector<std::int32_t>& inverse,
                     std::size_t distinct) const {
    const Groups groups = GroupPositions(inverse, distinct);
    const auto n = static_cast<std::int64_t>(distinct);
    at::Tensor out = at::empty({n, rows.size(1)}, rows.options());
    WithType(options.float64, [&](auto type) {
      using T = decltype(type);
      const GradientRows<T> in = RowsOf<T>(rows, groups);
      T* sums = out.mutable_data_ptr<T>();
      at::parallel_for(0, n, kGrain, [&](std::int64_t begin, std::int64_t end) {
        SumRows(in, begin, end, sums);
      });
    });
    return out;
  }

  void Step(double lr, double scale) {
    if (records.empty()) return;
    const Counted counted(*this);
    const Collected mine = Collect();
    records.clear();
    steps.add_(1);
    if (comm.size() == 1) {  // straight from the gradients of every position
      Update(mine.route.ids, mine.rows, GroupPositions(mine.inverse, mine.route.ids.size()), lr,
             scale);
      return;
    }
    const at::Tensor sums = SumById(mine.rows, mine.inverse, mine.route.ids.size());
    const TableExchange::Gradients all = exchange.SendGradients(mine.route, sums);
    dedupe.Run(all.ids);
    Update(dedupe.unique(), all.rows, GroupPositions(dedupe.inverse(), dedupe.unique().size()), lr,
           scale);
  }

  // Applies the sums of `gradient` by `groups` to the rows `ids` of the whole table. Collective
  // when Adagrad's mean needs other ranks' columns.
  void Update(const std::vector<std::int64_t>& ids, const at::Tensor& gradient,
              const Groups& groups, double lr, double scale) {
    const auto n = static_cast<std::int64_t>(ids.size());
    WithType(options.float64, [&](auto type) {
      using T = decltype(type);
      const GradientRows<T> rows = RowsOf<T>(gradient, groups);
      // As in Serve: ids count from the table's first row.
      const std::int64_t shift = block.row * block.columns;
      T* table = values.mutable_data_ptr<T>() - shift;
      if (options.optimiser == SparseOptimiser::kLazyAdam) {
        const AdamUpdate<T> update{table,
                                   moment1.mutable_data_ptr<T>() - shift,
                                   moment2.mutable_data_ptr<T>() - shift,
                                   last.mutable_data_ptr<std::int32_t>() - block.row,
                                   scale,
                                   lr,
                                   options.beta1,
                                   options.beta2,
                                   options.eps,
                                   steps.item<std::int64_t>()};
        at::parallel_for(0, n, kGrain, [&](std::int64_t begin, std::int64_t end) {
          ApplyAdam(update, rows, ids.data(), begin, end);
        });
        return;
      }
      std::vector<double> sums;
      if (block.columns != options.width) sums = SquaresOverColumns(rows, n);
      const AdagradUpdate<T> update{
          table,       squares.mutable_data_ptr<T>() - block.row, scale,        lr,
          options.eps, sums.empty() ? nullptr : sums.data(),      options.width};
      at::parallel_for(0, n, kGrain, [&](std::int64_t begin, std::int64_t end) {
        ApplyAdagrad(update, rows, ids.data(), begin, end);
      });
    });
  }

  // Of every column block of `n` rows. Each is some rank's alone, and a zero adds nothing.
  template <typename T>
  std::vector<double> SquaresOverColumns(const GradientRows<T>& rows, std::int64_t n) {
    const std::int64_t blocks = ColumnBlocks(options.width);
    std::vector<double> sums(static_cast<std::size_t>(n * blocks));
    double* own = sums.data() + block.column / kColumnBlock;
    at::parallel_for(0, n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      SumSquaresOfBlocks(rows, begin, end, blocks, own);
    });
    AllReduceNow(comm, StrCat(options.name, " squares"), sums);
    return sums;
  }

  Communicator& comm;
  TableOptions options;
  TableLayout layout;
  TableBlock block;
  TableExchange exchange;
  Dedupe dedupe;
  at::Tensor values, moment1, moment2, last, squares, steps;
  at::Tensor anchor;  // makes autograd record look-ups
  std::size_t slow_bytes = 0;
  std::vector<RecordPtr> records;  // since the last step, the same number on every rank
  TableStats stats;
};

ShardedTable::ShardedTable(Communicator& comm, const TableOptions& options)
    : impl_(std::make_unique<Impl>(comm, options)) {}
ShardedTable::~ShardedTable() = default;

const TableOptions& ShardedTable::options() const { return impl_->options; }
const TableLayout& ShardedTable::layout() const { return impl_->layout; }
at::Tensor ShardedTable::values() const { return impl_->values; }
std::size_t ShardedTable::slow_bytes() const { return impl_->slow_bytes; }
TableStats ShardedTable::stats() const { return impl_->stats; }

void ShardedTable::Fill(const at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  Invariant(rows.dim() == 2 && rows.size(1) == impl_->options.width, "table ", impl_->options.name,
            " filled with rows of shape ", rows.sizes());
  impl_->values.copy_(
      impl_->exchange.Distribute(rows.cpu().to(impl_->values.scalar_type()).contiguous()));
}

at::Tensor ShardedTable::Lookup(const at::Tensor& ids) {
  Impl& impl = *impl_;
  const auto record = c10::make_intrusive<LookupRecord>();
  const auto rows = [&] { return impl.Forward(ids, record.get()); };
  const bool learns =
      impl.options.optimiser != SparseOptimiser::kFrozen && at::GradMode::is_enabled();
  if (!learns) return rows();
  impl.records.push_back(record);
  return LookupFunction::apply(impl.anchor, record, std::function<at::Tensor()>(rows));
}

void ShardedTable::Step(double lr, double scale) { impl_->Step(lr, scale); }

void ShardedTable::ForgetGradients() { impl_->records.clear(); }

std::vector<TableState> ShardedTable::State() {
  Impl& impl = *impl_;
  const TableBlock& block = impl.block;
  const std::vector<std::int64_t> whole{impl.options.rows, impl.options.width};
  const std::vector<std::int64_t> at{block.row, block.column};
  std::vector<TableState> state{{"values", impl.values, whole, at}};
  if (impl.options.optimiser == SparseOptimiser::kFrozen) return state;
  if (impl.options.optimiser == SparseOptimiser::kLazyAdam) {
    state.push_back({"moment1", impl.moment1, whole, at});
    state.push_back({"moment2", impl.moment2, whole, at});
    state.push_back({"last", impl.last, {impl.options.rows}, {block.row}});
  } else {
    state.push_back({"squares", impl.squares, {impl.options.rows}, {block.row}});
  }
  state.push_back({"steps", impl.steps, {}, {}});
  return state;
}

}  // namespace vesalius::dist
