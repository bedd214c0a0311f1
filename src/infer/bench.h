/* bench.h - how fast a model reads a prompt and continues it on this machine.
 *
 *     fl_infer_bench b;
 *     fl_infer_bench_opts o = {.n_prompt = 512, .n_generate = 128};
 *     FL_TRY(fl_infer_bench_run(&b, "m.gguf", &o, err));
 *     b.prefill, b.decode          // tokens a second
 *     b.decode * b.token_bytes     // read from memory in a second, while decoding
 *
 * Tokens are random, as llama-bench's are, and nothing is sampled. */
#ifndef FL_INFER_BENCH_H
#define FL_INFER_BENCH_H

#include "infer/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t n_prompt;     // tokens read at once; 0: not measured
    int64_t n_generate;   // tokens read one by one from an empty context; 0: not measured
    int64_t n_sequences;  // texts that do so together; 0: one
    fl_compute compute;
    bool lock;      // weights in memory (fl_memory_lock)
    fl_pool *pool;  // NULL: the process pool
} fl_infer_bench_opts;

typedef struct {
    double prefill, decode;  // tokens a second, of all texts; 0: not measured
    double token_bytes;      // of weights that a step of decoding meets
} fl_infer_bench;

/* n_generate and n_sequences at most the context and FL_GROUP_ROWS, else FL_ERR_ARG. Without either
 * of n_prompt and n_generate one token is read. */
FL_MUST_USE fl_status fl_infer_bench_run(fl_infer_bench *out, const char *path,
                                         const fl_infer_bench_opts *o, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
