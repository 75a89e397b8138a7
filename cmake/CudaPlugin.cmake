# The CUDA plug-in, libvesalius_cuda.so: dist/nccl's use of nccl.h and every ops/*.cu. Built where nvcc
# is found; the program loads it only when a GPU is asked for (dist/cuda_plugin.h).
include(CheckLanguage)
set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # sm_80, sm_90 and PTX for what comes later
set(CMAKE_CUDA_STANDARD 17)
if(VESALIUS_CUDA)
  check_language(CUDA)
endif()
if(VESALIUS_CUDA AND CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} "${TORCH_ROOT}/nvidia/nccl/include")
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2
    HINTS ${CUDAToolkit_LIBRARY_DIR} "${TORCH_ROOT}/nvidia/nccl/lib")
endif()
if(VESALIUS_CUDA AND CMAKE_CUDA_COMPILER AND NCCL_INCLUDE AND NCCL_LIBRARY)
  message(STATUS "CUDA plug-in: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, NCCL at ${NCCL_LIBRARY}")
  add_subdirectory(dist/nccl/plugin)
else()
  message(STATUS "CUDA plug-in: left out (nvcc or NCCL not found); everything else works on CPU")
endif()
