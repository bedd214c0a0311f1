/* stored_latent - how files have the up-projection of latent attention.
 *
 * Hugging Face has one matrix of which each head owns nope + W rows, those of its keys and then
 * those of its values, (heads x (nope + W), Z). GGUF has two, keys' turned, as llama.cpp multiplies
 * by them:
 *
 *     attn_k_b (heads, Z, nope)    attn_v_b (heads, W, Z)
 *
 * A model has them as its file did. Writing the other form makes its rows one by one. */
#include <string.h>

#include "base/assert.h"
#include "model/internal.h"
#include "tensor/quant.h"

/* One number of row r, in any format: the block that holds it is taken apart. */
static float number_at(const fl_tensor *t, int64_t r, int64_t col) {
    const int64_t block = fl_dtype_block(t->dtype), at = col / block * block;
    const char *row = (const char *)t->data +
                      (size_t)r * fl_dtype_row_bytes(t->dtype, fl_tensor_cols(t));
    float v[FL_BLOCK_MAX];
    fl_convert(v, FL_F32, row + fl_dtype_row_bytes(t->dtype, at), t->dtype, block);
    return v[col - at];
}

static void whole_row(const fl_tensor *t, int64_t r, float *out) {
    const size_t bytes = fl_dtype_row_bytes(t->dtype, fl_tensor_cols(t));
    fl_convert(out, FL_F32, (const char *)t->data + (size_t)r * bytes, t->dtype, fl_tensor_cols(t));
}

/* Row r of Hugging Face's, from both. */
static void joined_row(const fl_write_tensor *w, int64_t r, float *out) {
    const fli_stored *s = w->source;
    const fl_tensor *k = &s->part[0]->data, *v = &s->part[1]->data;
    const int64_t nope = k->dim[2], Z = k->dim[1], W = v->dim[1];
    const int64_t head = r / (nope + W), at = r % (nope + W);
    if (at >= nope) whole_row(v, head * W + at - nope, out);
    for (int64_t z = 0; z < Z && at < nope; z++) out[z] = number_at(k, head * Z + z, at);
}

/* Row r of GGUF's keys, (head, z), from the whole. */
static void key_row(const fl_write_tensor *w, int64_t r, float *out) {
    const fli_stored *s = w->source;
    const int64_t Z = w->dim[1], nope = w->dim[2];
    const fl_tensor *t = &s->part[0]->data;
    const int64_t each = t->dim[0] / w->dim[0], first = r / Z * each;
    for (int64_t i = 0; i < nope; i++) out[i] = number_at(t, first + i, r % Z);
}

/* Row r of GGUF's values is this one of the whole. */
static int64_t value_at(const fl_write_tensor *w, int64_t r) {
    const fli_stored *s = w->source;
    const int64_t W = w->dim[1], each = s->part[0]->data.dim[0] / w->dim[0];
    return r / W * each + each - W + r % W;
}

static void value_row(const fl_write_tensor *w, int64_t r, float *out) {
    const fli_stored *s = w->source;
    whole_row(&s->part[0]->data, value_at(w, r), out);
}

/* fl_write_tensor.stored: blocks stay what they are. */
static fl_status move_values(const fl_write_tensor *w, int64_t r, int64_t n, void *out,
                             fl_err *err) {
    (void)err;
    const fli_stored *s = w->source;
    const fl_tensor *t = &s->part[0]->data;
    const size_t bytes = fl_dtype_row_bytes(t->dtype, fl_tensor_cols(t));
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out + (size_t)i * bytes, fl_tensor_row(t, value_at(w, r + i)), bytes);
    return FL_OK;
}

void fli_latent_describe(const fli_stored *s, fl_write_tensor *w) {
    const fl_tensor *t = &s->part[0]->data;
    w->source = s;
    if (s->latent == FLI_LATENT_JOINED) {
        FL_ASSERT(s->n_parts == 2);
        w->rank = 2;
        w->dim[0] = t->dim[0] * (t->dim[2] + s->part[1]->data.dim[1]);
        w->dim[1] = t->dim[1];
        w->row = joined_row;
        return;
    }
    const bool keys = s->latent == FLI_LATENT_KEYS;
    const int64_t dim[] = {s->config->num_attention_heads, keys ? t->dim[1] : s->config->v_head_dim,
                           keys ? s->config->qk_nope_head_dim : t->dim[1]};
    w->rank = 3;
    memcpy(w->dim, dim, sizeof dim);
    if (keys) w->row = key_row;
    else if (w->dtype == t->dtype) w->stored = move_values;
    else w->row = value_row;
}
