// The manifest of a checkpoint: what tensors it holds and where every byte of them lies, with a
// checksum for every block of a chunk, so that a part of a chunk can be read and verified alone.
// Encoding and decoding of the MANIFEST file (docs/checkpoints.md fixes the bytes) and of a rank's
// part of it (the same frame, its own chunks only). A decoded manifest is consistent: chunks tile
// their tensors and lie in their files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/boxes.h"
#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

inline constexpr std::string_view kManifestName = "MANIFEST";
inline constexpr std::string_view kManifestMagic = "VSLCKPT\n";
inline constexpr std::uint32_t kManifestVersion = 2;  // 1 is read too
inline constexpr std::size_t kChunkAlignment = 4096;
inline constexpr std::size_t kMaxChunkBytes = std::size_t{16} << 20;
inline constexpr std::size_t kBlockBytes = std::size_t{16} << 10;

struct Chunk {
  Box box;                     // of the global tensor
  std::uint32_t file = 0;      // index in Manifest::files
  std::uint64_t position = 0;  // first byte in the file
  std::uint64_t bytes = 0;
  std::vector<std::uint32_t> crcs;  // CRC-32C of each block of its bytes
};

struct StoredTensor {
  TensorMeta meta;
  std::vector<Chunk> chunks;
};

struct StoredFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;  // CRC-32C of its chunks' checksums, in order of position
};

struct Manifest {
  StepInfo info;
  std::vector<StoredTensor> tensors;
  std::vector<StoredFile> files;
  std::uint64_t block_bytes = kBlockBytes;  // of version 1: the longest chunk
};

// CRC-32C of checksums as little-endian words.
std::uint32_t CrcOfCrcs(const std::vector<std::uint32_t>& crcs);

std::string EncodeManifest(const Manifest& manifest);

// `path` is for messages. Anything wrong: Error(kInvalidData) naming it, tensor and offset.
Manifest DecodeManifest(std::string_view content, const std::string& path);

// One rank's part, whose chunks are some of each tensor's; what it says is checked when it is
// joined.
Manifest DecodePart(std::string_view content, const std::string& path);

// The parts of all ranks, rank 0's first, as one manifest; `info` is that of rank 0. Parts that do
// not list the same tensors, or do not hold every element once: Error(kInvalidData).
Manifest JoinParts(std::vector<Manifest> parts, const std::string& path);

// RUN/ckpt, and the name of a step's folder in it: "step-00012000".
std::string CheckpointFolder(const std::string& run_folder);
std::string StepName(std::int64_t step);
// The step of such a name, -1 when it is none.
std::int64_t StepOfName(std::string_view name);

}  // namespace vesalius::checkpoints
