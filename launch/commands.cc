#include "launch/command.h"

namespace vesalius::launch {

const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = {
      PhantomCommand(),        ImportPairsCommand(), ImportOpenICommand(), ImportImagenomeCommand(),
      ImportChexzeroCommand(), ImportDicomCommand(), InspectCommand(),     BenchDataCommand(),
      PretrainCommand(),       LaunchCommand(),      CheckpointsCommand(), EvaluateCommand(),
      ExportCommand(),         EmbedCommand(),       TokenizeCommand(),    PlanCommand(),
      GoodputCommand(),        ReportCommand(),      SubmitCommand(),      WatchCommand(),
      BadNodesCommand(),       DoctorCommand(),      VersionCommand()};
  return commands;
}

}  // namespace vesalius::launch
