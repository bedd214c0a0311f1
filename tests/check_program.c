/* check_program - graphs run: whatever is planned (memory, threads, recomputation, packing),
 * results are the same bytes.
 *
 * Caught by: two live values in one place, joined steps that share one, a head that is not switched to accumulate, a stale
 * packed weight, a recomputed layer reading the wrong instance, a loss not taken from its gradient
 * node, a wrong kernel let through by validation, a leak or a half-made program when memory runs
 * out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/program.h"
#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "small_model.h"
#include "tensor/quant.h"

static small_weights weights, other_weights;

/* A model with its gradients bound, planned and fed. */
typedef struct {
    small_model m;
    fl_program *p;
    fl_err err;
} trainer;

static fl_status open_trainer(trainer *t, small_weights *w, fl_dtype compute,
                              const fl_program_opts *opts) {
    *t = (trainer){0};
    memset(w->grads, 0, sizeof w->grads);
    small_build(&t->m, w, FL_F32, compute, true);
    fl_graph_backward(t->m.g, t->m.loss);
    return fl_program_new(&t->p, t->m.g, opts, &t->err);
}

static void feed(trainer *t, uint64_t seed) {
    const small_model *m = &t->m;
    small_fill(fl_program_tensor(t->p, m->tokens), fl_program_tensor(t->p, m->targets),
               fl_program_tensor(t->p, m->position), fl_program_tensor(t->p, m->segment),
               fl_program_tensor(t->p, m->weight), seed);
}

static double step(trainer *t, uint64_t seed, bool accumulate) {
    feed(t, seed);
    if (fl_program_run(t->p, accumulate, &t->err) != FL_OK) return NAN;
    const fl_tensor loss = fl_program_tensor(t->p, t->m.loss);
    return fl_tensor_get(&loss, 0);
}

static void close_trainer(trainer *t) {
    fl_program_free(t->p);
    fl_graph_free(t->m.g);
}

/* Gradient element i of parameter k, wherever it is. */
static double grad_of(const trainer *t, int k, int64_t i) {
    const fl_tensor g = fl_program_tensor(t->p, fl_graph_grad(t->m.g, t->m.param[k]));
    return fl_tensor_get(&g, i);
}

/* Two plans of one model, one step each: the same loss and gradients to the last byte. */
static void check_same(const char *what, fl_dtype compute, const fl_program_opts *a,
                       const fl_program_opts *b) {
    trainer x, y;
    const fl_status sx = open_trainer(&x, &weights, compute, a),
                    sy = open_trainer(&y, &other_weights, compute, b);
    CHECKF(sx == FL_OK && sy == FL_OK, "%s: %s%s", what, x.err.msg, y.err.msg);
    if (sx == FL_OK && sy == FL_OK) {
        const double lx = step(&x, 5, false), ly = step(&y, 5, false);
        CHECKF(lx == ly && lx > 0, "%s: loss %.9g and %.9g", what, lx, ly);
        CHECKF(memcmp(weights.grads, other_weights.grads, sizeof weights.grads) == 0,
               "%s: gradients differ", what);
    }
    close_trainer(&x);
    close_trainer(&y);
}

static void check_threads(void) {
    fl_err err;
    fl_pool *one = NULL, *three = NULL;
    if (fl_pool_new(&one, 1, &err) != FL_OK || fl_pool_new(&three, 3, &err) != FL_OK) exit(2);
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if (!(*b)->available()) continue;
        const fl_program_opts with_one = {.backend = *b, .pool = one},
                              with_three = {.backend = *b, .pool = three};
        check_same((*b)->name, FL_F32, &with_one, &with_three);
        check_same((*b)->name, FL_BF16, &with_one, &with_three);
    }
    fl_pool_free(one);
    fl_pool_free(three);
}

