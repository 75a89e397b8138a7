# The system's packages that sources without torch headers (base/, data/, checkpoints/, ...) need,
# for the product and for the fuzzers alike. VESALIUS_PLAIN_LIBRARIES is what they link.
find_package(Threads REQUIRED)
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(Protobuf REQUIRED)
find_package(gflags REQUIRED)
find_package(glog REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(nlohmann_json REQUIRED)
find_library(UTF8PROC_LIBRARY utf8proc REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
find_library(DEFLATE_LIBRARY deflate REQUIRED)
find_library(LZ4_LIBRARY lz4 REQUIRED)
find_library(ZSTD_LIBRARY zstd REQUIRED)
# GDCM's own CMake files ask for packages that reading needs none of.
find_path(GDCM_INCLUDE_DIR gdcmImageReader.h PATH_SUFFIXES gdcm-3.0 REQUIRED)
foreach(part MSFF DSED DICT Common)
  find_library(GDCM_${part}_LIBRARY gdcm${part} REQUIRED)
  list(APPEND GDCM_LIBRARIES ${GDCM_${part}_LIBRARY})
endforeach()
include_directories(SYSTEM "${GDCM_INCLUDE_DIR}")
set(VESALIUS_PLAIN_LIBRARIES HDF5::HDF5 gflags glog::glog PNG::PNG JPEG::JPEG
  nlohmann_json::nlohmann_json Threads::Threads ${UTF8PROC_LIBRARY} ${XXHASH_LIBRARY}
  ${DEFLATE_LIBRARY} ${LZ4_LIBRARY} ${ZSTD_LIBRARY}
  ${GDCM_LIBRARIES})
