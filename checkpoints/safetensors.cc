#include "checkpoints/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "checkpoints/boxes.h"

namespace vesalius::checkpoints {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kDataAlignment = 64;
constexpr std::size_t kPiece = std::size_t{8} << 20;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // as in the reference implementation
constexpr const char* kMetadata = "__metadata__";

std::string MakeHeader(const std::vector<SafeTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::uint64_t begin = 0;
  for (const SafeTensor& tensor : tensors) {
    std::uint64_t bytes = 0;
    Invariant(TensorBytes(tensor.shape, ItemSize(tensor.dtype), &bytes) &&
                  ItemSize(tensor.dtype) > 0 && bytes == tensor.bytes,
              "tensor '", tensor.name, "': ", tensor.bytes, " bytes do not fit dtype and shape");
    Invariant(tensor.name != kMetadata && !header.contains(tensor.name), "tensor name '",
              tensor.name, "' is used twice or reserved");
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, begin + bytes}}};
    begin += bytes;
  }
  std::string text = header.dump();
  text.append((kDataAlignment - (kLengthBytes + text.size()) % kDataAlignment) % kDataAlignment,
              ' ');
  return text;
}

template <typename... Parts>
[[noreturn]] void Invalid(const std::string& path, const Parts&... parts) {
  Fail(ExitCode::kInvalidData, path, " is not a valid safetensors file: ", parts...);
}

// Parses the header and refuses a key that comes twice, which JSON libraries pass over.
Json ParseHeader(const std::string& path, const char* begin, const char* end) {
  std::vector<std::set<std::string>> keys;
  const auto refuse_twice = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      Invalid(path, "its header has '", value.get<std::string>(), "' twice");
    return true;
  };
  try {
    Json header = Json::parse(begin, end, refuse_twice);
    if (!header.is_object()) Invalid(path, "its header is no JSON object");
    return header;
  } catch (const Json::exception& error) {
    Invalid(path, "its header is not JSON: ", error.what());
  }
}

struct Entry {
  SafeTensor tensor;
  std::uint64_t begin = 0, end = 0;  // in the data section
};

Entry ParseEntry(const std::string& path, const std::string& name, const Json& value) {
  Entry entry;
  entry.tensor.name = name;
  try {
    entry.tensor.dtype = value.at("dtype").get<std::string>();
    for (const Json& size : value.at("shape")) {
      if (!size.is_number_unsigned()) Invalid(path, "tensor '", name, "' has a bad shape");
      entry.tensor.shape.push_back(size.get<std::int64_t>());
    }
    const Json& offsets = value.at("data_offsets");
    if (offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned() || value.size() != 3)
      Invalid(path, "tensor '", name, "' has bad data_offsets or unknown fields");
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
  } catch (const Json::exception&) {
    Invalid(path, "tensor '", name, "' lacks dtype, shape or data_offsets");
  }
  const std::size_t item = ItemSize(entry.tensor.dtype);
  if (item == 0)
    Invalid(path, "tensor '", name, "' has the unknown dtype '", entry.tensor.dtype, "'");
  std::uint64_t bytes = 0;
  if (!TensorBytes(entry.tensor.shape, item, &bytes) || entry.end < entry.begin ||
      entry.end - entry.begin != bytes)
    Invalid(path, "tensor '", name, "' has data_offsets ", entry.begin, " to ", entry.end,
            ", which its dtype and shape do not fill");
  entry.tensor.bytes = bytes;
  return entry;
}

// The data section must be filled without gap or overlap.
void CheckCover(const std::string& path, const std::vector<Entry>& entries, std::uint64_t size) {
  std::vector<const Entry*> ordered;
  for (const Entry& entry : entries) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const Entry* entry : ordered) {
    if (entry->begin != at)
      Invalid(path, "tensor '", entry->tensor.name, "' begins at data byte ", entry->begin,
              entry->begin < at ? " and overlaps what ends at " : ", after a gap from ", at);
    at = entry->end;
  }
  if (at != size)
    Invalid(path, "its tensors end at data byte ", at, " and the file has ", size,
            " data bytes: it is truncated or has bytes that belong to nothing");
}

}  // namespace

