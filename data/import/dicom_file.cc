#include "data/import/dicom_file.h"

#include <gdcmAttribute.h>
#include <gdcmImageReader.h>
#include <gdcmReader.h>
#include <gdcmTrace.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::data {
namespace {

const gdcm::Tag kPixels(0x7fe0, 0x0010);
constexpr std::uint64_t kMostPixels = 1u << 28;

// Keeps GDCM and the JPEG libraries in it from writing to standard error while it lives: they try
// decoders one after the other and tell of each that does not fit. Not for several threads at once.
class Silence {
 public:
  Silence() {
    gdcm::Trace::DebugOff();
    gdcm::Trace::WarningOff();
    gdcm::Trace::ErrorOff();
    std::fflush(stderr);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0) return;
    kept_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept_ >= 0) ::dup2(nowhere, STDERR_FILENO);
    ::close(nowhere);
  }
  ~Silence() {
    if (kept_ < 0) return;
    std::fflush(stderr);
    ::dup2(kept_, STDERR_FILENO);
    ::close(kept_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int kept_ = -1;
};

std::string Text(const gdcm::DataSet& set, std::uint16_t group, std::uint16_t element) {
  const gdcm::Tag tag(group, element);
  if (!set.FindDataElement(tag)) return "";
  const gdcm::ByteValue* value = set.GetDataElement(tag).GetByteValue();
  if (value == nullptr) return "";
  std::string text(value->GetPointer(), value->GetLength());
  while (!text.empty() && (text.back() == '\0' || text.back() == ' ')) text.pop_back();
  return std::string(Trim(text));
}

// The first of numbers written in decimal and separated by backslashes.
std::optional<double> Decimal(const gdcm::DataSet& set, std::uint16_t group,
                              std::uint16_t element) {
  const std::string text = Text(set, group, element);
  std::string first(Trim(text.substr(0, text.find('\\'))));
  if (first.starts_with('+')) first.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), value);
  if (error != std::errc() || end == first.data()) return {};
  return value;
}

// Reads and, what GDCM throws at damaged files, turns into ours.
template <typename Read>
void Guarded(const std::string& path, const Read& read) {
  const Silence silence;
  bool good = false;
  try {
    good = read();
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {  // its texts may quote the file
  }
  Require(good, ExitCode::kInvalidData, path, " is no DICOM file, or is damaged or cut short");
}

// Whether the file is good DICOM, only without a picture: plans, reports, directories.
bool LacksPixels(const std::string& path) {
  gdcm::Reader reader;
  reader.SetFileName(path.c_str());
  return reader.Read() && !reader.GetFile().GetDataSet().FindDataElement(kPixels);
}

std::string Stated(const gdcm::File& file) {
  const std::string uid = file.GetHeader().GetDataSetTransferSyntax().GetString()
                              ? file.GetHeader().GetDataSetTransferSyntax().GetString()
                              : "unknown";
  return StrCat("transfer syntax ", uid);
}

void TakeFormat(const std::string& path, const gdcm::Image& image, DicomPixels* pixels) {
  const unsigned frames = image.GetNumberOfDimensions() > 2 ? image.GetDimension(2) : 1;
  Require(frames == 1, ExitCode::kInvalidData, path, " has ", frames,
          " frames; films of one frame are imported");
  const gdcm::PixelFormat& format = image.GetPixelFormat();
  const auto allocated = format.GetBitsAllocated();
  Require(allocated == 8 || allocated == 16, ExitCode::kInvalidData, path, " has ", allocated,
          " bits a value; 8 and 16 are imported");
  const gdcm::PhotometricInterpretation kind = image.GetPhotometricInterpretation();
  using Kind = gdcm::PhotometricInterpretation;
  pixels->width = static_cast<int>(image.GetDimension(0));
  pixels->height = static_cast<int>(image.GetDimension(1));
  pixels->channels = format.GetSamplesPerPixel();
  pixels->bytes = allocated / 8;
  pixels->is_signed = format.GetPixelRepresentation() != 0;
  pixels->bits_stored = format.GetBitsStored();
  pixels->inverted = kind == Kind::MONOCHROME1;
  pixels->luma_first = kind == Kind::YBR_FULL || kind == Kind::YBR_FULL_422;
  const bool grey =
      pixels->channels == 1 && (kind == Kind::MONOCHROME1 || kind == Kind::MONOCHROME2);
  const bool colour = pixels->channels == 3 && pixels->bytes == 1 && !pixels->is_signed;
  Require(grey || colour, ExitCode::kInvalidData, path, " has pixels of kind ", kind.GetString(),
          ", ", pixels->channels, " channels of ", allocated,
          " bits; grey and 8-bit colour are imported");
  const std::uint64_t count = std::uint64_t(pixels->width) * std::uint64_t(pixels->height);
  Require(count > 0 && count <= kMostPixels, ExitCode::kInvalidData, path, " has ", pixels->width,
          " x ", pixels->height, " pixels");
}

// Channels last, whatever the planar configuration of what GDCM gave.
void Interleave(DicomPixels* pixels) {
  const std::size_t plane = std::size_t(pixels->width) * std::size_t(pixels->height);
  std::string out(pixels->values.size(), '\0');
  for (std::size_t i = 0; i < plane; ++i)
    for (std::size_t c = 0; c < 3; ++c) out[i * 3 + c] = pixels->values[c * plane + i];
  pixels->values = std::move(out);
}

}  // namespace

bool LooksLikeDicom(const std::string& path) {
  const std::string name = Lower(path);
  if (name.ends_with(".dcm") || name.ends_with(".dicom")) return true;
  char start[132] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(start, sizeof(start));
  return file.gcount() == sizeof(start) && std::string_view(start + 128, 4) == "DICM";
}

