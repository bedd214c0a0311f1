/* seam.h - what crosses between the library and libfledge-cuda.so.
 *
 * The object is made by nvcc from device/ and loaded only where it is asked for. Plain C both ways:
 * a .cu file fills a table of functions, cuda.c (which never sees CUDA) puts kernels over them. No
 * templates, no C++ or CUDA types, and nothing of the library is called from the other side, so
 * either can be built without the other. */
#ifndef FL_BACKEND_CUDA_SEAM_H
#define FL_BACKEND_CUDA_SEAM_H

#include "graph/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_CUDA_SEAM = 1 };  // raised when anything below or fl_call changes its layout

/* Run a call whose tensors lie in host memory. Returns NULL, or why it failed. */
typedef const char *(*fl_cuda_run)(const fl_call *call);

typedef struct {
    int seam;  // FL_CUDA_SEAM of the other side
    bool (*present)(void);
    fl_cuda_run rms_norm;
} fl_cuda_device;

const fl_cuda_device *fl_cuda_device_get(void);  // the one name the object exports

#ifdef __cplusplus
}
#endif

#endif
