/* check_quantized - a whole model with weights in blocks gives the same logits on every backend,
 * decoding and reading a prompt.
 *
 * Inputs of its products are rounded to eight bits. A last bit that differs may send one of them to
 * the other neighbour, and whatever follows in this text then differs by about the noise of that
 * rounding. So of many short texts one at least must agree to the last bits, and each must to that
 * noise, which is measured: the distance to the same weights widened to f32, whose inputs are not
 * rounded. In bf16 a prompt is only held to the noise, as fast backends round inside attention.
 *
 * Caught by it (each tried): a reference that does not round its inputs, or rounds the weights to
 * bf16 as well; a fast backend that does not round. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "folder.h"
#include "infer/session.h"
#include "model/arch.h"

enum { TEXTS = 12, LENGTH = 4, V = 256, WIDTH = 256 };

static int32_t tokens[TEXTS][LENGTH];

/* After the last token of each text. */
typedef float answers[TEXTS][V];

static const fl_model_opts as_stored = {.as_stored = true, .no_tokenizer = true},
                           as_f32 = {.dtype = FL_F32, .no_tokenizer = true};

static fl_model *make(void) {
    fl_model *m = NULL;
    fl_err err = {0};
    const fl_config c = {.arch = fl_arch_find("llama"),
                         .vocab_size = V,
                         .hidden_size = WIDTH,
                         .intermediate_size = WIDTH,
                         .num_hidden_layers = 2,
                         .num_attention_heads = 4,
                         .num_key_value_heads = 2,
                         .head_dim = WIDTH / 4,
                         .max_position_embeddings = LENGTH,
                         .rope_theta = 10000,
                         .norm_eps = 1e-5,
                         .initializer_range = 0.08};
    CHECKF(fl_model_new(&m, &c, 5, &err) == FL_OK, "%s", err.msg);
    return m;
}

static fl_status read_text(fl_session *s, const int32_t *text, bool prompt, float *out,
                           fl_err *err) {
    const float *z;
    fl_session_rewind(s, 0);
    if (prompt) {
        FL_TRY(fl_session_feed(s, text, LENGTH, err));
        z = fl_session_logits(s);
    } else {
        FL_TRY(fl_session_feed_each(s, text, LENGTH, &z, err));
        z += (LENGTH - 1) * V;
    }
    memcpy(out, z, V * sizeof *z);
    return FL_OK;
}

static bool ask(answers out, const char *path, const fl_model_opts *opts, fl_session_opts o,
                bool prompt) {
    fl_model *m = NULL;
    fl_session *s = NULL;
    fl_err err = {0};
    fl_status st = fl_model_load(&m, path, opts, &err);
    if (st == FL_OK) st = fl_session_new(&s, m, &o, &err);
    for (int i = 0; st == FL_OK && i < TEXTS; i++)
        st = read_text(s, tokens[i], prompt, out[i], &err);
    CHECKF(st == FL_OK, "%s", err.msg);
    fl_session_free(s);
    fl_model_free(m);
    return st == FL_OK;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    double of[TEXTS];  // root mean square of the differences in each text, the least first
} distances;

/* NaN counts as much. */
static distances between(answers a, answers b) {
    distances d;
    for (int i = 0; i < TEXTS; i++) {
        double sum = 0;
        for (int v = 0; v < V; v++) sum += pow((double)a[i][v] - (double)b[i][v], 2);
        d.of[i] = sum < INFINITY ? sqrt(sum / V) : INFINITY;
    }
    qsort(d.of, TEXTS, sizeof *d.of, by_size);
    return d;
}

static void check_backends(const char *path, fl_dtype dtype, fl_compute compute, bool prompt) {
    static const char *const names[] = {"amx", "avx512", "avx2", "portable", "blocks"};
    static answers want, exact, got;
    const fl_backend *ref = fl_backend_find("ref");
    fl_session_opts o = {.compute = compute, .backend = ref};
    if (!ask(want, path, &as_stored, o, prompt) || !ask(exact, path, &as_f32, o, prompt)) return;
    const distances noise = between(want, exact);
    CHECKF(noise.of[0] > 1e-3, "%s: inputs are not rounded, off by %g", fl_dtype_name(dtype),
           noise.of[0]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        o.backend = fl_backend_find(names[i]);
        if (!o.backend || !o.backend->available() || !ask(got, path, &as_stored, o, prompt))
            continue;
        const distances d = between(got, want);
        CHECKF(d.of[TEXTS - 1] < 1.5 * noise.of[TEXTS - 1], "%s, %s: off by %g", names[i],
               fl_dtype_name(dtype), d.of[TEXTS - 1]);
        if (compute == FL_COMPUTE_BF16 && prompt) continue;
        CHECKF(d.of[0] < 3e-6, "%s, %s: every text is off by %g or more", names[i],
               fl_dtype_name(dtype), d.of[0]);
    }
}

int main(void) {
    static const fl_dtype formats[] = {FL_Q4_1, FL_Q8_0, FL_Q4_K, FL_Q6_K};
    folder_make();
    fl_rng rng = {.seed = 3};
    for (int i = 0; i < TEXTS * LENGTH; i++)
        tokens[i / LENGTH][i % LENGTH] = (int32_t)fl_rng_below(&rng, V);
    fl_model *m = make();
    for (size_t i = 0; m && i < sizeof formats / sizeof *formats; i++) {
        const char *path = folder_file("m.gguf");
        fl_err err = {0};
        CHECKF(fl_model_save_gguf(m, path, "m", formats[i], &err) == FL_OK, "%s", err.msg);
        for (int prompt = 0; prompt < 2; prompt++) {
            check_backends(path, formats[i], FL_COMPUTE_F32, prompt);
            check_backends(path, formats[i], FL_COMPUTE_BF16, prompt);
        }
    }
    fl_model_free(m);
    folder_remove();
    return check_report();
}
