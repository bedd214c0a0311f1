/* mix - the rows, after llama.cpp's llama_tensor_get_type. The first rule that applies decides. */
#include "compress/mix.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum { NO_ROLE, HEAD, V, K, OUT, DOWN, EXPERT } role;

/* The layers a rule is for, i of n. */
typedef enum {
    ALL,
    FIRST_2,
    FIRST_4,
    FIRST_EIGHTH,
    FIRST_SIXTEENTH,
    MORE,  // the first and last eighth, and every third between
} layers;

typedef enum { ALWAYS, SHARED, WEIGHED, UNWEIGHED } condition;  // SHARED: 4 or more heads a value

typedef struct {
    role role;  // NO_ROLE ends a list
    layers layers;
    condition condition;
    fl_dtype dtype;
} rule;

enum { RULES_MAX = 6 };

struct fl_mix {
    const char *name;
    uint32_t file_type;
    fl_dtype dtype, head;
    fl_dtype few_out;  // attention's output in models of eight experts
    rule rules[RULES_MAX];
};

static const fl_mix mixes[] = {
    {"F32", 0, FL_F32, FL_F32, FL_F32, {{0}}},
    {"F16", 1, FL_F16, FL_F16, FL_F16, {{0}}},
    {"BF16", 32, FL_BF16, FL_BF16, FL_BF16, {{0}}},
    {"Q4_0", 2, FL_Q4_0, FL_Q6_K, FL_Q4_0, {{DOWN, FIRST_EIGHTH, WEIGHED, FL_Q4_1}}},
    {"Q4_1", 3, FL_Q4_1, FL_Q6_K, FL_Q4_1, {{0}}},
    {"Q5_0", 8, FL_Q5_0, FL_Q6_K, FL_Q5_0, {{DOWN, FIRST_EIGHTH, WEIGHED, FL_Q5_1}}},
    {"Q5_1", 9, FL_Q5_1, FL_Q6_K, FL_Q5_1, {{0}}},
    {"Q8_0", 7, FL_Q8_0, FL_Q8_0, FL_Q8_0, {{0}}},
    {"Q2_K",
     10,
     FL_Q2_K,
     FL_Q6_K,
     FL_Q5_K,
     {{V, ALL, SHARED, FL_Q4_K},
      {V, ALL, ALWAYS, FL_Q3_K},
      {DOWN, ALL, ALWAYS, FL_Q3_K},
      {OUT, ALL, ALWAYS, FL_Q3_K}}},
    {"Q2_K_S",
     21,
     FL_Q2_K,
     FL_Q6_K,
     FL_Q2_K,
     {{V, ALL, SHARED, FL_Q4_K}, {DOWN, FIRST_EIGHTH, ALWAYS, FL_Q4_K}}},
    {"Q3_K_S", 11, FL_Q3_K, FL_Q6_K, FL_Q5_K, {{0}}},
    {"Q3_K_M",
     12,
     FL_Q3_K,
     FL_Q6_K,
     FL_Q5_K,
     {{V, FIRST_2, ALWAYS, FL_Q5_K},
      {V, ALL, ALWAYS, FL_Q4_K},
      {DOWN, FIRST_SIXTEENTH, ALWAYS, FL_Q5_K},
      {DOWN, ALL, ALWAYS, FL_Q4_K},
      {OUT, ALL, ALWAYS, FL_Q4_K}}},
    {"Q3_K_L",
     13,
     FL_Q3_K,
     FL_Q6_K,
     FL_Q3_K,
     {{V, ALL, ALWAYS, FL_Q5_K}, {DOWN, ALL, ALWAYS, FL_Q5_K}, {OUT, ALL, ALWAYS, FL_Q5_K}}},
    {"Q4_K_S",
     14,
     FL_Q4_K,
     FL_Q6_K,
     FL_Q5_K,
     {{V, FIRST_4, ALWAYS, FL_Q5_K}, {DOWN, FIRST_EIGHTH, ALWAYS, FL_Q5_K}}},
    {"Q4_K_M",
     15,
     FL_Q4_K,
     FL_Q6_K,
     FL_Q5_K,
     {{V, MORE, ALWAYS, FL_Q6_K}, {DOWN, MORE, ALWAYS, FL_Q6_K}}},
    {"Q5_K_S", 16, FL_Q5_K, FL_Q6_K, FL_Q5_K, {{0}}},
    {"Q5_K_M",
     17,
     FL_Q5_K,
     FL_Q6_K,
     FL_Q5_K,
     {{V, MORE, ALWAYS, FL_Q6_K}, {DOWN, MORE, ALWAYS, FL_Q6_K}}},
    {"Q6_K", 18, FL_Q6_K, FL_Q6_K, FL_Q6_K, {{0}}},
    {"IQ4_NL",
     25,
     FL_IQ4_NL,
     FL_Q6_K,
     FL_Q5_K,
     {{V, ALL, SHARED, FL_Q5_K}, {DOWN, FIRST_EIGHTH, UNWEIGHED, FL_Q5_K}}},
    {"IQ4_XS",
     30,
     FL_IQ4_XS,
     FL_Q6_K,
     FL_Q5_K,
     {{V, ALL, SHARED, FL_Q5_K}, {DOWN, FIRST_EIGHTH, UNWEIGHED, FL_Q5_K}}},
    {"MXFP4", 38, FL_MXFP4, FL_Q8_0, FL_MXFP4, {{0}}},
    {"MXFP4_MOE", 38, FL_Q8_0, FL_Q8_0, FL_Q8_0, {{EXPERT, ALL, ALWAYS, FL_MXFP4}}},
};

