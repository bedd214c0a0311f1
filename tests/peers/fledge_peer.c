/* fledge_peer - Fledge asked what llama_peer.c is asked, in the same words and with the same answers, for
 * tests/peers/same_text.py:
 *
 *     fledge_peer FILE tokens TEXT          the text's tokens, int32
 *     fledge_peer FILE logits ID..          a row of float32 for each token
 *     fledge_peer FILE greedy N ID..        N tokens that follow, int32
 *     fledge_peer FILE last N ID..          a row of float32 after the last: N are read as a prompt, the
 *                                           others one by one
 *
 * All binary, on standard output. COMPUTE=f32 in the environment computes in f32; else as `fledge generate` does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/session.h"
#include "token/tokenizer.h"

enum { CONTEXT = 256 };

static fl_err err;

static void must(fl_status s) {
    if (s == FL_OK) return;
    fprintf(stderr, "fledge_peer: %s\n", err.msg);
    exit(EXIT_FAILURE);
}

static void tokens(const fl_tokenizer *t, const char *text) {
    fl_ids ids = {0};
    must(fl_encode(t, text, strlen(text), &(fl_encode_opts){0}, &ids, &err));
    fwrite(ids.id, sizeof *ids.id, ids.n, stdout);
    fl_ids_clear(&ids);
}

static void logits(fl_session *s, int64_t vocab, const int32_t *id, int64_t n) {
    for (int64_t at = 0, part; at < n; at += part) {
        const float *z;
        part = n - at < FL_SESSION_EACH ? n - at : FL_SESSION_EACH;
        must(fl_session_feed_each(s, id + at, part, &z, &err));
        fwrite(z, sizeof *z, (size_t)(part * vocab), stdout);
    }
}

static void greedy(fl_session *s, int64_t vocab, const int32_t *id, int64_t n, int more) {
    must(fl_session_feed(s, id, n, &err));
    for (int i = 0; i < more; i++) {
        const float *z = fl_session_logits(s);
        int32_t best = 0;
        for (int32_t k = 1; k < vocab; k++)
            if (z[k] > z[best]) best = k;
        fwrite(&best, sizeof best, 1, stdout);
        must(fl_session_decode(s, best, &err));
    }
}

static void last(fl_session *s, int64_t vocab, const int32_t *id, int64_t n, int64_t prompt) {
    must(fl_session_feed(s, id, prompt, &err));
    for (int64_t i = prompt; i < n; i++) must(fl_session_decode(s, id[i], &err));
    fwrite(fl_session_logits(s), sizeof(float), (size_t)vocab, stdout);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: FILE tokens TEXT | FILE logits ID.. | FILE greedy|last N ID..\n");
        return EXIT_FAILURE;
    }
    const bool is_greedy = strcmp(argv[2], "greedy") == 0, is_last = strcmp(argv[2], "last") == 0;
    const char *compute = getenv("COMPUTE");
    const fl_session_opts o = {
        .context = CONTEXT,
        .compute = compute && strcmp(compute, "f32") == 0 ? FL_COMPUTE_F32 : FL_COMPUTE_AUTO};
    fl_model *m;
    fl_session *s;
    int32_t id[CONTEXT];
    int n = 0;
    must(fl_model_load(&m, argv[1], &(fl_model_opts){.as_stored = true}, &err));
    if (strcmp(argv[2], "tokens") == 0) {
        tokens(m->tokenizer, argv[3]);
        fl_model_free(m);
        return EXIT_SUCCESS;
    }
    for (int i = is_greedy || is_last ? 4 : 3; i < argc && n < CONTEXT; i++)
        id[n++] = atoi(argv[i]);
    must(fl_session_new(&s, m, &o, &err));
    if (is_greedy) greedy(s, m->config.vocab_size, id, n, atoi(argv[3]));
    else if (is_last) last(s, m->config.vocab_size, id, n, atoi(argv[3]));
    else logits(s, m->config.vocab_size, id, n);
    fl_session_free(s);
    fl_model_free(m);
    return EXIT_SUCCESS;
}
