/* llama_peer - llama.cpp asked about a GGUF file, for tests/peers/model_export.py and same_text.py:
 *
 *     llama_peer FILE tokens TEXT          the text's tokens, int32
 *     llama_peer FILE logits ID..          a row of float32 for each token
 *     llama_peer FILE greedy N ID..        N tokens that follow, int32
 *     llama_peer FILE last N ID..          a row of float32 after the last: N are read as a prompt, the
 *                                          others one by one
 *
 * All binary, on standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"

enum { CONTEXT = 256 };

static void errors_only(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void die(const char *what) {
    fprintf(stderr, "llama_peer: %s\n", what);
    exit(EXIT_FAILURE);
}

static struct llama_context *open_context(struct llama_model *m) {
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = CONTEXT;
    p.n_threads = p.n_threads_batch = 1;
    p.type_k = p.type_v = GGML_TYPE_F32;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *c = llama_init_from_model(m, p);
    if (!c) die("no context");
    return c;
}

/* Logits of all n tokens from position `at` on. */
static void feed(struct llama_context *c, char **ids, int n, int at) {
    struct llama_batch b = llama_batch_init(n, 0, 1);
    b.n_tokens = n;
    for (int i = 0; i < n; i++) {
        b.token[i] = atoi(ids[i]);
        b.pos[i] = at + i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    if (llama_decode(c, b) != 0) die("decoding failed");
    llama_batch_free(b);
}

static void tokens(const struct llama_vocab *v, const char *text) {
    llama_token id[CONTEXT];
    int n = llama_tokenize(v, text, (int)strlen(text), id, CONTEXT, false, true);
    if (n < 0) die("too many tokens");
    fwrite(id, sizeof *id, (size_t)n, stdout);
}

static void greedy(struct llama_context *c, int vocab, char **ids, int n, int more) {
    feed(c, ids, n, 0);
    for (int at = n; at < n + more; at++) {
        const float *z = llama_get_logits_ith(c, -1);
        llama_token best = 0;
        for (int i = 1; i < vocab; i++)
            if (z[i] > z[best]) best = i;
        fwrite(&best, sizeof best, 1, stdout);
        char text[16];
        snprintf(text, sizeof text, "%d", best);
        feed(c, (char *[]){text}, 1, at);
    }
}

static void last(struct llama_context *c, int vocab, char **ids, int n, int prompt) {
    feed(c, ids, prompt, 0);
    for (int at = prompt; at < n; at++) feed(c, ids + at, 1, at);
    fwrite(llama_get_logits_ith(c, -1), sizeof(float), (size_t)vocab, stdout);
}

int main(int argc, char **argv) {
    if (argc < 4) die("usage: FILE tokens TEXT | FILE logits ID.. | FILE greedy|last N ID..");
    llama_log_set(errors_only, NULL);
    llama_backend_init();
    struct llama_model *m = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!m) die("cannot open the file");
    const struct llama_vocab *v = llama_model_get_vocab(m);
    int vocab = llama_vocab_n_tokens(v);
    if (strcmp(argv[2], "tokens") == 0) {
        tokens(v, argv[3]);
        return 0;
    }
    struct llama_context *c = open_context(m);
    if (strcmp(argv[2], "greedy") == 0) {
        greedy(c, vocab, argv + 4, argc - 4, atoi(argv[3]));
        return 0;
    }
    if (strcmp(argv[2], "last") == 0) {
        last(c, vocab, argv + 4, argc - 4, atoi(argv[3]));
        return 0;
    }
    feed(c, argv + 3, argc - 3, 0);
    for (int i = 0; i < argc - 3; i++)
        fwrite(llama_get_logits_ith(c, i), sizeof(float), (size_t)vocab, stdout);
    return 0;
}
