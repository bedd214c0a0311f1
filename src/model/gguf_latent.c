/* gguf_latent - what GGUF says of latent attention (llama.cpp's deepseek2), both ways.
 *
 * llama.cpp attends as one key-value head: key_length and value_length are those of what it caches,
 * the *_mla keys those of a head; before May 2025 files had the latter under the former's names,
 * and KV_UP whole. It knows one mscale, for cosine and sine and for the scores alike, which
 * cancels in the former (llama-context.cpp); without it YaRN's own factor is in both. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/gguf_facts.h"

/* ---- writing ---- */

static double scaling_number(const fl_config *c, const char *key) {
    return json_number_value(json_object_get(c->rope_scaling, key));
}

static bool one_mscale(const fl_config *c) {
    const double all = scaling_number(c, "mscale_all_dim");
    return all > 0 && all == scaling_number(c, "mscale") &&
           !json_object_get(c->rope_scaling, "attention_factor");
}

const char *fli_gguf_latent_lacking(const fl_config *c) {
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    const bool lite = c->num_hidden_layers == 26 || c->num_hidden_layers == 27;
    if (!c->kv_lora_rank) return NULL;
    if (lite && c->q_lora_rank) return "q_lora_rank with 26 or 27 layers";
    if (c->n_group > 1 && !c->arch->routing.group_pair) return "groups judged by their best expert";
    if (c->n_group > 1 && c->topk_group == c->n_group) return "topk_group that is n_group";
    if (type && strcmp(type, "yarn") != 0) return "rope_scaling other than yarn";
    return type && !one_mscale(c) ? "mscale other than mscale_all_dim" : NULL;
}

static void put(fl_gguf *g, const fl_config *c, const char *name, int64_t v) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", c->arch->gguf_name, name);
    fl_gguf_u32(g, key, (uint32_t)v);
}

void fli_gguf_put_latent(fl_gguf *g, const fl_config *c) {
    char key[128];
    put(g, c, "attention.head_count_kv", 1);
    put(g, c, "attention.key_length", c->kv_lora_rank + c->qk_rope_head_dim);
    put(g, c, "attention.value_length", c->kv_lora_rank);
    put(g, c, "attention.key_length_mla", c->head_dim);
    put(g, c, "expert_gating_func", c->arch->routing.sigmoid ? FLI_GGUF_SIGMOID : FLI_GGUF_SOFTMAX);
    if (!c->rope_scaling) return;
    snprintf(key, sizeof key, "%s.rope.scaling.yarn_log_multiplier", c->arch->gguf_name);
    fl_gguf_f32(g, key, (float)(0.1 * scaling_number(c, "mscale_all_dim")));
}

/* ---- reading ---- */

typedef struct {
    const fl_gguf_file *f;
    const char *arch;
    fl_err *err;
} source;

/* The first of two keys that is there. */
static fl_status get(const source *s, const char *name, const char * or, int64_t *out) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", s->arch, name);
    if (or &&!fl_gguf_find(s->f, key)) snprintf(key, sizeof key, "%s.%s", s->arch, or);
    return fl_gguf_get_int(s->f, key, out, s->err);
}

fl_status fli_gguf_get_latent(json_t *v, const fl_gguf_file *f, const fl_arch *arch, fl_err *err) {
    const source s = {f, arch->gguf_name, err};
    int64_t head = 0, rope = 0, value = 0, groups = 0;
    FL_TRY(get(&s, "attention.key_length_mla", "attention.key_length", &head));
    FL_TRY(get(&s, "attention.value_length_mla", "attention.value_length", &value));
    FL_TRY(get(&s, "rope.dimension_count", NULL, &rope));
    FL_TRY(get(&s, "expert_group_count", NULL, &groups));
    if (rope < 1 || head <= rope)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: heads of %lld numbers, %lld of them rotated: expected fewer than all",
                       arch->gguf_name, (long long)head, (long long)rope);
    json_object_set_new(v, "qk_nope_head_dim", json_integer(head - rope));
    json_object_set_new(v, "qk_rope_head_dim", json_integer(rope));
    json_object_set_new(v, "v_head_dim", json_integer(value));
    if (!arch->routing.sigmoid)
        json_object_set_new(v, "topk_method",
                            json_string(groups > 1 ? "group_limited_greedy" : "greedy"));
    return FL_OK;
}

fl_status fli_gguf_get_mscale(json_t *scaling, const fl_gguf_file *f, const fl_arch *arch,
                              fl_err *err) {
    char key[128];
    double tenth = 0, attention = 1;
    const double factor = json_number_value(json_object_get(scaling, "factor"));
    snprintf(key, sizeof key, "%s.rope.scaling.yarn_log_multiplier", arch->gguf_name);
    FL_TRY(fl_gguf_get_real(f, key, &tenth, err));
    snprintf(key, sizeof key, "%s.rope.scaling.attn_factor", arch->gguf_name);
    FL_TRY(fl_gguf_get_real(f, key, &attention, err));
    if (attention != 1)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s is %g; for %s it must be 1", key, attention,
                       arch->gguf_name);
    const double mscale = tenth > 0 ? round(1e7 * tenth) / 1e6 : 1;  // 0.0707 is an f32
    json_object_set_new(scaling, "mscale_all_dim", json_real(mscale));
    if (tenth > 0) json_object_set_new(scaling, "mscale", json_real(mscale));
    else json_object_set_new(scaling, "attention_factor", json_real(0.1 * log(factor) + 1));
    return FL_OK;
}
