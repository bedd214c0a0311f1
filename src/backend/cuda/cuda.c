/* cuda - the CUDA row: looks for libfledge-cuda.so, and for a GPU through it.
 *
 * The row is chosen only by FLEDGE_BACKEND=cuda: until whole graphs live on the device every call
 * carries its operands there and back, so it is right but never the best. The object is looked for
 * where the program's own libraries are, or where FLEDGE_CUDA_LIBRARY says. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cuda/seam.h"
#include "base/log.h"

extern const fl_backend fl_backend_cuda, fl_backend_ref;

static const fl_cuda_device *device;  // NULL: not on this machine
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    const char *path = getenv("FLEDGE_CUDA_LIBRARY");
    void *object = dlopen(path && *path ? path : "libfledge-cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        fl_debug("cuda: %s", dlerror());
        return;
    }
    const fl_cuda_device *(*get)(void) = NULL;
    void *symbol = dlsym(object, "fl_cuda_device_get");
    memcpy(&get, &symbol, sizeof get);  // POSIX promises the bits; ISO C forbids the cast
    const fl_cuda_device *found = get ? get() : NULL;
    if (found && found->seam == FL_CUDA_SEAM && found->present()) {
        device = found;
        return;
    }
    fl_debug("cuda: libfledge-cuda.so %s", !found                        ? "is something else"
                                           : found->seam != FL_CUDA_SEAM ? "is of another version"
                                                                         : "finds no GPU");
    dlclose(object);
}

static bool available(void) {
    const char *asked = getenv("FLEDGE_BACKEND");
    if (!asked || strcmp(asked, "cuda") != 0) return false;
    pthread_once(&once, load);
    return device != NULL;
}

/* A kernel cannot fail, a device can: the reference takes over, and it is said. */
static void run_or_ref(fl_op_id op, fl_cuda_run run, const fl_call *call, void *scratch) {
    const char *why = run(call);
    if (!why) return;
    fl_warn("cuda: %s; computed on the CPU instead (unset FLEDGE_BACKEND to do so always)", why);
    fl_backend_ref.kernel[op]->phase[0].run(call, 0, 1, scratch);
}

static bool all_f32(const fl_call *call) {
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i].dtype != FL_F32 || !fl_tensor_contiguous(&call->in[i])) return false;
    return call->attr.dtype == FL_F32;
}

static bool plain_gain(const fl_call *call) {
    return all_f32(call) && call->attr.offset == 0;
}

static void rms_norm(const fl_call *call, int64_t begin, int64_t end, void *scratch) {
    (void)begin;
    (void)end;
    run_or_ref(FL_OP_RMS_NORM, device->rms_norm, call, scratch);
}

static size_t rms_norm_scratch(const fl_call *call) {
    return fl_backend_ref.kernel[FL_OP_RMS_NORM]->scratch(call);
}

static const fl_kernel rms_norm_kernel = {
    .phase = {{.run = rms_norm}},
    .supports = plain_gain,
    .scratch = rms_norm_scratch,
};

const fl_backend fl_backend_cuda = {
    .name = "cuda",
    .needs = "an NVIDIA GPU and libfledge-cuda.so",
    .available = available,
    .kernel = {[FL_OP_RMS_NORM] = &rms_norm_kernel},
};
