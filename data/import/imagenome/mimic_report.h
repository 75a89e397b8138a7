// The text of a MIMIC-CXR report that is learnt from: findings and impression of the final report.
#pragma once

#include <string>
#include <string_view>

namespace vesalius::data {

struct MimicReport {
  std::string findings, impression;  // white space normalised; empty where the report has none
  std::string other;                 // the last paragraph, of a report that has neither

  // Findings, then impression; else the last paragraph; "" for a report without text.
  std::string Text() const;
};

// A section begins with a line that starts with a name in capitals and a colon ("IMPRESSION:"); one
// that is named several times is joined. What stands before a line FINAL REPORT is not read.
MimicReport ParseMimicReport(std::string_view text);

}  // namespace vesalius::data
