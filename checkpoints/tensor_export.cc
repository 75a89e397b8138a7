#include "checkpoints/tensor_export.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "checkpoints/safetensors.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::size_t kPiece = std::size_t{8} << 20;

// To the nearest, ties to even; NaN stays NaN.
std::uint16_t ToBfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// A checkpoint's parameters as float32.
class Source {
 public:
  explicit Source(const Reader& reader) : reader_(reader) {
    for (const TensorMeta& meta : reader.tensors())
      if (meta.role == Role::kParameter) metas_[meta.name] = meta;
  }

  // The box, at most kPiece of it, into `out`.
  void Read(const std::string& parameter, const Box& box, std::vector<float>* out) {
    out->assign(static_cast<std::size_t>(Volume(box.extent)), 0);
    if (parameter.empty()) return;
    const auto found = metas_.find(parameter);
    Require(found != metas_.end(), ExitCode::kInvalidData, "the checkpoint has no parameter '",
            parameter, "'");
    const TensorMeta& meta = found->second;
    if (meta.dtype == "F32") {
      reader_.Read({meta, box.offset, box.extent, out->data(), out->size() * sizeof(float)});
      return;
    }
    Require(meta.dtype == "F64", ExitCode::kInvalidData, "parameter '", parameter, "' is ",
            meta.dtype, ", only F32 and F64 are exported");
    std::vector<double> wide(out->size());
    reader_.Read({meta, box.offset, box.extent, wide.data(), wide.size() * sizeof(double)});
    for (std::size_t i = 0; i < wide.size(); ++i) (*out)[i] = static_cast<float>(wide[i]);
  }

 private:
  const Reader& reader_;
  std::map<std::string, TensorMeta> metas_;
};

SafeTensor Describe(const ExportTensor& tensor, const ExportOptions& options) {
  SafeTensor out;
  out.name = tensor.name;
  out.dtype = options.bfloat16 ? "BF16" : "F32";
  out.shape = tensor.shape;
  out.bytes = static_cast<std::size_t>(Volume(tensor.shape)) * (options.bfloat16 ? 2 : 4);
  return out;
}

// Writes the tensor's bytes; their CRC-32C.
std::uint32_t Stream(const ExportTensor& tensor, const ExportOptions& options, Source* source,
                     SafeTensorsOutput* file) {
  std::uint32_t crc = 0;
  std::vector<float> values;
  std::vector<std::uint16_t> narrow;
  for (const ExportTensor::Part& part : tensor.parts)
    for (const Box& box : Split(part.box, sizeof(float), kPiece)) {
      source->Read(part.parameter, box, &values);
      const void* data = values.data();
      std::size_t bytes = values.size() * sizeof(float);
      if (options.bfloat16) {
        narrow.resize(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) narrow[i] = ToBfloat16(values[i]);
        data = narrow.data();
        bytes = narrow.size() * sizeof(std::uint16_t);
      }
      crc = Crc32c(data, bytes, crc);
      file->Write(data, bytes);
    }
  return crc;
}

// Which tensors go into which file.
std::vector<std::vector<const ExportTensor*>> Shards(const std::vector<ExportTensor>& tensors,
                                                     const ExportOptions& options) {
  std::vector<std::vector<const ExportTensor*>> shards(1);
  std::uint64_t bytes = 0;
  for (const ExportTensor& tensor : tensors) {
    const std::uint64_t more = Describe(tensor, options).bytes;
    if (!shards.back().empty() && bytes + more > options.max_shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += more;
  }
  return shards;
}

std::string ShardFile(const std::string& stem, std::size_t shard, std::size_t shards) {
  if (shards == 1) return stem + ".safetensors";
  char numbers[64];
  std::snprintf(numbers, sizeof(numbers), "-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return stem + numbers;
}

// STEM-NNNNN-of-NNNNN.safetensors: five digits, or more where there are as many files.
bool IsShardFile(std::string_view name, const std::string& stem) {
  constexpr std::string_view kOf = "-of-", kEnding = ".safetensors";
  if (!name.starts_with(stem + "-") || !name.ends_with(kEnding)) return false;
  name.remove_prefix(stem.size() + 1);
  name.remove_suffix(kEnding.size());
  const auto number = [](std::string_view text) {
    return text.size() >= 5 && text.find_first_not_of("0123456789") == text.npos;
  };
  const std::size_t of = name.find(kOf);
  return of != name.npos && number(name.substr(0, of)) && number(name.substr(of + kOf.size()));
}

void RemoveEarlier(const std::string& folder, const std::string& stem) {
  for (const std::string& name : ListDir(folder)) {
    if (IsShardFile(name, stem) || name == stem + ".safetensors" ||
        name == stem + ".safetensors.index.json")
      RemoveTree(StrCat(folder, "/", name));
  }
}

}  // namespace

void ExportTensors(const Reader& reader, const std::vector<ExportTensor>& tensors,
                   const std::string& folder, const std::string& stem,
                   const ExportOptions& options) {
  MakeDirs(folder);
  RemoveEarlier(folder, stem);
  Source source(reader);
  const auto shards = Shards(tensors, options);
  nlohmann::json where = nlohmann::json::object();
  std::uint64_t total = 0;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string name = ShardFile(stem, s, shards.size()), path = StrCat(folder, "/", name);
    std::vector<SafeTensor> described;
    for (const ExportTensor* tensor : shards[s]) described.push_back(Describe(*tensor, options));
    SafeTensorsOutput file(path, described, {{"format", "pt"}});
    std::map<std::string, std::uint32_t> crcs;
    for (const ExportTensor* tensor : shards[s]) {
      crcs[tensor->name] = Stream(*tensor, options, &source, &file);
      where[tensor->name] = name;
      total += Describe(*tensor, options).bytes;
    }
    file.Finish();
    Require(SafeTensorsChecksums(path) == crcs, ExitCode::kCannotCreate, path,
            " reads back different from what was written: the disk is not to be trusted");
  }
  if (shards.size() > 1) {
    const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", where}};
    WriteFileAtomic(StrCat(folder, "/", stem, ".safetensors.index.json"), index.dump(2) + "\n");
  }
}

std::uint64_t ParseSize(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit(Trim(end));
  const double scale = unit.empty() || unit == "B" ? 1
                       : unit == "KB"              ? 1e3
                       : unit == "MB"              ? 1e6
                       : unit == "GB"              ? 1e9
                                                   : 0;
  Require(end != text.c_str() && scale > 0 && number * scale >= 1 && number * scale < 1e18,
          ExitCode::kUsage, "'", text, "' is no size; write 5GB, 500MB or a number of bytes");
  return static_cast<std::uint64_t>(number * scale);
}

}  // namespace vesalius::checkpoints
