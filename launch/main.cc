// The `vesalius` program: start-up, one subcommand, and the one place where errors end.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "base/open_files.h"
#include "base/rank_page.h"
#include "launch/cli.h"
#include "launch/output.h"

namespace {

using vesalius::ExitCode;

// Leaves at once, without destructors and exit handlers: after an error on one rank, finalising MPI
// would wait for peers that never come. An error without a text is another rank's to tell.
[[noreturn]] void Leave(ExitCode code, const char* what, const char* advice) {
  std::fflush(stdout);
  vesalius::page::SetError(what);
  vesalius::page::SetExitCode(static_cast<int>(code));
  if (*what != '\0') std::fprintf(stderr, "vesalius: %s%s\n", what, advice);
  ::_exit(static_cast<int>(code));
}

}  // namespace

int main(int argc, char** argv) {
  vesalius::launch::GuardStandardStreams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of the write
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file that must not grow further
  vesalius::RaiseOpenFiles();
  vesalius::log::Init(argv[0]);
  try {
    const ExitCode code = vesalius::launch::RunCommandLine(argv[0], {argv + 1, argv + argc});
    vesalius::launch::FlushOutput();
    return static_cast<int>(code);
  } catch (const vesalius::Error& error) {
    Leave(error.code(), error.what(), error.code() == ExitCode::kBug ? "; please report this" : "");
  } catch (const std::exception& error) {
    Leave(ExitCode::kBug, error.what(), " (unexpected; please report this)");
  }
}
