// The threads of the loader. A ring of a few batches is planned ahead, never more, so that decoding
// cannot run away from training. One thread reads, batch after batch; each row is then a task of
// the decoding threads; the one that ends a batch's last row finishes it; Next() hands batches out
// in order. Only the caller's thread plans; the threads share two queues and the slots' counters
// under one mutex.
#include "data/loader/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <optional>
#include <thread>

#include "base/error.h"
#include "data/loader/balance.h"
#include "data/loader/batch_builder.h"
#include "data/loader/order.h"
#include "data/loader/token_store.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kAhead = 3;  // batches planned or decoded ahead of the consumer

void Check(const PipelineOptions& o, const Datasets& datasets) {
  const auto require = [](bool good, const char* what) {
    Require(good, ExitCode::kConfig, "data loader: ", what);
  };
  require(!datasets.empty(), "no data set");
  require(o.weights.empty() || o.weights.size() == datasets.size(), "one weight a data set");
  for (const double weight : o.weights)
    require(std::isfinite(weight) && weight > 0, "weights must be above 0");
  require(o.global_batch >= 1, "the global batch must be at least 1");
  require(o.ranks >= 1 && o.rank >= 0 && o.rank < o.ranks, "the rank must be below the ranks");
  require(o.workers >= 0, "the workers must be 0 or more");
  require(o.image_size >= 1, "the image size must be at least 1 pixel");
  require(o.channels == 1 || o.channels == 3, "the channels must be 1 or 3");
  require(o.std > 0, "the standard deviation of the normalisation must be above 0");
  require(o.rows_per_image >= 0 && o.rows_per_image <= kRegions,
          "the regions an image gives to the fine loss must be 0 to 29");
  require(o.perturb >= 0 && o.perturb <= 1, "the perturbed share must be 0 to 1");
  require(o.text_length >= 2, "a sentence needs at least 2 tokens, [CLS] and [SEP]");
  require(o.report_length == 0 || o.report_length >= 2, "a report needs 0 (none) or >= 2 tokens");
  require(o.min_crop > 0 && o.min_crop <= 1, "the least crop must be above 0, at most 1");
  require(o.max_shift >= 0 && o.max_shift <= 1, "the shift must be 0 to 1");
  require(o.max_rotate >= 0 && o.max_rotate <= 180, "the rotation must be 0 to 180 degrees");
  require(o.brightness >= 0 && o.brightness <= 1 && o.contrast >= 0 && o.contrast <= 1,
          "brightness and contrast must be 0 to 1");
  for (const auto& data : datasets) {
    require(data != nullptr, "no data set");
    Require(data->size() > 0, ExitCode::kConfig, "data loader: ", data->path(),
            " holds no sample of this split");
  }
  const Dataset& data = *datasets[0];
  Require(datasets.size() > 1 || o.tail != Tail::kDrop || data.size() >= o.global_batch,
          ExitCode::kConfig, "data loader: ", data.path(), " holds ", data.size(),
          " samples of this split, fewer than one global batch of ", o.global_batch,
          "; lower trainer.global_batch, bring more data, or set data.tail to pad or short");
}

