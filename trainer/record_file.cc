#include "trainer/record_file.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

namespace vesalius::trainer {
namespace {

// Length of the part of a JSON-lines text that stays. Steps ascend, so the lines are looked at from
// the end.
std::size_t KeptLength(const std::string& content, std::int64_t step) {
  using Json = nlohmann::json;
  std::size_t end = content.rfind('\n');
  end = end == std::string::npos ? 0 : end + 1;  // without a torn last line
  while (end > 0) {
    const std::size_t before = end < 2 ? std::string::npos : content.rfind('\n', end - 2);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const Json line = Json::parse(content.begin() + static_cast<std::ptrdiff_t>(begin),
                                  content.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                                  /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer() &&
        line["step"].get<std::int64_t>() <= step)
      break;
    end = begin;
  }
  return end;
}

}  // namespace

void RecordFile::Open() {
  MakeDirs(std::filesystem::path(path_).parent_path().string());
  file_ = std::make_unique<OutputFile>(path_, ExitCode::kCannotCreate, /*append=*/true);
  std::error_code none;
  const std::uintmax_t size = std::filesystem::file_size(path_, none);
  size_ = none ? 0 : size;  // a device has none
}

void RecordFile::Write() {
  std::string pieces = std::exchange(pieces_, {});
  if (pieces.empty()) return;
  if (file_ == nullptr) {
    Open();
    pieces.insert(0, head_);
  }
  try {
    file_->Write(pieces);
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::resize_file(path_, size_, ignored);
    throw;
  }
  size_ += pieces.size();
}

void RecordFile::Sync() {
  Write();
  if (file_ != nullptr) file_->Sync();
}

void RecordFile::CutLines(int attempt, std::int64_t step) {
  Write();
  if (!std::filesystem::is_regular_file(path_)) return;
  const std::string content = ReadFile(path_);
  const std::size_t kept = KeptLength(content, step);
  if (kept == content.size()) return;
  OutputFile moved(StrCat(path_, ".", attempt), ExitCode::kCannotCreate, /*append=*/true);
  moved.Write(std::string_view(content).substr(kept));
  moved.Sync();
  moved.Close();
  WriteFileAtomic(path_, content.substr(0, kept));
  file_.reset();
}

bool HasLineOf(const std::string& path, std::int64_t step) {
  if (!std::filesystem::is_regular_file(path)) return false;
  const std::string content = ReadFile(path);
  return KeptLength(content, step) > KeptLength(content, step - 1);
}

}  // namespace vesalius::trainer
