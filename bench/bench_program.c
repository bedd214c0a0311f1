/* bench_program - what the executor itself costs.
 *
 *   overhead   a chain of 1000 scalings of 16 numbers: time a node, arithmetic included
 *   decode     one token of a model of stories260K's size (5 layers, d 64), and its time a node
 *   plan       fl_program_new of a training graph of 24 layers, weights not packed
 *
 * Tab-separated: what, nodes, median of 21 in microseconds, microseconds a node. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/program.h"
#include "base/alloc.h"
#include "base/progress.h"

enum { ROUNDS = 21 };

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void must(fl_status s, const fl_err *err) {
    if (s == FL_OK) return;
    fprintf(stderr, "%s\n", err->msg);
    exit(EXIT_FAILURE);
}

static void report(const char *what, int nodes, double *seconds) {
    qsort(seconds, ROUNDS, sizeof *seconds, by_value);
    const double us = 1e6 * seconds[ROUNDS / 2];
    printf("%s\t%d\t%.2f\t%.3f\n", what, nodes, us, us / nodes);
}

static void time_runs(const char *what, fl_graph *g, int repeats) {
    fl_program *p;
    fl_err err = {0};
    double seconds[ROUNDS];
    must(fl_program_new(&p, g, NULL, &err), &err);
    must(fl_program_run(p, false, &err), &err);
    for (int r = 0; r < ROUNDS; r++) {
        const double start = fl_now();
        for (int i = 0; i < repeats; i++) must(fl_program_run(p, false, &err), &err);
        seconds[r] = (fl_now() - start) / repeats;
    }
    report(what, fl_graph_n_nodes(g), seconds);
    fl_program_free(p);
}

static void overhead(void) {
    fl_graph *g = fl_graph_new();
    fl_val x = fl_input(g, "x", FL_F32, 1, (int64_t[]){16});
    for (int i = 0; i < 1000; i++) x = fl_scale(g, x, 1.0f);
    fl_graph_output(g, x);
    time_runs("overhead", g, 20);
    fl_graph_free(g);
}

/* --- a llama of any size --- */

typedef struct {
    fl_graph *g;
    int64_t B, T, S, C, H, K, D, F, V;  // S > 0: keys are cached
    bool train;
    char *memory;  // handed out to weights and caches
    fl_val position, start, freq;
} llama;

static fl_val weight(llama *m, int rank, const int64_t *dim) {
    fl_tensor t = fl_tensor_of(m->memory, FL_F32, rank, dim);
    m->memory += (fl_tensor_bytes(&t) + 63) / 64 * 64;
    return fl_extern(m->g, "w", t, m->train);
}

static fl_val project(llama *m, fl_val x, int64_t n, int64_t k) {
    return fl_linear(m->g, x, weight(m, 2, (int64_t[]){n, k}), FL_NONE, FL_F32);
}

static fl_val heads(llama *m, fl_val x, int64_t n, bool turn) {
    x = fl_reshape(m->g, project(m, x, n * m->D, m->C), 4, (int64_t[]){m->B, m->T, n, m->D});
    return turn ? fl_rope(m->g, x, m->position, m->freq, false) : x;
}

static fl_val cached(llama *m, fl_val x) {
    if (!m->S) return x;
    const bool train = m->train;
    m->train = false;
    const fl_val cache = weight(m, 4, (int64_t[]){m->B, m->S, m->K, m->D});
    m->train = train;
    return fl_cache_append(m->g, cache, x, m->start, FL_NONE);
}

static fl_val layer(llama *m, fl_val x, int i) {
    char name[32];
    snprintf(name, sizeof name, "layer %d", i);
    fl_graph_scope(m->g, name);
    fl_val h = fl_rms_norm(m->g, x, weight(m, 1, &m->C), 1e-5f, FL_F32);
    const fl_attention_args a = {.q = heads(m, h, m->H, true),
                                 .k = cached(m, heads(m, h, m->K, true)),
                                 .v = cached(m, heads(m, h, m->K, false)),
                                 .segment = FL_NONE,
                                 .start = m->start,
                                 .sink = FL_NONE,
                                 .causal = true};
    h = fl_reshape(m->g, fl_attention(m->g, &a), 3, (int64_t[]){m->B, m->T, m->C});
    x = fl_add(m->g, x, project(m, h, m->C, m->C));
    h = fl_rms_norm(m->g, x, weight(m, 1, &m->C), 1e-5f, FL_F32);
    h = fl_gated(m->g, FL_UNARY_SILU, project(m, h, m->F, m->C), project(m, h, m->F, m->C));
    return fl_add(m->g, x, project(m, h, m->C, m->F));
}

static fl_val hidden(llama *m, fl_val table, int n_layers) {
    const fl_val tokens = fl_input(m->g, "tokens", FL_I32, 2, (int64_t[]){m->B, m->T});
    const int64_t half = m->D / 2;
    m->position = fl_input(m->g, "position", FL_I32, 2, (int64_t[]){m->B, m->T});
    m->freq = fl_input(m->g, "freq", FL_F32, 1, &half);
    m->start = m->S ? fl_input(m->g, "start", FL_I32, 1, &m->B) : FL_NONE;
    fl_val x = fl_embedding(m->g, tokens, table, FL_F32);
    for (int i = 0; i < n_layers; i++) x = layer(m, x, i);
    return fl_rms_norm(m->g, x, weight(m, 1, &m->C), 1e-5f, FL_F32);
}

static void decode(char *memory) {
    llama m = {.g = fl_graph_new(),
               .B = 1,
               .T = 1,
               .S = 512,
               .C = 64,
               .H = 8,
               .K = 4,
               .D = 8,
               .F = 172,
               .V = 512,
               .memory = memory};
    const fl_val table = weight(&m, 2, (int64_t[]){m.V, m.C});
    const fl_val x = hidden(&m, table, 5);
    fl_graph_output(m.g, fl_linear(m.g, x, table, FL_NONE, FL_F32));
    time_runs("decode", m.g, 100);
    fl_graph_free(m.g);
}

static void plan(char *memory) {
    double seconds[ROUNDS];
    llama m = {.g = fl_graph_new(),
               .B = 4,
               .T = 64,
               .C = 64,
               .H = 8,
               .K = 4,
               .D = 8,
               .F = 172,
               .V = 512,
               .memory = memory,
               .train = true};
    const fl_val table = weight(&m, 2, (int64_t[]){m.V, m.C});
    const fl_val targets = fl_input(m.g, "targets", FL_I32, 2, (int64_t[]){m.B, m.T});
    const fl_val nll = fl_linear_ce(m.g, hidden(&m, table, 24), table, targets, 0);
    const fl_val loss = fl_sum_to(m.g, nll, 1, (int64_t[]){1});
    fl_graph_output(m.g, loss);
    fl_graph_backward(m.g, loss);
    fl_packs *packs = fl_packs_new();
    for (int r = 0; r < ROUNDS; r++) {
        fl_program *p;
        fl_err err = {0};
        const double start = fl_now();
        must(fl_program_new(&p, m.g, &(fl_program_opts){.packs = packs}, &err), &err);
        seconds[r] = fl_now() - start;
        fl_program_free(p);
    }
    report("plan", fl_graph_n_nodes(m.g), seconds);
    fl_packs_free(packs);
    fl_graph_free(m.g);
}

int main(void) {
    fl_buffer *b;
    fl_err err = {0};
    must(fl_buffer_new(&b, 64 << 20, &err), &err);
    overhead();
    decode(fl_buffer_data(b));
    plan(fl_buffer_data(b));
    fl_buffer_unref(b);
    return EXIT_SUCCESS;
}