enum { N_MIXES = sizeof mixes / sizeof mixes[0] };

const fl_mix *fl_mix_find(const char *name) {
    for (int i = 0; i < N_MIXES; i++)
        if (strcasecmp(mixes[i].name, name) == 0) return &mixes[i];
    return strcasecmp(name, "Q3_K") == 0   ? fl_mix_find("Q3_K_M")
           : strcasecmp(name, "Q4_K") == 0 ? fl_mix_find("Q4_K_M")
           : strcasecmp(name, "Q5_K") == 0 ? fl_mix_find("Q5_K_M")
                                           : NULL;
}

const char *fl_mix_name(const fl_mix *m) {
    return m->name;
}

uint32_t fl_mix_file_type(const fl_mix *m) {
    return m->file_type;
}

const fl_mix *fl_mix_at(int i) {
    return i < N_MIXES ? &mixes[i] : NULL;
}

bool fl_mix_quantizes(const char *tensor, int rank) {
    static const char *const kept[] = {"_norm.weight", "ffn_gate_inp", "position_embd",
                                       "token_types",  "rope_f",       "ssm_conv1d"};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (strstr(tensor, kept[i])) return false;
    const size_t n = strlen(tensor);
    return rank >= 2 && n > 6 && strcmp(tensor + n - 6, "weight") == 0;
}

static role role_of(const fl_mix_facts *f, const char *tensor, int rank) {
    static const struct {
        const char *part;
        role role;
    } roles[] = {{"attn_qkv.", V}, {"attn_kv_b.", V},     {"attn_v.", V},
                 {"attn_k.", K},   {"attn_output.", OUT}, {"ffn_down", DOWN}};
    if (strcmp(tensor, "output.weight") == 0) return HEAD;
    if (strcmp(tensor, "token_embd.weight") == 0) return f->tied ? HEAD : NO_ROLE;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strstr(tensor, roles[i].part)) return roles[i].role;
    return rank == 3 ? EXPERT : NO_ROLE;
}

static bool applies_here(layers which, int64_t i, int64_t n) {
    switch (which) {
    case ALL: return true;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case FIRST_EIGHTH: return i < n / 8;
    case FIRST_SIXTEENTH: return i < n / 16;
    case MORE: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    }
    return false;
}

static bool applies_to(condition c, const fl_mix_facts *f) {
    switch (c) {
    case ALWAYS: return true;
    case SHARED: return f->kv_heads > 0 && f->heads / f->kv_heads >= 4;
    case WEIGHED: return f->importance;
    case UNWEIGHED: return !f->importance;
    }
    return false;
}

/* Models of eight experts share little attention between much else, and 80 layers of Llama have
 * eight heads a value: both afford it more bits. */
static fl_dtype for_the_few(const fl_mix *m, const fl_mix_facts *f, role r, fl_dtype t) {
    const bool plain = !fl_dtype_is_block(m->dtype);
    if (plain) return t;
    if (r == V && f->layers == 80 && f->kv_heads < f->heads && (t == FL_Q3_K || t == FL_Q4_K))
        t = FL_Q5_K;
    if (f->experts != 8) return t;
    return r == V || r == K ? FL_Q8_0 : r == OUT ? m->few_out : t;
}

fl_dtype fl_mix_fitting(fl_dtype wanted, int64_t cols) {
    static const struct {
        fl_dtype from, to;
    } smaller[] = {{FL_Q2_K, FL_Q4_0}, {FL_Q3_K, FL_Q4_0}, {FL_Q4_K, FL_Q5_0},
                   {FL_Q5_K, FL_Q5_1}, {FL_Q6_K, FL_Q8_0}, {FL_IQ4_XS, FL_IQ4_NL}};
    if (cols % fl_dtype_block(wanted) == 0) return wanted;
    for (size_t i = 0; i < sizeof smaller / sizeof smaller[0]; i++)
        if (smaller[i].from == wanted && cols % fl_dtype_block(smaller[i].to) == 0)
            return smaller[i].to;
    return FL_F16;
}

fl_dtype fl_mix_choose(const fl_mix *m, const fl_mix_facts *f, const char *tensor, int rank,
                       const int64_t *dim) {
    const role r = role_of(f, tensor, rank);
    int layer = 0;
    if (sscanf(tensor, "blk.%d.", &layer) != 1) layer = 0;
    fl_dtype t = m->dtype;
    if (r == HEAD)
        return fl_dtype_is_block(t) && dim[rank - 1] % fl_dtype_block(t) ? FL_Q8_0 : m->head;
    for (const rule *x = m->rules; x < m->rules + RULES_MAX && x->role != NO_ROLE; x++) {
        const bool mine = x->role == r || (x->role == EXPERT && rank == 3);
        if (!mine || !applies_here(x->layers, layer, f->layers) || !applies_to(x->condition, f))
            continue;
        t = x->dtype;
        break;
    }
    return for_the_few(m, f, r, t);
}
