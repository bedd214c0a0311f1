/* quantize - choosing each tensor's format, then writing the file with rows made on the pool. */
#include "compress/quantize.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "base/thread.h"
#include "format/gguf.h"
#include "model/model.h"
#include "tensor/quant.h"

enum { ROWS = 4096 };  // made at a time

/* What all tensors share. */
typedef struct {
    const fl_quantize_opts *o;
    float *row;          // one per worker, of the longest row
    double *off, *size;  // (ROWS) of each row: sum of (w - q)^2, of w^2; NaN: not to be made
    double off_sum, size_sum, bytes;
} shared;

/* One tensor to be quantized, and its rows in the making. */
typedef struct {
    const fl_stored_tensor *from;
    shared *s;
    fl_dtype to;
    int64_t first;
    char *out;
} job;

/* ---- choosing ---- */

bool fl_quantize_writes(fl_dtype t) {
    const bool plain = t == FL_F32 || t == FL_F16 || t == FL_BF16;
    return plain || (fl_dtype_is_block(t) && fl_dtype_is_writable(t));
}

static fl_status read_facts(fl_mix_facts *f, const fl_gguf_file *in, const fl_quantize_opts *o,
                            fl_err *err) {
    static const char *const names[] = {"block_count", "attention.head_count",
                                        "attention.head_count_kv", "expert_count"};
    int64_t *const values[] = {&f->layers, &f->heads, &f->kv_heads, &f->experts};
    const char *arch = NULL;
    FL_TRY(fl_gguf_get_str(in, "general.architecture", &arch, err));
    *f = (fl_mix_facts){.tied = !fl_gguf_tensor(in, "output.weight"),
                        .importance = o->imatrix != NULL};
    for (int i = 0; i < 4; i++) {
        char key[128];
        snprintf(key, sizeof key, "%s.%s", arch ? arch : "", names[i]);
        const fl_gguf_key *k = fl_gguf_find(in, key);
        if (k && !k->is_array) FL_TRY(fl_gguf_get_int(in, key, values[i], err));
        else if (k && k->type != FL_GGUF_STRING && k->n) *values[i] = (int64_t)fl_gguf_number(k, 0);
    }
    if (!f->kv_heads) f->kv_heads = f->heads;
    return FL_OK;
}

static fl_dtype wanted(const fl_quantize_opts *o, const fl_mix_facts *f,
                       const fl_stored_tensor *t) {
    if (!fl_mix_quantizes(t->name, t->t.rank)) return t->t.dtype;
    for (int i = 0; i < o->n_choices; i++)
        if (strstr(t->name, o->choice[i].part)) return o->choice[i].dtype;
    return fl_mix_choose(o->mix, f, t->name, t->t.rank, t->t.dim);
}

/* A choice that no tensor is named in is a slip of the pen. */
static fl_status check_choices(const fl_quantize_opts *o, const fl_gguf_file *in, fl_err *err) {
    for (int c = 0; c < o->n_choices; c++) {
        int i = 0;
        const int n = fl_gguf_n_tensors(in);
        while (i < n && !strstr(fl_gguf_tensor_at(in, i)->name, o->choice[c].part)) i++;
        if (i == n)
            return fl_fail(err, FL_ERR_ARG, "no tensor has \"%s\" in its name", o->choice[c].part);
    }
    return FL_OK;
}

static fl_status check_source(const fl_stored_tensor *t, fl_dtype to, const fl_quantize_opts *o,
                              fl_err *err) {
    if (t->t.dtype == to || !fl_dtype_is_block(t->t.dtype) || o->again) return FL_OK;
    return fl_fail(err, FL_ERR_ARG,
                   "tensor %s is %s already: quantizing twice adds up the errors; begin from f16, "
                   "bf16 or f32, or ask for it with --again",
                   t->name, fl_dtype_name(t->t.dtype));
}

/* ---- making ---- */

/* Mean squares of the inputs of the matrix that row r belongs to. */
static const float *importance_of(const job *j, int64_t r) {
    const fl_tensor *t = &j->from->t;
    const int64_t experts = t->rank == 3 ? t->dim[0] : 1;
    if (!j->s->o->imatrix || t->rank > 3) return NULL;
    return fl_imatrix_find(j->s->o->imatrix, j->from->name, fl_tensor_cols(t),
                           experts > 1 ? r / t->dim[1] : 0, experts);
}

