// `vesalius version`
#include <hdf5.h>
#define OMPI_SKIP_MPICXX 1  // the C++ bindings would drag in a library of their own
#include <mpi.h>

#include "base/strings.h"
#include "dist/cuda_plugin.h"
#include "launch/command.h"
#include "launch/output.h"
#include "launch/torch_version.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(mpi, &length);  // allowed before MPI_Init
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  Print(StrCat("vesalius  ", VESALIUS_VERSION, "\nLibTorch  ", TorchVersion(), "\nMPI       ",
               Split(std::string(mpi, static_cast<std::size_t>(length)), ',')[0], "\nHDF5      ",
               major, ".", minor, ".", release, "\nCUDA      ",
               !dist::CudaPluginPath().empty() ? "plug-in built" : "no plug-in", "\n"));
  return ExitCode::kFinished;
}

Command VersionCommand() {
  return {"version", "prints the versions of the program and of what it stands on",
          "",        "vesalius version",
          {},        Run};
}

}  // namespace vesalius::launch