/* Every backend agrees with ref on the whole step. */
static void check_backends(void) {
    trainer ref, t;
    const fl_program_opts on_ref = {.backend = fl_backend_find("ref")};
    CHECK(open_trainer(&ref, &weights, FL_F32, &on_ref) == FL_OK);
    const double want = step(&ref, 5, false);
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if (!(*b)->available()) continue;
        const fl_program_opts opts = {.backend = *b};
        CHECK(open_trainer(&t, &other_weights, FL_F32, &opts) == FL_OK);
        const double got = step(&t, 5, false);
        CHECKF(fabs(got - want) <= 1e-5 * want, "%s: loss %.9g, want %.9g", (*b)->name, got, want);
        double worst = 0;
        for (int k = 0; k < t.m.n_params; k++)
            worst = fmax(worst, fabs(grad_of(&t, k, 1) - grad_of(&ref, k, 1)));
        CHECKF(worst < 1e-5, "%s: gradients off by %g", (*b)->name, worst);
        close_trainer(&t);
    }
    close_trainer(&ref);
}

static void check_memory(void) {
    trainer t;
    fl_program_stats all, s;
    CHECK(open_trainer(&t, &weights, FL_F32, NULL) == FL_OK);
    fl_program_stats_get(t.p, &all);
    close_trainer(&t);
    CHECK(all.values_bytes > 0 && all.values_bytes < all.unshared_bytes && all.n_recomputed == 0 &&
          all.flops > 0);

    int fitted = 0;
    for (size_t limit = all.values_bytes - 1; limit > 0; limit = limit * 9 / 10) {
        const fl_program_opts opts = {.memory_limit = limit};
        if (open_trainer(&t, &weights, FL_F32, &opts) != FL_OK) {
            CHECKF(t.err.code == FL_ERR_NOMEM && strstr(t.err.msg, "need at least"), "%s",
                   t.err.msg);
            CHECK(!t.p);
            close_trainer(&t);
            break;
        }
        fl_program_stats_get(t.p, &s);
        CHECK(s.values_bytes <= limit && s.n_recomputed > 0);
        close_trainer(&t);
        check_same("recomputed", FL_F32, &opts, NULL);
        check_same("recomputed in bf16", FL_BF16, &opts, NULL);
        fitted++;
    }
    CHECKF(fitted >= 1, "no limit below %zu bytes could be met", all.values_bytes);
}

/* Two micro-batches accumulated equal the sum of their gradients. */
static void check_accumulation(void) {
    static double first[SMALL_PARAMS], second[SMALL_PARAMS];
    trainer t;
    for (int bind = 0; bind < 2; bind++) {
        t = (trainer){0};
        small_build(&t.m, &weights, FL_F32, FL_F32, bind);
        fl_graph_backward(t.m.g, t.m.loss);
        CHECK(fl_program_new(&t.p, t.m.g, NULL, &t.err) == FL_OK);
        (void)step(&t, 1, false);
        for (int k = 0; k < t.m.n_params; k++) first[k] = grad_of(&t, k, 2);
        (void)step(&t, 2, false);
        for (int k = 0; k < t.m.n_params; k++) second[k] = grad_of(&t, k, 2);
        (void)step(&t, 1, false);
        (void)step(&t, 2, true);
        for (int k = 0; k < t.m.n_params; k++) {
            const double want = first[k] + second[k], got = grad_of(&t, k, 2);
            CHECKF(fabs(got - want) <= 1e-6 * (1 + fabs(want)) && fabs(second[k]) > 0,
                   "parameter %d: %g, want %g", k, got, want);
        }
        close_trainer(&t);
    }
}

static int count_in_print(const fl_program *p, const char *word) {
    char line[512];
    int n = 0;
    FILE *f = tmpfile();
    if (!f) exit(2);
    fl_program_print(p, f);
    rewind(f);
    while (fgets(line, sizeof line, f)) n += strstr(line, word) != NULL;
    fclose(f);
    return n;
}

/* Three products of one input run as one job, and a fourth that needs the first does not. Their
 * weights are computed, so that each packs them in a place of its own while the others do. */
