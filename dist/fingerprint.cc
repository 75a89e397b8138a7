#include "dist/fingerprint.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "dist/request.h"

namespace vesalius::dist {
namespace {

// The path of this tree as the compiler writes it, so that messages can leave it out.
std::string_view TreePrefix() {
  constexpr std::string_view kOwn = "dist/fingerprint.cc";
  const std::string_view path = __FILE__;
  return path.ends_with(kOwn) ? path.substr(0, path.size() - kOwn.size()) : std::string_view();
}

std::string_view InTree(std::string_view path) {
  static const std::string_view prefix = TreePrefix();
  if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  return path;
}

std::uint64_t Combine(std::uint64_t hash, std::uint64_t value) { return Mix64(hash ^ value); }

std::string_view Bytes(std::span<const std::int64_t> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

bool Pairwise(Kind kind) { return kind == Kind::kAllToAll || kind == Kind::kSendReceive; }

}  // namespace

Header HeaderOf(const Request& request) {
  Header header;
  header.sequence = request.sequence;
  header.count = request.count;
  header.root = request.root;
  header.line = request.site.line();
  header.kind = request.kind;
  header.type = request.type;
  std::memcpy(header.name, request.name.data(),
              std::min(request.name.size(), sizeof(header.name) - 1));
  const std::string_view file = InTree(request.site.file_name());
  const std::size_t kept = std::min(file.size(), sizeof(header.file) - 1);
  std::memcpy(header.file, file.data() + file.size() - kept, kept);

  std::uint64_t hash = Combine(Hash64(request.name), request.sequence);
  hash = Combine(hash, Hash64(file));
  hash = Combine(hash, (std::uint64_t{header.line} << 32) |
                           (static_cast<std::uint64_t>(request.kind) << 8) |
                           static_cast<std::uint64_t>(request.type));
  if (!Pairwise(request.kind)) {
    hash = Combine(hash, static_cast<std::uint64_t>(request.count));
    hash = Combine(hash, static_cast<std::uint64_t>(request.root));
    if (!request.counts.empty()) hash = Combine(hash, Hash64(Bytes(request.counts)));
  }
  header.hash = hash;
  return header;
}

const char* Name(DType type) {
  switch (type) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kUInt8:
      return "uint8";
  }
  return "?";
}

std::string Describe(const Header& header) {
  std::string text = StrCat(Name(header.kind), " '", header.name, "' (call ", header.sequence);
  if (header.kind != Kind::kBarrier) text += StrCat(", ", header.count, " ", Name(header.type));
  if (header.kind == Kind::kBroadcast) text += StrCat(" from rank ", header.root);
  return text + ")";
}

std::string DescribeWithSite(const Header& header) {
  return StrCat(Describe(header), " at ", header.file, ":", header.line);
}

std::string DescribeLast(int rank, const std::optional<Header>& last) {
  if (!last) return StrCat("; rank ", rank, " has called nothing here yet");
  return StrCat("; the last call of rank ", rank, " here was ", DescribeWithSite(*last));
}

void RequireSame(const Header& mine, int my_rank, const Header& theirs, int their_rank) {
  if (mine.hash == theirs.hash) return;
  const std::string ours = DescribeWithSite(mine);
  const std::string other = DescribeWithSite(theirs);
  Fail(ExitCode::kBug, "internal error: ranks disagree: rank ", my_rank, " called ", ours,
       ", rank ", their_rank, " called ", other, ours == other ? " with other counts by rank" : "");
}

void RequireSamePair(const Header& sender, int sending_rank, std::int64_t sent,
                     const Header& receiver, int receiving_rank, std::int64_t expected) {
  if (sent == expected) return;
  Fail(ExitCode::kBug, "internal error: ranks disagree: rank ", sending_rank, " sends ", sent, " ",
       Name(sender.type), " to rank ", receiving_rank, " in ", DescribeWithSite(sender),
       ", but rank ", receiving_rank, " expects ", expected, " in ", DescribeWithSite(receiver));
}

}  // namespace vesalius::dist
