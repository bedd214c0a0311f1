/* inspect_model - a model in words: its network, its tokenizer, where its parameters are. */
#include <stdio.h>

#include "app/inspect.h"
#include "app/io.h"
#include "model/arch.h"
#include "model/inspect.h"
#include "token/tokenizer.h"

/* ---- as text ---- */

static int windowed_layers(const fl_config *c) {
    int n = 0;
    for (int i = 0; i < (int)c->num_hidden_layers; i++) n += fl_config_window(c, i) > 0;
    return n;
}

static void print_end(const fl_tokenizer *t, const char *what, int32_t id) {
    size_t n;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    printf(", %s ", what);
    if (!bytes) {
        fputs("none", stdout);
        return;
    }
    printf("%d ", id);
    app_print_token(bytes, n);
}

static void print_tokenizer(const fl_tokenizer *t) {
    int of_kind[FL_TOKEN_BYTE + 1] = {0};
    const char *pre = fl_tokenizer_llama_cpp_pre(t);
    for (int32_t id = 0; id < fl_tokenizer_size(t); id++) of_kind[fl_tokenizer_kind(t, id)]++;
    printf("  tokenizer      %s%s%s, %d tokens (%d learned, %d special, %d added), %zu merges\n",
           fl_tokenizer_gguf_model(t), pre ? " " : "", pre ? pre : "", fl_tokenizer_size(t),
           of_kind[FL_TOKEN_NORMAL] + of_kind[FL_TOKEN_BYTE],
           of_kind[FL_TOKEN_CONTROL] + of_kind[FL_TOKEN_UNKNOWN], of_kind[FL_TOKEN_USER],
           fl_tokenizer_n_merges(t));
    printf("  around a text  %s%s", fl_tokenizer_adds_bos(t) ? "bos" : "no bos",
           fl_tokenizer_adds_eos(t) ? " and eos" : "");
    print_end(t, "bos", fl_tokenizer_bos(t));
    print_end(t, "eos", fl_tokenizer_eos(t));
    putchar('\n');
}

static void print_network(const fl_config *c) {
    printf("  architecture   %s (%s)\n", c->arch->name, c->arch->hf_class);
    printf("  layers         %lld x (%lld wide, feed-forward %lld)\n",
           (long long)c->num_hidden_layers, (long long)c->hidden_size,
           (long long)c->intermediate_size);
    printf("  heads          %lld of %lld, keys and values %lld\n",
           (long long)c->num_attention_heads, (long long)c->head_dim,
           (long long)c->num_key_value_heads);
    if (c->num_experts)
        printf("  experts        %lld of %lld, each %lld wide\n", (long long)c->experts_per_token,
               (long long)c->num_experts, (long long)c->moe_intermediate_size);
    printf("  vocabulary     %lld, head %s\n", (long long)c->vocab_size,
           c->tie_word_embeddings ? "tied" : "untied");
    printf("  positions      %s, at most %lld\n",
           c->arch->position == FL_POSITION_ROPE ? "rotary" : "learned",
           (long long)c->max_position_embeddings);
    if (c->sliding_window)
        printf("  window         %lld keys in %d of %lld layers\n", (long long)c->sliding_window,
               windowed_layers(c), (long long)c->num_hidden_layers);
}

static void print_size(const char *name, const fl_model_part_size *s, int64_t all) {
    char count[FL_HUMAN], bytes[FL_HUMAN];
    printf("  %-13s %10s %5.1f %%  %10s  %5lld tensors\n", name,
           fl_human_count((double)s->parameters, count),
           100.0 * (double)s->parameters / (double)all, fl_human_bytes((double)s->bytes, bytes),
           (long long)s->tensors);
}

