// A file of the run record that grows by whole pieces (lines, frames), several with one write: what
// could only be written in part, on a full disk, is cut off again, so that what follows it can be
// read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace vesalius::trainer {

class RecordFile {
 public:
  // Appends to what is there; `head` comes first whenever it is opened. Errors here and below:
  // kCannotCreate, naming the path.
  explicit RecordFile(std::string path, std::string head = "")
      : path_(std::move(path)), head_(std::move(head)) {}

  // Also makes its folder. Called by the first Write(), or before to be refused early.
  void Open();

  // Kept until Write().
  void Append(std::string_view piece) { pieces_ += piece; }
  void Write();
  void Sync();

  // For lines of JSON whose "step" ascends: moves the lines past `step`, and a torn last one, to
  // the end of `path`.`attempt`. What moves is on disk there before it leaves here.
  void CutLines(int attempt, std::int64_t step);

 private:
  const std::string path_, head_;
  std::unique_ptr<OutputFile> file_;
  std::string pieces_;
  std::uint64_t size_ = 0;  // of whole pieces
};

// Has a file of lines of JSON whose "step" ascends one of `step`? What is no regular file has none.
bool HasLineOf(const std::string& path, std::int64_t step);

}  // namespace vesalius::trainer
