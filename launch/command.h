// What a subcommand of `vesalius` is: its name, its words for people, the flags it takes, and what
// it does. One file per subcommand (launch/cmd_*.cc) makes one; launch/cli.h walks the command
// line.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/exit_codes.h"

namespace vesalius::launch {

// A flag of one subcommand. Its type and default are those of the gflags flag of the same name
// (launch/flags.h); a repeated flag has none and is found in Arguments.
struct Flag {
  std::string name;   // as people type it, without dashes: "local-ranks"
  std::string value;  // what stands for its value in the help: "DIR"; "" for a switch
  std::string help;
  enum Kind { kOptional, kRequired, kRepeated, kRequiredRepeated } kind = kOptional;
  std::vector<std::string> choices = {};  // the allowed values; empty = any

  bool required() const { return kind == kRequired || kind == kRequiredRepeated; }
  bool repeated() const { return kind == kRepeated || kind == kRequiredRepeated; }
};

// What gflags does not hold.
struct Arguments {
  std::vector<std::string> positional;
  std::map<std::string, std::vector<std::string>> repeated;  // an entry for every repeated flag
};

struct Command {
  std::string name;        // one or two words: "phantom", "import pairs"
  std::string summary;     // one line
  std::string positional;  // name of the one positional argument, or ""; "COMMAND...": many words
  std::string example;     // shell lines that work when pasted; the program is written `vesalius`
  std::vector<Flag> flags;
  ExitCode (*run)(const Arguments& arguments);
};

// The subcommands, in the order of the help.
const std::vector<Command>& Commands();

Command PhantomCommand();
Command ImportChexzeroCommand();
Command ImportDicomCommand();
Command ImportPairsCommand();
Command ImportImagenomeCommand();
Command ImportOpenICommand();
Command InspectCommand();
Command BenchDataCommand();
Command PretrainCommand();
Command LaunchCommand();
Command CheckpointsCommand();
Command EvaluateCommand();
Command ExportCommand();
Command EmbedCommand();
Command TokenizeCommand();
Command PlanCommand();
Command SubmitCommand();
Command WatchCommand();
Command DoctorCommand();
Command BadNodesCommand();
Command GoodputCommand();
Command ReportCommand();
Command VersionCommand();

}  // namespace vesalius::launch
