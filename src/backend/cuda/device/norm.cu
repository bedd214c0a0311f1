/* norm.cu - RMS norm, one block per row.
 *
 * Each thread strides over the row keeping a partial sum of squares in a register; one shuffle tree per warp and one
 * sum across warps give the row's. The row is then read a second time, from cache, and written scaled. */
#include "backend/cuda/device/device.h"

enum { WARP = 32, BLOCK = 256 };

/* Sum of `v` over the block, in every thread, in an order that depends on BLOCK alone. */
static __device__ float block_sum(float v) {
    __shared__ float part[BLOCK / WARP];
    for (int d = WARP / 2; d; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = v;
    __syncthreads();
    v = 0;
    for (int w = 0; w < BLOCK / WARP; w++) v += part[w];
    return v;
}

/* x (rows, cols), w (cols) -> y (rows, cols), rstd (rows) */
static __global__ void rms_norm(float *y, float *rstd, const float *x, const float *w, int64_t cols, float eps) {
    x += blockIdx.x * cols;
    y += blockIdx.x * cols;

    float sum = 0;
    for (int64_t i = threadIdx.x; i < cols; i += BLOCK) sum += x[i] * x[i];
    const float scale = 1 / sqrtf(block_sum(sum) / (float)cols + eps);
    for (int64_t i = threadIdx.x; i < cols; i += BLOCK) y[i] = w[i] * (x[i] * scale);
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

const char *fl_cuda_rms_norm(const fl_call *c) {
    const int64_t cols = c->in[1].dim[0];
    int64_t count = 1;
    for (int i = 0; i < c->in[0].rank; i++) count *= c->in[0].dim[i];
    const int64_t rows = count / cols;
    const size_t x_bytes = sizeof(float) * count, w_bytes = sizeof(float) * cols, rstd_bytes = sizeof(float) * rows;
    fl_cuda_memory x, w, y, rstd;
    CU_TRY(cudaMalloc(&x.data, x_bytes));
    CU_TRY(cudaMalloc(&w.data, w_bytes));
    CU_TRY(cudaMalloc(&y.data, x_bytes));
    CU_TRY(cudaMalloc(&rstd.data, rstd_bytes));
    CU_TRY(cudaMemcpy(x.data, c->in[0].data, x_bytes, cudaMemcpyHostToDevice));
    CU_TRY(cudaMemcpy(w.data, c->in[1].data, w_bytes, cudaMemcpyHostToDevice));
    rms_norm<<<(unsigned)rows, BLOCK>>>(y.data, rstd.data, x.data, w.data, cols, c->attr.eps);
    CU_TRY(cudaGetLastError());
    CU_TRY(cudaMemcpy(c->out[0].data, y.data, x_bytes, cudaMemcpyDeviceToHost));
    if (c->out[1].data) CU_TRY(cudaMemcpy(c->out[1].data, rstd.data, rstd_bytes, cudaMemcpyDeviceToHost));
    return nullptr;
}
