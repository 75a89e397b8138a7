#include "launch/command.h"

namespace vesalius::launch {

const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = {
      PhantomCommand(),        ImportPairsCommand(), ImportOpenICommand(), ImportImagenomeCommand(),
      ImportChexzeroCommand(), ImportDicomCommand(), InspectCommand(),     BenchDataCommand(),
      PretrainCommand(),       EvaluateCommand(),    ExportCommand(),      EmbedCommand(),
      TokenizeCommand(),       PlanCommand(),        VersionCommand()};
  return commands;
}

}  // namespace vesalius::launch
