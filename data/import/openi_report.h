// One report of the Indiana University collection as Open-i gives it: XML with labelled sections,
// MeSH headings that people assigned, and the names of its images.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius::data {

struct OpenIImage {
  std::string id;       // "CXR1_1_IM-0001-3001": the image file's name without extension
  std::string caption;  // "Xray Chest PA and Lateral"
};

struct OpenIReport {
  std::string id;                               // "CXR1"
  std::map<std::string, std::string> sections;  // by label in lower case: "findings" ...
  std::vector<std::string> headings;            // major MeSH headings: "Opacity/lung/base/left"
  std::vector<OpenIImage> images;

  // Findings and impression, one after the other: what a model learns from.
  std::string Text() const;
  // The headings' first words in lower case, each once: "opacity".
  std::vector<std::string> Concepts() const;
};

// No external entity is ever loaded. Error(kInvalidData) for what is no XML or no report.
OpenIReport ParseOpenIReport(std::string_view xml, const std::string& name);

}  // namespace vesalius::data
