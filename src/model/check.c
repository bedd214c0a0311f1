/* check - reading a whole model for what is wrong with it.
 *
 * Three passes that do not depend on each other, so that one failure hides no other: the file's
 * tensors as numbers, whatever network they belong to; the model as loading sees it, which holds
 * facts, tensors and tokenizer against each other; then what loading lets pass. */
#include "model/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "format/gguf.h"
#include "model/internal.h"
#include "token/template.h"

/* ---- findings ---- */

void fl_findings_clear(fl_findings *f) {
    fl_dealloc(f->finding);
    *f = (fl_findings){0};
}

void fl_findings_add(fl_findings *f, bool wrong, const char *fmt, ...) {
    va_list ap;
    if (!f->finding) f->finding = fl_alloc(FL_FINDINGS_MAX * sizeof *f->finding);
    f->n_wrong += wrong;
    if (!f->finding || f->n == FL_FINDINGS_MAX) {
        f->n_more++;
        return;
    }
    fl_finding *to = &f->finding[f->n++];
    to->wrong = wrong;
    va_start(ap, fmt);
    vsnprintf(to->text, sizeof to->text, fmt, ap);
    va_end(ap);
}

typedef struct {
    fl_findings *f;
    const char *path;
    fl_progress *progress;
    fl_err *err;
} checking;

static fl_status interrupted(const checking *x) {
    return fl_fail(x->err, FL_ERR_IO, "checking %s: interrupted", x->path);
}

/* ---- numbers ---- */

enum { CHUNK = 4096 };  // whole blocks of every format

typedef struct {
    int64_t nan, inf, zero, first;  // first: the first that is not finite
} number_count;

static void count_numbers(number_count *c, const float *v, int64_t n, int64_t at) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i]) && !c->nan && !c->inf) c->first = at + i;
        c->nan += isnan(v[i]) != 0;
        c->inf += isinf(v[i]) != 0;
        c->zero += v[i] == 0;
    }
}

static bool holds_reals(fl_dtype t) {
    return fl_dtype_is_block(t) || t == FL_F32 || t == FL_F16 || t == FL_BF16 || t == FL_F64;
}

static void judge_numbers(const checking *x, const fl_stored_tensor *t, const number_count *c) {
    const char *file = fl_path_base(t->file);
    const int64_t cols = fl_tensor_cols(&t->t);
    if (c->nan || c->inf)
        fl_findings_add(x->f, true,
                        "%s: tensor %s (%s): %lld NaN and %lld infinite numbers, the first in row "
                        "%lld, column %lld",
                        file, t->name, fl_dtype_name(t->t.dtype), (long long)c->nan,
                        (long long)c->inf, (long long)(c->first / cols),
                        (long long)(c->first % cols));
    else if (t->t.rank > 1 && c->zero == fl_tensor_count(&t->t))
        fl_findings_add(x->f, false, "%s: tensor %s: every number is zero", file, t->name);
}

/* *bytes goes on for the progress. */
static fl_status check_numbers(const checking *x, const fl_stored_tensor *t, double *bytes) {
    const int64_t n = fl_tensor_count(&t->t);
    number_count c = {0};
    for (int64_t at = 0; at < n && holds_reals(t->t.dtype); at += CHUNK) {
        float v[CHUNK];
        const int64_t k = n - at < CHUNK ? n - at : CHUNK;
        if (fl_interrupted()) return interrupted(x);
        fl_convert(v, FL_F32, (const char *)t->t.data + fl_dtype_row_bytes(t->t.dtype, at),
                   t->t.dtype, k);
        count_numbers(&c, v, k, at);
        *bytes += (double)fl_dtype_row_bytes(t->t.dtype, k);
        fl_progress_step(x->progress, *bytes);
    }
    judge_numbers(x, t, &c);
    x->f->n_tensors++;
    x->f->n_numbers += n;
    return FL_OK;
}

typedef const fl_stored_tensor *(*tensor_at)(const void *file, int i);

static fl_status check_tensors(const checking *x, const void *file, int n, tensor_at at) {
    double total = 0, done = 0;
    fl_status s = FL_OK;
    for (int i = 0; i < n; i++) total += (double)fl_tensor_bytes(&at(file, i)->t);
    fl_progress_begin(x->progress, "checking", "B", total);
    for (int i = 0; i < n && s == FL_OK; i++) s = check_numbers(x, at(file, i), &done);
    fl_progress_end(x->progress);
    return s;
}

/* ---- what a GGUF file says beside its tensors ---- */