static void check_joined(void) {
    enum { ROWS = 5, K = 24, W = 3 };
    static const int64_t n[W] = {70, 24, 17};
    static float weight[W][70 * K], input[ROWS * K];
    fl_pool *three = NULL;
    fl_program *p = NULL;
    fl_err err;
    if (fl_pool_new(&three, 3, &err) != FL_OK) exit(2);
    fl_graph *g = fl_graph_new();
    fl_val w[W], y[W];
    for (int i = 0; i < ROWS * K; i++) input[i] = (float)(i % 7 - 3);
    const fl_val x = fl_extern(g, "x", fl_tensor_of(input, FL_F32, 2, (int64_t[]){ROWS, K}), false);
    for (int i = 0; i < W; i++) {
        for (int64_t k = 0; k < n[i] * K; k++) weight[i][k] = (float)((k * (i + 3)) % 11 - 5);
        const fl_tensor t = fl_tensor_of(weight[i], FL_F32, 2, (int64_t[]){n[i], K});
        w[i] = fl_scale(g, fl_extern(g, "w", t, false), 2);
    }
    for (int i = 0; i < W; i++) y[i] = fl_linear(g, x, w[i], FL_NONE, FL_F32);
    const fl_val after = fl_linear(g, y[1], w[2], FL_NONE, FL_F32);
    for (int i = 0; i < W; i++) fl_graph_output(g, y[i]);
    fl_graph_output(g, after);
    CHECK(fl_program_new(&p, g, &(fl_program_opts){.pool = three}, &err) == FL_OK);
    CHECK(count_in_print(p, " joined") == 2);
    CHECK(fl_program_run(p, false, &err) == FL_OK);
    for (int i = 0; i < W; i++) {
        const fl_tensor out = fl_program_tensor(p, y[i]);
        int wrong = 0;
        for (int64_t at = 0; at < ROWS * n[i]; at++) {
            double want = 0;
            for (int64_t k = 0; k < K; k++)
                want += 2.0 * (double)input[at / n[i] * K + k] *
                        (double)weight[i][at % n[i] * K + k];
            wrong += fl_tensor_get(&out, at) != want;  // small integers: exact
        }
        CHECKF(wrong == 0, "product %d: %d numbers wrong", i, wrong);
    }
    fl_program_free(p);
    fl_graph_free(g);
    fl_pool_free(three);
}

/* y (n, 1) of products of x with blocks, in one program, or the product `only` alone in one. */
static void multiply_blocks(fl_tensor x, const fl_tensor *w, int n, int only, float *y) {
    fl_program *p = NULL;
    fl_err err;
    fl_val out[4];
    fl_graph *g = fl_graph_new();
    const fl_val in = fl_extern(g, "x", x, false);
    for (int i = 0; i < n; i++) {
        if (only >= 0 && i != only) continue;
        out[i] = fl_linear(g, in, fl_extern(g, "w", w[i], false), FL_NONE, FL_F32);
        fl_graph_output(g, out[i]);
    }
    CHECK(fl_program_new(&p, g, NULL, &err) == FL_OK && fl_program_run(p, false, &err) == FL_OK);
    CHECK(only >= 0 || count_in_print(p, " joined") == n - 1);
    for (int i = 0; i < n; i++) {
        if (only >= 0 && i != only) continue;
        const fl_tensor t = fl_program_tensor(p, out[i]);
        memcpy(y + i * fl_tensor_count(&t), t.data, fl_tensor_bytes(&t));
    }
    fl_program_free(p);
    fl_graph_free(g);
}

/* Joined products share what they make of x where their formats want the same of it, and nowhere
 * else: each has the bytes it has alone. */
static void check_joined_blocks(void) {
    enum { K = 256, N = 48, W = 4 };
    static const fl_dtype format[W] = {FL_Q8_0, FL_Q4_K, FL_Q8_0, FL_Q6_K};
    static uint8_t bytes[W][N * K * 2];
    static float real[N * K], input[K], together[W][N], alone[W][N];
    fl_tensor w[W];
    for (int i = 0; i < K; i++) input[i] = (float)(i * 37 % 101 - 50) / 50;
    for (int i = 0; i < W; i++) {
        for (int k = 0; k < N * K; k++) real[k] = (float)(k * (i + 3) % 113 - 40) / 70;
        fl_quantize(bytes[i], format[i], real, NULL, N * K);
        w[i] = fl_tensor_of(bytes[i], format[i], 2, (int64_t[]){N, K});
    }
    const fl_tensor x = fl_tensor_of(input, FL_F32, 2, (int64_t[]){1, K});
    multiply_blocks(x, w, W, -1, together[0]);
    for (int i = 0; i < W; i++) multiply_blocks(x, w, W, i, alone[0]);
    CHECK(memcmp(together, alone, sizeof alone) == 0);
}

