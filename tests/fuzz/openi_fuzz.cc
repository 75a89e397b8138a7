// Reports of Open-i: whatever is accepted has an id, and texts of one line.
#include "data/import/openi_report.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vesalius::data::OpenIReport report;
  if (vesalius::fuzz::Accepts([&] {
        report = vesalius::data::ParseOpenIReport(vesalius::fuzz::Text(data, size), "input");
      })) {
    vesalius::fuzz::Check(!report.id.empty());
    vesalius::fuzz::Check(report.Text().find('\n') == std::string::npos);
    vesalius::fuzz::Check(report.Concepts().size() <= report.headings.size());
  }
  return 0;
}
