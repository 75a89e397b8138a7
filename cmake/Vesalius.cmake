# How a room adds its sources and how a test is declared.
#
# All rooms go into one shared library, libvesalius.so, which the program, the tests and the CUDA
# plug-in link. Sources without torch headers compile plainly; sources with them share one
# precompiled header (base/torch_pch.h).

# vesalius_sources(PLAIN a.cc b.cc TORCH c.cc PROTO d.proto): paths relative to the room.
function(vesalius_sources)
  cmake_parse_arguments(arg "" "" "PLAIN;TORCH;PROTO" ${ARGN})
  foreach(file ${arg_PLAIN})
    target_sources(vesalius_plain PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  if(VESALIUS_THREAD_CHECK)
    set(arg_TORCH "")
  endif()
  foreach(file ${arg_TORCH})
    target_sources(vesalius_torch PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  foreach(file ${arg_PROTO})
    set_property(GLOBAL APPEND PROPERTY VESALIUS_PROTOS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
endfunction()

# Generates C++ for all collected .proto files into the build tree, as a library of its own, so that
# generated code is compiled once and without our warnings.
function(vesalius_protobuf target)
  get_property(protos GLOBAL PROPERTY VESALIUS_PROTOS)
  set(generated "")
  foreach(proto ${protos})
    file(RELATIVE_PATH relative "${PROJECT_SOURCE_DIR}" "${proto}")
    string(REGEX REPLACE "\\.proto$" "" stem "${relative}")
    set(out "${PROJECT_BINARY_DIR}/generated/${stem}")
    add_custom_command(
      OUTPUT "${out}.pb.cc" "${out}.pb.h"
      COMMAND protobuf::protoc --proto_path=${PROJECT_SOURCE_DIR}
              --cpp_out=${PROJECT_BINARY_DIR}/generated ${relative}
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
      DEPENDS "${proto}" VERBATIM)
    list(APPEND generated "${out}.pb.cc")
  endforeach()
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/generated")
  add_library(${target} OBJECT ${generated})
  target_compile_options(${target} PRIVATE -w)
  target_include_directories(${target} SYSTEM PUBLIC "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
endfunction()

# The same for one .proto file with a service, and its gRPC code.
function(vesalius_grpc target proto)
  string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
  set(out "${PROJECT_BINARY_DIR}/generated/${stem}")
  add_custom_command(
    OUTPUT "${out}.pb.cc" "${out}.pb.h" "${out}.grpc.pb.cc" "${out}.grpc.pb.h"
    COMMAND protobuf::protoc --proto_path=${PROJECT_SOURCE_DIR}
            --cpp_out=${PROJECT_BINARY_DIR}/generated --grpc_out=${PROJECT_BINARY_DIR}/generated
            --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto}
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    DEPENDS "${PROJECT_SOURCE_DIR}/${proto}" VERBATIM)
  add_library(${target} OBJECT "${out}.pb.cc" "${out}.grpc.pb.cc")
  target_compile_options(${target} PRIVATE -w)
  target_include_directories(${target} SYSTEM PUBLIC "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
endfunction()

# A program whose sources include torch headers. It is compiled as the library is (-fPIC, not -fPIE),
# or it could not share the precompiled header.
function(vesalius_torch_program target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  target_link_libraries(${target} PRIVATE LibTorch::cpu)
  target_precompile_headers(${target} REUSE_FROM vesalius_torch)
endfunction()

# vesalius_test(NAME room/name SOURCES a_test.cc [TORCH] [RANKS n] [LABELS ...] [TIMEOUT s]
#               [PROCESSORS n] [ENVIRONMENT k=v ...])
# One program and one ctest entry. TORCH: its sources include torch headers (their random numbers are
# the same at every run: tests/torch_seed.cc). With RANKS n it runs under mpirun with n processes. Exit
# status 77 means skipped. PROCESSORS defaults to RANKS (or 1), TIMEOUT to 120 s.
function(vesalius_test)
  cmake_parse_arguments(arg "TORCH" "NAME;RANKS;TIMEOUT;PROCESSORS" "SOURCES;LABELS;ENVIRONMENT"
    ${ARGN})
  string(REPLACE "/" "_" target "test_${arg_NAME}")
  if(NOT TARGET ${target})
    add_executable(${target} ${arg_SOURCES})
    target_link_libraries(${target} PRIVATE vesalius_lib GTest::gtest GTest::gmock)
    target_link_libraries(${target} PRIVATE vesalius_test_main)
    if(arg_TORCH)
      vesalius_torch_program(${target})
      target_link_libraries(${target} PRIVATE vesalius_test_torch_seed)
    endif()
  endif()
  vesalius_add_ctest(${arg_NAME} COMMAND $<TARGET_FILE:${target}> RANKS ${arg_RANKS}
    TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} LABELS ${arg_LABELS}
    ENVIRONMENT ${arg_ENVIRONMENT})
endfunction()

# Registers a command as a ctest entry with the conventions above (also for scripts).
function(vesalius_add_ctest name)
  cmake_parse_arguments(arg "" "RANKS;TIMEOUT;PROCESSORS" "COMMAND;LABELS;ENVIRONMENT" ${ARGN})
  if(arg_RANKS)
    set(arg_COMMAND ${VESALIUS_MPIRUN} -n ${arg_RANKS} ${arg_COMMAND})
    if(NOT arg_PROCESSORS)
      set(arg_PROCESSORS ${arg_RANKS})
    endif()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS}
    SKIP_RETURN_CODE 77 LABELS "${arg_LABELS}"
    ENVIRONMENT "${VESALIUS_TEST_ENVIRONMENT};${arg_ENVIRONMENT}")
endfunction()

# vesalius_fuzz(NAME file.cc): a fuzzer, that is a file with LLVMFuzzerTestOneInput. Under the preset
# `fuzz` it becomes bin/fuzz_NAME with libFuzzer; otherwise a test fuzz/NAME that gives it every file
# of tests/fuzz/corpus/NAME.
function(vesalius_fuzz name file)
  add_executable(fuzz_${name} ${file})
  target_link_libraries(fuzz_${name} PRIVATE vesalius_lib)
  if(VESALIUS_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  else()
    target_sources(fuzz_${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.cc")
    vesalius_add_ctest(fuzz/${name} COMMAND $<TARGET_FILE:fuzz_${name}>
      "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  endif()
endfunction()
