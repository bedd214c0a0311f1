/* rope - the frequencies of rotary positions (Su et al., "RoFormer", 2021), plain or scaled for
 * texts longer than a model was first trained on.
 *
 * With R numbers of a head rotated, inv_freq[i] = theta^(-2i/R), i < R/2. Then
 *   linear    divided by factor
 *   llama3    waves above original / low_freq_factor divided by factor, those below original /
 *             high_freq_factor kept, and between them the two mixed (Llama 3.1)
 *   yarn      dimensions that turn more than beta_fast times in the original length kept, fewer
 *             than beta_slow divided by factor, a ramp between; cosine and sine scaled
 *             (Peng et al., "YaRN", 2023)
 *   longrope  each divided by its own factor, of one list for texts up to the original length and
 *             another beyond; cosine and sine scaled (Ding et al., "LongRoPE", 2024; Phi-3)
 *   dynamic   plain up to max_position_embeddings, which is as far as a text goes here */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "model/internal.h"

static const char WHERE[] = "rope_scaling";
static const double TURN = 6.283185307179586;

typedef struct {
    const fl_config *c;
    double factor, original;
    double low, high;          // llama3: frequency factors; yarn: dimensions where the ramp is
    double attention;          // cosine and sine are multiplied by it
    const json_t *each, *far;  // longrope: lists of factors
} scaling;

static fl_status read_factor(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(fl_json_real(v, "factor", &s->factor, WHERE, err));
    return s->factor > 0 ? FL_OK : fl_fail(err, FL_ERR_ARG, "rope_scaling: factor must be above 0");
}

static fl_status read_original(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(fl_json_real_or(v, "original_max_position_embeddings",
                           (double)s->c->max_position_embeddings, &s->original, WHERE, err));
    return s->original > 1 ? FL_OK
                           : fl_fail(err, FL_ERR_ARG,
                                     "rope_scaling: original_max_position_embeddings must be "
                                     "above 1");
}

/* factor, or what the model's length is of the original. */
static fl_status read_stretch(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(read_original(v, s, err));
    if (!json_is_null(json_object_get(v, "factor")) && json_object_get(v, "factor"))
        return read_factor(v, s, err);
    s->factor = (double)s->c->max_position_embeddings / s->original;
    return FL_OK;
}

/* ---- llama3 ---- */

static fl_status read_llama3(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(read_factor(v, s, err));
    FL_TRY(read_original(v, s, err));
    FL_TRY(fl_json_real(v, "low_freq_factor", &s->low, WHERE, err));
    FL_TRY(fl_json_real(v, "high_freq_factor", &s->high, WHERE, err));
    if (s->low > 0 && s->high > s->low) return FL_OK;
    return fl_fail(err, FL_ERR_ARG,
                   "rope_scaling: expected 0 < low_freq_factor < high_freq_factor");
}

static double scale_llama3(const scaling *s, double freq, int64_t i) {
    (void)i;
    double wave = TURN / freq;
    if (wave < s->original / s->high) return freq;
    if (wave > s->original / s->low) return freq / s->factor;
    double mix = (s->original / wave - s->low) / (s->high - s->low);
    return (1 - mix) * freq / s->factor + mix * freq;
}

/* ---- yarn ---- */

/* The dimension that turns this often in the original length. */
static double turning(const scaling *s, double turns) {
    return (double)s->c->rotary_dim * log(s->original / (turns * TURN)) /
           (2 * log(s->c->rope_theta));
}

