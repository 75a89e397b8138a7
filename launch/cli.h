// From the words of a command line to a subcommand that runs: finding it, its flags, and the help.
// Everything that a person can get wrong here is Error(kUsage), naming what comes nearest.
#pragma once

#include <string>
#include <vector>

#include "launch/command.h"

namespace vesalius::launch {

// Checks `words` (what follows the subcommand) against the command's flags, sets the gflags and
// returns the rest. Takes --flag value, --flag=value and switches (--check, --check=false), with
// dashes or underscores in names; after `--` everything is positional.
Arguments ParseArguments(const Command& command, const std::vector<std::string>& words);

// The list of subcommands; `program` is how the user called us.
std::string Overview(const std::string& program);

// Flags, defaults and example of one subcommand.
std::string Help(const Command& command, const std::string& program);

// The whole program after start-up: `words` are argv[1] and what follows.
ExitCode RunCommandLine(const std::string& program, const std::vector<std::string>& words);

}  // namespace vesalius::launch
