/* perplexity.h - how well a model predicts a text.
 *
 *     fl_perplexity p = {0};
 *     fl_perplexity_add(&p, session, ids, n,
 *                       &(fl_perplexity_opts){.window = 1024, .stride = 512}, &err);
 *     fl_perplexity_nll(&p), exp(fl_perplexity_nll(&p)), fl_perplexity_bpb(&p)
 *
 * A text longer than the window is scored in windows that move by `stride`; each token counts once,
 * in the first window that holds it, so that all but the first window's tokens have at least window
 * - stride tokens before them. The windows are those of transformers' "perplexity of fixed-length
 * models", and so are the numbers. The first token of a text has nothing before it and is not
 * scored; put a token that begins texts in front if it should be.
 *
 * With `halves` windows lie side by side, and of each only the second half is scored, what is left
 * of the text not at all; where the tokenizer begins texts with a token, it stands before the text
 * and in the place of each later window's first. So does llama.cpp's llama-perplexity, and these
 * are its numbers. */
#ifndef FL_INFER_PERPLEXITY_H
#define FL_INFER_PERPLEXITY_H

#include "base/progress.h"
#include "infer/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t window;         // tokens; 0: the session's context
    int64_t stride;         // 0: half the window
    bool halves;            // windows side by side, their second halves; no stride
    int64_t most;           // of such windows of a text; 0: all
    fl_progress *progress;  // steps by scored tokens; NULL: nobody is looking
} fl_perplexity_opts;

/* Sums over all texts added so far; zero is none. */
typedef struct {
    double n_tokens;      // scored
    double n_bytes;       // raw bytes those tokens stand for
    double nll, squares;  // sum of -ln p, and of its square
} fl_perplexity;

/* Score one text; the session is used and left empty. */
FL_MUST_USE fl_status fl_perplexity_add(fl_perplexity *p, fl_session *s, const int32_t *id,
                                        int64_t n, const fl_perplexity_opts *o, fl_err *err);

double fl_perplexity_nll(const fl_perplexity *p);        // nats per token
double fl_perplexity_nll_error(const fl_perplexity *p);  // its standard error
double fl_perplexity_bpb(const fl_perplexity *p);        // bits per byte of text
double fl_perplexity_bpb_error(const fl_perplexity *p);

#ifdef __cplusplus
}
#endif

#endif
