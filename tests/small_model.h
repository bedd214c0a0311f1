/* small_model.h - a transformer of two layers as a graph, for tests of graphs and programs: tied
 * embedding, one shared norm gain, biases, rotary positions, grouped heads, documents, a gated and
 * a plain feed-forward. */
#ifndef FL_TESTS_SMALL_MODEL_H
#define FL_TESTS_SMALL_MODEL_H

#include <string.h>

#include "base/rng.h"
#include "graph/graph.h"

enum {
    SMALL_B = 2,
    SMALL_T = 6,
    SMALL_C = 16,
    SMALL_H = 4,
    SMALL_K = 2,
    SMALL_D = 4,
    SMALL_F = 24,
    SMALL_V = 13
};
enum { SMALL_PARAMS = 40, SMALL_NUMBERS = 8192, SMALL_LAYERS = 3 };

/* Weights and gradients, owned by the test so that graphs can share them. */
typedef struct {
    fl_dtype dtype;
    int used;
    double memory[SMALL_NUMBERS], grads[SMALL_NUMBERS];  // read as f32 or f64
} small_weights;

typedef struct {
    fl_graph *g;
    small_weights *w;
    fl_dtype compute;
    fl_val tokens, targets, position, segment, freq, weight, nll, loss;
    fl_val param[SMALL_PARAMS];
    int n_params;
    bool bind;
    fl_rng rng;
} small_model;

static double small_freq[SMALL_D / 2];

/* A parameter of random numbers around `mean`. The first graph fills it; later ones draw the
 * same. */
static fl_val small_param(small_model *m, const char *name, double mean, int rank,
                          const int64_t *dim) {
    fl_tensor t = fl_tensor_of(m->w->memory + m->w->used, m->w->dtype, rank, dim);
    const fl_val p = fl_extern(m->g, name, t, true);
    for (int64_t i = 0, n = fl_tensor_count(&t); i < n; i++)
        fl_tensor_set(&t, i, mean + 0.5 * fl_rng_double(&m->rng) - 0.25);
    if (m->bind) fl_graph_bind_grad(m->g, p, m->w->grads + m->w->used);
    m->w->used += (int)fl_tensor_count(&t);
    if (m->n_params < SMALL_PARAMS) m->param[m->n_params++] = p;
    return p;
}

static fl_val small_linear(small_model *m, fl_val x, int64_t n, int64_t k, bool bias) {
    const fl_val w = small_param(m, "w", 0, 2, (int64_t[]){n, k});
    return fl_linear(m->g, x, w, bias ? small_param(m, "b", 0, 1, &n) : FL_NONE, m->compute);
}

static fl_val small_heads(small_model *m, fl_val x, int64_t heads, bool rotate) {
    x = fl_reshape(m->g, small_linear(m, x, heads * SMALL_D, SMALL_C, true), 4,
                   (int64_t[]){SMALL_B, SMALL_T, heads, SMALL_D});
    return rotate ? fl_rope(m->g, x, m->position, m->freq, false) : x;
}

static fl_val small_layer(small_model *m, fl_val x, fl_val gain, int i) {
    fl_graph_scope(m->g, i ? i == 1 ? "layer 1" : "layer 2" : "layer 0");
    fl_val h = fl_rms_norm(m->g, x, gain, 1e-5f, m->compute);
    const fl_val q = small_heads(m, h, SMALL_H, true), k = small_heads(m, h, SMALL_K, true);
    const fl_attention_args a = {.q = q,
                                 .k = k,
                                 .v = small_heads(m, h, SMALL_K, false),
                                 .segment = m->segment,
                                 .start = FL_NONE,
                                 .sink = FL_NONE,
                                 .causal = true};
    h = fl_reshape(m->g, fl_attention(m->g, &a), 3, (int64_t[]){SMALL_B, SMALL_T, SMALL_C});
    x = fl_add(m->g, x, small_linear(m, h, SMALL_C, SMALL_C, false));
    const int64_t c = SMALL_C;
    h = fl_layer_norm(m->g, x, small_param(m, "ln.w", 1, 1, &c), small_param(m, "ln.b", 0, 1, &c),
                      1e-5f, m->compute);
    fl_val up = small_linear(m, h, SMALL_F, SMALL_C, false);
    up = i ? fl_unary_of(m->g, FL_UNARY_GELU_TANH, up)
           : fl_gated(m->g, FL_UNARY_SILU, small_linear(m, h, SMALL_F, SMALL_C, false), up);
    return fl_add(m->g, x, small_linear(m, up, SMALL_C, SMALL_F, true));
}

/* `dtype` of the weights: FL_F32, or FL_F64 for central differences. */
static void small_build(small_model *m, small_weights *w, fl_dtype dtype, fl_dtype compute,
                        bool bind) {
    *m = (small_model){.g = fl_graph_new(),
                       .w = w,
                       .compute = compute,
                       .bind = bind,
                       .rng = {.seed = 3}};
    if (!m->g) return;
    w->dtype = dtype;
    w->used = 0;
    const int64_t bt[] = {SMALL_B, SMALL_T}, n = SMALL_B * SMALL_T, c = SMALL_C, half = SMALL_D / 2;
    m->tokens = fl_input(m->g, "tokens", FL_I32, 2, bt);
    m->targets = fl_input(m->g, "targets", FL_I32, 2, bt);
    m->position = fl_input(m->g, "position", FL_I32, 2, bt);
    m->segment = fl_input(m->g, "segment", FL_I32, 2, bt);
    m->weight = fl_input(m->g, "weight", dtype, 1, &n);
    const fl_tensor freq = fl_tensor_of(small_freq, dtype, 1, &half);
    for (int i = 0; i < half; i++) fl_tensor_set(&freq, i, 1.0 / (1 + 3 * i));
    m->freq = fl_extern(m->g, "inv_freq", freq, false);

    const fl_val table = small_param(m, "embedding", 0, 2, (int64_t[]){SMALL_V, SMALL_C});
    const fl_val gain = small_param(m, "gain", 1, 1, &c);
    fl_val x = fl_embedding(m->g, m->tokens, table, dtype);
    for (int i = 0; i < SMALL_LAYERS; i++) x = small_layer(m, x, gain, i);
    fl_graph_scope(m->g, "head");
    x = fl_rms_norm(m->g, x, gain, 1e-5f, compute);
    m->nll = fl_linear_ce(m->g, x, table, m->targets, 0);
    m->loss = fl_sum_to(m->g, fl_mul(m->g, m->nll, m->weight), 1, (int64_t[]){1});
    fl_graph_output(m->g, m->loss);
    fl_graph_output(m->g, m->nll);
}

/* Tokens and targets of step `seed`, in the memory of a program; two documents a row. */
static void small_fill(fl_tensor tokens, fl_tensor targets, fl_tensor position, fl_tensor segment,
                       fl_tensor weight, uint64_t seed) {
    fl_rng rng = {.seed = seed, .stream = 9};
    for (int64_t i = 0; i < SMALL_B * SMALL_T; i++) {
        const int t = (int)(i % SMALL_T);
        ((int32_t *)tokens.data)[i] = (int32_t)fl_rng_below(&rng, SMALL_V);
        ((int32_t *)targets.data)[i] = (int32_t)fl_rng_below(&rng, SMALL_V + 1) - 1;
        ((int32_t *)position.data)[i] = t < 4 ? t : t - 4;
        ((int32_t *)segment.data)[i] = t >= 4;
        fl_tensor_set(&weight, i, 0.5 + fl_rng_double(&rng));
    }
}

#endif
