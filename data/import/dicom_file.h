// One DICOM file, as far as training may see it: pixels and a few coded attributes. Names, dates,
// identifiers and texts that people typed are read only where files have to be grouped or matched,
// and never leave this program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

// The header's attributes that importing needs. Never written anywhere but `view`, `modality` and
// `body_part`, which are codes.
struct DicomHeader {
  std::string patient, study, instance;  // PatientID, Study and SOP Instance UID
  std::string modality, body_part, view;
};

// Whether the file begins like DICOM (with its preamble) or is named so.
bool LooksLikeDicom(const std::string& path);

// Error(kInvalidData) when it cannot be read. Never quotes values.
DicomHeader ReadDicomHeader(const std::string& path);

// The pixels as they are stored once decompressed, rows top to bottom, channels last.
struct DicomPixels {
  int width = 0, height = 0, channels = 1;
  int bytes = 1;  // of one value
  bool is_signed = false;
  bool inverted = false;    // MONOCHROME1: small values are bright
  bool luma_first = false;  // three channels, and the first one is the brightness
  int bits_stored = 8;
  std::string values;  // little-endian
  double slope = 1, intercept = 0;
  std::optional<double> centre, width_of_window;
  std::optional<std::int64_t> padding;  // the value outside the picture

  // Of sample `i`, before rescaling.
  std::int64_t Value(std::size_t i) const;
};

// The transfer syntaxes that GDCM decodes: uncompressed (either byte order, deflated), RLE, JPEG
// (lossy, lossless, 8 to 16 bits), JPEG-LS, JPEG 2000. Error(kInvalidData) with the reason for what
// holds no single picture: no pixels, several frames, palettes, more than 16 bits, cut short.
DicomPixels ReadDicomPixels(const std::string& path);

// As people look at it: rescaled, windowed (the file's first window; without one from the smallest
// to the largest value when there are more than 8 bits), bright where the film is bright. 8 bits
// stay 8 bits, more become 16 (PS3.3 C.7.6.3, C.11.1, C.11.2.1.2).
Image Render(const DicomPixels& pixels);

}  // namespace vesalius::data
