/* check_latent - files of latent attention (DeepSeek): GGUF files from before May 2025, whose
 * up-projection is whole and whose keys name a head's lengths, are the models they were; and what
 * is kept as it is on the way into a new file.
 *
 * Tried and caught: their lengths looked for under the new names only, their up-projection taken for
 * two; the two taken from each other's rows, or keys not turned; kept keys in blocks again, kept
 * values quantized again. */
#include <string.h>

#include "folder.h"
#include "format/gguf.h"
#include "golden.h"
#include "model/internal.h"

static const fl_model_opts as_f32 = {.dtype = FL_F32, .no_tokenizer = true},
                           as_stored = {.as_stored = true, .no_tokenizer = true};

/* Of a size that has blocks: rows of kv_b are Z long, k_b's a head's part without positions. */
enum { HEADS = 4, Z = 256, NOPE = 32, VALUE = 32 };
static const char config_text[] =
    "{\"model_type\":\"deepseek_v3\",\"vocab_size\":96,\"hidden_size\":64,\"intermediate_size\":64,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":4,"
    "\"max_position_embeddings\":64,\"first_k_dense_replace\":1,\"n_routed_experts\":8,"
    "\"num_experts_per_tok\":3,\"n_shared_experts\":1,\"moe_intermediate_size\":32,\"n_group\":4,"
    "\"topk_group\":2,\"routed_scaling_factor\":1.5,\"norm_topk_prob\":true,\"q_lora_rank\":32,"
    "\"kv_lora_rank\":256,\"qk_nope_head_dim\":32,\"qk_rope_head_dim\":4,\"v_head_dim\":32,"
    "\"rope_theta\":10000.0,\"initializer_range\":0.2}";

