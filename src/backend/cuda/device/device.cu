/* device.cu - the table that libfledge-cuda.so offers. */
#include "backend/cuda/device/device.h"

static bool present() {
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess && n > 0;
}

extern "C" const fl_cuda_device *fl_cuda_device_get() {
    static const fl_cuda_device device = {FL_CUDA_SEAM, present, fl_cuda_rms_norm};
    return &device;
}
