/* check_config - config.json as published models have it (tests/data/config/published.json; the
 * lists of longrope are shortened in digits): read to what transformers makes of it
 * (tests/peers/model_configs.py), written and read again to the same. */
#include <stddef.h>

#include "check.h"
#include "folder.h"
#include "model/arch.h"

/* Layers with a window, numbers of a head that are rotated, and the whole model's parameters. */
static const struct {
    const char *name, *arch;
    int64_t parameters;
    int windowed, rotary;
    double theta, local_theta;
    const char *scaling;
} published[] = {
    {"llama-7b", "llama", 6738415616, 0, 128, 1e4, 0, NULL},
    {"llama-2-70b", "llama", 68976648192, 0, 128, 1e4, 0, NULL},
    {"llama-3.2-1b", "llama", 1235814400, 0, 64, 5e5, 0, "llama3"},
    {"smollm2-135m", "llama", 134515008, 0, 64, 1e5, 0, NULL},
    {"mistral-7b-v0.1", "mistral", 7241732096, 32, 128, 1e4, 0, NULL},
    {"mistral-7b-v0.3", "mistral", 7248023552, 0, 128, 1e6, 0, NULL},
    {"qwen2.5-0.5b", "qwen2", 494032768, 0, 64, 1e6, 0, NULL},
    {"qwen3-0.6b", "qwen3", 596049920, 0, 128, 1e6, 0, NULL},
    {"qwen3-8b-yarn", "qwen3", 8190735360, 0, 128, 1e6, 0, "yarn"},
    {"gemma-2-2b", "gemma2", 2614341888, 13, 256, 1e4, 0, NULL},
    {"gemma-2-27b", "gemma2", 27227128320, 23, 128, 1e4, 0, NULL},
    {"gemma-3-1b-it", "gemma3_text", 999885952, 22, 256, 1e6, 1e4, NULL},
    {"gemma-3-270m", "gemma3_text", 268098176, 15, 256, 1e6, 1e4, NULL},
    {"phi-3-mini-4k", "phi3", 3821079552, 32, 96, 1e4, 0, NULL},
    {"phi-3-mini-128k", "phi3", 3821079552, 32, 96, 1e4, 0, "longrope"},
    {"phi-4-mini", "phi3", 3836021760, 32, 96, 1e4, 0, "longrope"},
    {"olmo-2-7b", "olmo2", 7298617344, 0, 128, 5e5, 0, NULL},
    {"stablelm-2-1_6b", "stablelm", 1644515328, 0, 16, 1e4, 0, NULL},
    {"pythia-160m", "gpt_neox", 162322944, 0, 16, 1e4, 0, NULL},
    {"gpt2", "gpt2", 124439808, 0, 64, 1e4, 0, NULL},
    {"gpt-oss-120b", "gpt_oss", 116829156672, 18, 64, 1.5e5, 0, "yarn"},
};
enum { N_PUBLISHED = sizeof published / sizeof published[0] };

static int windowed_layers(const fl_config *c) {
    int n = 0;
    for (int i = 0; i < (int)c->num_hidden_layers; i++) n += fl_config_window(c, i) > 0;
    return n;
}

static void check_facts(int i, const fl_config *c) {
    const char *name = published[i].name;
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    const char *want = published[i].scaling;
    CHECKF(strcmp(c->arch->name, published[i].arch) == 0, "%s: %s", name, c->arch->name);
    CHECKF(fl_config_count(c) == published[i].parameters, "%s: %lld", name,
           (long long)fl_config_count(c));
    CHECKF(windowed_layers(c) == published[i].windowed, "%s: %d", name, windowed_layers(c));
    CHECKF(c->rotary_dim == published[i].rotary, "%s: %lld", name, (long long)c->rotary_dim);
    CHECKF(c->rope_theta == published[i].theta, "%s: %g", name, c->rope_theta);
    CHECKF(c->rope_local_theta == published[i].local_theta, "%s: %g", name, c->rope_local_theta);
    CHECKF(want ? type && strcmp(type, want) == 0 : !type, "%s: %s", name, type ? type : "none");
}

