/* dnnl_product.h - one matrix product by oneDNN, the yardstick of bench_gemm. Without the library:
 * nothing. */
#ifndef FL_BENCH_DNNL_PRODUCT_H
#define FL_BENCH_DNNL_PRODUCT_H

#include "graph/op.h"

typedef struct dnnl_product dnnl_product;

#if defined(FL_HAVE_DNNL)
#include <dnnl.h>

#include "base/alloc.h"

struct dnnl_product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    void *data[3];
};

static void dnnl_product_free(dnnl_product *d) {
    if (!d) return;
    for (int i = 0; i < 3; i++) {
        if (d->memory[i]) dnnl_memory_destroy(d->memory[i]);
        fl_dealloc(d->data[i]);
    }
    if (d->primitive) dnnl_primitive_destroy(d->primitive);
    if (d->desc) dnnl_primitive_desc_destroy(d->desc);
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    fl_dealloc(d);
}

#define DNNL_BAD(call) ((call) != dnnl_success)

/* Memory of operand i, filled with numbers like weights. */
static bool dnnl_product_memory(dnnl_product *d, int i, const dnnl_memory_desc_t *md, bool half) {
    const size_t bytes = dnnl_memory_desc_get_size(md);
    d->data[i] = fl_alloc(bytes);
    if (!d->data[i]) return false;
    for (size_t k = 0; k < bytes / (half ? 2 : 4); k++) {
        const uint32_t random = (uint32_t)k * 2654435761u;
        if (half) ((uint16_t *)d->data[i])[k] = (uint16_t)(0x3d00u | (random >> 16 & 0x80ffu));
        else ((float *)d->data[i])[k] = (float)(random >> 8) * 0x1p-24f - 0.5f;
    }
    return !DNNL_BAD(dnnl_memory_create(&d->memory[i], md, d->engine, d->data[i]));
}

static bool dnnl_product_build(dnnl_product *d, int64_t m, int64_t n, int64_t k, fl_op_id op,
                               fl_dtype dtype) {
    const dnnl_data_type_t type = dtype == FL_BF16 ? dnnl_bf16 : dnnl_f32;
    const bool dw = op == FL_OP_LINEAR_DW, weight = op == FL_OP_LINEAR || op == FL_OP_LINEAR_DX;
    const dnnl_dims_t a_dim = {m, k}, b_dim = {k, n}, c_dim = {m, n};
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t matmul;
    if (DNNL_BAD(dnnl_memory_desc_init_by_tag(&a, 2, a_dim, type, dw ? dnnl_ba : dnnl_ab)) ||
        DNNL_BAD(dnnl_memory_desc_init_by_tag(&b, 2, b_dim, type,
                                              weight ? dnnl_format_tag_any : dnnl_ab)) ||
        DNNL_BAD(dnnl_memory_desc_init_by_tag(&c, 2, c_dim, dw ? dnnl_f32 : type, dnnl_ab)) ||
        DNNL_BAD(dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c)) ||
        DNNL_BAD(dnnl_primitive_desc_create(&d->desc, &matmul, NULL, d->engine, NULL)) ||
        DNNL_BAD(dnnl_primitive_create(&d->primitive, d->desc))) {
        return false;
    }
    const dnnl_memory_desc_t *w = dnnl_primitive_desc_query_md(d->desc, dnnl_query_weights_md, 0);
    return dnnl_product_memory(d, 0, &a, dtype == FL_BF16) &&
           dnnl_product_memory(d, 1, w, dtype == FL_BF16) &&
           dnnl_product_memory(d, 2, &c, dtype == FL_BF16 && !dw);
}

/* NULL where oneDNN cannot. */
static dnnl_product *dnnl_product_new(int64_t m, int64_t n, int64_t k, fl_op_id op, fl_dtype dtype,
                                      int threads) {
    extern void omp_set_num_threads(int);
    omp_set_num_threads(threads);
    dnnl_product *d = fl_alloc(sizeof *d);
    if (!d) return NULL;
    *d = (dnnl_product){0};
    if (DNNL_BAD(dnnl_engine_create(&d->engine, dnnl_cpu, 0)) ||
        DNNL_BAD(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags)) ||
        !dnnl_product_build(d, m, n, k, op, dtype)) {
        dnnl_product_free(d);
        return NULL;
    }
    return d;
}

static void dnnl_product_run(void *ctx) {
    dnnl_product *d = ctx;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, d->memory[0]},
                                    {DNNL_ARG_WEIGHTS, d->memory[1]},
                                    {DNNL_ARG_DST, d->memory[2]}};
    dnnl_primitive_execute(d->primitive, d->stream, 3, args);
    dnnl_stream_wait(d->stream);
}

#else

static dnnl_product *dnnl_product_new(int64_t m, int64_t n, int64_t k, fl_op_id op, fl_dtype dtype,
                                      int threads) {
    (void)m, (void)n, (void)k, (void)op, (void)dtype, (void)threads;
    return NULL;
}
static void dnnl_product_free(dnnl_product *d) {
    (void)d;
}
static void dnnl_product_run(void *ctx) {
    (void)ctx;
}

#endif
#endif
