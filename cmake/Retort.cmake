# What every folder's CMakeLists.txt uses: retort_library, retort_binary,
# retort_test, and the dependencies as imported targets.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(LibTorch REQUIRED)

find_program(RETORT_CCACHE ccache)
if(RETORT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need these for ccache to hit.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${RETORT_CCACHE})
endif()
find_program(RETORT_MOLD mold)
find_program(RETORT_LLD ld.lld)
if(RETORT_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(RETORT_LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_compile_options(-Wall -Wextra -Werror -Wno-unused-parameter
                    -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 raises these on the library headers we include.
  add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow
                      -Wno-array-bounds -Wno-restrict -fpch-preprocess)
else()
  add_compile_options(-Wthread-safety -Werror=thread-safety)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
if(RETORT_SANITIZE)
  add_compile_options(-fsanitize=${RETORT_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${RETORT_SANITIZE})
endif()

set(RETORT_BASE_LIBS absl::status absl::statusor absl::strings absl::str_format
    absl::time absl::synchronization absl::span absl::flat_hash_map
    absl::flat_hash_set absl::cleanup spdlog::spdlog
    nlohmann_json::nlohmann_json OpenSSL::Crypto ZLIB::ZLIB Threads::Threads)

# The precompiled headers are made with -fPIC, and g++ refuses one in a source
# that is compiled with -fPIE, CMake's choice for executables.
function(_retort_pic_like_pch target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# One precompiled header per world (with and without LibTorch), shared by all.
function(_retort_pch_target name)
  if(NOT TARGET ${name})
    file(WRITE ${CMAKE_BINARY_DIR}/pch/${name}.cc "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/pch/${name}.cc)
    target_link_libraries(${name} PUBLIC ${RETORT_BASE_LIBS} ${ARGN})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  endif()
endfunction()

function(_retort_use_torch target)
  _retort_pch_target(retort_pch_torch LibTorch::LibTorch)
  get_target_property(done retort_pch_torch PRECOMPILE_HEADERS)
  if(NOT done)
    target_precompile_headers(retort_pch_torch PRIVATE
      <torch/torch.h> <nlohmann/json.hpp> <absl/status/statusor.h>
      <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/time/time.h>
      <absl/types/span.h> <map> <memory> <string> <vector>)
  endif()
  target_link_libraries(${target} PUBLIC LibTorch::LibTorch)
  _retort_pic_like_pch(${target})
  target_precompile_headers(${target} REUSE_FROM retort_pch_torch)
endfunction()

function(_retort_use_grpc target)
  _retort_pch_target(retort_pch_grpc gRPC::grpc++ protobuf::libprotobuf)
  get_target_property(done retort_pch_grpc PRECOMPILE_HEADERS)
  if(NOT done)
    target_precompile_headers(retort_pch_grpc PRIVATE
      <grpcpp/grpcpp.h> <google/protobuf/util/json_util.h> <nlohmann/json.hpp>
      <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_format.h>
      <absl/time/time.h> <absl/synchronization/mutex.h> <absl/types/span.h>
      <map> <memory> <string> <vector>)
  endif()
  _retort_pic_like_pch(${target})
  target_precompile_headers(${target} REUSE_FROM retort_pch_grpc)
endfunction()

function(_retort_deps target)
  foreach(d IN LISTS ARGN)
    if(d MATCHES "^(core|server|client)_" OR d STREQUAL "proto")
      target_link_libraries(${target} PUBLIC retort_${d})
    else()
      target_link_libraries(${target} PUBLIC ${d})
    endif()
  endforeach()
endfunction()

# With RETORT_LENIENT a listed source that is not there (yet) is skipped, so
# that several people can work in one tree; never on by default.
option(RETORT_LENIENT "Skip listed sources that do not exist" OFF)
function(_retort_sources out)
  set(result ${ARGN})
  if(RETORT_LENIENT)
    set(result)
    foreach(s IN LISTS ARGN)
      get_filename_component(path ${s} ABSOLUTE)
      if(EXISTS ${path})
        list(APPEND result ${s})
      endif()
    endforeach()
    if(NOT result)
      set(result ${CMAKE_BINARY_DIR}/pch/empty.cc)
      file(WRITE ${result} "")
    endif()
  endif()
  set(${out} ${result} PARENT_SCOPE)
endfunction()

# retort_library(core_math SOURCES a.cc DEPS core_base [TORCH|GRPC])
# TORCH links LibTorch; either word also gives the matching precompiled header
# (GRPC goes with DEPS proto).
function(retort_library name)
  cmake_parse_arguments(A "TORCH;GRPC" "" "SOURCES;DEPS" ${ARGN})
  _retort_sources(A_SOURCES ${A_SOURCES})
  add_library(retort_${name} STATIC ${A_SOURCES})
  add_library(retort::${name} ALIAS retort_${name})
  set_target_properties(retort_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(retort_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(retort_${name} PUBLIC ${RETORT_BASE_LIBS})
  _retort_deps(retort_${name} ${A_DEPS})
  if(A_TORCH)
    _retort_use_torch(retort_${name})
  elseif(A_GRPC)
    _retort_use_grpc(retort_${name})
  endif()
endfunction()

# retort_binary(retort-worker SOURCES main.cc DEPS ... [TORCH])
function(retort_binary name)
  cmake_parse_arguments(A "TORCH;GRPC" "" "SOURCES;DEPS" ${ARGN})
  _retort_sources(A_SOURCES ${A_SOURCES})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${RETORT_BASE_LIBS})
  _retort_deps(${name} ${A_DEPS})
  if(A_TORCH)
    _retort_use_torch(${name})
  elseif(A_GRPC)
    _retort_use_grpc(${name})
  endif()
endfunction()

# retort_test(core_math_test SOURCES x_test.cc DEPS core_math [TORCH])
# One ctest entry per binary; GoogleTest's and GoogleMock's main.
function(retort_test name)
  cmake_parse_arguments(A "TORCH;GRPC" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  find_package(GTest REQUIRED)
  _retort_sources(A_SOURCES ${A_SOURCES})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${RETORT_BASE_LIBS} GTest::gmock GTest::gtest
                        GTest::gmock_main)
  target_compile_definitions(${name} PRIVATE
    RETORT_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    RETORT_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  _retort_deps(${name} ${A_DEPS})
  if(A_TORCH)
    _retort_use_torch(${name})
  elseif(A_GRPC)
    _retort_use_grpc(${name})
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "OMP_NUM_THREADS=1")
endfunction()

# Adds every direct subfolder that has a CMakeLists.txt.
macro(retort_add_subfolders)
  file(GLOB _subfolders CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*/CMakeLists.txt)
  foreach(_f IN LISTS _subfolders)
    get_filename_component(_d ${_f} DIRECTORY)
    add_subdirectory(${_d})
  endforeach()
endmacro()