// The state to begin with: `start` when it belongs to these data sets and options.
LoaderState CheckedStart(const LoaderState& start, const PipelineOptions& options,
                         const Datasets& datasets) {
  if (start.sources.empty()) {
    LoaderState fresh{options.seed, options.global_batch, 0, 0, {}};
    for (const auto& dataset : datasets) fresh.sources.push_back({dataset->fingerprint(), 0, 0});
    return fresh;
  }
  const auto differs = [](const auto& what, const auto& then, const auto& now, const char* remedy) {
    Fail(ExitCode::kConfig, "cannot resume the data loader: ", what, " was ", then, ", now it is ",
         now, "; ", remedy, " or start a new run");
  };
  if (start.sources.size() != datasets.size())
    differs("the number of data sets", start.sources.size(), datasets.size(), "set it back");
  if (start.seed != options.seed) differs("the seed", start.seed, options.seed, "set it back");
  if (start.global_batch != options.global_batch)
    differs("the global batch", start.global_batch, options.global_batch, "set it back");
  for (std::size_t s = 0; s < datasets.size(); ++s) {
    const SourcePosition& source = start.sources[s];
    const Dataset& dataset = *datasets[s];
    if (source.fingerprint != dataset.fingerprint())
      differs(StrCat("the fingerprint of ", dataset.path()), source.fingerprint,
              dataset.fingerprint(), "bring the old data set back");
    Require(source.epoch >= 0 && source.position >= 0 && source.position <= dataset.size(),
            ExitCode::kConfig, "cannot resume the data loader: position ", source.position,
            " of epoch ", source.epoch, " is outside ", dataset.path(), " of ", dataset.size(),
            " samples; resume from another checkpoint");
  }
  return start;
}

Schedule ScheduleOf(const Datasets& datasets, const PipelineOptions& options) {
  std::vector<std::int64_t> sizes;
  std::vector<double> weights = options.weights;
  for (const auto& dataset : datasets) {
    sizes.push_back(dataset->size());
    if (options.weights.empty()) weights.push_back(static_cast<double>(dataset->size()));
  }
  return {std::move(sizes), std::move(weights), options.seed, options.global_batch, options.tail};
}

// One batch on its way. `draft` and `batch` belong to whoever works on them until `done`; the rest
// is guarded by the lock.
struct Slot {
  std::unique_ptr<Draft> draft;
  LoaderState after;
  std::size_t pending = 0;  // rows to make; 0 and not done: being read or finished
  bool done = false;
  bool dropped = false;  // nobody waits for it
  std::exception_ptr error;
  std::optional<Batch> batch;
};

struct Task {
  std::shared_ptr<Slot> slot;
  std::size_t row = 0;
};

}  // namespace

struct Pipeline::Impl {
  using Lock = std::unique_lock<std::mutex>;

  Impl(const Datasets& datasets, const PipelineOptions& given, const LoaderState& start)
      : options(given),
        schedule(ScheduleOf(datasets, options)),
        builder(JoinDatasets(datasets), options),
        consumed(CheckedStart(start, options, datasets)),
        planned(consumed) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  // Apart from the constructor, so that the destructor ends the threads when one cannot be started.
  void StartThreads() {
    if (options.workers == 0) return;
    threads.emplace_back([this] { Loop(to_read, &Impl::ReadOne); });
    for (int i = 0; i < options.workers; ++i)
      threads.emplace_back([this] { Loop(to_make, &Impl::MakeOne); });
  }

  template <typename Queue>
  void Loop(const Queue& queue, void (Impl::*one)(Lock&)) {
    Lock lock(mutex);
    while (true) {
      work.wait(lock, [&] { return stopping || !queue.empty(); });
      if (stopping) return;
      (this->*one)(lock);
    }
  }

