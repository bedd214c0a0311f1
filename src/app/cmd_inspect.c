/* cmd_inspect - fledge inspect: what is inside a model, and whether anything is wrong with it. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "model/arch.h"
#include "model/inspect.h"
#include "token/tokenizer.h"

typedef struct {
    const fl_model *m;
    char folder[FL_PATH_MAX];
    fl_model_report r;
    char problem[4][200];
    int n_problems;
} inspection;

/* ---- checks ---- */

static void find_problems(inspection *in) {
    static const char *const files[] = {"generation_config.json", "tokenizer_config.json"};
    const fl_model *m = in->m;
    size_t room = sizeof in->problem[0];
    if (in->r.first_bad)
        snprintf(in->problem[in->n_problems++], room,
                 "%lld NaN and %lld infinite weights, first in %s", (long long)in->r.n_nan,
                 (long long)in->r.n_inf, in->r.first_bad->name);
    if (!m->tokenizer)
        snprintf(in->problem[in->n_problems++], room,
                 "no tokenizer.json: the model can be fed token ids only");
    for (size_t i = 0; i < 2; i++) {
        char path[FL_PATH_MAX];
        if (fl_path_join(path, in->folder, files[i], NULL) == FL_OK && !fl_path_exists(path) &&
            (i == 0 || m->tokenizer))
            snprintf(in->problem[in->n_problems++], room, "no %s", files[i]);
    }
}

/* ---- as text ---- */

static int windowed_layers(const fl_config *c) {
    int n = 0;
    for (int i = 0; i < (int)c->num_hidden_layers; i++) n += fl_config_window(c, i) > 0;
    return n;
}

static void print_architecture(const inspection *in) {
    const fl_config *c = &in->m->config;
    printf("%s\n  architecture   %s (%s)\n", in->folder, c->arch->name, c->arch->hf_class);
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
    if (in->m->tokenizer)
        printf("  tokenizer      %d tokens, bos %d, eos %d\n", fl_tokenizer_size(in->m->tokenizer),
               fl_tokenizer_bos(in->m->tokenizer), fl_tokenizer_eos(in->m->tokenizer));
    printf("  chat template  %s\n", in->m->chat_template ? "yes" : "none");
}

static void print_size(const char *name, const fl_model_part_size *s, int64_t all) {
    char count[FL_HUMAN], bytes[FL_HUMAN];
    printf("  %-13s %10s %5.1f %%  %10s  %5lld tensors\n", name,
           fl_human_count((double)s->parameters, count),
           100.0 * (double)s->parameters / (double)all, fl_human_bytes((double)s->bytes, bytes),
           (long long)s->tensors);
}

static void print_text(const inspection *in) {
    int64_t all = fl_config_count(&in->m->config);
    fl_model_part_size sum = {0};
    print_architecture(in);
    printf("parameters\n");
    for (int i = 0; i < FL_MODEL_PART_COUNT; i++) {
        const fl_model_part_size *p = &in->r.part[i];
        if (p->tensors) print_size(fl_model_part_name((fl_model_part)i), p, all);
        sum = (fl_model_part_size){sum.tensors + p->tensors, sum.parameters + p->parameters,
                                   sum.bytes + p->bytes};
    }
    print_size("all", &sum, all);
    char active[FL_HUMAN];
    if (in->m->config.num_experts)
        printf("  %-13s %10s %5.1f %%  of them meet a token\n", "active",
               fl_human_count((double)fl_config_count_active(&in->m->config), active),
               100.0 * (double)fl_config_count_active(&in->m->config) / (double)all);
    printf("in memory\n");
    for (int i = 0; i < FL_DTYPE_COUNT; i++)
        if (in->r.format[i].tensors) print_size(fl_dtype_name((fl_dtype)i), &in->r.format[i], all);
    printf("checks\n");
    for (int i = 0; i < in->n_problems; i++) printf("  %s\n", in->problem[i]);
    if (!in->n_problems) printf("  all good: every weight is finite, every file is there\n");
}

/* ---- as JSON ---- */

static json_t *size_json(const fl_model_part_size *s) {
    return json_pack("{s:I, s:I, s:I}", "tensors", (json_int_t)s->tensors, "parameters",
                     (json_int_t)s->parameters, "bytes", (json_int_t)s->bytes);
}

static void print_json(const inspection *in) {
    const fl_config *c = &in->m->config;
    json_t *parts = json_object(), *formats = json_object(), *problems = json_array();
    for (int i = 0; i < FL_MODEL_PART_COUNT; i++)
        if (in->r.part[i].tensors)
            json_object_set_new(parts, fl_model_part_name((fl_model_part)i),
                                size_json(&in->r.part[i]));
    for (int i = 0; i < FL_DTYPE_COUNT; i++)
        if (in->r.format[i].tensors)
            json_object_set_new(formats, fl_dtype_name((fl_dtype)i), size_json(&in->r.format[i]));
    for (int i = 0; i < in->n_problems; i++)
        json_array_append_new(problems, json_string(in->problem[i]));
    json_t *v = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o, s:o, s:o}",
                          "folder", in->folder, "architecture", c->arch->name, "parameters",
                          (json_int_t)fl_config_count(c), "vocab_size", (json_int_t)c->vocab_size,
                          "hidden_size", (json_int_t)c->hidden_size, "layers",
                          (json_int_t)c->num_hidden_layers, "heads",
                          (json_int_t)c->num_attention_heads, "key_value_heads",
                          (json_int_t)c->num_key_value_heads, "head_dim", (json_int_t)c->head_dim,
                          "tied", c->tie_word_embeddings, "tokenizer_size",
                          (json_int_t)(in->m->tokenizer ? fl_tokenizer_size(in->m->tokenizer) : 0),
                          "parts", parts, "formats", formats, "problems", problems);
    json_dumpf(v, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(v);
}

/* A model with bad numbers is a failure, so that scripts notice; a missing file is only said. */
static fl_status run(const app_args *a, fl_err *err) {
    inspection in = {0};
    fl_model *m;
    FL_TRY(fl_model_folder(in.folder, app_arg(a, 0), err));
    FL_TRY(fl_model_load(&m, app_arg(a, 0), &(fl_model_opts){.as_stored = true}, err));
    in.m = m;
    fl_model_inspect(m, &in.r);
    find_problems(&in);
    (app_bool(a, "json") ? print_json : print_text)(&in);
    fl_status s = in.r.first_bad
                      ? fl_fail(err, FL_ERR_FORMAT, "%s: %s", app_arg(a, 0), in.problem[0])
                      : FL_OK;
    fl_model_free(m);
    return s;
}

const app_command cmd_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "print architecture, parameters, types and sizes of a model",
    .details =
        "MODEL is a Hugging Face folder, a run folder or a checkpoint. Every weight is read: NaN "
        "and infinities are\n"
        "reported, and make the command fail.\n\n    fledge inspect runs/tales",
    .run = run,
};