/* nll comes from the gradient node unless the weights of the loss depend on it. */
static void check_fusion(void) {
    trainer t;
    CHECK(open_trainer(&t, &weights, FL_F32, NULL) == FL_OK);
    CHECK(count_in_print(t.p, "linear_ce ") == 0 && count_in_print(t.p, "linear_ce_grad") == 1);
    const double loss = step(&t, 4, false);
    const fl_tensor nll = fl_program_tensor(t.p, t.m.nll), w = fl_program_tensor(t.p, t.m.weight);
    double sum = 0;
    for (int64_t i = 0; i < fl_tensor_count(&nll); i++)
        sum += fl_tensor_get(&nll, i) * fl_tensor_get(&w, i);
    CHECK(fabs(sum - loss) < 1e-5 * loss);
    close_trainer(&t);

    t = (trainer){0};
    small_build(&t.m, &weights, FL_F32, FL_F32, true);
    const fl_val squared = fl_sum_to(t.m.g, fl_mul(t.m.g, t.m.nll, t.m.nll), 1, (int64_t[]){1});
    fl_graph_output(t.m.g, squared);
    fl_graph_backward(t.m.g, squared);
    CHECK(fl_program_new(&t.p, t.m.g, NULL, &t.err) == FL_OK);
    CHECK(count_in_print(t.p, "linear_ce ") == 1 && count_in_print(t.p, "linear_ce_grad") == 1);
    close_trainer(&t);
}

/* Packed weights follow the weights once the packs are told, for every program that shares them. */
static void check_packs(void) {
    fl_packs *packs = fl_packs_new();
    trainer a, b;
    const fl_program_opts opts = {.packs = packs};
    CHECK(open_trainer(&a, &weights, FL_BF16, &opts) == FL_OK);
    const size_t bytes = fl_packs_bytes(packs);
    CHECK(open_trainer(&b, &weights, FL_BF16, &opts) == FL_OK);
    CHECK(fl_packs_bytes(packs) == bytes);  // shared
    const double before = step(&a, 3, false);
    CHECK(step(&b, 3, false) == before);
    float *w = (float *)(void *)weights.memory;
    for (int i = 0; i < 64; i++)
        w[2 * (SMALL_V * SMALL_C + SMALL_C) + i] += 0.25f;  // the first query projection
    fl_packs_changed(packs);
    const double after = step(&a, 3, false);
    CHECKF(after != before && step(&b, 3, false) == after, "%.9g then %.9g", before, after);
    close_trainer(&a);
    close_trainer(&b);
    fl_packs_free(packs);
}

/* Other weights in a file that is mapped: seen there at once. */
static void write_weights(const fl_tensor *w, int turn) {
    float row[512];
    char *block = fl_alloc(fl_dtype_row_bytes(w->dtype, w->dim[1]));
    FILE *f = fopen(folder_file("weights"), turn ? "r+b" : "wb");
    if (!block || !f) exit(2);
    for (int64_t r = 0; r < w->dim[0]; r++) {
        for (int64_t k = 0; k < w->dim[1]; k++) row[k] = (float)((r + k * (turn + 1)) % 17 - 8);
        fl_quantize(block, w->dtype, row, NULL, w->dim[1]);
        fwrite(block, fl_dtype_row_bytes(w->dtype, w->dim[1]), 1, f);
    }
    fclose(f);
    fl_dealloc(block);
}

/* y = x w^T with w in blocks. */
typedef struct {
    fl_packs *packs;
    fl_graph *g;
    fl_program *p;
    fl_val y;
} product;

static void open_product(product *t, float *x, int64_t m, const fl_tensor *w) {
    fl_err err;
    *t = (product){.packs = fl_packs_new(), .g = fl_graph_new()};
    const fl_tensor rows = fl_tensor_of(x, FL_F32, 2, (int64_t[]){m, w->dim[1]});
    t->y = fl_linear(t->g, fl_extern(t->g, "x", rows, false), fl_extern(t->g, "w", *w, false),
                     FL_NONE, FL_F32);
    fl_graph_output(t->g, t->y);
    CHECK(fl_program_new(&t->p, t->g, &(fl_program_opts){.packs = t->packs}, &err) == FL_OK);
}

static const float *run_product(product *t) {
    fl_err err;
    CHECK(fl_program_run(t->p, false, &err) == FL_OK);
    return fl_program_tensor(t->p, t->y).data;
}

