/* stored - how parameters lie in files.
 *
 * A file's tensor is one parameter, one expert of a parameter, or several one below the other
 * (GPT-2's c_attn holds q, k and v) or taking turns by the head (GPT-NeoX), as rows (out, in) or
 * transposed (in, out). In GGUF the rows of Llama's Q and K are permuted: there a rotated pair is
 * two neighbours (2i, 2i+1), in Hugging Face files it is (i, i + D/2), and here it is as rope is
 * told (fl_model_memory.pairs); and Gemma's gains have the 1 that is added to them here. gpt-oss
 * has one tensor for all experts of a layer: a stack, each of whose matrices is such a tensor. One
 * description serves reading and writing in both formats. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "model/internal.h"
#include "tensor/blocks.h"
#include "tensor/quant.h"

enum { TILE = 64 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- writing ---- */

static int64_t all_rows(const fli_stored *s) {
    int64_t n = 0;
    for (int i = 0; i < s->n_parts; i++) n += s->part[i]->data.dim[0];
    return n;
}

static int64_t part_cols(const fli_stored *s) {
    return s->part[0]->data.rank == 2 ? s->part[0]->data.dim[1] : 1;
}

/* Number e of the matrices, or vectors, that t is a stack of. */
static fl_tensor slice_of(const fl_tensor *t, int64_t e) {
    fl_tensor one = fl_tensor_of(NULL, t->dtype, t->rank - 1, t->dim + 1);
    if (t->data) one.data = (char *)t->data + (size_t)e * fl_tensor_bytes(&one);
    return one;
}

/* Matrix e of a stack, as a description of its own; `own` holds its parts. */
static fli_stored matrix_of(const fli_stored *s, int64_t e, fl_param own[FLI_PARTS_MAX]) {
    fli_stored one = *s;
    one.stack = 0;
    for (int i = 0; i < s->n_parts; i++) {
        own[i] = (fl_param){.data = slice_of(&s->part[i]->data, e)};
        one.part[i] = &own[i];
    }
    return one;
}

/* Which part holds row *r of the description; *r becomes the row there. */
static const fl_tensor *part_of(const fli_stored *s, int64_t *r) {
    int i = 0;
    if (s->turn_rows) {
        int64_t turn = *r / s->turn_rows;
        i = (int)(turn % s->n_parts);
        *r = turn / s->n_parts * s->turn_rows + *r % s->turn_rows;
    } else {
        while (*r >= s->part[i]->data.dim[0]) *r -= s->part[i++]->data.dim[0];
    }
    return &s->part[i]->data;
}

/* Where the file's row r of a part is here. */
static int64_t own_row(const fli_stored *s, int64_t r) {
    if (!s->head) return r;
    const int64_t at = r % s->head, near = s->pairs_here ? s->head / 2 : 2;
    return r - at + at % near * (s->head / near) + at / near;
}

/* Element `col` of the description's row r, in the part that holds it. */
static const void *element(const fli_stored *s, int64_t r, int64_t col, fl_dtype *dtype) {
    const fl_tensor *t = part_of(s, &r);
    r = own_row(s, r);
    *dtype = t->dtype;
    return (const char *)t->data + fl_dtype_row_bytes(t->dtype, r * part_cols(s) + col);
}

/* fl_write_tensor.row, for a matrix as it is. */
static void gather_row(const fl_write_tensor *w, int64_t row, float *out) {
    const fli_stored *s = w->source;
    fl_dtype dtype;
    const void *from = element(s, row, 0, &dtype);
    fl_convert(out, FL_F32, from, dtype, part_cols(s));
}

/* For a transposed matrix, and for a vector in parts, whose only row is all of it. */
static void gather_column(const fl_write_tensor *w, int64_t row, float *out) {
    const fli_stored *s = w->source;
    for (int64_t j = 0; j < all_rows(s); j++) {
        fl_dtype dtype;
        const void *from = element(s, j, row, &dtype);
        fl_convert(&out[j], FL_F32, from, dtype, 1);
        if (s->plus_one) out[j] += 1;
    }
}

/* For a stack: the row is one of its matrices', or all of one of its vectors. */
static void gather_stack(const fl_write_tensor *w, int64_t row, float *out) {
    fl_param own[FLI_PARTS_MAX];
    const int64_t rows = w->rank == 3 ? w->dim[1] : 1;
    const fli_stored one = matrix_of(w->source, row / rows, own);
    fl_write_tensor inner = {.source = &one};
    (one.transposed || w->rank == 2 ? gather_column : gather_row)(&inner, row % rows, out);
}

