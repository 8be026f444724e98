# The CUDA plug-in: a shared library of its own, so that one build of lethe runs with and without a card. Nothing else
# links to CUDA. LETHE_CUDA_STATE says for `lethe doctor` what became of it.
set(LETHE_HAVE_CUDA OFF)
set(LETHE_CUDA_STATE "plug-in not built: LETHE_CUDA is OFF")
if(LETHE_CUDA AND LETHE_SANITIZE)
  set(LETHE_CUDA_STATE "plug-in not built: this is a sanitizer build")
elseif(LETHE_CUDA)
  find_program(NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(NVCC)
    get_filename_component(CUDA_BIN ${NVCC} REALPATH)
    get_filename_component(CUDA_BIN ${CUDA_BIN} DIRECTORY)
    get_filename_component(CUDA_ROOT ${CUDA_BIN} DIRECTORY)
  endif()
  find_path(CUDA_INCLUDE cuda_runtime_api.h HINTS ${CUDA_ROOT}/include)
  find_path(CUDNN_INCLUDE cudnn.h HINTS ${CUDA_ROOT}/include)
  foreach(lib cudart_static cudnn cublasLt)
    find_library(CUDA_${lib} ${lib} HINTS ${CUDA_ROOT}/lib64 ${CUDA_ROOT}/lib)
  endforeach()
  set(LETHE_CUDA_STATE "plug-in not built: the CUDA toolkit or cuDNN was not found")
  if(NVCC AND CUDA_INCLUDE AND CUDNN_INCLUDE AND CUDA_cudart_static AND CUDA_cudnn AND CUDA_cublasLt)
    execute_process(COMMAND ${NVCC} --version OUTPUT_VARIABLE nvcc_text)
    string(REGEX MATCH "release ([0-9.]+)" nvcc_text "${nvcc_text}")
    set(LETHE_NVCC_VERSION ${CMAKE_MATCH_1})
    if(LETHE_NVCC_VERSION VERSION_LESS 12)
      set(LETHE_CUDA_STATE "plug-in not built: nvcc ${LETHE_NVCC_VERSION} is too old, 12 or newer is needed")
    else()
      set(LETHE_HAVE_CUDA ON)
    endif()
  endif()
endif()

if(LETHE_HAVE_CUDA)
  # Machine code for the two targets we know, code for the compiler in the driver for what comes later.
  execute_process(COMMAND ${NVCC} --list-gpu-arch OUTPUT_VARIABLE archs OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REGEX MATCHALL "[0-9]+" archs "${archs}")
  list(SORT archs COMPARE NATURAL)
  list(POP_BACK archs LETHE_CUDA_NEWEST)
  set(codes -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]
            -gencode arch=compute_${LETHE_CUDA_NEWEST},code=compute_${LETHE_CUDA_NEWEST})
  set(LETHE_CUDA_STATE "plug-in built with CUDA ${LETHE_NVCC_VERSION} for sm_80, sm_90, compute_90 and compute_${LETHE_CUDA_NEWEST}")
  set(dir ${CMAKE_SOURCE_DIR}/src/backend/cuda)
  set(object ${CMAKE_BINARY_DIR}/cuda_launch.o)
  # No multiplication fused with an addition: bodies that the host runs too give the host's bits.
  add_custom_command(OUTPUT ${object} VERBATIM
    COMMAND ${NVCC} -std=c++17 -O3 -fmad=false ${codes} -Werror all-warnings -Xcompiler -fPIC,-Wall,-Wextra,-fvisibility=hidden
            -I ${CMAKE_SOURCE_DIR}/include -I ${CMAKE_SOURCE_DIR}/src -I ${RANDOM123_INCLUDE}
            -isystem ${CUDNN_INCLUDE} -MD -MF ${object}.d -c ${dir}/plugin/launch.cu -o ${object}
    DEPFILE ${object}.d DEPENDS ${dir}/plugin/launch.cu COMMENT "CUDA kernels")
  add_library(lethe_cuda MODULE ${dir}/plugin/plugin.c ${dir}/plugin/conv.c ${dir}/plugin/graph.c
              ${dir}/plugin/gemm.c ${object})
  set_target_properties(lethe_cuda PROPERTIES LINKER_LANGUAGE C LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/cli)
  target_include_directories(lethe_cuda PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
  target_include_directories(lethe_cuda SYSTEM PRIVATE ${CUDA_INCLUDE} ${CUDNN_INCLUDE})
  target_link_libraries(lethe_cuda PRIVATE ${CUDA_cudnn} ${CUDA_cublasLt} ${CUDA_cudart_static} Threads::Threads
                                           ${CMAKE_DL_LIBS} rt stdc++)
  target_link_options(lethe_cuda PRIVATE -Wl,--no-undefined)
  lt_flags(lethe_cuda)
endif()
message(STATUS "CUDA: ${LETHE_CUDA_STATE}")
