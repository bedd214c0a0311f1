/* device.h - what the .cu files share. */
#ifndef FL_BACKEND_CUDA_DEVICE_H
#define FL_BACKEND_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include "backend/cuda/seam.h"

/* Memory on the device for as long as the object lives. */
struct fl_cuda_memory {
    float *data = nullptr;
    ~fl_cuda_memory() {
        cudaFree(data);
    }
};

#define CU_TRY(call)                                            \
    do {                                                        \
        cudaError_t cu_ = (call);                               \
        if (cu_ != cudaSuccess) return cudaGetErrorString(cu_); \
    } while (0)

const char *fl_cuda_rms_norm(const fl_call *call);

#endif
