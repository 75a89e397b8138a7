#include "data/images/dicom.h"

#include <gdcmImageReader.h>
#include <gdcmReader.h>
#include <gdcmStringFilter.h>
#include <gdcmTrace.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/isolated.h"
#include "base/strings.h"

namespace vesalius::data {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxPixels = std::uint64_t{1} << 28;

template <typename... Parts>
void Valid(bool ok, const std::string& path, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, path, ": ", parts...);
}

// A text element without its padding; "" where there is none.
class Elements {
 public:
  explicit Elements(const gdcm::File& file) { filter_.SetFile(file); }
  std::string Text(std::uint16_t group, std::uint16_t element) const {
    std::string text = filter_.ToString(gdcm::Tag(group, element));
    text.erase(std::find(text.begin(), text.end(), '\0'), text.end());
    return std::string(Trim(text));
  }
  // The first of the element's values.
  bool Number(std::uint16_t group, std::uint16_t element, double* value) const {
    const std::string text = Text(group, element);
    char* end = nullptr;
    *value = std::strtod(text.c_str(), &end);
    return end != text.c_str() && std::isfinite(*value);
  }

 private:
  mutable gdcm::StringFilter filter_;
};

DicomPixels ReadPixels(const gdcm::Image& image, const Elements& elements,
                       const std::string& path) {
  DicomPixels out;
  const gdcm::PixelFormat& format = image.GetPixelFormat();
  const unsigned* size = image.GetDimensions();
  Valid(image.GetNumberOfDimensions() == 2 || size[2] == 1, path, "it holds ", size[2],
        " frames; one film a file is read");
  Valid(size[0] > 0 && size[1] > 0 && std::uint64_t{size[0]} * size[1] <= kMaxPixels, path,
        "it claims ", size[0], " x ", size[1], " pixels");
  out.width = static_cast<int>(size[0]);
  out.height = static_cast<int>(size[1]);
  out.channels = format.GetSamplesPerPixel();
  out.bits_allocated = format.GetBitsAllocated();
  out.bits_stored = format.GetBitsStored();
  out.is_signed = format.GetPixelRepresentation() == 1;
  out.photometric = Trim(image.GetPhotometricInterpretation().GetString());
  Valid((out.channels == 1 || out.channels == 3) &&
            (out.bits_allocated == 8 || out.bits_allocated == 16) && out.bits_stored >= 1 &&
            out.bits_stored <= out.bits_allocated,
        path, "pixels of ", out.channels, " samples and ", out.bits_allocated,
        " bits are not read");
  Valid(out.photometric.find("PALETTE") == std::string::npos, path,
        "colours from a palette are not read");
  const std::uint64_t bytes = std::uint64_t{size[0]} * size[1] *
                              static_cast<std::uint64_t>(out.channels) *
                              static_cast<std::uint64_t>(out.bits_allocated / 8);
  Valid(image.GetBufferLength() == bytes, path, "its pixels take ", image.GetBufferLength(),
        " bytes instead of ", bytes);
  out.bytes.resize(bytes);
  Valid(image.GetBuffer(reinterpret_cast<char*>(out.bytes.data())), path,
        "its pixels cannot be decoded (damaged, cut short, or compressed in an unknown way)");
  if (out.channels == 3 && image.GetPlanarConfiguration() == 1) {  // planes: one colour a time
    std::vector<unsigned char> planes = out.bytes;
    const std::size_t n = bytes / 3;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < 3; ++c) out.bytes[3 * i + c] = planes[c * n + i];
  }
  if (!elements.Number(0x0028, 0x1053, &out.slope) || out.slope == 0) out.slope = 1;
  if (!elements.Number(0x0028, 0x1052, &out.intercept)) out.intercept = 0;
  out.has_window = elements.Number(0x0028, 0x1050, &out.window_center) &&
                   elements.Number(0x0028, 0x1051, &out.window_width) && out.window_width >= 1;
  return out;
}

DicomNames NamesOf(const Elements& elements) {
  return {elements.Text(0x0008, 0x0018), elements.Text(0x0020, 0x000d),
          elements.Text(0x0010, 0x0020)};
}

void Silence() {
  gdcm::Trace::DebugOff();
  gdcm::Trace::WarningOff();
  gdcm::Trace::ErrorOff();
}

double Stored(const DicomPixels& in, std::size_t i) {
  if (in.bits_allocated == 8)
    return in.is_signed ? static_cast<double>(static_cast<std::int8_t>(in.bytes[i]))
                        : static_cast<double>(in.bytes[i]);
  std::uint16_t value;
  std::memcpy(&value, in.bytes.data() + 2 * i, 2);
  return in.is_signed ? static_cast<double>(static_cast<std::int16_t>(value))
                      : static_cast<double>(value);
}

