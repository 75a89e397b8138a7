#include "tests/data/imagenome/fixture_report.h"

namespace imagenome_fixture {
namespace {

const char kHead[] =
    "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
    " INDICATION:  ___F with new onset ascites  // eval for infection\n \n"
    " TECHNIQUE:  Chest PA and lateral\n \n COMPARISON:  None.\n \n";

}  // namespace

Study DrawReport(int number, Dice& dice) {
  const std::string findings =
      "There is no focal consolidation in film " + std::to_string(number) + ". Heart size: normal.";
  const std::string impression = dice.OneIn(2) ? "No acute process." : "Pneumonia at 3 ___.";
  Study out;
  switch (number % 12) {
    case 1:
      out.written = std::string(kHead) + " IMPRESSION: \n \n " + impression + "\n";
      out.text = impression;
      break;
    case 2:
      out.written = std::string(kHead) + " FINDINGS: \n \n " + findings + "\n";
      out.text = findings;
      break;
    case 3:  // before the final report a first reading
      out.written = " WET READ: ___ ___ 9:05 PM\n  No consolidation in the first reading.\n\n" +
                    std::string(kHead) + " FINDINGS:  " + findings +
                    "\n\n IMPRESSION:  " + impression + "\n";
      out.text = findings + " " + impression;
      break;
    case 4:  // neither section: the last paragraph
      out.written =
          "                                 FINAL REPORT\n CHEST, TWO VIEWS: ___\n\n"
          " HISTORY:  Cough.\n\n " +
          findings + "\n  " + impression + "\n";
      out.text = findings + " " + impression;
      break;
    case 5:  // equal reports but for case and white space: one key
      out.written = std::string(kHead) + " FINDINGS:\n  The LUNGS   are clear.\n";
      out.text = "The LUNGS are clear.";
      break;
    case 6:
      out.written = std::string(kHead) + " FINDINGS:  the lungs\n are clear.\n";
      out.text = "the lungs are clear.";
      break;
    case 7:
      if (number % 36 == 7) {
        out.out = "report missing";
        break;
      }
      [[fallthrough]];
    case 8:
      if (number % 36 == 8) {
        out.written = "                                 FINAL REPORT\n \n \n";
        out.out = "report without text";
        break;
      }
      [[fallthrough]];
    default:
      out.written = std::string(kHead) + " FINDINGS: \n \n " + findings +
                    "\n \n IMPRESSION: \n \n " + impression + "\n";
      out.text = findings + " " + impression;
  }
  return out;
}

}  // namespace imagenome_fixture
