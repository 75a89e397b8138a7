// `pretrain --init`: parameters that start from files instead of at random.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/recipe.h"
#include "trainer/config.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {

struct InitialWeights {
  std::map<std::string, at::Tensor> tensors;  // by parameter, float32, in the model's shape
  std::vector<std::string> summary;           // lines for people: loaded, skipped, left fresh
};

// Reads `files` (trainer/foreign_weights.h says which) for the model that `config` and `vocabulary`
// describe; a parameter that two files give is the later one's. The patch kernel is summed over
// colours for one channel, or shared out for three; the grid of positions is resized (bicubic,
// antialiased, as timm does). A tower must be whole. Errors: those of ReadForeignWeights; kConfig
// that names all keys to set, with tensors and shapes, for a file that does not fit.
InitialWeights ReadInitialWeights(const std::vector<std::string>& files, const Config& config,
                                  const ModelVocabulary& vocabulary);

// Copies them into the parameters of that name.
void ApplyInitialWeights(const InitialWeights& weights,
                         const std::vector<model::ParameterInfo>& parameters);

}  // namespace vesalius::trainer
