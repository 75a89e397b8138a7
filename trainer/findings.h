// What is told of numbers that are not as they should be: rank 0 warns, and every rank leaves an
// event, for `report` and for whoever looks for the sample or the machine that is at fault.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/loader/batch.h"
#include "trainer/numbers_watch.h"
#include "trainer/replicas.h"

namespace vesalius::trainer {

// What the watch found odd in a step ("": nothing, which is not told), what becomes of it, and the
// samples that this rank gave to it.
void TellFinding(std::int64_t step, const std::string& finding, Verdict verdict,
                 std::span<const data::Batch> batches, bool lead);

// Parameters that differ between ranks.
void TellReplicas(std::int64_t step, const ReplicaCheck& check, bool lead);

}  // namespace vesalius::trainer
