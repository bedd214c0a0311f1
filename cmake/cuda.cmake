# cuda - the CUDA backend as an object of its own, loaded by the program where there is a GPU.
#
# src/backend/cuda/*.c is part of the library and knows nothing of CUDA; src/backend/cuda/device/*.cu needs nvcc and
# becomes libfledge-cuda.so, which needs the driver only when it is loaded.
if(NOT FLEDGE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  find_program(NVCC nvcc PATHS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
  if(NVCC AND NOT DEFINED CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${NVCC})
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES all-major CACHE STRING "GPU generations to compile for")
    enable_language(CUDA)
    file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS src/backend/cuda/device/*.cu)
    add_library(fledge-cuda MODULE ${CUDA_SOURCES})
    set_target_properties(fledge-cuda PROPERTIES CUDA_STANDARD 17 CUDA_RUNTIME_LIBRARY Static)
    target_include_directories(fledge-cuda PRIVATE src)
    target_compile_options(fledge-cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-lineinfo -Xcompiler=-Wall,-Wextra>)
    install(TARGETS fledge-cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  elseif(FLEDGE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FLEDGE_CUDA=ON, but nvcc was not found")
  endif()
endif()
