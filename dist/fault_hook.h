// A hook for tests of lost ranks, here and nowhere else: VESALIUS_TEST_DIE_AT=RANK:NUMBER[:met] has
// that rank of the job killed (SIGKILL) at its NUMBER-th collective, counted from 0 over all
// communicators of the process: when it calls it, or with ":met" inside it, when all ranks have
// arrived and data starts to move.
#pragma once

namespace vesalius::dist {

// Of every collective that rank `rank` of the job calls: whether it is to die inside it.
bool DiesInside(int rank);
[[noreturn]] void Die();

}  // namespace vesalius::dist
