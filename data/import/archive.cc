#include "data/import/archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kMostBytes = 64u << 20;

class TarReader {
 public:
  explicit TarReader(const std::string& path) : path_(path), file_(nullptr, ::gzclose) {
    Require(Exists(path), ExitCode::kInputMissing, path, " does not exist");
    file_.reset(::gzopen(path.c_str(), "rb"));
    Require(file_ != nullptr, ExitCode::kInputMissing, path, " cannot be opened");
  }

  // The header of the next file; false at the end of the archive.
  bool Next() {
    long_name_.clear();
    while (ReadHeader()) {
      const char type = header_[156];
      if (type == '0' || type == '\0') return true;
      if (type == 'L') {
        long_name_ = Body();
        long_name_.resize(std::strlen(long_name_.c_str()));
      } else if (type == 'x') {
        TakePaxPath(Body());
      } else {
        Skip();
        long_name_.clear();
      }
    }
    return false;
  }

  std::string Name() const {
    if (!long_name_.empty()) return long_name_;
    const std::string name = Field(0, 100), prefix = Field(345, 155);
    const bool ustar = std::memcmp(header_ + 257, "ustar\0", 6) == 0;
    return ustar && !prefix.empty() ? prefix + "/" + name : name;
  }

  std::string Body() {
    Require(size_ <= kMostBytes, ExitCode::kInvalidData, path_, ": ", Name(), " has ", size_,
            " bytes; more than ", kMostBytes, " are not read");
    std::string bytes;  // grown as they come: a header may claim more than there is
    char block[64 * kBlock];
    for (std::uint64_t left = Padded(); left > 0;) {
      const std::uint64_t now = std::min<std::uint64_t>(left, sizeof(block));
      Read(block, now);
      bytes.append(block, now);
      left -= now;
    }
    bytes.resize(size_);
    return bytes;
  }

  void Skip() {
    char block[64 * kBlock];
    for (std::uint64_t left = Padded(); left > 0;) {
      const std::uint64_t now = std::min<std::uint64_t>(left, sizeof(block));
      Read(block, now);
      left -= now;
    }
  }

 private:
  std::uint64_t Padded() const { return (size_ + kBlock - 1) / kBlock * kBlock; }

  std::string Field(std::size_t at, std::size_t length) const {
    return {header_ + at, ::strnlen(header_ + at, length)};
  }

  void Read(char* out, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes) {
      const int now = ::gzread(file_.get(), out + done, static_cast<unsigned>(bytes - done));
      Require(now > 0, ExitCode::kInvalidData, path_, " is damaged or cut short");
      done += static_cast<std::size_t>(now);
    }
  }

  bool ReadHeader() {
    const int now = ::gzread(file_.get(), header_, kBlock);
    if (now == 0) return false;  // some writers leave out the two empty blocks
    Require(now == kBlock, ExitCode::kInvalidData, path_, " is damaged or cut short");
    if (std::all_of(header_, header_ + kBlock, [](char c) { return c == 0; })) return false;
    std::uint64_t sum = 0, stored = Octal(148, 8);
    for (std::size_t i = 0; i < kBlock; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header_[i]);
    Require(sum == stored, ExitCode::kInvalidData, path_, " is no tar archive, or is damaged");
    size_ = Octal(124, 12);
    return true;
  }

  std::uint64_t Octal(std::size_t at, std::size_t length) const {
    std::uint64_t value = 0;
    for (std::size_t i = at; i < at + length; ++i) {
      const char c = header_[i];
      if (c == ' ' && value == 0) continue;
      if (c < '0' || c > '7') break;
      value = value * 8 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
  }

  // Records "LENGTH key=value\n"; only the path matters here.
  void TakePaxPath(const std::string& records) {
    const std::size_t at = records.find(" path=");
    if (at == std::string::npos) return;
    const std::size_t end = records.find('\n', at);
    long_name_ = records.substr(at + 6, end - at - 6);
  }

  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  char header_[kBlock] = {};
  std::uint64_t size_ = 0;
  std::string long_name_;
};

}  // namespace

void ReadTar(const std::string& path, const std::function<bool(const std::string&)>& wanted,
             const std::function<void(const std::string&, std::string)>& visit) {
  TarReader tar(path);
  while (tar.Next()) {
    const std::string name = tar.Name();
    if (wanted(name))
      visit(name, tar.Body());
    else
      tar.Skip();
  }
}

}  // namespace vesalius::data