/* Ids that loading takes for absent when there is no such token; it refuses other types. */
static void check_ids(const checking *x, const fl_gguf_file *g) {
    static const char begin[] = "tokenizer.ggml.", end[] = "_token_id";
    const fl_gguf_key *tokens = fl_gguf_find(g, "tokenizer.ggml.tokens");
    for (int i = 0; tokens && i < fl_gguf_n_keys(g); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(g, i);
        if (strncmp(k->name, begin, strlen(begin)) != 0 || !fl_path_has_suffix(k->name, end) ||
            k->is_array || k->type == FL_GGUF_STRING)
            continue;
        const double id = fl_gguf_number(k, 0);
        if (id < 0 || id >= (double)tokens->n)
            fl_findings_add(x->f, true, "key %s is %.0f, there are %llu tokens", k->name, id,
                            (unsigned long long)tokens->n);
    }
}

static void check_kinds(const checking *x, const fl_gguf_file *g) {
    const fl_gguf_key *k = fl_gguf_find(g, "tokenizer.ggml.token_type");
    uint64_t bad = 0;
    if (!k || k->type == FL_GGUF_STRING) return;  // loading speaks of it
    for (uint64_t i = 0; i < k->n; i++) {
        const double kind = fl_gguf_number(k, i);
        bad += !(kind >= FL_TOKEN_NORMAL && kind <= FL_TOKEN_BYTE);
    }
    if (bad)
        fl_findings_add(x->f, true, "tokenizer.ggml.token_type: %llu of %llu are no kind (1 to 6)",
                        (unsigned long long)bad, (unsigned long long)k->n);
}

static void check_scores(const checking *x, const fl_gguf_file *g) {
    const fl_gguf_key *k = fl_gguf_find(g, "tokenizer.ggml.scores");
    if (!k || k->type == FL_GGUF_STRING) return;
    for (uint64_t i = 0; i < k->n; i++)
        if (!isfinite(fl_gguf_number(k, i))) {
            fl_findings_add(x->f, true, "tokenizer.ggml.scores: that of token %llu is no number",
                            (unsigned long long)i);
            return;
        }
}

/* Every template of the file; a model may have several, by name. */
static void check_gguf_templates(const checking *x, const fl_gguf_file *g) {
    static const char begin[] = "tokenizer.chat_template.";
    for (int i = 0; i < fl_gguf_n_keys(g); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(g, i);
        fl_template *t = NULL;
        fl_err why;
        if (strncmp(k->name, begin, strlen(begin)) != 0 || k->is_array || k->type != FL_GGUF_STRING)
            continue;
        if (fl_template_parse(&t, k->strings->bytes, k->strings->n, &why) != FL_OK)
            fl_findings_add(x->f, true, "%s: %s", k->name, why.msg);
        fl_template_free(t);
    }
}

static bool has_blocks(const fl_gguf_file *g) {
    for (int i = 0; i < fl_gguf_n_tensors(g); i++)
        if (fl_dtype_is_block(fl_gguf_tensor_at(g, i)->t.dtype)) return true;
    return false;
}

static const fl_stored_tensor *in_gguf(const void *file, int i) {
    return fl_gguf_tensor_at(file, i);
}

static fl_status check_gguf(const checking *x) {
    fl_gguf_file *g;
    fl_err why;
    if (fl_gguf_open(&g, x->path, &why) != FL_OK) return FL_OK;  // loading says why
    check_ids(x, g);
    check_kinds(x, g);
    check_scores(x, g);
    check_gguf_templates(x, g);
    if (has_blocks(g) && !fl_gguf_find(g, "general.quantization_version"))
        fl_findings_add(x->f, false, "key general.quantization_version is missing");
    fl_status s = check_tensors(x, g, fl_gguf_n_tensors(g), in_gguf);
    fl_gguf_close(g);
    return s;
}

/* ---- a folder ---- */

static const fl_stored_tensor *in_safetensors(const void *file, int i) {
    return fl_safetensors_at(file, i);
}

static fl_status check_folder(const checking *x) {
    static const char *const wanted[] = {"generation_config.json", "tokenizer.json",
                                         "tokenizer_config.json"};
    fl_safetensors *st;
    fl_err why;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char path[FL_PATH_MAX];
        if (fl_path_join(path, x->path, wanted[i], NULL) == FL_OK && !fl_path_exists(path))
            fl_findings_add(x->f, false, "no %s", wanted[i]);
    }
    if (fl_safetensors_open(&st, x->path, &why) != FL_OK) return FL_OK;  // loading says why
    fl_status s = check_tensors(x, st, fl_safetensors_count(st), in_safetensors);
    fl_safetensors_close(st);
    return s;
}

/* ---- the tokenizer ---- */

typedef struct {
    const char *text;
    size_t n;
    int32_t id;
} spelling;

static int by_spelling(const void *a, const void *b) {
    const spelling *p = a, *q = b;
    const int order = memcmp(p->text, q->text, p->n < q->n ? p->n : q->n);
    if (order) return order;
    return p->n != q->n ? (p->n < q->n ? -1 : 1) : p->id < q->id ? -1 : p->id > q->id;
}

