/* check_stretch - rotary positions scaled by the user are those of a config.json that says so.
 *
 * Caught by it (each tried): a factor that is not used; YaRN's original length taken after it grew;
 * theta by another power. Meant to be caught, not tried: old tables kept. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "check.h"
#include "folder.h"
#include "infer/session.h"

enum { N = 24 };
static float logits[2][128];

static const char *source(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, FL_TEST_DATA "/golden/%s", name);
    return path;
}

static fl_model *load(const char *path) {
    fl_model *m = NULL;
    fl_err err = {0};
    CHECKF(fl_model_load(&m, path, &(fl_model_opts){.no_tokenizer = true}, &err) == FL_OK, "%s",
           err.msg);
    return m;
}

/* The logits after N tokens. */
static void run(fl_model *m, float *out) {
    int32_t id[N];
    fl_session *s = NULL;
    for (int i = 0; i < N; i++) id[i] = 3 + 7 * i % 90;
    CHECK(fl_session_new(&s, m, &(fl_session_opts){.compute = FL_COMPUTE_F32}, NULL) == FL_OK);
    CHECK(fl_session_feed(s, id, N, NULL) == FL_OK);
    memcpy(out, fl_session_logits(s), (size_t)m->config.vocab_size * sizeof *out);
    fl_session_free(s);
    fl_model_free(m);
}

static void copy(const char *name) {
    char from[600], *text = NULL;
    size_t n = 0;
    snprintf(from, sizeof from, "%s/%s", source("llama"), name);
    CHECK(fl_file_read(from, 1 << 22, &text, &n, NULL) == FL_OK);
    folder_put(name, text, n);
    fl_dealloc(text);
}

/* golden/llama with a rope_scaling, or another rope_theta. */
static fl_model *with(const char *scaling, double theta) {
    json_t *v = NULL;
    char path[600];
    snprintf(path, sizeof path, "%s/config.json", source("llama"));
    CHECK(fl_json_load(&v, path, NULL) == FL_OK);
    json_object_del(v, "rope_parameters");
    json_object_set_new(v, "rope_theta", json_real(theta));
    if (scaling) json_object_set_new(v, "rope_scaling", json_loads(scaling, 0, NULL));
    CHECK(fl_json_save(v, folder_file("config.json"), NULL) == FL_OK);
    json_decref(v);
    copy("model.safetensors");
    snprintf(path, sizeof path, "%s", folder_file("config.json"));
    *strrchr(path, '/') = '\0';
    return load(path);
}

static void check_kinds(void) {
    const struct {
        const char *how, *scaling;
        double theta;
    } rows[] = {
        {"linear", "{\"rope_type\": \"linear\", \"factor\": 16}", 10000},
        {"ntk", NULL, 10000 * pow(16, 8.0 / 6)},
        {"yarn",
         "{\"rope_type\": \"yarn\", \"factor\": 16, \"original_max_position_embeddings\": 64}",
         10000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fl_model *m = load(source("llama"));
        const int64_t V = m->config.vocab_size;
        CHECK(fl_model_stretch(m, rows[i].how, 16, NULL) == FL_OK);
        CHECK(m->config.max_position_embeddings == 1024);
        run(m, logits[0]);
        run(with(rows[i].scaling, rows[i].theta), logits[1]);
        CHECKF(memcmp(logits[0], logits[1], (size_t)V * sizeof(float)) == 0, "%s: %g, %g",
               rows[i].how, (double)logits[0][0], (double)logits[1][0]);
        run(load(source("llama")), logits[1]);
        CHECKF(memcmp(logits[0], logits[1], (size_t)V * sizeof(float)) != 0, "%s", rows[i].how);
    }
}

static void refuse(const char *model, const char *how, double factor, const char *why) {
    fl_model *m = load(source(model));
    const int64_t context = m->config.max_position_embeddings;
    fl_err err = {0};
    CHECKF(fl_model_stretch(m, how, factor, &err) != FL_OK && strstr(err.msg, why), "%s: %s", model,
           err.msg);
    CHECK(m->config.max_position_embeddings == context);
    run(m, logits[0]);  // it is as good as before
}

int main(void) {
    folder_make();
    check_kinds();
    refuse("gpt2", "linear", 2, "no rotary positions");
    refuse("llama_linear", "yarn", 2, "scaled already (linear)");
    refuse("llama", "linear", 0.5, "want 1 to 1024");
    refuse("llama", "linear", (double)NAN, "want 1 to 1024");
    refuse("llama", "cubic", 2, "known are linear, ntk, yarn");
    folder_remove();
    return check_report();
}
