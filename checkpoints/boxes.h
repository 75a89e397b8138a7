// Boxes of row-major tensors: the arithmetic by which any world size reads what any other wrote.
// A box is an offset and an extent in a tensor's coordinates; a tensor without dimensions has one
// box, which holds its single element. Plain functions, no state, no memory of their own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vesalius::checkpoints {

struct Box {
  std::vector<std::int64_t> offset, extent;  // equal lengths
  bool operator==(const Box&) const = default;
  auto operator<=>(const Box&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm
};

// Bytes of one element of a safetensors dtype name (F32, BF16, I64 ...); 0 for an unknown name.
std::size_t ItemSize(const std::string& dtype);

// Elements of a shape; 1 without dimensions.
std::int64_t Volume(const std::vector<std::int64_t>& shape);

// Sets `bytes` to the size of a tensor; false when a dimension is negative or the product
// overflows.
bool TensorBytes(const std::vector<std::int64_t>& shape, std::size_t item, std::uint64_t* bytes);

// The box that is the whole tensor.
Box Whole(const std::vector<std::int64_t>& shape);

// Whether `box` lies in a tensor of `shape` and has as many dimensions.
bool Inside(const Box& box, const std::vector<std::int64_t>& shape);

// The common part; false (and `common` untouched) when there is none.
bool Intersect(const Box& a, const Box& b, Box* common);

// Cuts `box` into parts of at most `limit` bytes (at least one element), each contiguous in the
// box's own row-major memory and in the order of that memory. An empty box has no parts.
std::vector<Box> Split(const Box& box, std::size_t item, std::size_t limit);

// Elements [begin, end) of a tensor's row-major memory as boxes, in that order: at most
// FlatBoxLimit(dimensions) of them. A tensor without dimensions holds element 0.
std::vector<Box> FlatBoxes(const std::vector<std::int64_t>& shape, std::int64_t begin,
                           std::int64_t end);
std::size_t FlatBoxLimit(std::size_t dimensions);

// Copies the elements of `common` from memory that holds `from` to memory that holds `to`, both
// row-major. `common` lies in both.
void CopyBox(const Box& common, const Box& from, const void* source, const Box& to, void* target,
             std::size_t item);

// First and last element of `part`, which lies in `box`, by their numbers in the row-major memory
// of `box`.
std::pair<std::uint64_t, std::uint64_t> Span(const Box& box, const Box& part);

// "[0:16, 3:4]" for messages.
std::string ToString(const Box& box);

}  // namespace vesalius::checkpoints
