#include "checkpoints/protections.h"

namespace vesalius::checkpoints {
namespace {

Protection g_removed = Protection::kNone;

}  // namespace

void Remove(Protection protection) { g_removed = protection; }
bool Protects(Protection protection) { return g_removed != protection; }

}  // namespace vesalius::checkpoints
