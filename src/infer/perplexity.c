/* perplexity - how well a model predicts a text, in windows that overlap. */
#include "infer/perplexity.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "token/tokenizer.h"

typedef struct {
    fl_perplexity sum;
    fl_session *session;
    const int32_t *id;
    int32_t *target;  // of one window
    float *nll;
} scorer;

/* Score targets [from, n) of the n tokens of `id`, which stand at `at` in the text. */
static fl_status window_score(scorer *w, const int32_t *id, int64_t at, int64_t from, int64_t n,
                              fl_err *err) {
    n--;  // the last token is only a target
    for (int64_t i = 0; i < n; i++) w->target[i] = i + 1 >= from ? id[i + 1] : -1;
    fl_session_rewind(w->session, 0);
    FL_TRY(fl_session_score(w->session, id, w->target, n, w->nll, err));
    const fl_tokenizer *t = fl_session_model(w->session)->tokenizer;
    for (int64_t i = 0; i < n; i++) {
        if (w->target[i] < 0) continue;
        double nll = (double)w->nll[i];
        if (!isfinite(nll)) {
            return fl_fail(err, FL_ERR_FORMAT,
                           "the model gives token %lld no probability: its weights are "
                           "damaged, or it diverged while training",
                           (long long)(at + i + 1));
        }
        size_t bytes = 0;
        if (t && !fl_tokenizer_is_special(t, w->target[i]))
            (void)fl_token_bytes(t, w->target[i], &bytes);
        w->sum.n_tokens++;
        w->sum.n_bytes += (double)bytes;
        w->sum.nll += nll;
        w->sum.squares += nll * nll;
    }
    return fl_interrupted() ? fl_fail(err, FL_ERR_IO, "interrupted") : FL_OK;
}

static fl_status text_score(scorer *w, int64_t n, int64_t window, int64_t stride,
                            fl_progress *progress, fl_err *err) {
    int64_t scored = 1;  // the first token has nothing before it
    for (int64_t begin = 0; scored < n; begin += stride) {
        int64_t end = begin + window < n ? begin + window : n;
        FL_TRY(window_score(w, w->id + begin, begin, scored - begin, end - begin, err));
        scored = end;
        fl_progress_step(progress, w->sum.n_tokens);
    }
    return FL_OK;
}

/* What begins texts stands before the first token, and takes the place of each later window's
 * first. `own` has room for a window. */
static fl_status halves_score(scorer *w, int64_t n, int64_t window, const fl_perplexity_opts *o,
                              int32_t *own, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(w->session)->tokenizer;
    const int64_t begins = t && fl_tokenizer_adds_bos(t);
    const int64_t all = (n + begins) / window, windows = o->most && o->most < all ? o->most : all;
    if (!windows)
        return fl_fail(err, FL_ERR_ARG, "a text of %lld tokens has no window of %lld", (long long)n,
                       (long long)window);
    for (int64_t i = 0; i < windows; i++) {
        const int32_t *id = w->id + i * window;
        own[0] = begins ? fl_tokenizer_bos(t) : id[0];
        memcpy(own + 1, id + 1 - begins, (size_t)(window - 1) * sizeof *own);
        FL_TRY(window_score(w, own, i * window, window / 2 + 1, window, err));
        fl_progress_step(o->progress, w->sum.n_tokens);
    }
    return FL_OK;
}

fl_status fl_perplexity_add(fl_perplexity *p, fl_session *s, const int32_t *id, int64_t n,
                            const fl_perplexity_opts *o, fl_err *err) {
    int64_t context = fl_session_context(s);
    int64_t window = o->window ? o->window : context,
            stride = o->stride ? o->stride : (window + 1) / 2;
    if (window < 2 || window > context + 1) {
        return fl_fail(err, FL_ERR_ARG,
                       "a window of %lld tokens; want 2 to %lld, the model's context",
                       (long long)window, (long long)context);
    }
    if (stride < 1 || stride >= window) {
        return fl_fail(err, FL_ERR_ARG,
                       "a stride of %lld tokens; want 1 to %lld, less than the window",
                       (long long)stride, (long long)window - 1);
    }
    scorer w = {.sum = *p, .session = s, .id = id};
    w.target = fl_alloc((size_t)window * sizeof *w.target);
    w.nll = fl_alloc((size_t)window * sizeof *w.nll);
    int32_t *own = fl_alloc((size_t)window * sizeof *own);
    fl_status st = !w.target || !w.nll || !own
                       ? fl_fail(err, FL_ERR_NOMEM, "a window of %lld tokens", (long long)window)
                   : o->halves ? halves_score(&w, n, window, o, own, err)
                               : text_score(&w, n, window, stride, o->progress, err);
    fl_dealloc(own);
    fl_dealloc(w.target);
    fl_dealloc(w.nll);
    fl_session_rewind(s, 0);
    if (st == FL_OK) *p = w.sum;
    return st;
}

double fl_perplexity_nll(const fl_perplexity *p) {
    return p->nll / p->n_tokens;
}

double fl_perplexity_nll_error(const fl_perplexity *p) {
    double mean = fl_perplexity_nll(p), variance = p->squares / p->n_tokens - mean * mean;
    return sqrt(fmax(variance, 0) / fmax(p->n_tokens - 1, 1));
}

double fl_perplexity_bpb(const fl_perplexity *p) {
    return p->nll / (log(2) * p->n_bytes);
}

double fl_perplexity_bpb_error(const fl_perplexity *p) {
    return fl_perplexity_nll_error(p) * p->n_tokens / (log(2) * p->n_bytes);
}