static void close_product(product *t) {
    fl_program_free(t->p);
    fl_packs_free(t->packs);
    fl_graph_free(t->g);
}

/* Weights in blocks are used as they lie until there is a copy, to the same bytes, and again after
 * they changed. */
static void check_packs_later(void) {
    enum { M = 3, N = 8192, K = 512 };
    static float x[M * K], y[M * N];
    fl_map map;
    product t, first;
    fl_tensor w = fl_tensor_of(NULL, FL_Q8_0, 2, (int64_t[]){N, K});
    write_weights(&w, 0);
    if (fl_map_open(&map, folder_file("weights"), NULL) != FL_OK) exit(2);
    w.data = (void *)(uintptr_t)map.data;
    for (int i = 0; i < M * K; i++) x[i] = (float)(i % 13 - 6);
    open_product(&t, x, M, &w);
    const int copies = fl_packs_bytes(t.packs) > 0;  // none on a machine without integer products
    for (int turn = 0; turn < 2; turn++) {
        write_weights(&w, turn);
        fl_packs_changed(t.packs);
        open_product(&first, x, M, &w);
        memcpy(y, run_product(&first), sizeof y);
        CHECK(count_in_print(first.p, " packed") == 0);
        close_product(&first);
        CHECK(memcmp(y, run_product(&t), sizeof y) == 0);
        fl_packs_work(t.packs, fl_pool_default(), INFINITY);
        CHECK(memcmp(y, run_product(&t), sizeof y) == 0);
        CHECK(count_in_print(t.p, " packed") == copies);
    }
    close_product(&t);
    fl_map_close(&map);
}

/* --- a backend with a mistake --- */

static void wrong_add(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    fl_backend_find("ref")->kernel[FL_OP_ADD]->phase[0].run(c, begin, end, scratch);
    const int64_t last = fl_tensor_count(&c->out[0]) - 1;
    if (c->in[1].rank == c->in[0].rank) fl_tensor_set(&c->out[0], last, 0.125);
}

static bool always(void) {
    return true;
}

static void check_validation(void) {
    static const fl_kernel add = {.phase = {{NULL, wrong_add}}};
    static const fl_backend wrong = {.name = "wrong",
                                     .needs = "nothing",
                                     .available = always,
                                     .kernel = {[FL_OP_ADD] = &add}};
    trainer t;
    fl_program_opts opts = {.validate = true};
    CHECK(open_trainer(&t, &weights, FL_F32, &opts) == FL_OK);
    CHECKF(!isnan(step(&t, 1, false)) && !isnan(step(&t, 2, true)), "%s", t.err.msg);
    close_trainer(&t);
    opts.backend = &wrong;
    CHECK(open_trainer(&t, &weights, FL_F32, &opts) == FL_OK);
    CHECK(isnan(step(&t, 1, false)));
    CHECKF(strstr(t.err.msg,
                  "add of wrong differs from the reference: out[0] (2, 6, 16) element 191 is "
                  "0.125"),
           "%s", t.err.msg);
    close_trainer(&t);
}

static void check_profile(void) {
    trainer t;
    CHECK(open_trainer(&t, &weights, FL_F32, NULL) == FL_OK);
    fl_program_profile(t.p, true);
    (void)step(&t, 1, false);
    (void)step(&t, 1, false);
    fl_profile_row rows[FL_OP_COUNT];
    const int n = fl_program_profile_rows(t.p, rows, FL_OP_COUNT);
    int64_t linear = 0;
    double flops = 0;
    for (int i = 0; i < n; i++) {
        if (i) CHECK(rows[i].seconds <= rows[i - 1].seconds);
        if (strcmp(rows[i].op, "linear") == 0) linear += rows[i].n_calls;
        flops += rows[i].flops;
    }
    fl_program_stats s;
    fl_program_stats_get(t.p, &s);
    CHECK(linear == 2 * (3 * 6 + 1) && fabs(flops - 2 * s.flops) < 1 &&
          fl_program_profile_rows(t.p, rows, 2) == 2);
    close_trainer(&t);
}