/* Rows [first, first + n) of a transposed matrix in blocks: numbers of the same block of each
 * column, which is taken apart once for all of them. */
static void turn_block(const fli_stored *s, int64_t first, int64_t n, fl_dtype to, char *out) {
    const int64_t block = fl_dtype_block(s->part[0]->data.dtype), at = first % block;
    const int64_t cols = all_rows(s);
    for (int64_t j0 = 0; j0 < cols; j0 += TILE) {
        const int64_t k = least(TILE, cols - j0);
        float tile[TILE][FL_BLOCK_MAX], row[TILE];
        for (int64_t j = 0; j < k; j++) {
            fl_dtype dtype;
            const void *from = element(s, j0 + j, first - at, &dtype);
            fl_convert(tile[j], FL_F32, from, dtype, block);
        }
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < k; j++) row[j] = tile[j][at + i];
            fl_convert(out + fl_dtype_row_bytes(to, i * cols + j0), to, row, FL_F32, k);
        }
    }
}

/* fl_write_tensor.stored, for such matrices and stacks of them, in a format without blocks. */
static fl_status turn_blocks(const fl_write_tensor *w, int64_t row, int64_t n, void *out,
                             fl_err *err) {
    (void)err;
    const fli_stored *s = w->source;
    const int64_t rows = w->dim[w->rank - 2], cols = w->dim[w->rank - 1];
    const int64_t block = fl_dtype_block(s->part[0]->data.dtype);
    for (int64_t done = 0, k; done < n; done += k) {
        fl_param own[FLI_PARTS_MAX];
        const int64_t at = (row + done) % rows;
        const fli_stored one = s->stack ? matrix_of(s, (row + done) / rows, own) : *s;
        k = least(block - at % block, n - done);
        turn_block(&one, at, k, w->dtype, (char *)out + fl_dtype_row_bytes(w->dtype, done * cols));
    }
    return FL_OK;
}

/* fl_write_tensor.stored, for rows that only change places. */
static fl_status move_rows(const fl_write_tensor *w, int64_t row, int64_t n, void *out,
                           fl_err *err) {
    (void)err;
    const fli_stored *s = w->source;
    const size_t bytes = fl_dtype_row_bytes(w->dtype, part_cols(s));
    for (int64_t i = 0; i < n; i++) {
        fl_dtype dtype;
        memcpy((char *)out + (size_t)i * bytes, element(s, row + i, 0, &dtype), bytes);
    }
    return FL_OK;
}

/* Whether whole rows are in the file as they are here, in blocks. */
static bool rows_move(const fli_stored *s, fl_dtype dtype) {
    if (!fl_dtype_is_block(dtype) || s->stack || s->transposed || s->plus_one ||
        s->part[0]->data.rank != 2)
        return false;
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i]->data.dtype != dtype) return false;
    return true;
}

/* What lies in the file as it does here: all of a parameter, or one of its experts. */
static fl_tensor whole(const fli_stored *s) {
    const fl_tensor *t = &s->part[0]->data;
    return s->one_expert ? slice_of(t, s->expert) : *t;
}

static bool is_plain(const fli_stored *s) {
    return s->n_parts == 1 && !s->transposed && !s->head && !s->plus_one;
}

void fli_stored_describe(fli_stored *s, fl_dtype dtype, fl_write_tensor *w) {
    const fl_tensor first = whole(s), *t = &first;
    *w = (fl_write_tensor){.name = s->name,
                           .dtype = dtype,
                           .rank = t->rank,
                           .source_dtype = t->dtype};
    memcpy(w->dim, t->dim, sizeof w->dim);
    w->source = t->data;
    if (s->latent) fli_latent_describe(s, w);
    if (s->latent || is_plain(s)) return;
    fl_param own[FLI_PARTS_MAX];
    const fli_stored one = s->stack ? matrix_of(s, 0, own) : *s;
    int64_t rows = all_rows(&one), *dim = w->dim + (s->stack ? 1 : 0);
    dim[0] = s->transposed ? part_cols(&one) : rows;
    dim[1] = s->transposed ? rows : part_cols(&one);
    w->source = s;
    if (rows_move(s, dtype)) w->stored = move_rows;
    else if (s->transposed && fl_dtype_is_block(t->dtype)) w->stored = turn_blocks;
    else
        w->row = s->stack                        ? gather_stack
                 : s->transposed || t->rank == 1 ? gather_column
                                                 : gather_row;
}

