// Checkpoints as version 1 of the format had them: one checksum for a whole chunk.
#pragma once

#include <string>

#include "base/file.h"
#include "base/hash.h"
#include "checkpoints/manifest.h"
#include "checkpoints/manifest.pb.h"

namespace vesalius::checkpoints {

// Turns a step folder of today into one of version 1.
inline void MakeVersionOne(const std::string& step_folder) {
  constexpr std::size_t kFrame = 20;  // magic, version, length of the body
  const std::string path = StrCat(step_folder, "/", kManifestName), content = ReadFile(path);
  ManifestProto proto;
  proto.ParseFromArray(content.data() + kFrame, static_cast<int>(content.size() - kFrame - 4));
  proto.clear_block_bytes();
  std::map<std::uint32_t, std::map<std::uint64_t, std::uint32_t>> of_files;  // by position
  for (TensorProto& tensor : *proto.mutable_tensors())
    for (ChunkProto& chunk : *tensor.mutable_chunks()) {
      const std::string bytes =
          ReadFile(step_folder + "/" + proto.files(static_cast<int>(chunk.file())).name())
              .substr(chunk.position(), chunk.bytes());
      const std::uint32_t crc = Crc32c(bytes.data(), bytes.size());
      chunk.clear_crc32c();
      chunk.add_crc32c(crc);
      of_files[chunk.file()][chunk.position()] = crc;
    }
  for (const auto& [file, by_position] : of_files) {
    std::vector<std::uint32_t> crcs;
    for (const auto& [position, crc] : by_position) crcs.push_back(crc);
    proto.mutable_files(static_cast<int>(file))->set_crc32c(CrcOfCrcs(crcs));
  }
  const std::string body = proto.SerializeAsString();
  std::string out(kManifestMagic);
  const auto append = [&](std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  };
  append(1, 4);
  append(body.size(), 8);
  out += body;
  append(Crc32c(out.data(), out.size()), 4);
  WriteFileAtomic(path, out);
}

}  // namespace vesalius::checkpoints
