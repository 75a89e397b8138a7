// A rank does not outlive the agent of its node: the agent leaves its name (process id and start
// time) in a file, and a thread of the rank ends the process as soon as that process is gone. Works
// under mpirun and srun too, where the agent is not the parent.
#pragma once

#include <sys/types.h>

#include <string>

namespace vesalius {

// The fields of /proc/PID/stat from the third (the state) on; "" when there is no such process.
std::string ProcessStat(pid_t pid);

// When the process started, in clock ticks of CLOCK_BOOTTIME; empty when there is no such process.
std::string ProcessStartTicks(pid_t pid);

// The agent's part: writes FOLDER/agent.
void NameAgent(const std::string& folder);
// Whom FOLDER/agent names, for people: "process 4711".
std::string NamedAgent(const std::string& folder);

// The rank's part. An agent that is gone already ends the process at once. No agent file: nothing.
// The exit code is kPeerLost.
void LeaveWithAgent(const std::string& folder);

}  // namespace vesalius