/* State is written where the caller keeps it; a value that is read later may not be overwritten. */
static void check_in_place(void) {
    float cache[2 * 4 * 1 * 2] = {0}, rows[2 * 1 * 1 * 2] = {1, 2, 3, 4};
    int32_t at[2] = {0, 3};
    const int64_t two = 2;
    fl_graph *g = fl_graph_new();
    fl_err err = {0};
    const fl_val c = fl_extern(g, "cache", fl_tensor_of(cache, FL_F32, 4, (int64_t[]){2, 4, 1, 2}),
                               false);
    const fl_val x = fl_extern(g, "x", fl_tensor_of(rows, FL_F32, 4, (int64_t[]){2, 1, 1, 2}),
                               false);
    const fl_val start = fl_extern(g, "start", fl_tensor_of(at, FL_I32, 1, &two), false);
    (void)fl_cache_append(g, c, x, start, FL_NONE);  // nobody reads it, and yet it must run
    fl_program *p = NULL;
    CHECK(fl_program_new(&p, g, NULL, &err) == FL_OK && fl_program_run(p, false, &err) == FL_OK);
    CHECK(cache[0] == 1 && cache[1] == 2 && cache[8 + 6] == 3 && cache[8 + 7] == 4 &&
          cache[2] == 0);
    const fl_backend *best;
    CHECK(fl_backend_pick(&best, &err) == FL_OK);
    CHECK(count_in_print(p, best->name) == 1);  // kernels are told that it is in place
    fl_program_free(p);

    fl_graph_output(g, fl_scale(g, c, 2));  // the cache as it was before
    p = NULL;
    CHECK(fl_program_new(&p, g, NULL, &err) == FL_ERR_ARG && !p && strstr(err.msg, "overwrites"));
    fl_graph_free(g);
}

/* Ids come from files: one that is no row of the table is an error, before anything is read. */
static void check_values(void) {
    trainer t;
    CHECK(open_trainer(&t, &weights, FL_F32, NULL) == FL_OK);
    feed(&t, 1);
    int32_t *tokens = fl_program_tensor(t.p, t.m.tokens).data;
    int32_t *targets = fl_program_tensor(t.p, t.m.targets).data;
    tokens[5] = SMALL_V;
    CHECK(fl_program_run(t.p, false, &t.err) == FL_ERR_ARG);
    CHECKF(strcmp(t.err.msg, "embedding: in[0] element 5 is 13, outside [0, 13)") == 0, "%s",
           t.err.msg);
    tokens[5] = -1;
    CHECK(fl_program_run(t.p, false, &t.err) == FL_ERR_ARG);
    tokens[5] = 0, targets[0] = SMALL_V;
    CHECK(fl_program_run(t.p, false, &t.err) == FL_ERR_ARG && strstr(t.err.msg, "linear_ce"));
    targets[0] = -100;
    CHECKF(fl_program_run(t.p, false, &t.err) == FL_OK, "%s", t.err.msg);
    close_trainer(&t);
}

static void check_nothing_to_do(void) {
    fl_graph *g = fl_graph_new();
    fl_program *p = NULL;
    fl_err err = {0};
    (void)fl_scale(g, fl_input(g, "x", FL_F32, 1, (int64_t[]){3}), 2);
    CHECK(fl_program_new(&p, g, NULL, &err) == FL_ERR_ARG && !p && strstr(err.msg, "no output"));
    fl_graph_free(g);
}

static void check_out_of_memory(void) {
    const fl_program_opts opts = {.memory_limit = 1 << 20};
    for (long n = 1;; n++) {
        trainer t = {0};
        small_build(&t.m, &weights, FL_F32, FL_BF16, true);
        fl_graph_backward(t.m.g, t.m.loss);
        fl_alloc_fail_at(n);
        const fl_status s = fl_program_new(&t.p, t.m.g, &opts, &t.err);
        const bool reached = fl_alloc_fail_at(0);
        CHECKF(reached ? s == FL_ERR_NOMEM && !t.p : s == FL_OK, "allocation %ld: %s", n,
               t.err.msg);
        close_trainer(&t);
        if (!reached) return;
    }
}

int main(void) {
    folder_make();
    check_threads();
    check_backends();
    check_memory();
    check_accumulation();
    check_fusion();
    check_joined();
    check_joined_blocks();
    check_packs();
    check_packs_later();
    check_validation();
    check_profile();
    check_in_place();
    check_values();
    check_nothing_to_do();
    check_out_of_memory();
    folder_remove();
    return check_report();
}
