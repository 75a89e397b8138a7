#include "data/hdf5/chunk_table.h"

#include <cstring>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr std::uint32_t kMaxMessages = 4096;  // of an object header, more than any writer makes
constexpr int kMaxDepth = 16;                 // of a B-tree

template <typename... Parts>
void Valid(bool ok, const RandomFile& file, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, file.path(), ": ", parts...);
}

// Little-endian values out of a block of the file, never beyond its end.
class Cursor {
 public:
  Cursor(const RandomFile& file, std::uint64_t offset, std::uint64_t bytes) : file_(file) {
    Valid(offset <= file.size() && bytes <= file.size() - offset, file, "a header at ", offset,
          " reaches beyond the end of the file");
    block_.resize(bytes);
    file.Read(offset, block_.data(), bytes);
  }
  std::uint64_t Take(std::size_t bytes) {
    Valid(bytes <= block_.size() - at_, file_, "a header ends too early");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
      value |= static_cast<std::uint64_t>(block_[at_ + i]) << (8 * i);
    at_ += bytes;
    return value;
  }
  bool Is(const char (&signature)[5]) {
    const bool same =
        block_.size() - at_ >= 4 && std::memcmp(block_.data() + at_, signature, 4) == 0;
    if (same) at_ += 4;
    return same;
  }
  void Skip(std::size_t bytes) {
    Valid(bytes <= block_.size() - at_, file_, "a header ends too early");
    at_ += bytes;
  }
  std::size_t left() const { return block_.size() - at_; }

 private:
  const RandomFile& file_;
  std::vector<unsigned char> block_;
  std::size_t at_ = 0;
};

struct Block {
  std::uint64_t offset, bytes;
};

// The address of the B-tree in the data layout message of an object header.
class LayoutFinder {
 public:
  LayoutFinder(const RandomFile& file, std::uint64_t base, std::size_t rank)
      : file_(file), base_(base), rank_(rank) {}

  std::optional<std::uint64_t> Find(std::uint64_t header) {
    Cursor start(file_, header, 16);
    if (start.Is("OHDR"))
      StartVersion2(header, start);
    else if (start.Take(1) == 1)
      StartVersion1(header, start);
    for (std::size_t i = 0; i < blocks_.size() && !tree_ && !other_; ++i) ReadMessages(blocks_[i]);
    return other_ ? std::nullopt : tree_;
  }

 private:
  void StartVersion1(std::uint64_t header, Cursor& start) {
    start.Skip(1 + 2 + 4);
    blocks_.push_back({header + 16, start.Take(4)});
  }
  void StartVersion2(std::uint64_t header, Cursor& start) {
    version2_ = true;
    if (start.Take(1) != 2) return;
    const auto flags = start.Take(1);
    std::uint64_t at = header + 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    const std::uint64_t width = std::uint64_t{1} << (flags & 3);
    ordered_ = (flags & 4) != 0;
    Cursor size(file_, at, width);
    blocks_.push_back({at + width, size.Take(width)});
  }
  void ReadMessages(const Block& block) {
    Cursor in(file_, block.offset, block.bytes);
    const std::size_t prefix = version2_ ? (ordered_ ? 6 : 4) : 8;
    while (in.left() >= prefix && !tree_ && !other_) {
      Valid(++messages_ <= kMaxMessages, file_, "an object header has too many messages");
      const auto type = in.Take(version2_ ? 1 : 2), bytes = in.Take(2);
      in.Skip(prefix - (version2_ ? 3 : 4));
      if (bytes > in.left()) return;  // the gap at the end of a block
      if (type == 0x08)
        ReadLayout(in);
      else if (type == 0x10 && bytes >= 16)
        ReadContinuation(in, bytes);
      else
        in.Skip(bytes);
    }
  }
  void ReadContinuation(Cursor& in, std::uint64_t message) {
    Block next{base_ + in.Take(8), in.Take(8)};
    in.Skip(message - 16);
    if (version2_) {  // "OCHK" before and a checksum behind the messages
      Valid(next.bytes >= 8, file_, "an object header has a bad continuation");
      next = {next.offset + 4, next.bytes - 8};
    }
    blocks_.push_back(next);
  }
  void ReadLayout(Cursor& in) {
    const auto version = in.Take(1), layout = in.Take(1);
    if (version != 3 || layout != 2 || in.Take(1) != rank_ + 1) {
      other_ = true;
      return;
    }
    tree_ = in.Take(8);
  }

