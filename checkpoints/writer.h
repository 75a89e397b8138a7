// Writes one checkpoint, all ranks together, atomically: shards, then manifest, then rename.
// Order of operations and layout: docs/checkpoints.md. Synchronous by now; the interface is that of
// an asynchronous writer (Save hands over, the commit is reported).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "checkpoints/attempt.h"
#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

// Byte exchange between ranks, so that this room needs no communicator: every rank's bytes by rank.
using Exchange =
    std::function<std::vector<std::string>(const std::string& name, const std::string& mine)>;

struct WriterOptions {
  std::string run_folder;
  int rank = 0, ranks = 1;
  int keep = 3;  // newest verified checkpoints kept, >= 2
};

class Writer {
 public:
  // `attempt` is null on ranks other than 0. Rank 0 sweeps temporary folders of other tokens.
  Writer(WriterOptions options, const Attempt* attempt, Exchange exchange);

  // Collective. `tensors`: the full list in the same order on every rank; replicated tensors are
  // written by one rank each (balanced by bytes). One tensor may be listed several
  // times in a row, for several boxes of it. Returns the committed folder. When any rank
  // fails, all ranks drop the temporary folder and throw Error(kCannotSave) with the first cause; a
  // lost fence throws Error(kFenced).
  std::string Save(const StepInfo& info, const std::vector<TensorView>& tensors);

 private:
  WriterOptions options_;
  const Attempt* attempt_;
  Exchange exchange_;
};

}  // namespace vesalius::checkpoints
