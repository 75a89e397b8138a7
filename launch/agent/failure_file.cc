#include "launch/agent/failure_file.h"

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace vesalius::launch {

void WriteFailure(const std::string& run, const std::string& token, int attempt, const Cause& cause,
                  const Decision& decision) {
  nlohmann::json found = {{"kind", Name(cause.kind)},
                          {"node", cause.node},
                          {"host", cause.host},
                          {"message", cause.message},
                          {"line", cause.Line()}};
  if (cause.rank >= 0) {
    found["rank"] = cause.rank;
    found["section"] = cause.section;
    found["step"] = cause.step;
    found["collective"] = cause.collective;
    found["number"] = cause.number;
  }
  if (cause.signal > 0) found["signal"] = cause.signal;
  if (cause.kind == Cause::kFailed || cause.kind == Cause::kLaunch) found["code"] = cause.code;
  if (cause.kind == Cause::kHang) {
    found["seconds"] = cause.seconds;
    found["stopped"] = cause.stopped;
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  nlohmann::json failure = {{"time", std::chrono::duration<double>(now).count()},
                            {"token", token},
                            {"attempt", attempt},
                            {"cause", found},
                            {"action", decision.action}};
  if (!decision.again) failure["code"] = decision.code;
  WriteFileAtomic(run + "/failure.json", failure.dump(2) + "\n");
}

}  // namespace vesalius::launch