/* Everything of two configs but where their objects lie. */
static bool same(const fl_config *a, const fl_config *b) {
    fl_config x = *a, y = *b;
    bool scaling = !a->rope_scaling == !b->rope_scaling &&
                   (!a->rope_scaling || json_equal(a->rope_scaling, b->rope_scaling));
    x.rope_scaling = y.rope_scaling = NULL;
    for (const fl_config_key *k = x.arch->keys; k->key; k++) {
        size_t n = k->kind == FL_KEY_BOOL ? sizeof(bool) : sizeof(int64_t);
        if (memcmp((char *)&x + k->offset, (char *)&y + k->offset, n) != 0) return false;
    }
    return scaling && x.rotary_dim == y.rotary_dim && x.rope_theta == y.rope_theta &&
           x.rope_local_theta == y.rope_local_theta && x.sliding_window == y.sliding_window &&
           windowed_layers(&x) == windowed_layers(&y) && x.eos_token_id == y.eos_token_id &&
           x.n_more_ends == y.n_more_ends &&
           memcmp(x.more_ends, y.more_ends, sizeof x.more_ends) == 0 &&
           x.bos_token_id == y.bos_token_id && x.tie_word_embeddings == y.tie_word_embeddings;
}

static void check_again(const char *name, const fl_config *c) {
    fl_config again = {0};
    fl_err err = {0};
    CHECKF(fl_config_save(c, folder_path, FL_BF16, &err) == FL_OK, "%s: %s", name, err.msg);
    CHECKF(fl_config_load(&again, folder_path, &err) == FL_OK, "%s: %s", name, err.msg);
    CHECKF(again.arch == c->arch && same(c, &again), "%s", name);
    fl_config_clear(&again);
}

/* Several tokens may end a text, and generation_config.json may know of more. */
static void check_ends(void) {
    fl_err err = {0};
    fl_config c = {0};
    json_t *v = json_load_file(FL_TEST_DATA "/golden/llama/config.json", 0, NULL);
    json_object_set_new(v, "eos_token_id", json_pack("[i, i]", 7, 3));
    CHECK(fl_config_parse(&c, v, "ends", &err) == FL_OK && c.eos_token_id == 7);
    CHECK(fl_config_save(&c, folder_path, FL_F32, &err) == FL_OK);
    fl_config_clear(&c);
    folder_puts("generation_config.json", "{\"eos_token_id\": [3, 5, 7]}");
    CHECKF(fl_config_load(&c, folder_path, &err) == FL_OK, "%s", err.msg);
    CHECK(c.eos_token_id == 7 && c.n_more_ends == 2 && c.more_ends[0] == 3 && c.more_ends[1] == 5);
    CHECK(fl_config_ends(&c, 7) && fl_config_ends(&c, 5) && !fl_config_ends(&c, 4) &&
          !fl_config_ends(&c, -1));
    CHECK(fl_generation_config_save(&c, folder_path, &err) == FL_OK);
    check_again("ends", &c);
    fl_config_clear(&c);
    folder_puts("generation_config.json", "{\"eos_token_id\": \"x\"}");
    CHECK(fl_config_load(&c, folder_path, &err) == FL_ERR_FORMAT &&
          strstr(err.msg, "generation_config.json"));
    json_decref(v);
    remove(folder_puts("generation_config.json", ""));
}

int main(void) {
    json_t *all = NULL;
    fl_err err = {0};
    folder_make();
    CHECKF(fl_json_load(&all, FL_TEST_DATA "/config/published.json", &err) == FL_OK, "%s", err.msg);
    CHECK(json_object_size(all) == N_PUBLISHED);
    for (int i = 0; i < N_PUBLISHED; i++) {
        fl_config c = {0};
        const char *name = published[i].name;
        fl_status s = fl_config_parse(&c, json_object_get(all, name), name, &err);
        CHECKF(s == FL_OK, "%s", err.msg);
        if (s != FL_OK) continue;
        check_facts(i, &c);
        check_again(name, &c);
        fl_config_clear(&c);
    }
    json_decref(all);
    check_ends();
    folder_remove();
    return check_report();
}
