// Tests only: one of a checkpoint's protections can be taken away, to show that the test of it
// notices. Nothing outside of tests calls Remove().
#pragma once

namespace vesalius::checkpoints {

enum class Protection {
  kNone,
  kSync,       // bytes and names are on disk before what relies on them
  kFence,      // an older attempt publishes nothing
  kChecksum,   // what is read is what was written
  kDeadline,   // a save that takes too long is given up
  kAgreement,  // what one rank could not do, all give up
};

// From here on there is none of `protection`; kNone brings all back. Not thread-safe against saves.
void Remove(Protection protection);
bool Protects(Protection protection);

}  // namespace vesalius::checkpoints
