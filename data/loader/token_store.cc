#include "data/loader/token_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {
namespace {

constexpr char kMagic[8] = {'V', 'S', 'L', 'T', 'O', 'K', 'E', 'N'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kUnreadable = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t kTellEvery = 1000;

struct Header {
  char magic[8];
  std::uint32_t version, header_crc;  // the latter over the header with itself as 0
  char key[32];                       // hexadecimal
  std::uint64_t records, tokens;
};
static_assert(sizeof(Header) == 64);

std::uint32_t HeaderCrc(Header header) {
  header.header_crc = 0;
  return Crc32c(&header, sizeof(header));
}

// Names what the tokens depend on.
std::string KeyOf(const Dataset& dataset) {
  Digest digest;
  digest.Add("reports of the training split");
  digest.Add(dataset.fingerprint());
  digest.Add(dataset.size());
  for (const std::string& piece : dataset.vocabulary().wordpieces) digest.Add(piece);
  return digest.Hex();
}

// Of one report; they follow the header, then all tokens as 32-bit integers.
struct Entry {
  std::uint64_t first;
  std::uint32_t tokens;  // or kUnreadable
  std::uint32_t crc;     // of its tokens
};

const Entry& EntryAt(const unsigned char* file, std::int64_t records, std::int64_t index) {
  Invariant(index >= 0 && index < records, "tokens of report ", index, " of ", records);
  return reinterpret_cast<const Entry*>(file + sizeof(Header))[index];
}

// Writes the file part by part: entries are known last and stand first.
class Making {
 public:
  explicit Making(const Dataset& dataset)
      : dataset_(dataset), tokenizer_(dataset.vocabulary().wordpieces) {}

  void Write(const std::string& path, const std::string& key,
             const std::function<void(std::int64_t, std::int64_t)>& progress) {
    const std::int64_t records = dataset_.size();
    entries_.resize(static_cast<std::size_t>(records));
    OutputFile tokens(path + ".tokens");
    for (std::int64_t i = 0; i < records; ++i) {
      Add(i, tokens);
      if (progress && (i + 1 == records || i % kTellEvery == 0)) progress(i + 1, records);
    }
    tokens.Close();
    OutputFile out(path);
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.version = kVersion;
    std::memcpy(header.key, key.data(), sizeof(header.key));
    header.records = static_cast<std::uint64_t>(records);
    header.tokens = tokens_;
    header.header_crc = HeaderCrc(header);
    out.Write(&header, sizeof(header));
    out.Write(entries_.data(), entries_.size() * sizeof(Entry));
    Append(path + ".tokens", out);
    out.Sync();
    out.Close();
    RemoveTree(path + ".tokens");
  }

 private:
  void Add(std::int64_t index, OutputFile& out) {
    Entry& entry = entries_[static_cast<std::size_t>(index)];
    entry = {tokens_, kUnreadable, 0};
    std::string report;
    try {
      report = dataset_.Report(index);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
      return;  // the loader tells of it
    }
    const std::vector<std::int64_t> wide = tokenizer_.Encode(report);
    const std::vector<std::uint32_t> ids(wide.begin(), wide.end());
    const std::size_t bytes = ids.size() * sizeof(ids[0]);
    entry.tokens = static_cast<std::uint32_t>(ids.size());
    entry.crc = Crc32c(ids.data(), bytes);
    out.Write(ids.data(), bytes);
    tokens_ += ids.size();
  }

  static void Append(const std::string& path, OutputFile& out) {
    constexpr std::uint64_t kBlock = 1 << 20;
    const std::uint64_t size = FileSize(path);
    std::string block;
    for (std::uint64_t offset = 0; offset < size; offset += block.size()) {
      block.resize(std::min(kBlock, size - offset));
      ReadAt(path, offset, block.data(), block.size());
      out.Write(block);
    }
  }

  const Dataset& dataset_;
  Tokenizer tokenizer_;
  std::vector<Entry> entries_;
  std::uint64_t tokens_ = 0;
};

void MakeFile(const Dataset& dataset, const std::string& path, const std::string& key,
              const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const std::string folder = path.substr(0, path.rfind('/'));
  MakeDirs(folder);
  const std::string draft = StrCat(path, ".tmp-", ::getpid());
  try {
    Making(dataset).Write(draft, key, progress);
    RenamePath(draft, path);
  } catch (...) {
    RemoveTree(draft);
    RemoveTree(draft + ".tokens");
    throw;
  }
}

}  // namespace

TokenStore::TokenStore(const std::string& path, const std::string& key, std::int64_t records)
    : records_(records) {
  Require(Exists(path), ExitCode::kInputMissing, path, " does not exist");
  const std::uint64_t bytes = FileSize(path);
  Header header{};
  Require(bytes >= sizeof(header), ExitCode::kInvalidData, path, " is cut short");
  ReadAt(path, 0, &header, sizeof(header));
  const auto entries = static_cast<std::uint64_t>(records) * sizeof(Entry);
  Require(std::memcmp(header.magic, kMagic, sizeof(kMagic)) == 0 && header.version == kVersion &&
              header.header_crc == HeaderCrc(header) &&
              std::string_view(header.key, sizeof(header.key)) == key &&
              header.records == static_cast<std::uint64_t>(records) && header.tokens < bytes &&
              bytes == sizeof(header) + entries + header.tokens * sizeof(std::uint32_t),
          ExitCode::kInvalidData, path, " is not the token file of this data set");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Require(fd >= 0, ExitCode::kInputMissing, path, " cannot be opened: ", std::strerror(errno));
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  const int error = errno;
  ::close(fd);
  Require(mapped != MAP_FAILED, ExitCode::kInputMissing, path,
          " cannot be mapped: ", std::strerror(error));
  data_ = static_cast<const unsigned char*>(mapped);
  bytes_ = bytes;
}

TokenStore::~TokenStore() { ::munmap(const_cast<unsigned char*>(data_), bytes_); }

std::int64_t TokenStore::Length(std::int64_t index) const {
  const Entry& entry = EntryAt(data_, records_, index);
  return entry.tokens == kUnreadable ? 0 : entry.tokens;
}

std::optional<std::vector<std::int64_t>> TokenStore::Read(std::int64_t index) const {
  const Entry& entry = EntryAt(data_, records_, index);
  const std::size_t start = sizeof(Header) + static_cast<std::size_t>(records_) * sizeof(Entry);
  const std::size_t stored = (bytes_ - start) / sizeof(std::uint32_t);
  if (entry.tokens == kUnreadable || entry.first > stored || entry.tokens > stored - entry.first)
    return std::nullopt;
  const auto* ids = reinterpret_cast<const std::uint32_t*>(data_ + start) + entry.first;
  if (Crc32c(ids, entry.tokens * sizeof(*ids)) != entry.crc) return std::nullopt;
  return std::vector<std::int64_t>(ids, ids + entry.tokens);
}

std::shared_ptr<const TokenStore> OpenTokenStore(
    const Dataset& dataset, const std::vector<std::string>& folders,
    const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const std::string key = KeyOf(dataset);
  const auto path = [&](const std::string& folder) {
    return StrCat(folder, "/tokens-", key.substr(0, 16), ".bin");
  };
  const auto open = [&](const std::string& folder) {
    return std::make_shared<const TokenStore>(path(folder), key, dataset.size());
  };
  for (const std::string& folder : folders) {
    try {
      return open(folder);
    } catch (const Error&) {  // absent, or of an earlier time: the next one, or a new one
    }
  }
  for (std::size_t i = 0; i < folders.size(); ++i) {
    try {
      MakeFile(dataset, path(folders[i]), key, progress);
      return open(folders[i]);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kCannotCreate || i + 1 == folders.size()) throw;
    }
  }
  Fail(ExitCode::kBug, "no folder for a token file");
}

}  // namespace vesalius::data