  const RandomFile& file_;
  std::uint64_t base_;
  std::size_t rank_;
  bool version2_ = false, ordered_ = false, other_ = false;
  std::uint32_t messages_ = 0;
  std::vector<Block> blocks_;
  std::optional<std::uint64_t> tree_;
};

class TreeWalk {
 public:
  TreeWalk(const RandomFile& file, const Hdf5Array& array, std::uint64_t base)
      : file_(file), array_(array), base_(base), grid_(ChunkGrid(array)) {
    std::uint64_t n = 1;
    for (const std::uint64_t dim : grid_) n *= dim;
    places_.resize(n);
  }
  std::vector<ChunkPlace> Walk(std::uint64_t tree) {
    if (tree != ChunkPlace::kNowhere) Visit(tree, kMaxDepth);
    return std::move(places_);
  }

 private:
  void Visit(std::uint64_t address, int depth) {
    Valid(depth > 0 && ++nodes_ <= 2 * places_.size() + 64, file_, array_.path,
          ": its B-tree of chunks is no tree");
    Cursor head(file_, base_ + address, 24);
    Valid(head.Is("TREE") && head.Take(1) == 1, file_, array_.path, ": no B-tree of chunks at ",
          base_ + address);
    const auto level = static_cast<int>(head.Take(1));
    const auto used = head.Take(2);
    const std::size_t key = 8 + 8 * (grid_.size() + 1);
    Cursor in(file_, base_ + address + 24, used * (key + 8));
    for (std::uint64_t i = 0; i < used; ++i) {
      const auto bytes = in.Take(4);
      const auto skipped = static_cast<std::uint32_t>(in.Take(4));
      std::uint64_t index = 0;
      bool inside = true;
      for (std::size_t d = 0; d < grid_.size(); ++d) {
        const std::uint64_t at = in.Take(8) / array_.chunk[d];
        inside = inside && at < grid_[d];
        index = index * grid_[d] + at;
      }
      in.Skip(8);
      const auto child = in.Take(8);
      if (level > 0) {
        Valid(level < depth, file_, array_.path, ": its B-tree of chunks is too deep");
        Visit(child, level);
        continue;
      }
      if (!inside) continue;  // written before the data set shrank
      Valid(base_ + child <= file_.size() && bytes <= file_.size() - base_ - child, file_,
            array_.path, ": chunk ", index, " reaches beyond the end of the file");
      places_[index] = {base_ + child, bytes, skipped};
    }
  }

  const RandomFile& file_;
  const Hdf5Array& array_;
  std::uint64_t base_;
  std::vector<std::uint64_t> grid_;
  std::uint64_t nodes_ = 0;
  std::vector<ChunkPlace> places_;
};

}  // namespace

std::vector<std::uint64_t> ChunkGrid(const Hdf5Array& array) {
  std::vector<std::uint64_t> grid(array.shape.size());
  for (std::size_t d = 0; d < grid.size(); ++d)
    grid[d] = (array.shape[d] + array.chunk[d] - 1) / array.chunk[d];
  return grid;
}

std::optional<std::vector<ChunkPlace>> ReadChunkTable(const RandomFile& file,
                                                      const Hdf5Array& array, std::uint64_t base,
                                                      std::uint64_t header) {
  const auto tree = LayoutFinder(file, base, array.shape.size()).Find(header);
  if (!tree) return std::nullopt;
  return TreeWalk(file, array, base).Walk(*tree);
}

}  // namespace vesalius::data
