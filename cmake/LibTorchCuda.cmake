# The CUDA side of LibTorch: its own CUDA libraries, and CUDA 13, cuDNN and
# NCCL from the wheels that scripts/bootstrap.sh --cuda unpacked beside it.
# Where the toolkit's headers are not among them, a local CUDA 13 toolkit is
# looked for (CUDA_HOME, /usr/local/cuda).

set(_cuda_lib ${_t}/lib/libtorch_cuda.so)
if(NOT EXISTS ${_cuda_lib})
  message(FATAL_ERROR "RETORT_CUDA needs LibTorch's CUDA side; run scripts/bootstrap.sh --cuda first")
endif()

file(GLOB _cuda_includes ${RETORT_LIBTORCH}/nvidia/*/include)
file(GLOB _cuda_libs ${RETORT_LIBTORCH}/nvidia/*/lib)
find_path(RETORT_CUDA_RUNTIME_INCLUDE cuda_runtime_api.h
  HINTS ${_cuda_includes} $ENV{CUDA_HOME}/include /usr/local/cuda/include NO_CMAKE_FIND_ROOT_PATH)
find_path(RETORT_NCCL_INCLUDE nccl.h HINTS ${_cuda_includes} $ENV{CUDA_HOME}/include /usr/local/cuda/include)
find_path(RETORT_CUDNN_INCLUDE cudnn.h HINTS ${_cuda_includes} $ENV{CUDA_HOME}/include /usr/local/cuda/include)
foreach(_what CUDA_RUNTIME NCCL CUDNN)
  if(NOT RETORT_${_what}_INCLUDE)
    message(FATAL_ERROR "RETORT_CUDA: the header of ${_what} was not found; run scripts/bootstrap.sh --cuda or set CUDA_HOME to a CUDA 13 toolkit")
  endif()
endforeach()
find_library(RETORT_CUDART_LIBRARY NAMES libcudart.so.13 cudart NAMES_PER_DIR HINTS ${_cuda_libs} $ENV{CUDA_HOME}/lib64 /usr/local/cuda/lib64)
find_library(RETORT_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${_cuda_libs})
find_library(RETORT_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${_cuda_libs})
foreach(_what CUDART NCCL CUDNN)
  if(NOT RETORT_${_what}_LIBRARY)
    message(FATAL_ERROR "RETORT_CUDA: the library of ${_what} was not found; run scripts/bootstrap.sh --cuda")
  endif()
endforeach()
message(STATUS "CUDA headers: ${RETORT_CUDA_RUNTIME_INCLUDE}; NCCL: ${RETORT_NCCL_LIBRARY}; cuDNN: ${RETORT_CUDNN_LIBRARY}")

target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
  ${_cuda_includes} ${RETORT_CUDA_RUNTIME_INCLUDE} ${RETORT_NCCL_INCLUDE} ${RETORT_CUDNN_INCLUDE})
set(_cuda_link ${_t}/lib/libtorch_cuda.so ${_t}/lib/libc10_cuda.so
  ${RETORT_CUDART_LIBRARY} ${RETORT_NCCL_LIBRARY} ${RETORT_CUDNN_LIBRARY})
# One item: CMake would drop a second --no-as-needed, and without it the linker
# would drop libraries whose operators only register themselves.
list(JOIN _cuda_link "," _cuda_link)
target_link_libraries(LibTorch::LibTorch INTERFACE
  -Wl,--push-state,--no-as-needed,${_cuda_link},--pop-state)
