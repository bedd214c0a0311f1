/* sampler_llama - golden values for check_sampler: what llama.cpp's samplers leave of rows of logits.
 *
 *     cc sampler_llama.c -Iinclude -lllama -lggml-base -lm -o sampler_llama    (llama.cpp's own folders)
 *     sampler_llama ANY.gguf > tests/data/infer/sampler_llama.json
 *
 * The file is read for its vocabulary, which DRY asks for. The chain is llama.cpp's default one; the
 * case's numbers are its flags, with the field names of fl_sampler_opts. Mirostat's row is its first
 * draw, where mu is 2 tau. No case has sigma and typical together: the former leaves logits of -inf
 * there, of which llama.cpp's typical makes an entropy that is no number. The probabilities are the softmax of the logits that are left. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"

enum { V = 40, HISTORY = 24 };

typedef struct {
    float temperature, range, exponent, top_p, min_p, typical, sigma, xtc_p, xtc_t, repeat,
        frequency, presence, dry, dry_base, tau, eta;
    int top_k, last_n, dry_length, dry_last_n, mirostat;
} options;

static const options cases[] = {
    {.temperature = 1},
    {.temperature = 0.7f, .top_k = 7},
    {.temperature = 1, .top_p = 0.9f},
    {.temperature = 1.6f, .top_p = 0.35f},
    {.temperature = 1, .min_p = 0.05f},
    {.temperature = 2, .min_p = 0.5f},
    {.temperature = 1, .typical = 0.9f},
    {.temperature = 1, .typical = 0.5f},
    {.temperature = 1, .typical = 0.1f},
    {.temperature = 1, .sigma = 0.5f},
    {.temperature = 1.3f, .sigma = 1},
    {.temperature = 1, .sigma = 2, .top_k = 9},
    {.temperature = 1, .xtc_p = 1, .xtc_t = 0.05f},
    {.temperature = 1, .xtc_p = 1, .xtc_t = 0.2f},
    {.temperature = 1, .xtc_p = 1, .xtc_t = 0.5f, .top_p = 0.95f},
    {.temperature = 1, .repeat = 1.3f},
    {.temperature = 1, .repeat = 1.3f, .last_n = 5},
    {.temperature = 1, .frequency = 0.4f, .presence = 0.3f},
    {.temperature = 0.9f, .repeat = 0.8f, .frequency = -0.4f, .presence = 0.7f, .last_n = 9},
    {.temperature = 1, .dry = 0.8f, .dry_base = 1.75f, .dry_length = 2},
    {.temperature = 1, .dry = 1.1f, .dry_base = 1.2f, .dry_length = 1},
    {.temperature = 1, .dry = 1.1f, .dry_base = 1.5f, .dry_length = 4},
    {.temperature = 1, .dry = 2, .dry_base = 1.5f, .dry_length = 2, .dry_last_n = 10},
    {.temperature = 1, .mirostat = 1, .tau = 2, .eta = 0.1f},
    {.temperature = 0.8f, .mirostat = 1, .tau = 4, .eta = 0.1f},
    {.temperature = 1, .mirostat = 2, .tau = 1, .eta = 0.1f},
    {.temperature = 1.4f, .mirostat = 2, .tau = 1.5f, .eta = 0.1f},
    {.temperature = 0.8f, .range = 0.5f, .exponent = 1},
    {.temperature = 1.2f, .range = 1, .exponent = 2, .top_k = 10},
    {.temperature = 0.8f, .top_k = 20, .top_p = 0.95f, .min_p = 0.05f},
    {.temperature = 0.9f,
     .top_k = 30,
     .top_p = 0.9f,
     .min_p = 0.02f,
     .typical = 0.95f,
     .repeat = 1.2f,
     .presence = 0.2f,
     .dry = 0.5f,
     .dry_base = 1.75f,
     .dry_length = 2},
    {.temperature = 0.9f, .top_k = 30, .top_p = 0.9f, .min_p = 0.02f, .sigma = 1.5f},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static uint32_t state = 12345;

static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void add(struct llama_sampler *chain, struct llama_sampler *s) {
    llama_sampler_chain_add(chain, s);
}

static struct llama_sampler *chain_of(const options *o, const struct llama_vocab *v) {
    struct llama_sampler *c = llama_sampler_chain_init(llama_sampler_chain_default_params());
    const int all = o->last_n ? o->last_n : HISTORY;
    if (o->mirostat) {
        add(c, llama_sampler_init_temp(o->temperature));
        add(c, o->mirostat == 1 ? llama_sampler_init_mirostat(V, 1, o->tau, o->eta, 100)
                                : llama_sampler_init_mirostat_v2(1, o->tau, o->eta));
        return c;
    }
    add(c, llama_sampler_init_penalties(V, all, o->repeat > 0 ? o->repeat : 1, o->frequency,
                                        o->presence));
    add(c, llama_sampler_init_dry(v, o->dry, o->dry_base, o->dry_length,
                                  o->dry_last_n ? o->dry_last_n : HISTORY, NULL, 0));
    if (o->sigma > 0) add(c, llama_sampler_init_top_n_sigma(o->sigma));
    if (o->top_k) add(c, llama_sampler_init_top_k(o->top_k));
    if (o->typical > 0) add(c, llama_sampler_init_typical(o->typical, 1));
    if (o->top_p > 0) add(c, llama_sampler_init_top_p(o->top_p, 1));
    if (o->min_p > 0) add(c, llama_sampler_init_min_p(o->min_p, 1));
    if (o->xtc_p > 0) add(c, llama_sampler_init_xtc(o->xtc_p, o->xtc_t, 1, 1));
    add(c,
        llama_sampler_init_temp_ext(o->temperature, o->range, o->exponent > 0 ? o->exponent : 1));
    return c;
}

static void put(const char *name, double value, const char **gap) {
    if (value == 0) return;
    printf("%s\"%s\": %.9g", *gap, name, value);
    *gap = ", ";
}

static void print_options(const options *o) {
    const char *gap = "";
    put("temperature", o->temperature, &gap);
    put("dynatemp_range", o->range, &gap);
    put("dynatemp_exponent", o->exponent, &gap);
    put("top_k", o->top_k, &gap);
    put("top_p", o->top_p, &gap);
    put("min_p", o->min_p, &gap);
    put("typical_p", o->typical, &gap);
    put("top_n_sigma", o->sigma, &gap);
    put("xtc_probability", o->xtc_p, &gap);
    put("xtc_threshold", o->xtc_t, &gap);
    put("repeat_penalty", o->repeat, &gap);
    put("frequency_penalty", o->frequency, &gap);
    put("presence_penalty", o->presence, &gap);
    put("repeat_last_n", o->last_n, &gap);
    put("dry_multiplier", o->dry, &gap);
    put("dry_base", o->dry_base, &gap);
    put("dry_allowed_length", o->dry_length, &gap);
    put("dry_last_n", o->dry_last_n, &gap);
    put("mirostat", o->mirostat, &gap);
    put("mirostat_tau", o->tau, &gap);
    put("mirostat_eta", o->eta, &gap);
}

static int likelier(const void *a, const void *b) {
    const llama_token_data *p = a, *q = b;
    return p->logit != q->logit ? (p->logit < q->logit ? 1 : -1) : p->id - q->id;
}

static void print_left(llama_token_data_array *a) {
    size_t n = 0;
    double sum = 0;
    for (size_t i = 0; i < a->size; i++)
        if (a->data[i].logit > -INFINITY) a->data[n++] = a->data[i];
    qsort(a->data, n, sizeof *a->data, likelier);
    for (size_t i = 0; i < n; i++) sum += exp((double)a->data[i].logit - (double)a->data[0].logit);
    printf("\"ids\": [");
    for (size_t i = 0; i < n; i++) printf("%s%d", i ? ", " : "", a->data[i].id);
    printf("], \"p\": [");
    for (size_t i = 0; i < n; i++)
        printf("%s%.9g", i ? ", " : "",
               exp((double)a->data[i].logit - (double)a->data[0].logit) / sum);
    printf("]");
}

static void print_case(const options *o, const struct llama_vocab *v) {
    llama_token_data data[V];
    llama_token_data_array left = {data, V, -1, false};
    struct llama_sampler *c = chain_of(o, v);
    printf("{\"options\": {");
    print_options(o);
    printf("}, \"history\": [");
    for (int i = 0; i < HISTORY; i++) {
        const int id = (int)draw(5) ? i % 6 : (int)draw(V);  // repetitions, for DRY
        llama_sampler_accept(c, id);
        printf("%s%d", i ? ", " : "", id);
    }
    printf("], \"logits\": [");
    for (int i = 0; i < V; i++) {
        double z = -24;
        for (int k = 0; k < 12; k++) z += (double)draw(65536) / 16384;
        data[i] = (llama_token_data){.id = i, .logit = (float)(z * 0.7)};
        printf("%s%.9g", i ? ", " : "", (double)data[i].logit);
    }
    llama_sampler_apply(c, &left);
    printf("], ");
    print_left(&left);
    printf("}");
    llama_sampler_free(c);
}

int main(int argc, char **argv) {
    struct llama_model_params p = llama_model_default_params();
    p.vocab_only = true;
    llama_backend_init();
    struct llama_model *m = argc == 2 ? llama_model_load_from_file(argv[1], p) : NULL;
    if (!m) return EXIT_FAILURE;
    for (int i = 0; i < N_CASES; i++) {
        printf(i ? ",\n" : "[");
        print_case(&cases[i], llama_model_get_vocab(m));
    }
    puts("]");
    llama_model_free(m);
    return EXIT_SUCCESS;
}
