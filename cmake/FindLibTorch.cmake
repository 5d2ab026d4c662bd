# LibTorch as unpacked by scripts/bootstrap.sh, as the imported target
# LibTorch::LibTorch. PyTorch's own package file is not used: it pulls in the
# CUDA language and the tool-chain of the machine it was made on.
#
#   RETORT_LIBTORCH   folder that holds torch/ and nvidia/ (or only torch/)

set(RETORT_LIBTORCH "${CMAKE_SOURCE_DIR}/.deps/libtorch" CACHE PATH
    "Folder with LibTorch's torch/ and nvidia/")
set(_t ${RETORT_LIBTORCH}/torch)
if(NOT EXISTS ${_t}/include/torch/csrc/api/include/torch/torch.h)
  message(FATAL_ERROR "LibTorch is not in ${RETORT_LIBTORCH}; run scripts/bootstrap.sh first")
endif()

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # After the distribution's folders (-idirafter, not -isystem), since the wheel
  # carries a Protobuf and an fmt of its own that would shadow those that gRPC
  # and spdlog were built with.
  target_compile_options(LibTorch::LibTorch INTERFACE
    "SHELL:-idirafter ${_t}/include"
    "SHELL:-idirafter ${_t}/include/torch/csrc/api/include")
  target_compile_definitions(LibTorch::LibTorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
  # Not libtorch.so: it holds nothing and asks for libtorch_cuda.so.
  # --no-as-needed: operators register themselves in libtorch_cpu's
  # constructors.
  target_link_libraries(LibTorch::LibTorch INTERFACE
    -Wl,--no-as-needed ${_t}/lib/libtorch_cpu.so ${_t}/lib/libc10.so
    -Wl,--as-needed)
  file(GLOB _nvidia ${RETORT_LIBTORCH}/nvidia/cu13/lib ${RETORT_LIBTORCH}/nvidia/*/lib)
  list(REMOVE_DUPLICATES _nvidia)
  target_link_options(LibTorch::LibTorch INTERFACE
    -Wl,-rpath,${_t}/lib -Wl,--disable-new-dtags)
  foreach(_d IN LISTS _nvidia)
    target_link_options(LibTorch::LibTorch INTERFACE -Wl,-rpath,${_d} -Wl,-rpath-link,${_d})
  endforeach()
  if(RETORT_CUDA)
    include(LibTorchCuda)
  endif()
endif()
set(LibTorch_FOUND TRUE)