  // Runs `body` with the lock released; what it throws is the slot's error.
  template <typename Body>
  void Unlocked(Lock& lock, Slot& slot, const Body& body) {
    lock.unlock();
    std::exception_ptr error;
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !slot.error) slot.error = error;
  }

  // The reads of the next batch; then its rows can be made.
  void ReadOne(Lock& lock) {
    const std::shared_ptr<Slot> slot = std::move(to_read.front());
    to_read.pop_front();
    Unlocked(lock, *slot, [&] { builder.Fetch(*slot->draft); });
    if (slot->dropped) return;
    slot->pending = slot->error ? 0 : slot->draft->rows.size();
    for (std::size_t row = 0; row < slot->pending; ++row) to_make.push_back({slot, row});
    work.notify_all();
    if (slot->pending == 0) FinishOne(lock, *slot);
  }

  void MakeOne(Lock& lock) {
    const Task task = std::move(to_make.front());
    to_make.pop_front();
    Slot& slot = *task.slot;
    Unlocked(lock, slot, [&] { builder.MakeRow(*slot.draft, task.row); });
    if (--slot.pending == 0) FinishOne(lock, slot);
  }

  void FinishOne(Lock& lock, Slot& slot) {
    if (!slot.error) Unlocked(lock, slot, [&] { slot.batch.emplace(builder.Finish(*slot.draft)); });
    slot.done = true;
    ready.notify_all();
  }

  // This rank's places of a step.
  std::vector<Planned> Share(const std::vector<Planned>& step) const {
    if (options.ranks > 1 && options.report_length > 0 && options.tokens != nullptr) {
      std::vector<std::int64_t> lengths;  // of padding: 0
      for (const Planned& planned : step)
        lengths.push_back(planned.sample == Planned::kEmpty
                              ? 0
                              : std::min<std::int64_t>(options.tokens->Length(planned.sample) + 2,
                                                       options.report_length));
      std::vector<Planned> mine;
      for (const std::size_t row : BalancedRows(lengths, options.rank, options.ranks))
        mine.push_back(step[row]);
      return mine;
    }
    const PositionRange slice = RankSlice(0, std::ssize(step), options.rank, options.ranks);
    return {step.begin() + slice.begin, step.begin() + slice.end};
  }

  // Plans the batch after `planned` and queues its reads.
  void PlanOne() {
    const std::vector<Planned> step = schedule.Next(planned);
    auto slot = std::make_shared<Slot>();
    slot->draft = builder.Start(Share(step), options.region_texts);
    slot->after = planned;
    slots.push_back(slot);
    {
      const std::lock_guard lock(mutex);
      to_read.push_back(slot);
    }
    work.notify_all();
  }

  void PlanAhead() {
    while (slots.size() < (options.workers > 0 ? kAhead : 1)) PlanOne();
  }

  PipelineOptions options;
  Schedule schedule;
  BatchBuilder builder;
  LoaderState consumed, planned;  // the caller's thread only, as `slots`
  std::deque<std::shared_ptr<Slot>> slots;

  std::mutex mutex;  // guards the queues, stopping, and the slots' counters
  std::condition_variable work, ready;
  std::deque<std::shared_ptr<Slot>> to_read;
  std::deque<Task> to_make;
  bool stopping = false;
  std::vector<std::thread> threads;
};

Pipeline::Pipeline(const Datasets& datasets, PipelineOptions options, const LoaderState& start) {
  Check(options, datasets);
  impl_ = std::make_unique<Impl>(datasets, options, start);
  impl_->StartThreads();
  impl_->PlanAhead();
}

Pipeline::~Pipeline() = default;

Batch Pipeline::Next() {
  const auto begin = std::chrono::steady_clock::now();
  impl_->PlanAhead();
  const std::shared_ptr<Slot> slot = impl_->slots.front();
  {
    std::unique_lock lock(impl_->mutex);
    while (impl_->options.workers == 0 && !slot->done)
      impl_->to_make.empty() ? impl_->ReadOne(lock) : impl_->MakeOne(lock);
    impl_->ready.wait(lock, [&] { return slot->done; });
    if (slot->error) std::rethrow_exception(slot->error);  // again at every further call
  }
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  impl_->slots.pop_front();
  impl_->consumed = slot->after;
  impl_->PlanAhead();
  Batch batch = std::move(*slot->batch);
  batch.state = slot->after;
  batch.wait_s = waited.count();
  return batch;
}

void Pipeline::SetRegionTexts(bool enabled) {
  if (impl_->options.region_texts == enabled) return;
  impl_->options.region_texts = enabled;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->to_read.clear();
    impl_->to_make.clear();
    for (const auto& slot : impl_->slots) slot->dropped = true;
  }
  impl_->slots.clear();  // rows in the making keep their slot until they end
  impl_->planned = impl_->consumed;
  impl_->PlanAhead();
}

std::int64_t Pipeline::steps_per_epoch() const { return impl_->schedule.steps_per_epoch(); }

}  // namespace vesalius::data
