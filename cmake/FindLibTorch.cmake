# Finds LibTorch as the PyPI wheel lays it out: TORCH_ROOT holds torch/{include,lib} and, beside it,
# nvidia/ with the two CUDA libraries that even the CPU library needs.
#
#   LibTorch::cpu    libtorch_cpu + libc10: all that `vesalius` links
#   LibTorch::cuda   additionally libtorch_cuda + libc10_cuda: for the CUDA plug-in alone
#
# Why not find_package(Torch): it demands nvcc, rewrites global CUDA flags, and puts an old
# google/protobuf before the system's. -idirafter keeps the wheel's bundled headers last.
if(NOT TORCH_ROOT AND DEFINED ENV{TORCH_ROOT})
  set(TORCH_ROOT "$ENV{TORCH_ROOT}")
endif()
set(TORCH_ROOT "${TORCH_ROOT}" CACHE PATH "folder that holds torch/lib/libtorch_cpu.so" FORCE)

find_library(LibTorch_CPU torch_cpu PATHS "${TORCH_ROOT}/torch/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10 c10 PATHS "${TORCH_ROOT}/torch/lib" NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE ATen/ATen.h PATHS "${TORCH_ROOT}/torch/include" NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU LibTorch_C10 LibTorch_INCLUDE
  REASON_FAILURE_MESSAGE "set TORCH_ROOT, or let ./run build fetch LibTorch 2.11")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  set(_lib "${TORCH_ROOT}/torch/lib")
  set(_nvidia "${TORCH_ROOT}/nvidia/cu13/lib")
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_compile_options(LibTorch::cpu INTERFACE
    "SHELL:-idirafter ${LibTorch_INCLUDE}"
    "SHELL:-idirafter ${LibTorch_INCLUDE}/torch/csrc/api/include")
  target_link_libraries(LibTorch::cpu INTERFACE "${LibTorch_CPU}" "${LibTorch_C10}")
  target_link_options(LibTorch::cpu INTERFACE
    "LINKER:-rpath,${_lib}" "LINKER:-rpath-link,${_nvidia}")

  add_library(LibTorch::cuda INTERFACE IMPORTED)
  target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
    "${_lib}/libtorch_cuda.so" "${_lib}/libc10_cuda.so")
  target_link_options(LibTorch::cuda INTERFACE
    "LINKER:--allow-shlib-undefined" "LINKER:--no-as-needed")
endif()
