// Requests to stop: SIGTERM, SIGUSR2, and SIGUSR1 where no GPU is used. The handler only raises a
// flag; the ranks agree on it in the step's exchange, finish the step and commit a checkpoint.
#pragma once

namespace vesalius::trainer {

void InstallStopSignals(bool with_usr1);
bool StopRequested();

}  // namespace vesalius::trainer