/* ---- the list ---- */

bool fli_same_tensor(const char *a, const char *b) {
    size_t n = strcspn(a, "#");
    return a[n] == '#' && strncmp(a, b, n + 1) == 0;
}

void fli_file_name(char out[128], const char *param) {
    size_t n = strcspn(param, "#");
    memcpy(out, param, n);
    out[n] = '\0';
}

void fli_stored_clear(fli_stored_list *l) {
    fl_dealloc(l->item);
    fl_dealloc(l->w);
    *l = (fli_stored_list){0};
}

static fl_status list_new(fli_stored_list *l, const fl_model *m, fl_err *err) {
    size_t room = (size_t)m->memory->n_base + 1 + (size_t)m->config.num_hidden_layers;
    for (int i = 0; i < m->memory->n_base; i++)
        if (m->param[i].role == FL_ROLE_EXPERT) room += (size_t)m->config.num_experts;
    *l = (fli_stored_list){.item = fl_alloc(room * sizeof *l->item),
                           .w = fl_alloc(room * sizeof *l->w)};
    if (l->item && l->w) return FL_OK;
    fli_stored_clear(l);
    return fl_fail(err, FL_ERR_NOMEM, "the list of a model's tensors");
}

/* Add parameter `p` to the tensor before it, or begin one, which is returned. */
static fli_stored *add_part(fli_stored_list *l, fl_param *p, bool is_more) {
    fli_stored *last = l->n ? &l->item[l->n - 1] : NULL;
    if (is_more) {
        FL_ASSERT(last->n_parts < FLI_PARTS_MAX);
        last->part[last->n_parts++] = p;
        return NULL;
    }
    last = &l->item[l->n++];
    *last = (fli_stored){.part = {p}, .n_parts = 1};
    return last;
}

/* "experts.*.w1" once for each expert. */
static void add_experts(fli_stored_list *l, fl_param *p) {
    const char *star = strchr(p->name, '*');
    for (int64_t e = 0; e < p->data.dim[0]; e++) {
        fli_stored *s = &l->item[l->n++];
        *s = (fli_stored){.part = {p}, .n_parts = 1, .one_expert = true, .expert = e};
        snprintf(s->name, sizeof s->name, "%.*s%lld%s", (int)(star - p->name), p->name,
                 (long long)e, star + 1);
    }
}

void fli_stored_halve(fli_stored *s, const fl_model *m, const fl_weight_row *row) {
    if (!row->gguf_permute || !m->memory->pairs) return;
    s->head = m->config.head_dim;
    s->pairs_here = true;
}

fl_status fli_stored_hf(fli_stored_list *out, const fl_model *m, fl_dtype dtype, fl_err *err) {
    FL_TRY(list_new(out, m, err));
    fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        if (strchr(p->name, '*')) {
            add_experts(out, p);
            continue;
        }
        const bool is_more = p > m->param && fli_same_tensor(p[-1].name, p->name);
        fli_stored *s = add_part(out, p, is_more);
        if (!s) continue;
        s->transposed = it.row->transposed;
        s->turn_rows = it.row->by_head ? m->config.head_dim : it.row->by_row;
        if (p->role == FL_ROLE_EXPERT || p->role == FL_ROLE_EXPERT_BIAS)
            s->stack = m->config.num_experts;
        if (it.row->slot == FL_SLOT_K_UP) s->latent = FLI_LATENT_JOINED;
        fli_stored_halve(s, m, it.row);
        fli_file_name(s->name, p->name);
    }
    for (int i = 0; i < out->n; i++) fli_stored_describe(&out->item[i], dtype, &out->w[i]);
    return FL_OK;
}

/* Vectors are f32, matrices f16 whose rows are not whole blocks of the format wanted; and what a
 * folder has in blocks stays so. */
static fl_dtype gguf_format(const fl_model *m, const fl_param *p, const fl_weight_row *row,
                            fl_dtype wanted) {
    if (p->data.rank == 1 || row->gguf_f32) return FL_F32;
    if (fl_dtype_is_block(p->data.dtype) && !m->memory->gguf) return p->data.dtype;
    if (wanted == FL_DTYPE_KEPT) return p->data.dtype;
    return fl_tensor_cols(&p->data) % fl_dtype_block(wanted) ? FL_F16 : wanted;
}

