#include "record/report.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "base/base64.h"
#include "base/file.h"
#include "base/json_fields.h"
#include "base/strings.h"
#include "record/chart.h"
#include "record/goodput.h"
#include "record/stragglers.h"

namespace vesalius::record {
namespace {

using Json = nlohmann::json;

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--line:#1565c0;--grid:#8884;--text:#222;--back:#fff;--fault:#c62828}
@media(prefers-color-scheme:dark){:root{--line:#90caf9;--text:#ddd;--back:#161616;--fault:#ef9a9a}}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;color:var(--text);background:var(--back);margin:0 auto;
max-width:1200px;padding:12px;overflow-wrap:anywhere}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin:1.6em 0 .4em}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr));gap:12px}
figure{margin:0}figcaption{font-weight:600}
svg{width:100%;height:auto;display:block}svg text{font-size:12px;fill:var(--text)}
polyline{fill:none;stroke:var(--line);stroke-width:1.5}circle{fill:var(--line)}
.grid-line,.grid line{stroke:var(--grid)}line.mark{stroke:var(--fault);stroke-dasharray:3 3}
line.fault{stroke:var(--fault)}circle.fault{fill:var(--fault)}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:2px 8px 2px 0;vertical-align:top;border-bottom:1px solid var(--grid)}
th{overflow-wrap:normal}td:nth-child(2){min-width:3.5em}
td.n,th.n{text-align:right;white-space:nowrap}
.key{display:inline-block;width:.8em;height:.8em;margin-right:.4em}
.slow{color:var(--fault);font-weight:600}
img{width:100%;height:auto;border-radius:4px}
)";

// The objects of a JSON-lines file, which may be missing.
std::vector<Json> ReadLines(const std::string& path) {
  std::vector<Json> lines;
  if (!Exists(path)) return lines;
  for (const std::string& text : Split(ReadFile(path), '\n')) {
    Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("step") && line["step"].is_number())
      lines.push_back(std::move(line));
  }
  return lines;
}

// The values of `key` by step; null is a gap.
Points Series(const std::vector<Json>& lines, const std::string& key) {
  Points points;
  for (const Json& line : lines) {
    if (!line.contains(key)) continue;
    const Json& value = line[key];
    points.emplace_back(line["step"].get<double>(), value.is_number()
                                                        ? value.get<double>()
                                                        : std::numeric_limits<double>::quiet_NaN());
  }
  return points;
}

