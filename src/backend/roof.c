/* roof - times loops that do nothing but arithmetic, or nothing but memory, on every worker at
 * once.
 *
 * Work is cut into chunks that take a millisecond or two; rates are the best of REPEATS, because
 * whatever disturbs a measurement only makes it slower. */
#include "backend/roof.h"

#include <string.h>

#include "backend/cpu/roof_loops.h"
#include "base/cpu.h"
#include "base/progress.h"
#include "tensor/tensor.h"

enum { REPEATS = 3, CHUNKS = 8 /* a worker */, STREAM_BYTES = 128 << 20, LINES = 256 };

typedef struct {
    fli_roof_loop *loop;
    int64_t turns;
    char *memory;
    size_t bytes;  // of a chunk
} work;

static void arithmetic(void *ctx, int64_t begin, int64_t end, int worker) {
    const work *w = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) (void)w->loop(w->turns);
}

/* Every line of the memory, added up so that it has to be loaded. */
static uint64_t read_all(const char *p, size_t bytes) {
    typedef uint64_t line __attribute__((vector_size(64), may_alias));
    line sum[4] = {{0}};
    for (size_t i = 0; i < bytes; i += sizeof sum) {
        for (size_t k = 0; k < 4; k++) sum[k] += ((const line *)(const void *)(p + i))[k];
    }
    sum[0] += sum[1] + sum[2] + sum[3];
    return sum[0][0];
}

static void reading(void *ctx, int64_t begin, int64_t end, int worker) {
    static volatile uint64_t sink;
    const work *w = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        sink = read_all(w->memory + (size_t)i * w->bytes, w->bytes);
    }
    (void)sink;
}

/* The first half of each chunk over the second. */
static void copying(void *ctx, int64_t begin, int64_t end, int worker) {
    const work *w = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        char *p = w->memory + (size_t)i * w->bytes;
        memcpy(p + w->bytes / 2, p, w->bytes / 2);
    }
}

/* Units a second, when one run of all chunks is `units`. */
static double best_rate(fl_pool *pool, fl_task task, work *w, double units) {
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        const double start = fl_now();
        fl_pool_run(pool, (int64_t)CHUNKS * fl_pool_size(pool), 1, task, w);
        const double rate = units / (fl_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static double flops_of(fl_pool *pool, fli_roof_loop *loop, double seconds) {
    enum { TRY = 20000 };
    const double start = fl_now(), done = loop(TRY), took = fl_now() - start;
    work w = {.loop = loop, .turns = 1 + (int64_t)(TRY * seconds / (took * REPEATS * CHUNKS))};
    const double chunk = done / TRY * (double)w.turns;
    return best_rate(pool, arithmetic, &w, chunk * CHUNKS * fl_pool_size(pool));
}

static fli_roof_loop *f32_loop(void) {
#if defined(__x86_64__)
    if (fl_cpu_get()->avx512) return fli_roof_f32_avx512;
    if (fl_cpu_get()->avx2) return fli_roof_f32_avx2;
#endif
    return fli_roof_f32_portable;
}

static void measure_bf16(fl_roof *r, fl_pool *pool, double seconds) {
    r->bf16_flops = r->f32_flops;
    r->bf16_by = "f32";
#if defined(__x86_64__)
    const fl_cpu *cpu = fl_cpu_get();
    const struct {
        bool here;
        fli_roof_loop *loop;
        const char *name;
    } units[] = {{cpu->avx512_bf16, fli_roof_bf16_avx512, "vdpbf16ps"},
                 {cpu->amx_bf16, fli_roof_bf16_amx, "AMX"}};
    for (int i = 0; i < 2; i++) {
        const double flops = units[i].here ? flops_of(pool, units[i].loop, seconds) : 0;
        if (flops <= r->bf16_flops) continue;
        r->bf16_flops = flops;
        r->bf16_by = units[i].name;
    }
#else
    (void)pool;
    (void)seconds;
#endif
}

static void measure_int8(fl_roof *r, fl_pool *pool, double seconds) {
    r->int8_ops = r->bf16_flops;
    r->int8_by = r->bf16_by;
#if defined(__x86_64__)
    const double ops = fl_cpu_get()->avx512_vnni ? flops_of(pool, fli_roof_int8_avx512, seconds)
                                                 : 0;
    if (ops <= r->int8_ops) return;
    r->int8_ops = ops;
    r->int8_by = "vpdpbusd";
#else
    (void)pool;
    (void)seconds;
#endif
}

static fl_status measure_memory(fl_roof *r, fl_pool *pool, fl_err *err) {
    fl_buffer *buffer;
    FL_TRY(fl_buffer_new(&buffer, STREAM_BYTES, err));
    const size_t chunks = (size_t)CHUNKS * (size_t)fl_pool_size(pool);
    work w = {.memory = fl_buffer_data(buffer), .bytes = STREAM_BYTES / chunks / LINES * LINES};
    memset(w.memory, 1, STREAM_BYTES);
    r->read_bytes = best_rate(pool, reading, &w, (double)(w.bytes * chunks));
    r->copy_bytes = best_rate(pool, copying, &w, (double)(w.bytes * chunks));
    fl_buffer_unref(buffer);
    return FL_OK;
}

fl_status fl_roof_read(double *out, fl_pool *pool, fl_err *err) {
    fl_roof r;
    FL_TRY(measure_memory(&r, pool ? pool : fl_pool_default(), err));
    *out = r.read_bytes;
    return FL_OK;
}

fl_status fl_roof_measure(fl_roof *out, fl_pool *pool, double seconds, fl_err *err) {
    if (!pool) pool = fl_pool_default();
    fl_roof r = {.threads = fl_pool_size(pool)};
    FL_TRY(measure_memory(&r, pool, err));
    r.f32_flops = flops_of(pool, f32_loop(), seconds);
    measure_bf16(&r, pool, seconds);
    measure_int8(&r, pool, seconds);
    *out = r;
    return FL_OK;
}

fl_status fl_roof_flops(double *out, fl_dtype compute, fl_pool *pool, double seconds, fl_err *err) {
    fl_roof roof;
    FL_TRY(fl_roof_measure(&roof, pool, seconds, err));
    *out = compute == FL_BF16 ? roof.bf16_flops : roof.f32_flops;
    return FL_OK;
}