static fl_model *make(void) {
    fl_config c = {0};
    fl_model *m = NULL;
    fl_err err = {0};
    json_t *v = json_loads(config_text, 0, NULL);
    fl_status s = fl_config_parse(&c, v, "config", &err);
    if (s == FL_OK) s = fl_model_new(&m, &c, 7, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    fl_config_clear(&c);
    json_decref(v);
    return m;
}

static fl_model *load(const char *path, const fl_model_opts *opts) {
    fl_model *m = NULL;
    fl_err err = {0};
    CHECKF(fl_model_load(&m, path, opts, &err) == FL_OK, "%s", err.msg);
    return m;
}

static fl_gguf_file *open_saved(const fl_model *m, const char *name, fl_dtype dtype) {
    fl_gguf_file *f = NULL;
    fl_err err = {0};
    const char *path = folder_file(name);
    fl_status s = fl_model_save_gguf(m, path, "tiny", dtype, &err);
    if (s == FL_OK) s = fl_gguf_open(&f, path, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    return f;
}

/* ---- an old file ---- */

/* The keys of a new one but those that have other numbers, or were not yet. */
static void put_old_keys(fl_gguf *g, const fl_gguf_file *from) {
    static const char *const other[] = {"head_count_kv", "key_length", "value_length", "_mla"};
    for (int i = 0; i < fl_gguf_n_keys(from); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(from, i);
        bool same = true;
        for (int n = 0; n < 4; n++) same = same && !strstr(k->name, other[n]);
        if (same) fl_gguf_copy(g, k);
    }
    fl_gguf_u32(g, "deepseek2.attention.head_count_kv", HEADS);
    fl_gguf_u32(g, "deepseek2.attention.key_length", NOPE + 4);
    fl_gguf_u32(g, "deepseek2.attention.value_length", VALUE);
}

static const char *save_old(const fl_model *m, const char *name, fl_dtype dtype) {
    fli_stored_list list = {0};
    fl_err err = {0};
    const char *path = folder_file(name);
    fl_gguf_file *now = open_saved(m, "new.gguf", FL_F32);
    fl_gguf *g = fl_gguf_new();
    put_old_keys(g, now);
    fl_status s = fli_stored_gguf(&list, m, FLI_READ, dtype, &err);
    if (s == FL_OK) s = fl_gguf_save(g, path, list.w, list.n, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    fli_stored_clear(&list);
    fl_gguf_free(g);
    fl_gguf_close(now);
    return path;
}

static fl_tensor logits_of(fl_model *m, fl_dtype compute, golden_run *r) {
    static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
    *r = (golden_run){.model = m, .compute = compute, .B = 1, .T = 8};
    if (!golden_build(r) || !golden_go(r, tokens)) return (fl_tensor){0};
    return fl_program_tensor(r->p, r->logits);
}

static void check_logits(fl_model *a, fl_model *b, double allowed, const char *what) {
    golden_run ra = {0}, rb = {0};
    const fl_tensor x = logits_of(a, FL_F64, &ra), y = logits_of(b, FL_F64, &rb);
    const double off = x.rank && y.rank ? golden_error(&y, &x) : INFINITY;
    CHECKF(off <= allowed, "%s: logits off by %g", what, off);
    golden_end(&ra);
    golden_end(&rb);
}

static const fl_tensor *of_layer(const fl_model *m, fl_slot slot) {
    const fl_param *p = fli_model_slot(m, 1, slot);
    return p ? &p->data : NULL;
}

static void check_old(const fl_model *m) {
    fl_model *old = load(save_old(m, "old.gguf", FL_F32), &as_f32);
    if (!old) return;
    const fl_tensor *a = of_layer(m, FL_SLOT_KV_UP), *b = of_layer(old, FL_SLOT_KV_UP);
    CHECK(!old->config.split_kv_up && old->config.qk_nope_head_dim == NOPE &&
          old->config.v_head_dim == VALUE && old->config.head_dim == NOPE + 4);
    CHECK(b && fl_tensor_same_shape(a, b) && !memcmp(a->data, b->data, fl_tensor_bytes(a)));
    check_logits((fl_model *)m, old, 1e-6, "an old file");
    fl_model_free(old);
}

/* ---- kept ---- */

/* A head's values out of the whole, as they lie there; its keys turned, the same numbers in f16. */
static void check_parts(const fl_tensor *whole, const fl_gguf_file *f) {
    const fl_stored_tensor *k = fl_gguf_tensor(f, "blk.1.attn_k_b.weight"),
                           *v = fl_gguf_tensor(f, "blk.1.attn_v_b.weight");
    CHECK(k && v && k->t.dtype == FL_F16 && v->t.dtype == whole->dtype);
    double worst = 0;
    for (int h = 0; k && v && h < HEADS; h++) {
        const int64_t first = h * (NOPE + VALUE);
        CHECK(memcmp(fl_tensor_row(&v->t, h * VALUE), fl_tensor_row(whole, first + NOPE),
                     VALUE * fl_dtype_row_bytes(whole->dtype, Z)) == 0);
        for (int z = 0; z < Z; z++)
            for (int i = 0; i < NOPE; i++)
                worst = fmax(worst, fabs(fl_tensor_get(&k->t, (h * Z + z) * NOPE + i) -
                                         fl_tensor_get(whole, (first + i) * Z + z)));
    }
    CHECKF(worst < 1e-3, "keys off by %g", worst);
}

/* An old file in blocks, written anew as it is. */
static void check_kept(const fl_model *m, fl_dtype dtype) {
    fl_model *old = load(save_old(m, "blocks.gguf", dtype), &as_stored), *floats = NULL;
    if (!old) return;
    CHECK(of_layer(old, FL_SLOT_KV_UP)->dtype == dtype);
    floats = load(folder_file("blocks.gguf"), &as_f32);
    check_logits(floats, old, 3e-6, fl_dtype_name(dtype));
    fl_gguf_file *f = open_saved(old, "kept.gguf", FL_DTYPE_KEPT);
    check_parts(of_layer(old, FL_SLOT_KV_UP), f);
    fl_model *kept = load(folder_file("kept.gguf"), &as_stored);
    if (kept) check_logits(floats, kept, 2e-3, "kept as it is");
    fl_gguf_close(f);
    fl_model_free(kept);
    fl_model_free(floats);
    fl_model_free(old);
}

/* What a folder has as floats stays so in both. */
static void check_folder(const fl_model *m) {
    fl_gguf_file *f = open_saved(m, "folder.gguf", FL_DTYPE_KEPT);
    const fl_stored_tensor *k = fl_gguf_tensor(f, "blk.1.attn_k_b.weight"),
                           *v = fl_gguf_tensor(f, "blk.1.attn_v_b.weight");
    CHECK(k && v && k->t.dtype == FL_F32 && v->t.dtype == FL_F32);
    fl_gguf_close(f);
}

/* A new file in blocks, kept: every tensor byte for byte. */
static void check_again(const fl_model *m) {
    fl_gguf_file *a = open_saved(m, "split.gguf", FL_Q8_0);
    fl_model *split = load(folder_file("split.gguf"), &as_stored);
    fl_gguf_file *b = split ? open_saved(split, "again.gguf", FL_DTYPE_KEPT) : NULL;
    for (int i = 0; b && i < fl_gguf_n_tensors(a); i++) {
        const fl_stored_tensor *x = fl_gguf_tensor_at(a, i), *y = fl_gguf_tensor(b, x->name);
        CHECKF(y && x->t.dtype == y->t.dtype &&
                   !memcmp(x->t.data, y->t.data, fl_tensor_bytes(&x->t)),
               "%s", x->name);
    }
    fl_gguf_close(a);
    fl_gguf_close(b);
    fl_model_free(split);
}

int main(void) {
    folder_make();
    fl_model *m = make();
    if (m) {
        check_old(m);
        check_kept(m, FL_Q8_0);
        check_kept(m, FL_Q3_K);
        check_folder(m);
        check_again(m);
    }
    fl_model_free(m);
    folder_remove();
    return check_report();
}
