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
  set(CMAKE_CXX_COMPILER_LAUNCHER ${RETORT_CCACHE})
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
                      -Wno-array-bounds -Wno-restrict)
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

# The sources of one target are compiled together (unity): parsing LibTorch's
# headers takes 10 to 20 s each time, and a precompiled header of them (770 MB)
# loads no faster than that. So names in anonymous namespaces must be unique
# within a folder. Targets of many sources are cut into a few pieces so that
# both cores have work.
option(RETORT_UNITY "Compile the sources of a target together" ON)
function(_retort_unity target batch)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${RETORT_UNITY}
                        UNITY_BUILD_BATCH_SIZE ${batch})
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

# retort_library(core_math SOURCES a.cc DEPS core_base [TORCH])
# TORCH links LibTorch; gRPC comes with DEPS proto.
function(retort_library name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;DEPS" ${ARGN})
  add_library(retort_${name} STATIC ${A_SOURCES})
  add_library(retort::${name} ALIAS retort_${name})
  set_target_properties(retort_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(retort_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(retort_${name} PUBLIC ${RETORT_BASE_LIBS})
  _retort_deps(retort_${name} ${A_DEPS})
  if(A_TORCH)
    target_link_libraries(retort_${name} PUBLIC LibTorch::LibTorch)
  endif()
  _retort_unity(retort_${name} 12)
endfunction()

# retort_binary(retort-worker SOURCES main.cc DEPS ... [TORCH])
function(retort_binary name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${RETORT_BASE_LIBS})
  _retort_deps(${name} ${A_DEPS})
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE LibTorch::LibTorch)
  endif()
  _retort_unity(${name} 12)
endfunction()

# retort_test(core_math_test SOURCES x_test.cc DEPS core_math [TORCH])
# One ctest entry per binary; GoogleTest's and GoogleMock's main.
function(retort_test name)
  cmake_parse_arguments(A "TORCH" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${RETORT_BASE_LIBS} GTest::gmock GTest::gtest
                        GTest::gmock_main)
  target_compile_definitions(${name} PRIVATE
    RETORT_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    RETORT_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  _retort_deps(${name} ${A_DEPS})
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE LibTorch::LibTorch)
  endif()
  _retort_unity(${name} 12)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O0)  # tests are small, and many
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
