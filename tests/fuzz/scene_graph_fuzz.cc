// Scene graphs of Chest ImaGenome: what is accepted holds clean texts and no more faults than are
// told.
#include "data/import/imagenome/scene_graph.h"

#include "data/text/utf8.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vesalius::data::SceneGraph graph;
  if (!vesalius::fuzz::Accepts(
          [&] { graph = vesalius::data::ParseSceneGraph(vesalius::fuzz::Text(data, size)); }))
    return 0;
  vesalius::fuzz::Check(graph.faults.size() <= 20);
  for (const auto& region : graph.phrases)
    for (const auto& phrase : region) {
      vesalius::fuzz::Check(phrase.text == vesalius::data::Squeezed(phrase.text) &&
                            vesalius::data::ValidUtf8(phrase.text));
      for (const auto& attribute : phrase.attributes)
        vesalius::fuzz::Check(!attribute.category.empty() && !attribute.finding.empty());
    }
  return 0;
}