/* KV_UP, just added, in two. Keys are turned, so their blocks cannot be kept: f16 holds what they
 * are. */
static void split_latent(fli_stored_list *l, const fl_model *m, int layer, fl_dtype wanted) {
    fli_stored *keys = &l->item[l->n - 1], *values = &l->item[l->n++];
    const fl_dtype dtype = l->w[l->n - 2].dtype;
    const bool anew = wanted == FL_DTYPE_KEPT && fl_dtype_is_block(dtype);
    keys->config = &m->config;
    keys->latent = FLI_LATENT_KEYS;
    *values = *keys;
    values->latent = FLI_LATENT_VALUES;
    fli_name_weight(keys->name, sizeof keys->name, "blk.%d.attn_k_b.weight", layer);
    fli_name_weight(values->name, sizeof values->name, "blk.%d.attn_v_b.weight", layer);
    l->w[l->n - 1].dtype = dtype;
    if (anew || m->config.qk_nope_head_dim % fl_dtype_block(dtype)) l->w[l->n - 2].dtype = FL_F16;
}

/* GGUF has (out, in) throughout. */
fl_status fli_stored_gguf(fli_stored_list *out, const fl_model *m, fli_way way, fl_dtype dtype,
                          fl_err *err) {
    FL_TRY(list_new(out, m, err));
    fl_param *p = m->param;
    const char *before = "";
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        fli_stored *s = add_part(out, p, strcmp(before, it.row->gguf) == 0);
        before = it.row->gguf;
        if (!s) continue;
        if (it.row->gguf_permute && !m->memory->pairs) s->head = m->config.head_dim;
        s->plus_one = it.row->gguf_plus_one;
        fli_name_weight(s->name, sizeof s->name, it.row->gguf, it.layer);
        out->w[out->n - 1].dtype = gguf_format(m, p, it.row, dtype);
        if (way == FLI_WRITTEN && it.row->slot == FL_SLOT_KV_UP)
            split_latent(out, m, it.layer, dtype);
    }
    if (m->config.tie_word_embeddings && m->config.arch->gguf_head == FL_GGUF_HEAD_STORED) {
        fl_param *embed = fli_model_slot(m, -1, FL_SLOT_EMBED);
        out->item[out->n] = (fli_stored){.name = "output.weight", .part = {embed}, .n_parts = 1};
        out->w[out->n++].dtype = dtype == FL_DTYPE_KEPT ? embed->data.dtype : dtype;
    }
    for (int i = 0; i < out->n; i++)
        fli_stored_describe(&out->item[i], out->w[i].dtype, &out->w[i]);
    return FL_OK;
}

/* ---- reading ---- */

bool fli_stored_mappable(const fli_stored *s, const fl_tensor *file) {
    const bool in_place = !s->transposed && !s->head && !s->turn_rows && !s->one_expert &&
                          !s->stack;
    const size_t unit = fl_dtype_is_block(file->dtype) ? sizeof(uint16_t)
                                                       : fl_dtype_bytes(file->dtype);
    return in_place && file->rank >= 2 && (uintptr_t)file->data % unit == 0;
}

/* Rows [i0, i0 + n) of columns [j0, j0 + k), turned: column j is row j of the parts. */
static void turn_tile(const fli_stored *s, const fl_tensor *file, int64_t i0, int64_t n, int64_t j0,
                      int64_t k) {
    float tile[TILE][TILE];
    const char *from = file->data;
    for (int64_t i = 0; i < n; i++) {
        float row[TILE];
        fl_convert(row, FL_F32,
                   from + (size_t)((i0 + i) * file->dim[1] + j0) * fl_dtype_bytes(file->dtype),
                   file->dtype, k);
        for (int64_t j = 0; j < k; j++) tile[j][i] = row[j];
    }
    for (int64_t j = 0; j < k; j++) {
        fl_dtype dtype;
        void *to = (void *)(uintptr_t)element(s, j0 + j, i0, &dtype);
        fl_convert(to, dtype, tile[j], FL_F32, n);
    }
}

static void load_turned(const fli_stored *s, const fl_tensor *file) {
    for (int64_t i = 0; i < file->dim[0]; i += TILE)
        for (int64_t j = 0; j < file->dim[1]; j += TILE)
            turn_tile(s, file, i, least(TILE, file->dim[0] - i), j, least(TILE, file->dim[1] - j));
}