/* Encoding finds one of them only. */
static void judge_spellings(const checking *x, const spelling *s, int32_t n) {
    int32_t same = 0, first = -1;
    for (int32_t i = 1; i < n; i++) {
        if (s[i - 1].n != s[i].n || memcmp(s[i - 1].text, s[i].text, s[i].n) != 0) continue;
        if (!same++) first = i;
    }
    if (same)
        fl_findings_add(x->f, false,
                        "%d tokens are written as another one is, such as %d and %d: \"%.*s\"",
                        same, s[first - 1].id, s[first].id,
                        (int)(s[first].n < 40 ? s[first].n : 40), s[first].text);
}

static fl_status check_spellings(const checking *x, const fl_tokenizer *t) {
    const int32_t size = fl_tokenizer_size(t);
    spelling *s = fl_alloc(((size_t)size + 1) * sizeof *s);
    fl_text all = {0};
    int32_t n = 0, holes = 0;
    for (int32_t id = 0; s && id < size; id++) {
        size_t bytes;
        const size_t begin = all.n;
        if (!fl_token_bytes(t, id, &bytes)) holes++;
        if (!fl_token_bytes(t, id, &bytes) || fl_tokenizer_kind(t, id) == FL_TOKEN_UNUSED) continue;
        fl_token_text(t, id, &all);
        s[n++] = (spelling){.n = all.n - begin, .id = id};
    }
    const char *at = fl_text_str(&all);
    for (int32_t i = 0; i < n; at += s[i++].n) s[i].text = at;
    const bool whole = s && !all.failed;
    if (whole && n) {
        qsort(s, (size_t)n, sizeof *s, by_spelling);
        judge_spellings(x, s, n);
        if (holes) fl_findings_add(x->f, false, "%d token ids below %d are no token", holes, size);
    }
    fl_text_clear(&all);
    fl_dealloc(s);
    return whole ? FL_OK : fl_fail(x->err, FL_ERR_NOMEM, "checking the vocabulary");
}

/* ---- what loading lets pass ---- */

/* config.json's ids; those of a GGUF file are looked at where they are all. */
static void check_ends(const checking *x, const fl_model *m) {
    const struct {
        const char *name;
        int32_t id;
    } ends[] = {{"bos", m->config.bos_token_id}, {"eos", m->config.eos_token_id}};
    for (int i = 0; i < 2 && fl_path_is_dir(x->path); i++) {
        size_t n;
        if (ends[i].id >= m->config.vocab_size ||
            (m->tokenizer && ends[i].id >= 0 && !fl_token_bytes(m->tokenizer, ends[i].id, &n)))
            fl_findings_add(x->f, true, "%s_token_id is %d, which is no token", ends[i].name,
                            ends[i].id);
    }
    if (m->tokenizer && fl_tokenizer_size(m->tokenizer) < m->config.vocab_size)
        fl_findings_add(x->f, false, "%lld rows of the embedding belong to no token",
                        (long long)(m->config.vocab_size - fl_tokenizer_size(m->tokenizer)));
}

/* It must parse, and render the simplest conversation there is. */
static void check_template(const checking *x, const fl_model *m) {
    fl_template *t = NULL;
    fl_rendered text = {0};
    fl_err why;
    if (!m->chat_template) return;
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "Hello");
    json_t *variables = m->tokenizer ? fl_template_variables(m->tokenizer) : json_object();
    const fl_conversation c = {.messages = messages,
                               .variables = variables,
                               .add_generation_prompt = true};
    fl_status s = fl_template_parse(&t, m->chat_template, strlen(m->chat_template), &why);
    if (s == FL_OK) s = fl_template_render(t, &c, &text, &why);
    if (s != FL_OK) fl_findings_add(x->f, true, "the chat template: %s", why.msg);
    fl_rendered_clear(&text);
    fl_template_free(t);
    json_decref(messages);
    json_decref(variables);
}

static fl_status check_loaded(const checking *x, const fl_model *m) {
    check_ends(x, m);
    check_template(x, m);
    return m->tokenizer ? check_spellings(x, m->tokenizer) : FL_OK;
}

static fl_status check_all(const checking *x, fl_model **m) {
    fl_err why;
    if (fl_model_load(m, x->path, &(fl_model_opts){.as_stored = true}, &why) == FL_OK)
        FL_TRY(check_loaded(x, *m));
    else fl_findings_add(x->f, true, "%s", why.msg);
    return fl_path_is_dir(x->path) ? check_folder(x) : check_gguf(x);
}

fl_status fl_model_check(fl_findings *f, fl_model **m, const char *path, fl_progress *progress,
                         fl_err *err) {
    char found[FL_PATH_MAX];
    fl_model *loaded = NULL;
    fl_err why;
    fl_status s = FL_OK;
    if (fl_model_folder(found, path, &why) == FL_OK)
        s = check_all(&(checking){f, found, progress, err}, &loaded);
    else fl_findings_add(f, true, "%s", why.msg);
    if (m && s == FL_OK) *m = loaded;
    else fl_model_free(loaded);
    return s;
}