static bool all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void make_row(const job *j, int64_t i, int worker) {
    const fl_tensor *t = &j->from->t;
    const int64_t cols = fl_tensor_cols(t), r = j->first + i;
    const fl_dtype to = j->to;
    float *x = j->s->row + worker * cols, y[FL_BLOCK_MAX];
    char *out = j->out + (size_t)i * fl_dtype_row_bytes(to, cols);
    fl_convert(x, FL_F32, fl_tensor_row(t, r), t->dtype, cols);
    if (!all_finite(x, cols)) {
        j->s->off[i] = (double)NAN;
        return;
    }
    if (fl_dtype_is_block(to)) fl_quantize(out, to, x, importance_of(j, r), cols);
    else fl_convert(out, to, x, FL_F32, cols);
    double off = 0, size = 0;
    for (int64_t at = 0, n; at < cols; at += n) {
        n = cols - at < FL_BLOCK_MAX ? cols - at : FL_BLOCK_MAX;
        fl_convert(y, FL_F32, out + fl_dtype_row_bytes(to, at), to, n);
        for (int64_t k = 0; k < n; k++) {
            off += ((double)y[k] - (double)x[at + k]) * ((double)y[k] - (double)x[at + k]);
            size += (double)x[at + k] * (double)x[at + k];
        }
    }
    j->s->off[i] = off;
    j->s->size[i] = size;
}

static void make_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; i++) make_row(ctx, i, worker);
}

/* fl_write_tensor.stored. Sums of the report go over the rows in their order. */
static fl_status make_batch(const fl_write_tensor *w, int64_t row, int64_t n, void *out,
                            fl_err *err) {
    job *j = (job *)(uintptr_t)w->source;
    shared *s = j->s;
    const int64_t cols = fl_tensor_cols(&j->from->t);
    for (int64_t at = 0, k; at < n; at += k) {
        k = n - at < ROWS ? n - at : ROWS;
        j->first = row + at;
        j->out = (char *)out + (size_t)at * fl_dtype_row_bytes(j->to, cols);
        if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "interrupted");
        fl_pool_run(fl_pool_default(), k, 1, make_rows, j);
        for (int64_t i = 0; i < k; i++) {
            if (isnan(s->off[i]))
                return fl_fail(err, FL_ERR_FORMAT,
                               "tensor %s: row %lld has NaN or infinite weights", w->name,
                               (long long)(row + at + i));
            s->off_sum += s->off[i];
            s->size_sum += s->size[i];
        }
    }
    s->bytes += (double)n * (double)fl_dtype_row_bytes(j->from->t.dtype, cols);
    fl_progress_step(s->o->progress, s->bytes);
    return FL_OK;
}

/* ---- the file ---- */

typedef struct {
    fl_gguf_file *in;
    fl_gguf *out;
    fl_write_tensor *w;
    job *jobs;
    shared s;
} work;

static void describe(work *k, int i, fl_dtype dtype, fl_quantize_report *r) {
    const fl_stored_tensor *t = fl_gguf_tensor_at(k->in, i);
    fl_write_tensor *w = &k->w[i];
    const job *j = &k->jobs[i];
    *w = (fl_write_tensor){.name = t->name, .dtype = dtype, .rank = t->t.rank};
    memcpy(w->dim, t->t.dim, sizeof w->dim);
    w->source = dtype == t->t.dtype ? t->t.data : (const void *)j;
    w->source_dtype = dtype;
    if (dtype != t->t.dtype) w->stored = make_batch;
    const fl_tensor shape = fl_tensor_of(NULL, dtype, w->rank, w->dim);
    r->bytes_after += (double)fl_tensor_bytes(&shape);
    r->weights_in[dtype] += (double)fl_tensor_count(&shape);
    r->n_tensors++;
    if (dtype == t->t.dtype) return;
    r->n_quantized++;
    r->n_weighted += fl_dtype_is_block(dtype) && importance_of(j, 0) != NULL;
}

static fl_status allocate(work *k, fl_err *err) {
    const size_t n = (size_t)fl_gguf_n_tensors(k->in);
    int64_t cols = 1;
    for (size_t i = 0; i < n; i++) {
        const int64_t c = fl_tensor_cols(&fl_gguf_tensor_at(k->in, (int)i)->t);
        if (c > cols) cols = c;
    }
    const size_t workers = (size_t)fl_pool_size(fl_pool_default());
    k->out = fl_gguf_new();
    k->w = fl_alloc((n + 1) * sizeof *k->w);
    k->jobs = fl_alloc((n + 1) * sizeof *k->jobs);
    k->s.row = fl_alloc(workers * (size_t)cols * sizeof *k->s.row);
    k->s.off = fl_alloc(2 * ROWS * sizeof *k->s.off);
    k->s.size = k->s.off + ROWS;
    return k->out && k->w && k->jobs && k->s.row && k->s.off
               ? FL_OK
               : fl_fail(err, FL_ERR_NOMEM, "quantizing");
}

