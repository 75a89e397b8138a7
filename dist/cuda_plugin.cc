#include "dist/cuda_plugin.h"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.h"

namespace vesalius::dist {

std::string CudaPluginPath() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&CudaPluginPath), &info) == 0) return "";
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libvesalius_cuda.so";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? path.string() : "";
}

void LoadCudaPlugin() {
  const std::string path = CudaPluginPath();
  Require(!path.empty(), ExitCode::kConfig,
          "this build has no GPU support (nvcc was not found when it was built); use --device cpu");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    Fail(ExitCode::kConfig, "the CUDA plug-in cannot be loaded: ", dlerror(),
         "; ./run build --cuda-runtime fetches the libraries that it needs; or use --device cpu");
  }
  using Problem = const char* (*)();
  const auto problem = reinterpret_cast<Problem>(dlsym(library, "VesaliusCudaProblem"));
  Require(problem != nullptr, ExitCode::kConfig, path, " is not this program's CUDA plug-in");
  const std::string text = problem();
  Require(text.empty(), ExitCode::kConfig, "no usable GPU: ", text, "; use --device cpu");
}

}  // namespace vesalius::dist