SafeTensorsOutput::SafeTensorsOutput(const std::string& path,
                                     const std::vector<SafeTensor>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path), writing_(path) {
  std::string header;
  try {
    header = MakeHeader(tensors, metadata);
  } catch (const Json::exception& error) {
    Fail(ExitCode::kInvalidData, "cannot write ", path,
         ": a name or the metadata is not UTF-8: ", error.what());
  }
  std::error_code unknown;  // of a pipe or device a rename would make a file
  if (!std::filesystem::is_other(path, unknown)) writing_ = StrCat(path, ".tmp-", ::getpid());
  expected_ = kLengthBytes + header.size();
  for (const SafeTensor& tensor : tensors) expected_ += tensor.bytes;
  char length[kLengthBytes];
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length[i] = static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i) & 0xFF);
  file_ = std::make_unique<OutputFile>(writing_);
  try {
    file_->Write(length, kLengthBytes);
    file_->Write(header);
  } catch (...) {
    if (writing_ != path_) ::unlink(writing_.c_str());
    throw;
  }
}

SafeTensorsOutput::~SafeTensorsOutput() {
  if (file_ && writing_ != path_) ::unlink(writing_.c_str());
}

void SafeTensorsOutput::Write(const void* data, std::size_t bytes) { file_->Write(data, bytes); }

void SafeTensorsOutput::Finish() {
  Invariant(file_->size() == expected_, path_, ": ", file_->size(), " bytes of ", expected_,
            " were written");
  file_->Sync();
  file_->Close();
  if (writing_ != path_) {
    RenamePath(writing_, path_);
    const std::string parent = std::filesystem::path(path_).parent_path().string();
    SyncDir(parent.empty() ? "." : parent);
  }
  file_.reset();
}

void WriteSafeTensors(const std::string& path, const std::vector<SafeTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  SafeTensorsOutput file(path, tensors, metadata);
  for (const SafeTensor& tensor : tensors) file.Write(tensor.data, tensor.bytes);
  file.Finish();
}

std::map<std::string, std::uint32_t> SafeTensorsChecksums(const std::string& path) {
  const std::uint64_t size = FileSize(path);
  unsigned char begin[kLengthBytes];
  if (size < kLengthBytes) Invalid(path, "it has only ", size, " bytes");
  ReadAt(path, 0, begin, kLengthBytes);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length |= static_cast<std::uint64_t>(begin[i]) << (8 * i);
  if (length > kMaxHeader || length > size - kLengthBytes)
    Invalid(path, "its header would have ", length, " bytes in a file of ", size);
  std::string text(length, '\0');
  ReadAt(path, kLengthBytes, text.data(), length);
  std::vector<Entry> entries;
  const Json header = ParseHeader(path, text.data(), text.data() + length);
  for (const auto& [name, value] : header.items())
    if (name != kMetadata) entries.push_back(ParseEntry(path, name, value));
  const std::uint64_t start = kLengthBytes + length;
  CheckCover(path, entries, size - start);
  std::map<std::string, std::uint32_t> crcs;
  std::vector<char> piece(kPiece);
  for (const Entry& entry : entries) {
    std::uint32_t crc = 0;
    for (std::uint64_t at = entry.begin; at < entry.end; at += kPiece) {
      const std::size_t bytes = std::min<std::uint64_t>(kPiece, entry.end - at);
      ReadAt(path, start + at, piece.data(), bytes);
      crc = Crc32c(piece.data(), bytes, crc);
    }
    crcs[entry.tensor.name] = crc;
  }
  return crcs;
}

SafeTensorsFile::SafeTensorsFile(const std::string& path) : content_(ReadFile(path)) {
  if (content_.size() < kLengthBytes) Invalid(path, "it has only ", content_.size(), " bytes");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(content_[i])) << (8 * i);
  if (length > kMaxHeader || length > content_.size() - kLengthBytes)
    Invalid(path, "its header would have ", length, " bytes in a file of ", content_.size());
  const char* begin = content_.data() + kLengthBytes;
  const Json header = ParseHeader(path, begin, begin + length);
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadata) {
      entries.push_back(ParseEntry(path, name, value));
      continue;
    }
    if (!value.is_object()) Invalid(path, "its __metadata__ is no object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) Invalid(path, "its __metadata__ holds something else than texts");
      metadata_[key] = text.get<std::string>();
    }
  }
  const std::size_t start = kLengthBytes + length;
  CheckCover(path, entries, content_.size() - start);
  for (Entry& entry : entries) {
    entry.tensor.data = content_.data() + start + entry.begin;
    tensors_.push_back(std::move(entry.tensor));
  }
}

}  // namespace vesalius::checkpoints
