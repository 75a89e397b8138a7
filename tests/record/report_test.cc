// The report of a hand-made run: every part is there, text from outside is escaped, nothing asks
// the network; in headless Chromium it fits a phone and runs without an error.
#include "record/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "base/base64.h"
#include "tests/record/events_of.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::record {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kEvil = "<script>alert(1)</script>&\"'";

// A run with two attempts, a fault with a hostile text, curves with a gap, four ranks.
std::string MadeRun(const TempDir& dir) {
  const std::string run = dir.path() + "/run";
  Script script(run);
  const std::string a = "r/1/1", b = "r/1/2";
  script.Start(0, 0.5, a);
  script.Load(1, 1, a, 0);
  double t = script.Steps(2, 0.1, a, 1, 60);
  script.Add(t, 0, a, "span", "save", {{"dur", 0.5}, {"step", 60}});
  t = script.Steps(t + 0.5, 0.1, a, 61, 80);
  for (const double after : {0.5, 0.6})  // twice at the same step
    script.Add(t + after, -1, a, "failure", "detect",
               {{"cause", kEvil}, {"step", 81}, {"of_rank", 3}, {"on", "node1"}});
  script.Add(t, 1, a, "failure", "numbers", {{"finding", "loss nan"}, {"step", 70}});
  script.Start(t + 2, t + 2.5, b);
  script.Load(t + 3, 1, b, 60);
  t = script.Steps(t + 4, 0.1, b, 61, 2000);
  script.Add(t, 0, b, "span", "eval", {{"dur", 1}, {"step", 2000}});
  for (int rank = 0; rank < 4; ++rank)
    for (int step = 1910; step <= 2000; step += 10)
      for (const char* phase : {"data", "forward", "backward", "optimiser"})
        script.Add(t, rank, b, "span", phase,
                   {{"dur", rank == 3 && phase[0] == 'f' ? 0.09 : 0.02}, {"step", step}});
  std::string metrics;
  for (int step = 1; step <= 2000; ++step)
    metrics += nlohmann::json{{"step", step},
                              {"loss", step == 900 ? NAN : 3.0 / step},
                              {"lr", 1e-3},
                              {"grad_norm", 1 + std::sin(step)},
                              {"samples_per_s", 160}}
                   .dump() +
               "\n";
  WriteFileAtomic(run + "/metrics.jsonl", metrics);
  WriteFileAtomic(run + "/evals.jsonl", nlohmann::json{{"step", 2000}, {kEvil, 0.5}}.dump() + "\n");
  return run;
}

TEST(Base64Test, TheVectorsOfTheRfc) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64(std::string("\xff\x00\xfe", 3)), "/wD+");
}

TEST(Report, HasEveryPartAndEscapesText) {
  const TempDir dir;
  const std::string run = MadeRun(dir);
  const std::string picture = dir.path() + "/picture.png";
  WriteFileAtomic(picture, "\x89PNG made up");
  const std::string page = ReportPage(run, {picture});
  for (const char* part :
       {"Where the time went", "redone", "Time line", "Curves", "gradient norm", "samples a second",
        "Phases by rank", "Predicted boxes", "loss nan", "class=\"slow\"",
        "data:image/png;base64,iVBORyBtYWRlIHVw", "name=\"viewport\" content=\"width=device-width"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"));
  const std::size_t first = page.find("<td>rank 3, node1</td>");
  EXPECT_NE(first, std::string::npos);
  EXPECT_NE(page.find("<td>rank 3, node1</td>", first + 1), std::string::npos);
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_LT(page.size(), 400u << 10);  // thinned curves
}

// What headless Chromium prints of the page opened at a phone's width; "" without Chromium.
std::string InChromium(const std::string& folder, const std::string& page) {
  if (Shell("command -v chromium").status != 0) return "";
  // The page in a frame of 390 pixels, and a script beside it that writes down what it measures.
  WriteFileAtomic(folder + "/page.html", page);
  WriteFileAtomic(folder + "/frame.html", R"(<!doctype html><body><iframe id=f src=page.html
style="width:390px;height:800px;border:0"></iframe><pre id=out></pre><script>
f.onload=()=>{const d=f.contentDocument,e=d.documentElement;
out.textContent='width='+e.scrollWidth+' charts='+d.querySelectorAll('svg').length+
' lines='+[...d.querySelectorAll('polyline')].filter(p=>p.getBoundingClientRect().width>100).length+
' remote='+[...d.querySelectorAll('[src],[href]')].filter(x=>!/^data:/.test(x.src||x.href)).length}
</script>)");
  return Shell(
             "timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir=" + folder +
             "/profile --allow-file-access-from-files --virtual-time-budget=5000 --dump-dom "
             "file://" +
             folder + "/frame.html 2>/dev/null")
      .output;
}

TEST(Report, FitsAPhoneInChromium) {
  const TempDir dir;
  const std::string dom = InChromium(dir.path(), ReportPage(MadeRun(dir), {}));
  if (dom.empty()) GTEST_SKIP() << "chromium is not installed: the page was not opened";
  std::smatch found;
  ASSERT_TRUE(std::regex_search(
      dom, found, std::regex("width=(\\d+) charts=(\\d+) lines=(\\d+) remote=(\\d+)")))
      << dom;
  EXPECT_LE(std::stoi(found[1]), 390);
  EXPECT_GE(std::stoi(found[2]), 7);
  EXPECT_GE(std::stoi(found[3]), 4);
  EXPECT_EQ(std::stoi(found[4]), 0);
}

}  // namespace
}  // namespace vesalius::record