static double yarn_attention(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static fl_status read_yarn(const json_t *v, scaling *s, fl_err *err) {
    double fast, slow, mscale, of_all;
    bool truncate;
    FL_TRY(read_stretch(v, s, err));
    FL_TRY(fl_json_real_or(v, "beta_fast", 32, &fast, WHERE, err));
    FL_TRY(fl_json_real_or(v, "beta_slow", 1, &slow, WHERE, err));
    FL_TRY(fl_json_real_or(v, "mscale", 0, &mscale, WHERE, err));
    FL_TRY(fl_json_real_or(v, "mscale_all_dim", 0, &of_all, WHERE, err));
    FL_TRY(fl_json_bool_or(v, "truncate", true, &truncate, WHERE, err));
    double otherwise = yarn_attention(s->factor, 1);
    if (mscale != 0 && of_all != 0)
        otherwise = yarn_attention(s->factor, mscale) / yarn_attention(s->factor, of_all);
    FL_TRY(fl_json_real_or(v, "attention_factor", otherwise, &s->attention, WHERE, err));
    if (!(slow > 0) || !(fast >= slow) || !(s->c->rope_theta > 1))
        return fl_fail(err, FL_ERR_ARG,
                       "rope_scaling: yarn expects 0 < beta_slow <= beta_fast and rope_theta "
                       "above 1");
    s->low = turning(s, fast);
    s->high = turning(s, slow);
    if (truncate) {
        s->low = floor(s->low);
        s->high = ceil(s->high);
    }
    s->low = fmax(s->low, 0);
    s->high = fmin(s->high, (double)s->c->rotary_dim - 1);
    if (s->low == s->high) s->high += 0.001;
    return FL_OK;
}

static double scale_yarn(const scaling *s, double freq, int64_t i) {
    double ramp = fmin(fmax(((double)i - s->low) / (s->high - s->low), 0), 1);
    return freq / s->factor * ramp + freq * (1 - ramp);
}

/* ---- longrope ---- */

static fl_status read_list(const json_t *v, const char *key, const scaling *s, const json_t **out,
                           fl_err *err) {
    const json_t *list = *out = json_object_get(v, key);
    size_t want = (size_t)s->c->rotary_dim / 2;
    bool good = json_array_size(list) == want;
    for (size_t i = 0; good && i < want; i++) good = json_number_value(json_array_get(list, i)) > 0;
    return good ? FL_OK
                : fl_fail(err, FL_ERR_ARG,
                          "rope_scaling: %s: expected %zu numbers above 0, one for each frequency",
                          key, want);
}

static fl_status read_longrope(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(read_stretch(v, s, err));
    FL_TRY(read_list(v, "short_factor", s, &s->each, err));
    FL_TRY(read_list(v, "long_factor", s, &s->far, err));
    double otherwise = s->factor <= 1 ? 1 : sqrt(1 + log(s->factor) / log(s->original));
    return fl_json_real_or(v, "attention_factor", otherwise, &s->attention, WHERE, err);
}

static double scale_each(const scaling *s, double freq, int64_t i) {
    return s->each ? freq / json_number_value(json_array_get(s->each, (size_t)i)) : freq;
}

/* ---- the kinds ---- */

static double scale_linear(const scaling *s, double freq, int64_t i) {
    (void)i;
    return freq / s->factor;
}

static const struct kind {
    const char *name;
    fl_status (*read)(const json_t *v, scaling *s, fl_err *err);
    double (*scale)(const scaling *s, double freq, int64_t i);
} plain = {"default", NULL, scale_each},
  kinds[] = {
      {"linear", read_factor, scale_linear}, {"llama3", read_llama3, scale_llama3},
      {"yarn", read_yarn, scale_yarn},       {"longrope", read_longrope, scale_each},
      {"dynamic", read_factor, scale_each},
};

static fl_status find_kind(const fl_config *c, const struct kind **out, scaling *s, fl_err *err) {
    *s = (scaling){.c = c, .attention = 1};
    *out = &plain;
    if (!c->rope_scaling) return FL_OK;
    const char *type;
    FL_TRY(fl_json_str(c->rope_scaling, "rope_type", &type, WHERE, err));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, type) == 0) *out = &kinds[i];
    if (*out == &plain)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "rope_scaling: rope_type is \"%.40s\"; known are default, linear, llama3, "
                       "yarn, longrope and dynamic",
                       type);
    FL_TRY((*out)->read(c->rope_scaling, s, err));
    return s->attention > 0
               ? FL_OK
               : fl_fail(err, FL_ERR_ARG, "rope_scaling: attention_factor must be above 0");
}

fl_status fli_rope_check(const fl_config *c, fl_err *err) {
    const struct kind *kind;
    scaling s;
    return find_kind(c, &kind, &s, err);
}

