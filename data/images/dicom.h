// DICOM images (PS3.3, PS3.5) by GDCM: uncompressed, RLE, JPEG (lossy and lossless), JPEG-LS and
// JPEG 2000 pixels, of which a chest film is made as a reader would see it. Names, dates and
// private elements of the patient are never read; identifiers come out as hashes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

// The pixels as they are stored, before rescale and window.
struct DicomPixels {
  int width = 0, height = 0, channels = 1;
  int bits_allocated = 8, bits_stored = 8;
  bool is_signed = false;
  std::vector<unsigned char> bytes;  // row-major, channels last, little-endian
  std::string photometric;           // "MONOCHROME1", "MONOCHROME2", "RGB", ...
  double slope = 1, intercept = 0;   // of the modality
  bool has_window = false;           // the first of the file's
  double window_center = 0, window_width = 0;
};

// Identifiers as written: for look-ups, never to be stored.
struct DicomNames {
  std::string image_uid, study_uid, patient;
};

struct Dicom {
  DicomNames names;
  std::string modality, view;  // "DX", "PA"
  DicomPixels pixels;
};

// Whether the bytes begin like a DICOM file (after a preamble, or with a data set of group 2 or 8).
bool IsDicom(const std::string& path);

// Of the header, without the pixels. Error(kInvalidData).
DicomNames ReadDicomNames(const std::string& path);

// Error(kInvalidData): no image, several frames, pixels that do not fit their own description, more
// than 2^28 of them, or damage.
Dicom ReadDicom(const std::string& path);

// Rescale, then the file's window (PS3.3 C.11.2.1.2.1, linear) where it has one, else the whole
// range of what is stored; MONOCHROME1 inverted, so that air is dark. 8 bits stay 8 where neither
// changes values, all else becomes 16 bits over [0, 65535]. Colour stays colour.
Image ToImage(const DicomPixels& pixels);

}  // namespace vesalius::data