static void load_parts(const fli_stored *s, const fl_tensor *file) {
    int64_t cols = part_cols(s), rows = all_rows(s), n;
    for (int64_t r = 0; r < rows; r += n) {
        int64_t at = r;
        const fl_tensor *t = part_of(s, &at);
        n = s->turn_rows ? s->turn_rows : t->dim[0];
        void *to = (char *)t->data + fl_dtype_row_bytes(t->dtype, at * cols);
        const char *from = (const char *)file->data + fl_dtype_row_bytes(file->dtype, r * cols);
        fl_convert(to, t->dtype, from, file->dtype, n * cols);
    }
}

/* Rows are whole blocks, so they can be moved in any format. */
static void load_permuted(const fli_stored *s, const fl_tensor *file) {
    const int64_t cols = part_cols(s);
    const char *from = file->data;
    for (int i = 0; i < s->n_parts; i++) {
        const fl_tensor *t = &s->part[i]->data;
        for (int64_t r = 0; r < t->dim[0]; r++) {
            char *to = (char *)t->data + (size_t)own_row(s, r) * fl_dtype_row_bytes(t->dtype, cols);
            fl_convert(to, t->dtype, from, file->dtype, cols);
            from += fl_dtype_row_bytes(file->dtype, cols);
        }
    }
}

static void take_off_one(const fli_stored *s) {
    for (int i = 0; i < s->n_parts; i++) {
        const fl_tensor *t = &s->part[i]->data;
        for (int64_t k = 0; k < fl_tensor_count(t); k++)
            fl_tensor_set(t, k, fl_tensor_get(t, k) - 1);
    }
}

static void load_stack(const fli_stored *s, const fl_tensor *file) {
    fl_param own[FLI_PARTS_MAX];
    for (int64_t e = 0; e < s->stack; e++) {
        const fli_stored one = matrix_of(s, e, own);
        const fl_tensor slice = slice_of(file, e);
        fli_stored_load(&one, &slice);
    }
}

void fli_stored_load(const fli_stored *s, const fl_tensor *file) {
    const fl_tensor to = whole(s);
    if (s->stack) {
        load_stack(s, file);
        return;
    }
    if (is_plain(s)) fl_convert(to.data, to.dtype, file->data, file->dtype, fl_tensor_count(&to));
    else (s->transposed ? load_turned : s->head ? load_permuted : load_parts)(s, file);
    if (s->plus_one) take_off_one(s);
}

/* ---- MXFP4 ---- */

/* Numbers 2k and 2k + 1 of a block share a byte there, k and k + 16 here. */
static fl_block_mxfp4 mxfp4_block(const uint8_t pairs[16], uint8_t scale) {
    fl_block_mxfp4 b = {.e = scale};
    for (int k = 0; k < 16; k++) {
        const int shift = k % 2 * 4;
        b.qs[k] = (uint8_t)((pairs[k / 2] >> shift & 15) | (pairs[8 + k / 2] >> shift & 15) << 4);
    }
    return b;
}

static void load_mxfp4_row(const fli_stored *s, int64_t r, int64_t n_blocks, const uint8_t *pairs,
                           const uint8_t *scale) {
    const fl_tensor *t = part_of(s, &r);
    const int64_t size = fl_dtype_block(FL_MXFP4);
    for (int64_t g = 0; g < n_blocks; g++) {
        const fl_block_mxfp4 b = mxfp4_block(pairs + g * 16, scale[g]);
        char *to = (char *)t->data + fl_dtype_row_bytes(t->dtype, (r * n_blocks + g) * size);
        fl_convert(to, t->dtype, &b, FL_MXFP4, size);
    }
}

void fli_stored_load_mxfp4(const fli_stored *s, const fl_tensor *blocks, const fl_tensor *scales) {
    fl_param own[FLI_PARTS_MAX];
    const int64_t rows = blocks->dim[1], n = blocks->dim[2];
    for (int64_t e = 0; e < s->stack; e++) {
        const fli_stored one = matrix_of(s, e, own);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = (e * rows + r) * n;
            load_mxfp4_row(&one, r, n, (const uint8_t *)blocks->data + at * 16,
                           (const uint8_t *)scales->data + at);
        }
    }
}