static fl_status make(fli_rope *out, const struct kind *kind, const scaling *s, double theta,
                      fl_err *err) {
    int64_t R = s->c->rotary_dim;
    *out = (fli_rope){.inv_freq = fl_alloc((size_t)R / 2 * sizeof *out->inv_freq),
                      .scale = (float)s->attention};
    if (!out->inv_freq) return fl_fail(err, FL_ERR_NOMEM, "the table of rotary frequencies");
    for (int64_t i = 0; i < R / 2; i++) {
        double freq = pow(theta, -2.0 * (double)i / (double)R);
        out->inv_freq[i] = (float)kind->scale(s, freq, i);
    }
    return FL_OK;
}

fl_status fli_rope_new(fli_rope out[FLI_ROPE_COUNT], const fl_config *c, fl_err *err) {
    const struct kind *kind;
    scaling s, none = {.c = c, .attention = 1};
    FL_TRY(find_kind(c, &kind, &s, err));
    FL_TRY(make(&out[FLI_ROPE_MAIN], kind, &s, c->rope_theta, err));
    if (c->rope_local_theta > 0)
        FL_TRY(make(&out[FLI_ROPE_LOCAL], &plain, &none, c->rope_local_theta, err));
    if (!s.far) return FL_OK;
    s.each = s.far;
    FL_TRY(make(&out[FLI_ROPE_LONG], kind, &s, c->rope_theta, err));
    out[FLI_ROPE_LONG].above = (int64_t)s.original;
    return FL_OK;
}

void fli_rope_clear(fli_rope rope[FLI_ROPE_COUNT]) {
    for (int i = 0; i < FLI_ROPE_COUNT; i++) fl_dealloc(rope[i].inv_freq);
}

/* ---- longer than it was made for ---- */

enum { STRETCH_MOST = 1024 };

static fl_status can_stretch(const fl_config *c, const char *how, double factor, fl_err *err) {
    const json_t *type = json_object_get(c->rope_scaling, "rope_type");
    if (c->arch->position != FL_POSITION_ROPE)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "a %s has no rotary positions to scale",
                       c->arch->name);
    if (c->rope_scaling)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "the model's rotary positions are scaled already (%.40s)",
                       json_string_value(type));
    if (!(factor >= 1) || factor > STRETCH_MOST || c->rotary_dim <= 2)
        return fl_fail(err, FL_ERR_ARG,
                       "rotary positions scaled by %g; want 1 to %d, and more than one frequency",
                       factor, STRETCH_MOST);
    if (strcmp(how, "linear") == 0 || strcmp(how, "ntk") == 0 || strcmp(how, "yarn") == 0)
        return FL_OK;
    return fl_fail(err, FL_ERR_ARG,
                   "rotary positions scaled by \"%.40s\"; known are linear, ntk, "
                   "yarn",
                   how);
}

/* The settings that config.json would have. */
static fl_status stretched(fl_config *c, const char *how, double factor, fl_err *err) {
    const double R = (double)c->rotary_dim, original = (double)c->max_position_embeddings;
    c->max_position_embeddings = (int64_t)(original * factor);
    if (strcmp(how, "ntk") == 0) {
        c->rope_theta *= pow(factor, R / (R - 2));
        return FL_OK;
    }
    c->rope_scaling = json_pack("{s:s, s:f, s:f}", "rope_type", how, "factor", factor,
                                "original_max_position_embeddings", original);
    return c->rope_scaling ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "rope_scaling");
}

fl_status fl_model_stretch(fl_model *m, const char *how, double factor, fl_err *err) {
    fli_rope fresh[FLI_ROPE_COUNT] = {{0}};
    fl_config c = m->config;
    FL_TRY(can_stretch(&c, how, factor, err));
    fl_status s = stretched(&c, how, factor, err);
    if (s == FL_OK) s = fli_rope_new(fresh, &c, err);
    if (s != FL_OK) {
        fli_rope_clear(fresh);
        json_decref(c.rope_scaling);
        return s;
    }
    fli_rope_clear(m->memory->rope);
    memcpy(m->memory->rope, fresh, sizeof fresh);
    m->config = c;
    return FL_OK;
}
