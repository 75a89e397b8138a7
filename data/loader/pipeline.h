// The training loader: global order, decoding and augmentation on threads, region texts, batches
// with resume state. The order, the pixels and the texts depend on (seed, epoch, sample) alone:
// never on ranks, threads or workers. docs/loader.md tells the whole story.
#pragma once

#include <memory>
#include <memory_resource>
#include <vector>

#include "data/dataset.h"
#include "data/joined_dataset.h"
#include "data/loader/batch.h"
#include "data/loader/schedule.h"

namespace vesalius::data {

class TokenStore;

struct PipelineOptions {
  std::uint64_t seed = 0;
  Tail tail = Tail::kDrop;
  std::vector<double> weights;     // of the data sets in the mixture; empty: their sizes
  std::int64_t global_batch = 16;  // samples a step over all ranks
  int rank = 0, ranks = 1;         // rank r takes rows [r*B/W, (r+1)*B/W) of each global batch
  int workers = 1;                 // decoding threads of this rank; 0 = everything in Next()
  int image_size = 64;             // side of the square handed to the model
  int channels = 1;                // 1, or 3 (grey replicated)
  float mean = 0.4f, std = 0.25f;  // of the normalisation, on [0,1] pixels
  int rows_per_image = 29;         // regions that take part in the fine loss; with sentences first
  double perturb = 0.2;      // share of positives that are negated or rephrased (model.md 3.5)
  int text_length = 64;      // tokens of a sentence at most
  int report_length = 256;   // tokens of a report at most; 0 = no reports
  bool region_texts = true;  // false before the fine stage: skips the work

  // Augmentation (model.md 3.9); all zero = none.
  bool augment = false;
  double min_crop = 1.0;    // random resized crop: scale in [min_crop, 1] of the side
  double max_shift = 0.0;   // translation, share of the side
  double max_rotate = 0.0;  // degrees
  double brightness = 0.0, contrast = 0.0;

  // The reports of all data sets as tokens, one set after another; null: each is tokenised as it
  // comes. With it, a step's reports are dealt to the ranks so that each has about as many tokens.
  std::shared_ptr<const TokenStore> tokens;
  // Where the pixels of a batch lie, e.g. pinned memory; null: plain. Used by several threads; must
  // outlive the batches.
  std::pmr::memory_resource* pixel_memory = nullptr;
};

class Pipeline {
 public:
  // `start`: the state of a batch already consumed, or a default constructed one for the beginning.
  // A state whose fingerprints, seed or global batch differ from the options is refused with
  // Error(kConfig), as are data sets that cannot be mixed or, with Tail::kDrop, a single one
  // smaller than a global batch, and an option out of range. Decoding ahead starts here.
  Pipeline(const Datasets& datasets, PipelineOptions options, const LoaderState& start);
  ~Pipeline();

  // The next batch; blocks until it is decoded. Epochs follow one another without end. A record
  // that cannot be read is missing from its batch and counted in `unreadable`; any other error of a
  // worker is thrown here, again at every further call. Next() and SetRegionTexts() belong to one
  // thread.
  Batch Next();

  // From the next batch on, make region texts or not (stages). Batches decoded ahead are redone.
  void SetRegionTexts(bool enabled);

  std::int64_t steps_per_epoch() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::data
