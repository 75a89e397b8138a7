// The exit codes of `vesalius`: the one table that the manual, the supervisor and the tests share.
// Values 64-78 follow sysexits.h where a meaning exists there; 75-82 and 93 drive restarts.
#pragma once

namespace vesalius {

enum class ExitCode : int {
  kFinished = 0,
  kUsage = 64,           // unknown subcommand or flag, missing argument
  kInvalidData = 65,     // a file's content is not what its format promises
  kInputMissing = 66,    // a path that was named does not exist or cannot be read
  kBug = 70,             // an invariant of the program failed; please report
  kCannotCreate = 73,    // output cannot be written
  kSavedResumable = 75,  // stopped on request after committing a checkpoint; start again to go on
  kFenced = 76,          // a newer attempt owns the run folder
  kCannotSave = 77,      // a checkpoint could not be committed
  kConfig = 78,          // wrong configuration key, value or device
  kNodeUnhealthy = 79,   // a node failed its check, or ranks cannot be started on it
  kPeerLost = 80,        // another rank died or stayed away
  kHang = 81,            // reserved: hangs are answered with another attempt
  kNumericalStop = 82,   // loss or gradients are not finite
  kGaveUp = 93,          // the agent gave up: attempts in a row that saved nothing
};

}  // namespace vesalius