DicomHeader ReadDicomHeader(const std::string& path) {
  DicomHeader header;
  Guarded(path, [&] {
    gdcm::Reader reader;
    reader.SetFileName(path.c_str());
    if (!reader.ReadUpToTag(kPixels)) return false;
    const gdcm::DataSet& set = reader.GetFile().GetDataSet();
    header = {Text(set, 0x0010, 0x0020), Text(set, 0x0020, 0x000d), Text(set, 0x0008, 0x0018),
              Text(set, 0x0008, 0x0060), Text(set, 0x0018, 0x0015), Text(set, 0x0018, 0x5101)};
    return true;
  });
  return header;
}

DicomPixels ReadDicomPixels(const std::string& path) {
  DicomPixels pixels;
  Guarded(path, [&] {
    gdcm::ImageReader reader;
    reader.SetFileName(path.c_str());
    if (!reader.Read()) {
      Require(!LacksPixels(path), ExitCode::kInvalidData, path, " holds no picture");
      return false;
    }
    const gdcm::Image& image = reader.GetImage();
    TakeFormat(path, image, &pixels);
    const std::size_t bytes = std::size_t(pixels.width) * std::size_t(pixels.height) *
                              std::size_t(pixels.channels) * std::size_t(pixels.bytes);
    Require(image.GetBufferLength() == bytes, ExitCode::kInvalidData, path, " has ",
            image.GetBufferLength(), " bytes of pixels instead of ", bytes);
    pixels.values.resize(bytes);
    Require(image.GetBuffer(pixels.values.data()), ExitCode::kInvalidData, path,
            ": its pixels cannot be decoded (", Stated(reader.GetFile()), ")");
    if (pixels.channels == 3 && image.GetPlanarConfiguration() == 1) Interleave(&pixels);
    const gdcm::DataSet& set = reader.GetFile().GetDataSet();
    pixels.slope = Decimal(set, 0x0028, 0x1053).value_or(1);
    pixels.intercept = Decimal(set, 0x0028, 0x1052).value_or(0);
    pixels.centre = Decimal(set, 0x0028, 0x1050);
    pixels.width_of_window = Decimal(set, 0x0028, 0x1051);
    if (set.FindDataElement(gdcm::Tag(0x0028, 0x0120))) {
      const gdcm::ByteValue* value = set.GetDataElement(gdcm::Tag(0x0028, 0x0120)).GetByteValue();
      if (value != nullptr && value->GetLength() == 2) {
        const auto low = static_cast<unsigned char>(value->GetPointer()[0]);
        const auto high = static_cast<unsigned char>(value->GetPointer()[1]);
        const auto word = static_cast<std::uint16_t>(low | high << 8);
        pixels.padding =
            pixels.is_signed ? std::int64_t(static_cast<std::int16_t>(word)) : std::int64_t(word);
      }
    }
    return true;
  });
  return pixels;
}

std::int64_t DicomPixels::Value(std::size_t i) const {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(values[at]); };
  if (bytes == 1) return is_signed ? std::int64_t(static_cast<std::int8_t>(byte(i))) : byte(i);
  const auto word = static_cast<std::uint16_t>(byte(2 * i) | byte(2 * i + 1) << 8);
  return is_signed ? std::int64_t(static_cast<std::int16_t>(word)) : std::int64_t(word);
}

namespace {

// Output in [0, 1] by the file's window: PS3.3 C.11.2.1.2.1, LINEAR.
struct Scale {
  double low, range;
  double operator()(double x) const { return std::clamp((x - low) / range, 0.0, 1.0); }
};

Scale ScaleOf(const DicomPixels& pixels) {
  const double window = pixels.width_of_window.value_or(0);
  if (pixels.centre && window > 1) return {*pixels.centre - .5 - (window - 1) / 2, window - 1};
  if (pixels.centre && window == 1) return {*pixels.centre - 1, 1e-9};
  const std::size_t count = pixels.values.size() / std::size_t(pixels.bytes);
  double low = 0, high = 0;
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t value = pixels.Value(i);
    if (pixels.padding == value) continue;
    const double x = static_cast<double>(value) * pixels.slope + pixels.intercept;
    low = any ? std::min(low, x) : x;
    high = any ? std::max(high, x) : x;
    any = true;
  }
  return {low, high > low ? high - low : 1};
}

Image RenderColour(const DicomPixels& pixels) {
  Image image{pixels.width, pixels.height, pixels.luma_first ? 1 : 3, {}, {}};
  const std::size_t step = pixels.luma_first ? 3 : 1;
  for (std::size_t i = 0; i < pixels.values.size(); i += step)
    image.u8.push_back(static_cast<std::uint8_t>(pixels.values[i]));
  return image;
}

}  // namespace

Image Render(const DicomPixels& pixels) {
  if (pixels.channels == 3) return RenderColour(pixels);
  Image image{pixels.width, pixels.height, 1, {}, {}};
  const std::size_t count = std::size_t(pixels.width) * std::size_t(pixels.height);
  const bool deep = pixels.bits_stored > 8;
  const bool as_stored = !deep && !pixels.is_signed && !pixels.centre;
  const Scale scale = as_stored ? Scale{0, 255} : ScaleOf(pixels);
  const double top = deep ? 65535 : 255;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(pixels.Value(i));
    double bright = scale(as_stored ? value : value * pixels.slope + pixels.intercept);
    if (pixels.inverted) bright = 1 - bright;
    if (pixels.padding == pixels.Value(i)) bright = 0;
    if (deep)
      image.u16.push_back(static_cast<std::uint16_t>(bright * top + .5));
    else
      image.u8.push_back(static_cast<std::uint8_t>(bright * top + .5));
  }
  return image;
}

}  // namespace vesalius::data