std::string Date(double t) {
  const auto seconds = static_cast<std::time_t>(t);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[40];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

std::string TextOf(const Event& event, const char* key) {
  const auto found = event.fields.find(key);
  if (found == event.fields.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// A fault as people are told of it; "" for an event that is none.
std::string FaultText(const Event& event) {
  const auto with = [&](const std::string& head, const char* key) {
    const std::string detail = TextOf(event, key);
    return detail.empty() ? head : StrCat(head, ": ", detail);
  };
  if (event.name == "detect") return with("fault", "cause");
  if (event.name == "rollback") return with("rolled back to step", "to");
  if (event.name == "save.abandoned") return with("save given up", "reason");
  if (event.kind != "failure") return "";
  if (event.name == "numbers" || event.name == "replicas") return with(event.name, "finding");
  return with(event.name, "reason");
}

struct Fault {
  double t;
  std::string text, where;
  std::int64_t step;
};

// Each once, though all ranks may tell of it.
std::vector<Fault> Faults(const Events& events) {
  std::vector<Fault> faults;
  std::set<std::tuple<std::string, std::int64_t, std::string>> seen;
  for (const Event& event : events.all) {
    const std::string text = FaultText(event);
    const bool of_rank = event.rank >= 0 && event.step >= 0;
    if (text.empty() || (of_rank && !seen.emplace(event.token, event.step, text).second)) continue;
    // An agent tells of a rank that may be elsewhere.
    const auto rank = static_cast<int>(NumberOr(event.fields, "of_rank", event.rank));
    const std::string host = TextOr(event.fields, "on", event.host);
    faults.push_back(
        {event.t, text, rank >= 0 ? StrCat("rank ", rank, ", ", host) : host, event.step});
  }
  return faults;
}

std::string Head(const std::string& run, const Events& events, const Goodput& goodput,
                 const std::vector<Json>& metrics) {
  const bool done = Exists(run + "/DONE");
  std::string out =
      StrCat("<h1>", Escape(run), "</h1><p>", done ? "Finished" : "Not finished", ", ",
             goodput.attempts, goodput.attempts == 1 ? " attempt" : " attempts");
  if (!metrics.empty()) out += StrCat(", step ", metrics.back()["step"].get<std::int64_t>());
  out += StrCat("; ", Date(goodput.begin), " and ", Duration(goodput.wall()), " from then on.");
  if (events.dropped > 0)
    out += StrCat(" ", events.dropped, " events could not be written: figures are incomplete.");
  return out + "</p>";
}

std::string Parts(const Goodput& goodput) {
  std::vector<Slice> slices;
  std::string rows;
  int colour = 0;
  for (const auto& [name, seconds] : goodput.parts) {
    slices.push_back({name, seconds, colour});
    rows +=
        StrCat("<tr><td><span class=\"key\" style=\"background:", Colour(colour++), "\"></span>",
               name, "</td><td class=\"n\">", Duration(seconds), "</td><td class=\"n\">",
               Fixed(goodput.wall() > 0 ? 100 * seconds / goodput.wall() : 0, 1), " %</td></tr>");
  }
  return StrCat("<h2>Where the time went</h2>", StackedBar(slices), "<table>", rows, "</table>");
}

// A row for each part that a rank or its supervisor spent visible time in, by attempt.
std::string Time(const Events& events, const Goodput& goodput, const std::vector<Fault>& faults) {
  const std::vector<std::string> rows = {"load", "steps", "save", "eval"};
  constexpr int kColours[] = {5, 0, 2, 3};
  std::vector<Band> bands;
  std::map<std::string, Band> stepping;  // one band of steps an attempt
  for (const Event& event : events.all) {
    if (event.rank != 0) continue;
    for (int row = 0; row < 4; ++row)
      if (event.kind == "span" && row != 1 && event.name == rows[row])
        bands.push_back({event.t, event.end(), row, kColours[row],
                         StrCat(rows[row], " at step ", event.step, ": ", Duration(event.dur))});
    if (event.kind != "scalar" || event.name != "step") continue;
    const auto [band, fresh] = stepping.try_emplace(
        event.token, Band{event.t - event.dur, event.t, 1, kColours[1],
                          StrCat("attempt ", event.token, ", from step ", event.step)});
    band->second.end = event.t;
  }
  for (const auto& [token, band] : stepping) bands.push_back(band);
  std::vector<Mark> marks;
  std::string table;
  for (const Fault& fault : faults) {
    const std::string after = Duration(fault.t - goodput.begin);
    marks.push_back({fault.t, StrCat(after, ": ", fault.text)});
    table += StrCat("<tr><td class=\"n\">", after, "</td><td class=\"n\">",
                    fault.step >= 0 ? std::to_string(fault.step) : "", "</td><td>",
                    Escape(fault.text), "</td><td>", Escape(fault.where), "</td></tr>");
  }
  return StrCat("<h2>Time line</h2>", TimeLine(goodput.begin, goodput.end, rows, bands, marks),
                table.empty() ? "<p>No faults.</p>"
                              : "<table><tr><th class=\"n\">after</th><th class=\"n\">step</th>"
                                "<th>fault</th><th>where</th></tr>" +
                                    table + "</table>");
}

std::string Curves(const std::vector<Json>& metrics, const std::vector<Json>& evals,
                   const std::vector<Fault>& faults) {
  std::vector<double> marks;
  for (const Fault& fault : faults)
    if (fault.step >= 0) marks.push_back(static_cast<double>(fault.step));
  std::string out = "<h2>Curves</h2><div class=\"grid\">";
  for (const auto& [key, title] : {std::pair<const char*, const char*>{"loss", "loss"},
                                   {"lr", "learning rate"},
                                   {"grad_norm", "gradient norm"},
                                   {"samples_per_s", "samples a second"}})
    out += LineChart(title, Series(metrics, key), marks);
  std::set<std::string> figures;
  for (const Json& line : evals)
    for (const auto& [key, value] : line.items())
      if (key != "step") figures.insert(key);
  for (const std::string& figure : figures) out += LineChart(figure, Series(evals, figure));
  return out + "</div>";
}

std::string Ranks(const Events& events) {
  const std::vector<PhaseScore> scores = PhaseScores(events);
  if (scores.empty()) return "";
  std::map<int, std::vector<PhaseScore>> by_rank;
  for (const PhaseScore& score : scores) by_rank[score.rank].push_back(score);
  std::string rows;
  for (const auto& [rank, phases] : by_rank) {
    std::vector<Slice> slices;
    std::string cells;
    int colour = 0;
    for (const PhaseScore& score : phases) {
      slices.push_back({score.phase, score.seconds, colour++});
      cells += StrCat("<span", score.score < kSlowScore ? " class=\"slow\"" : "", ">",
                      Escape(score.phase), " ", Figure(1e3 * score.seconds), " ms (",
                      Fixed(score.score, 2), ")</span> ");
    }
    rows += StrCat("<tr><td>", rank, "</td><td>", Escape(phases[0].host), "</td><td>",
                   StackedBar(slices), cells, "</td></tr>");
  }
  return StrCat(
      "<h2>Phases by rank</h2><p>Medians of the newest recorded steps; in brackets the "
      "median over the ranks divided by the rank's own: below ",
      Fixed(kSlowScore, 1),
      " it is a straggler.</p><table><tr><th>rank</th><th>host</th>"
      "<th>phases</th></tr>",
      rows, "</table>");
}

std::string Pictures(const std::vector<std::string>& pictures) {
  if (pictures.empty()) return "";
  std::string out =
      "<h2>Predicted boxes</h2><p>Grey: as in the data set; coloured: as predicted.</p>"
      "<div class=\"grid\">";
  for (const std::string& path : pictures)
    out += StrCat("<img alt=\"an image with predicted boxes\" src=\"data:image/png;base64,",
                  Base64(ReadFile(path)), "\">");
  return out + "</div>";
}

}  // namespace

std::string ReportPage(const std::string& run, const std::vector<std::string>& pictures) {
  const Events events = ReadEvents(run);
  const Goodput goodput = AccountFor(events);
  const std::vector<Fault> faults = Faults(events);
  const std::vector<Json> metrics = ReadLines(run + "/metrics.jsonl");
  return StrCat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
      Escape(run), "</title><style>", kStyle, "</style></head><body>",
      Head(run, events, goodput, metrics), Parts(goodput), Time(events, goodput, faults),
      Curves(metrics, ReadLines(run + "/evals.jsonl"), faults), Ranks(events), Pictures(pictures),
      "</body></html>\n");
}

}  // namespace vesalius::record
