/* cmd_quantize - fledge quantize: a model with its weights in fewer bits. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/io.h"
#include "app/model_flags.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "base/file.h"
#include "compress/quantize.h"
#include "infer/perplexity.h"
#include "token/tokenizer.h"

enum { CHOICES_MAX = 64 };

/* ---- what is asked for ---- */

static fl_status unknown_mix(const char *name, fl_err *err) {
    char known[300] = "";
    for (int i = 0; fl_mix_at(i); i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, fl_mix_name(fl_mix_at(i)), sizeof known - strlen(known) - 1);
    }
    return fl_fail(err, FL_ERR_ARG, "--to %s: there are %s", name, known);
}

/* "ffn_down=q6_k"; `text` holds the part as long as the choices are used. */
static fl_status read_choice(const char *given, char text[128], fl_quantize_choice *out,
                             fl_err *err) {
    snprintf(text, 128, "%s", given);
    char *equals = strrchr(text, '=');
    if (!equals || equals == text)
        return fl_fail(err, FL_ERR_ARG, "--tensor %s: expected PART=FORMAT", given);
    *equals = '\0';
    out->part = text;
    if (!fl_dtype_from_name(&out->dtype, equals + 1) || !fl_quantize_writes(out->dtype))
        return fl_fail(err, FL_ERR_ARG, "--tensor %s: %s is no format that can be written", given,
                       equals + 1);
    return FL_OK;
}

typedef struct {
    fl_quantize_opts o;
    fl_quantize_choice choice[CHOICES_MAX];
    char text[CHOICES_MAX][128];
    fl_imatrix *imatrix;
    fl_progress progress;
} request;

static fl_status read_request(const app_args *a, request *q, fl_err *err) {
    const char *to = app_str(a, "to"), *imatrix = app_str(a, "imatrix");
    const char *const *choices;
    const int n = app_list(a, "tensor", &choices);
    q->o.mix = fl_mix_find(to);
    if (!q->o.mix) return unknown_mix(to, err);
    if (n > CHOICES_MAX) return fl_fail(err, FL_ERR_ARG, "more than %d --tensor", CHOICES_MAX);
    for (int i = 0; i < n; i++) FL_TRY(read_choice(choices[i], q->text[i], &q->choice[i], err));
    if (imatrix) FL_TRY(fl_imatrix_load(&q->imatrix, imatrix, err));
    q->progress = app_progress();
    q->o.imatrix = q->imatrix;
    q->o.choice = q->choice;
    q->o.n_choices = n;
    q->o.again = app_bool(a, "again");
    q->o.progress = &q->progress;
    return FL_OK;
}

/* ---- perplexity ---- */

static fl_status score(fl_session *s, const fl_text *text, double *out, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(s)->tokenizer;
    fl_ids ids = {0};
    fl_perplexity p = {0};
    if (!t) return fl_fail(err, FL_ERR_ARG, "the model has no tokenizer to read --text with");
    fl_status st = fl_encode(t, text->data, text->n, &(fl_encode_opts){.plain = true}, &ids, err);
    if (st == FL_OK)
        st = fl_perplexity_add(&p, s, ids.id, (int64_t)ids.n, &(fl_perplexity_opts){0}, err);
    fl_ids_clear(&ids);
    *out = exp(fl_perplexity_nll(&p));
    return st;
}

static fl_status perplexity_of(const app_args *a, const char *model, const fl_text *text,
                               double *out, fl_err *err) {
    fl_model *m = NULL;
    fl_session *s = NULL;
    if (!text->n) return FL_OK;
    fl_status st = app_session_open(a, model, &m, &s, err);
    if (st == FL_OK) st = score(s, text, out, err);
    fl_session_free(s);
    fl_model_free(m);
    return st;
}

/* What is wrong with it is said before the long work. */
static fl_status read_text(const app_args *a, fl_text *out, fl_err *err) {
    const char *file = app_str(a, "text");
    if (!file) return FL_OK;
    FL_TRY(app_read_text(a, app_n_args(a), "text", out, err));
    return out->n ? FL_OK : fl_fail(err, FL_ERR_ARG, "%s: there is no text in it", file);
}

/* ---- the answer ---- */

