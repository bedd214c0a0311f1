/* sampler_flags - the sampler that a command's flags ask for. */
#include "app/sampler_flags.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* "15043+1.5", "15043-inf". */
static bool bias_parse(fl_logit_bias *out, const char *s) {
    char id_text[16] = "";
    size_t n = strspn(s, "0123456789");
    if (n == 0 || n >= sizeof id_text || (s[n] != '+' && s[n] != '-')) return false;
    memcpy(id_text, s, n);
    int64_t id = 0;
    double bias = INFINITY;
    bool never = strcmp(s + n, "-inf") == 0;
    if (!fl_parse_int(&id, id_text) || id > INT32_MAX) return false;
    if (!never && (strspn(s + n + 1, "0123456789.") == 0 || !fl_parse_real(&bias, s + n + 1)))
        return false;
    *out = (fl_logit_bias){(int32_t)id, (float)(s[n] == '-' ? -bias : bias)};
    return true;
}

static fl_status bias_read(app_sampler *s, const app_args *a, fl_err *err) {
    const char *const *text;
    int n = app_list(a, "logit-bias", &text);
    if (!n) return FL_OK;
    s->bias = fl_alloc((size_t)n * sizeof *s->bias);
    if (!s->bias) return fl_fail(err, FL_ERR_NOMEM, "%d logit biases", n);
    for (int i = 0; i < n; i++) {
        if (bias_parse(&s->bias[i], text[i])) continue;
        return fl_fail(err, FL_ERR_ARG,
                       "--logit-bias %.60s: expected a token's number and what to add, as 15043+1 "
                       "or 15043-inf",
                       text[i]);
    }
    s->opts.logit_bias = s->bias;
    s->opts.n_logit_bias = n;
    return FL_OK;
}

static void breakers_read(app_sampler *s, const app_args *a) {
    s->opts.n_dry_breakers = app_list(a, "dry-sequence-breaker", &s->opts.dry_breakers);
    if (!s->opts.n_dry_breakers) {
        s->opts.dry_breakers = fl_dry_breakers;
        s->opts.n_dry_breakers = FL_N_DRY_BREAKERS;
    } else if (strcmp(s->opts.dry_breakers[0], "none") == 0) {
        s->opts.dry_breakers++;
        s->opts.n_dry_breakers--;
    }
}

/* A flag says -1 for all and 0 for none, as llama.cpp's; in the options zero is the default. */
static int64_t looking_back(int64_t flag) {
    return flag == 0 ? -1 : flag < 0 ? 0 : flag;
}

/* What no sampler can be made of is said now, not after the prompt was printed and read. */
static fl_status check(const fl_sampler_opts *o, const fl_tokenizer *t, fl_err *err) {
    fl_sampler *s;
    FL_TRY(fl_sampler_new(&s, fl_tokenizer_size(t), o, err));
    fl_sampler_free(s);
    return FL_OK;
}

fl_status app_sampler_read(app_sampler *s, const app_args *a, const fl_tokenizer *t, fl_err *err) {
    *s = (app_sampler){.opts = {.seed = (uint64_t)app_int(a, "seed"),
                                .samplers = app_str(a, "samplers"),
                                .tokenizer = t}};
#define INT(flag)  app_int(a, flag)
#define REAL(flag) app_real(a, flag)
#define SAMPLER_OPTION(field, type, flag, fallback, metavar, least, most, help) \
    s->opts.field = type(flag);
#include "infer/sampler_options.def"
#undef INT
#undef REAL
    s->opts.repeat_last_n = looking_back(s->opts.repeat_last_n);
    s->opts.dry_last_n = looking_back(s->opts.dry_last_n);
    breakers_read(s, a);
    fl_status st = bias_read(s, a, err);
    if (st == FL_OK && t) st = check(&s->opts, t, err);
    if (st != FL_OK) app_sampler_clear(s);
    return st;
}

void app_sampler_clear(app_sampler *s) {
    fl_dealloc(s->bias);
    *s = (app_sampler){0};
}