static void print_parts(const fl_model_report *r, const fl_config *c) {
    const int64_t all = fl_config_count(c), active = fl_config_count_active(c);
    fl_model_part_size sum = {0};
    char count[FL_HUMAN];
    puts("parameters");
    for (int i = 0; i < FL_MODEL_PART_COUNT; i++) {
        const fl_model_part_size *p = &r->part[i];
        if (p->tensors) print_size(fl_model_part_name((fl_model_part)i), p, all);
        sum = (fl_model_part_size){sum.tensors + p->tensors, sum.parameters + p->parameters,
                                   sum.bytes + p->bytes};
    }
    print_size("all", &sum, all);
    if (c->num_experts)
        printf("  %-13s %10s %5.1f %%  of them meet a token\n", "active",
               fl_human_count((double)active, count), 100.0 * (double)active / (double)all);
}

void app_print_model(const fl_model *m) {
    fl_model_report r;
    fl_model_inspect(m, &r);
    print_network(&m->config);
    if (m->tokenizer) print_tokenizer(m->tokenizer);
    printf("  chat template  %s\n", m->chat_template ? "yes" : "none");
    print_parts(&r, &m->config);
    puts("in memory");
    for (int i = 0; i < FL_DTYPE_COUNT; i++)
        if (r.format[i].tensors)
            print_size(fl_dtype_name((fl_dtype)i), &r.format[i], fl_config_count(&m->config));
}

/* ---- as JSON ---- */

static json_t *size_json(const fl_model_part_size *s) {
    return json_pack("{s:I, s:I, s:I}", "tensors", (json_int_t)s->tensors, "parameters",
                     (json_int_t)s->parameters, "bytes", (json_int_t)s->bytes);
}

static json_t *tokenizer_json(const fl_tokenizer *t) {
    return json_pack("{s:s, s:s?, s:i, s:I, s:i, s:i, s:b, s:b}", "model",
                     fl_tokenizer_gguf_model(t), "pre", fl_tokenizer_llama_cpp_pre(t), "size",
                     (int)fl_tokenizer_size(t), "merges", (json_int_t)fl_tokenizer_n_merges(t),
                     "bos", (int)fl_tokenizer_bos(t), "eos", (int)fl_tokenizer_eos(t), "adds_bos",
                     fl_tokenizer_adds_bos(t), "adds_eos", fl_tokenizer_adds_eos(t));
}

static void set_int(json_t *o, const char *key, int64_t v) {
    json_object_set_new(o, key, json_integer(v));
}

static void set_network(json_t *o, const fl_config *c) {
    json_object_set_new(o, "architecture", json_string(c->arch->name));
    set_int(o, "parameters", fl_config_count(c));
    set_int(o, "active_parameters", fl_config_count_active(c));
    set_int(o, "vocab_size", c->vocab_size);
    set_int(o, "hidden_size", c->hidden_size);
    set_int(o, "layers", c->num_hidden_layers);
    set_int(o, "heads", c->num_attention_heads);
    set_int(o, "key_value_heads", c->num_key_value_heads);
    set_int(o, "head_dim", c->head_dim);
    set_int(o, "experts", c->num_experts);
    set_int(o, "experts_per_token", c->experts_per_token);
    set_int(o, "context", c->max_position_embeddings);
    json_object_set_new(o, "tied", json_boolean(c->tie_word_embeddings));
}

void app_model_json(const fl_model *m, json_t *into) {
    fl_model_report r;
    json_t *parts = json_object(), *formats = json_object();
    fl_model_inspect(m, &r);
    for (int i = 0; i < FL_MODEL_PART_COUNT; i++)
        if (r.part[i].tensors)
            json_object_set_new(parts, fl_model_part_name((fl_model_part)i), size_json(&r.part[i]));
    for (int i = 0; i < FL_DTYPE_COUNT; i++)
        if (r.format[i].tensors)
            json_object_set_new(formats, fl_dtype_name((fl_dtype)i), size_json(&r.format[i]));
    set_network(into, &m->config);
    json_object_set_new(into, "parts", parts);
    json_object_set_new(into, "formats", formats);
    json_object_set_new(into, "tokenizer",
                        m->tokenizer ? tokenizer_json(m->tokenizer) : json_null());
    json_object_set_new(into, "chat_template", json_boolean(m->chat_template != NULL));
}
