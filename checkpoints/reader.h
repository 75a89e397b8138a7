// Finds, verifies and reads checkpoints, whatever world size wrote them.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

struct MemoryStep;

using TensorKey = std::pair<std::string, Role>;

class Reader {
 public:
  // `step_folder`: RUN/ckpt/step-NNNNNNNN. Verifies the manifest's own checksum and that every file
  // is there with its length. Errors, of this and all below: kInvalidData for damage (wrong bytes,
  // a missing or short file), naming file, tensor and offset; kInputMissing when there is no such
  // folder or a file in it cannot be read, which says nothing of what it holds.
  explicit Reader(const std::string& step_folder);
  // A step in the node's memory, with the same promises.
  Reader(const std::string& memory_folder, const MemoryStep& step);
  ~Reader();

  const StepInfo& info() const;
  const std::vector<TensorMeta>& tensors() const;
  bool Has(const std::string& name, Role role) const;
  // Fills `view.data` with the box offset/extent of the tensor; every chunk touched is checked
  // against its CRC-32C, whole blocks of 16 KiB at least. Missing tensor, other dtype or shape:
  // Error(kInvalidData).
  void Read(const TensorView& view) const;
  // Reads and checks every byte.
  void Verify() const;
  // Reads and checks share `share` of `shares` of the tensors that are not in `without`.
  void VerifyShare(int share, int shares, const std::set<TensorKey>& without) const;
  std::uint64_t bytes_read() const;  // of shards, by this object
  // Digest over names, shapes and bytes of all parameters, in name order; equal whatever the
  // sharding.
  std::string ParametersDigest() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Step folders under RUN/ckpt, newest first. Error(kInputMissing) when they cannot be listed.
std::vector<std::string> ListSteps(const std::string& run_folder);

// The step folder under RUN/ckpt that `path` leads to; "" when it leads to none of them.
std::string OwnStep(const std::string& run_folder, const std::string& path);

// `path` itself when it is a step folder, else the newest step of the run folder that verifies
// completely (all bytes). Damaged ones are passed over; why is appended to `skipped`. None good:
// Error(kInvalidData), or kInputMissing where there is no step at all, or one cannot be read.
std::string ResolveStep(const std::string& path, std::vector<std::string>* skipped);

// Moves a damaged step folder to RUN/ckpt/quarantine/ (rank 0 of a run that owns the folder).
void Quarantine(const std::string& step_folder);

}  // namespace vesalius::checkpoints