DicomNames ReadNamesHere(const std::string& path) {
  Silence();
  gdcm::Reader reader;
  reader.SetFileName(path.c_str());
  const gdcm::Tag pixels(0x7fe0, 0x0010);
  try {
    Valid(reader.ReadUpToTag(pixels), path, "no DICOM file, or damaged");
    return NamesOf(Elements(reader.GetFile()));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    Fail(ExitCode::kInvalidData, path, ": GDCM cannot read it (", error.what(), ")");
  }
}

Dicom ReadHere(const std::string& path) {
  Silence();
  gdcm::ImageReader reader;
  reader.SetFileName(path.c_str());
  try {
    Valid(reader.Read(), path, "no DICOM image (damaged, or an object without pixels)");
    const Elements elements(reader.GetFile());
    Dicom out;
    out.names = NamesOf(elements);
    out.modality = elements.Text(0x0008, 0x0060);
    out.view = elements.Text(0x0018, 0x5101);
    out.pixels = ReadPixels(reader.GetImage(), elements, path);
    return out;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    Fail(ExitCode::kInvalidData, path, ": GDCM cannot read it (", error.what(), ")");
  }
}

Json ToJson(const DicomNames& names) { return {names.image_uid, names.study_uid, names.patient}; }
DicomNames NamesFrom(const Json& json) { return {json[0], json[1], json[2]}; }

// A description, a line end, and the pixels.
std::string Pack(const Dicom& dicom) {
  const DicomPixels& p = dicom.pixels;
  const Json json = {
      ToJson(dicom.names), dicom.modality,  dicom.view,    p.width,       p.height, p.channels,
      p.bits_allocated,    p.bits_stored,   p.is_signed,   p.photometric, p.slope,  p.intercept,
      p.has_window,        p.window_center, p.window_width};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n' +
         std::string(p.bytes.begin(), p.bytes.end());
}

Dicom Unpack(const std::string& bytes) {
  const std::size_t end = bytes.find('\n');
  const Json json = Json::parse(bytes.substr(0, end));
  Dicom out{NamesFrom(json[0]), json[1], json[2], {}};
  DicomPixels& p = out.pixels;
  p = {json[3], json[4],  json[5],  json[6],  json[7],  json[8], {},
       json[9], json[10], json[11], json[12], json[13], json[14]};
  p.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(end) + 1, bytes.end());
  return out;
}

// GDCM ends the program at some damaged files: it reads in a process of its own.
std::string Apart(const std::string& path, const std::function<std::string()>& read) {
  try {
    return RunIsolated(read);
  } catch (const Error& error) {
    const std::string reason = error.what();
    Fail(error.code(), reason.starts_with(path) ? reason : StrCat(path, ": ", reason));
  }
}

}  // namespace

bool IsDicom(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[132] = {};
  file.read(start, sizeof(start));
  const auto got = file.gcount();
  if (got == sizeof(start) && std::memcmp(start + 128, "DICM", 4) == 0) return true;
  return got >= 8 && (start[0] == 2 || start[0] == 8) && start[1] == 0 && start[3] == 0;
}

DicomNames ReadDicomNames(const std::string& path) {
  return NamesFrom(Json::parse(Apart(path, [&] {
    return ToJson(ReadNamesHere(path)).dump(-1, ' ', false, Json::error_handler_t::replace);
  })));
}

Dicom ReadDicom(const std::string& path) {
  return Unpack(Apart(path, [&] { return Pack(ReadHere(path)); }));
}

Image ToImage(const DicomPixels& in) {
  Image out;
  out.width = in.width;
  out.height = in.height;
  out.channels = in.channels;
  const std::size_t n = static_cast<std::size_t>(in.width) * in.height * in.channels;
  const bool inverted = in.photometric == "MONOCHROME1";
  const bool plain = in.bits_allocated == 8 && in.bits_stored == 8 && !in.is_signed &&
                     (in.channels == 3 || (!in.has_window && in.slope == 1 && in.intercept == 0));
  if (plain) {
    out.u8.resize(n);
    for (std::size_t i = 0; i < n; ++i)
      out.u8[i] = inverted ? static_cast<std::uint8_t>(255 - in.bytes[i]) : in.bytes[i];
    return out;
  }
  // Without a window: what the bits can hold, rescaled.
  const double low = in.is_signed ? -std::ldexp(1.0, in.bits_stored - 1) : 0;
  const double high = low + std::ldexp(1.0, in.bits_stored) - 1;
  const double a = low * in.slope + in.intercept, b = high * in.slope + in.intercept;
  const double begin =
      in.has_window ? in.window_center - 0.5 - (in.window_width - 1) / 2 : std::min(a, b);
  const double width =
      in.has_window ? std::max(in.window_width - 1, 1e-6) : std::max(std::abs(b - a), 1e-6);
  out.u16.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double value = Stored(in, i) * in.slope + in.intercept;
    const double share = std::clamp((value - begin) / width, 0.0, 1.0);
    out.u16[i] = static_cast<std::uint16_t>(std::lround((inverted ? 1 - share : share) * 65535));
  }
  return out;
}

}  // namespace vesalius::data
