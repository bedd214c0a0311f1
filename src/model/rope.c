/* rope - the frequencies of rotary positions (Su et al., "RoFormer", 2021), plain, linear or as
 * Llama 3.1 scales them.
 *
 * inv_freq[i] = theta^(-2i/D). linear: divided by factor. llama3: wave lengths above original /
 * low_freq_factor are divided by factor, those below original / high_freq_factor stay, and between
 * them the two are mixed. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "model/internal.h"

typedef struct {
    double factor, low, high, original;
} scaling;

static fl_status read_linear(const json_t *v, scaling *s, fl_err *err) {
    return fl_json_real(v, "factor", &s->factor, "rope_scaling", err);
}

static fl_status read_llama3(const json_t *v, scaling *s, fl_err *err) {
    FL_TRY(fl_json_real(v, "factor", &s->factor, "rope_scaling", err));
    FL_TRY(fl_json_real(v, "low_freq_factor", &s->low, "rope_scaling", err));
    FL_TRY(fl_json_real(v, "high_freq_factor", &s->high, "rope_scaling", err));
    FL_TRY(fl_json_real(v, "original_max_position_embeddings", &s->original, "rope_scaling", err));
    if (!(s->low > 0) || !(s->high > s->low) || !(s->original > 0))
        return fl_fail(err, FL_ERR_ARG,
                       "rope_scaling: expected 0 < low_freq_factor < high_freq_factor and "
                       "original_max_position_embeddings > 0");
    return FL_OK;
}

static double scale_linear(double freq, const scaling *s) {
    return freq / s->factor;
}

static double scale_llama3(double freq, const scaling *s) {
    double wave = 2 * 3.14159265358979323846 / freq;
    if (wave < s->original / s->high) return freq;
    if (wave > s->original / s->low) return freq / s->factor;
    double mix = (s->original / wave - s->low) / (s->high - s->low);
    return (1 - mix) * freq / s->factor + mix * freq;
}

static const struct kind {
    const char *name;
    fl_status (*read)(const json_t *v, scaling *s, fl_err *err);
    double (*scale)(double freq, const scaling *s);
} kinds[] = {
    {"linear", read_linear, scale_linear},
    {"llama3", read_llama3, scale_llama3},
};

/* The kind config asks for, NULL for plain frequencies. */
static fl_status find_kind(const fl_config *c, const struct kind **out, scaling *s, fl_err *err) {
    *out = NULL;
    if (!c->rope_scaling) return FL_OK;
    const char *type;
    FL_TRY(fl_json_str(c->rope_scaling, "rope_type", &type, "rope_scaling", err));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, type) == 0) *out = &kinds[i];
    if (!*out)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "rope_scaling: rope_type is \"%.40s\"; known are default, linear and llama3",
                       type);
    FL_TRY((*out)->read(c->rope_scaling, s, err));
    if (!(s->factor > 0)) return fl_fail(err, FL_ERR_ARG, "rope_scaling: factor must be above 0");
    return FL_OK;
}

fl_status fli_rope_check(const fl_config *c, fl_err *err) {
    const struct kind *kind;
    scaling s = {0};
    return find_kind(c, &kind, &s, err);
}

fl_status fli_rope_new(float **inv_freq, const fl_config *c, fl_err *err) {
    const struct kind *kind;
    scaling s = {0};
    FL_TRY(find_kind(c, &kind, &s, err));
    float *out = fl_alloc((size_t)c->head_dim / 2 * sizeof *out);
    if (!out) return fl_fail(err, FL_ERR_NOMEM, "the table of rotary frequencies");
    for (int64_t i = 0; i < c->head_dim / 2; i++) {
        double freq = pow(c->rope_theta, -2.0 * (double)i / (double)c->head_dim);
        out[i] = (float)(kind ? kind->scale(freq, &s) : freq);
    }
    *inv_freq = out;
    return FL_OK;
}
