// Compares the parameters of the ranks, which are replicas of one another in every mode of the
// exchange, bit for bit: finds silent corruption of memory or arithmetic before it spreads into
// checkpoints. Costs one read of the parameters and an exchange of a few bytes.
#pragma once

#include <string>
#include <vector>

#include "dist/communicator.h"
#include "model/recipe.h"

namespace vesalius::trainer {

struct ReplicaCheck {
  bool equal = true;
  std::vector<int> wrong;  // ranks that differ from the majority; empty when there is none
  std::string tensor;      // the first that differs
  std::string text;        // for people
};

// Collective; the same result on every rank.
ReplicaCheck CompareReplicas(const std::vector<model::ParameterInfo>& parameters,
                             dist::Communicator& comm);

// The verdict on the sums of all ranks: sums[rank][tensor].
ReplicaCheck JudgeSums(const std::vector<std::vector<std::int64_t>>& sums,
                       const std::vector<std::string>& names);

}  // namespace vesalius::trainer