static void print_formats(const fl_quantize_report *r) {
    double all = 0;
    for (int i = 0; i < FL_DTYPE_COUNT; i++) all += r->weights_in[i];
    for (int i = 0; i < FL_DTYPE_COUNT; i++)
        if (r->weights_in[i] > 0)
            printf("  %-8s %6.2f %% of the weights\n", fl_dtype_name((fl_dtype)i),
                   100 * r->weights_in[i] / all);
}

static fl_status print_report(const app_args *a, const fl_quantize_report *r, const double ppl[2],
                              fl_err *err) {
    const char *out = app_str(a, "out");
    if (app_bool(a, "json")) {
        json_t *v = json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:f}", "out", out, "tensors",
                              r->n_tensors, "quantized", r->n_quantized, "weighted", r->n_weighted,
                              "fitted", r->n_fitted, "bytes_before", r->bytes_before, "bytes",
                              r->bytes_after, "relative_error", r->error);
        if (v && ppl[0] > 0) {
            json_object_set_new(v, "perplexity_before", json_real(ppl[0]));
            json_object_set_new(v, "perplexity", json_real(ppl[1]));
        }
        return app_print_json(v, err);
    }
    printf("%s: %.1f MB, was %.1f MB; %d of %d tensors quantized%s, relative error %.4f\n", out,
           r->bytes_after / 1e6, r->bytes_before / 1e6, r->n_quantized, r->n_tensors,
           r->n_weighted ? " (by importance)" : "", r->error);
    print_formats(r);
    if (r->n_fitted)
        printf(
            "  rows that are no whole blocks of their format, which is another then: %d tensors\n",
            r->n_fitted);
    if (ppl[0] > 0) printf("perplexity %.4f, was %.4f\n", ppl[1], ppl[0]);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    const char *model = app_arg(a, 0), *out = app_str(a, "out");
    request q = {0};
    fl_quantize_report r = {0};
    double ppl[2] = {0};
    fl_text text = {0};
    if (!out) return fl_fail(err, FL_ERR_ARG, "where to? give --out FILE.gguf");
    if (fl_path_same(model, out))  // nothing would be left to begin from again
        return fl_fail(err, FL_ERR_ARG, "--out %s is the model itself: give it another name", out);
    fl_status s = read_request(a, &q, err);
    if (s == FL_OK) s = read_text(a, &text, err);
    if (s == FL_OK) s = perplexity_of(a, model, &text, &ppl[0], err);
    if (s == FL_OK) s = fl_quantize_model(model, out, &q.o, &r, err);
    if (s == FL_OK) s = perplexity_of(a, out, &text, &ppl[1], err);
    fl_imatrix_free(q.imatrix);
    fl_text_clear(&text);
    return s == FL_OK ? print_report(a, &r, ppl, err) : s;
}

static const app_flag flags[] = {
    {"to", 0, FLAG_STR, "MIX", "Q4_K_M", .help = "mix of formats, as llama.cpp names them"},
    {"out", 'o', FLAG_STR, "FILE", .help = "GGUF file to write"},
    {"imatrix", 0, FLAG_STR, "FILE", .help = "importance matrix, GGUF, as llama-imatrix writes it"},
    {"tensor", 0, FLAG_LIST, "PART=FORMAT",
     .help = "format of the tensors with PART in their name; may be repeated"},
    {"again", 0, FLAG_BOOL, .help = "quantize even what is quantized already"},
    {"text", 0, FLAG_STR, "FILE", .help = "print the perplexity of this text before and after"},
#include "app/model_flags.def"
    {0},
};

const app_command cmd_quantize = {
    .name = "quantize",
    .args = "MODEL",
    .summary = "write a model in fewer bits, as a GGUF file",
    .details =
        "MODEL is a folder, a run or a GGUF file; best one that was not quantized before. Mixes "
        "are "
        "llama.cpp's: Q2_K,\n"
        "Q3_K_S/M/L, Q4_K_S/M, Q5_K_S/M, Q6_K, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, IQ4_XS, "
        "MXFP4, "
        "F16, BF16, F32.\n\n"
        "    fledge quantize runs/tales --to Q4_K_M --out tales-Q4_K_M.gguf --text held-out.txt",
    .flags = flags,
    .run = run,
};