static void copy_keys(work *k, const fl_quantize_opts *o) {
    static const char *const ours[] = {"general.file_type", "general.quantization_version"};
    for (int i = 0; i < fl_gguf_n_keys(k->in); i++) {
        const fl_gguf_key *key = fl_gguf_key_at(k->in, i);
        if (strcmp(key->name, ours[0]) && strcmp(key->name, ours[1])) fl_gguf_copy(k->out, key);
    }
    fl_gguf_u32(k->out, ours[0], fl_mix_file_type(o->mix));
    fl_gguf_u32(k->out, ours[1], 2);
    if (!o->imatrix) return;
    const fl_imatrix_text text = fl_imatrix_text_of(o->imatrix);
    fl_gguf_str(k->out, "quantize.imatrix.dataset", text.name);
    fl_gguf_u32(k->out, "quantize.imatrix.entries_count", (uint32_t)fl_imatrix_count(o->imatrix));
    fl_gguf_u32(k->out, "quantize.imatrix.chunks_count", (uint32_t)text.chunks);
}

static fl_status convert(work *k, const char *to, const fl_quantize_opts *o, fl_quantize_report *r,
                         fl_err *err) {
    fl_mix_facts facts;
    const int n = fl_gguf_n_tensors(k->in);
    double total = 0;
    FL_TRY(allocate(k, err));
    FL_TRY(read_facts(&facts, k->in, o, err));
    FL_TRY(check_choices(o, k->in, err));
    for (int i = 0; i < n; i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(k->in, i);
        const fl_dtype want = wanted(o, &facts, t),
                       dtype = fl_mix_fitting(want, fl_tensor_cols(&t->t));
        r->n_fitted += dtype != want;
        FL_TRY(check_source(t, dtype, o, err));
        k->jobs[i] = (job){.from = t, .s = &k->s, .to = dtype};
        describe(k, i, dtype, r);
        total += (double)fl_tensor_bytes(&t->t);
    }
    copy_keys(k, o);
    fl_progress_begin(o->progress, "quantizing", "B", total);
    FL_TRY(fl_gguf_save(k->out, to, k->w, n, err));
    fl_progress_end(o->progress);
    r->bytes_before = total;
    return FL_OK;
}

fl_status fl_quantize_gguf(const char *from, const char *to, const fl_quantize_opts *o,
                           fl_quantize_report *report, fl_err *err) {
    work k = {.s = {.o = o}};
    fl_quantize_report r = {0};
    FL_TRY(fl_gguf_open(&k.in, from, err));
    fl_status s = convert(&k, to, o, &r, err);
    fl_gguf_close(k.in);
    fl_gguf_free(k.out);
    fl_dealloc(k.w);
    fl_dealloc(k.jobs);
    fl_dealloc(k.s.row);
    fl_dealloc(k.s.off);
    if (s != FL_OK) return fl_context(err, s, "quantizing %s", from);
    r.error = k.s.size_sum > 0 ? sqrt(k.s.off_sum / k.s.size_sum) : 0;
    *report = r;
    return FL_OK;
}

/* ---- from a folder ---- */

/* The matrices keep the format they have. */
static fl_status write_whole(const char *model, const char *path, fl_err *err) {
    fl_model *m;
    FL_TRY(fl_model_load(&m, model, &(fl_model_opts){.as_stored = true}, err));
    const fl_status s = fl_model_save_gguf(m, path, fl_path_base(model), FL_DTYPE_KEPT, err);
    fl_model_free(m);
    return s;
}

fl_status fl_quantize_model(const char *model, const char *to, const fl_quantize_opts *o,
                            fl_quantize_report *report, fl_err *err) {
    char whole[FL_PATH_MAX];
    if (fl_gguf_is(model)) return fl_quantize_gguf(model, to, o, report, err);
    if (snprintf(whole, sizeof whole, "%s.whole", to) >= (int)sizeof whole)
        return fl_fail(err, FL_ERR_ARG, "%s: the path is too long", to);
    fl_status s = write_whole(model, whole, err);
    if (s == FL_OK) s = fl_quantize_gguf(whole, to, o, report, err);
    remove(whole);
    return s;
}
