/* cmd_tokenizer - fledge tokenizer: train one on text, apply it, look into it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/io.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "base/thread.h"
#include "data/corpus.h"
#include "model/model.h"
#include "token/tokenizer.h"

enum { INPUT_MAX_BYTES = 1 << 30 };

/* ---- train ---- */

static fl_status feed_corpus(fl_bpe_trainer *trainer, fl_corpus *corpus, double *bytes,
                             fl_err *err) {
    fl_progress progress = app_progress();
    fl_piece p;
    fl_progress_begin(&progress, "counting words", "B", fl_corpus_bytes_total(corpus));
    for (;;) {
        FL_TRY(fl_corpus_next(corpus, &p, err));
        if (!p.text) break;
        FL_TRY(fl_bpe_trainer_feed(trainer, p.text, p.n, err));
        *bytes += (double)p.n;
        fl_progress_step(&progress, fl_corpus_bytes_read(corpus));
        if (fl_interrupted()) return fl_fail(err, FL_ERR_ARG, "interrupted");
    }
    fl_progress_end(&progress);
    return FL_OK;
}

static fl_status train_on(const app_args *a, const fl_bpe_opts *o, fl_tokenizer **out,
                          double *bytes, fl_err *err) {
    const char **paths;
    int n;
    fl_corpus *corpus = NULL;
    fl_bpe_trainer *trainer = NULL;
    fl_corpus_opts reading = {.text_field = app_str(a, "field")};
    FL_TRY(app_paths(a, 0, &paths, &n, err));
    fl_status st = fl_corpus_open(&corpus, paths, n, &reading, err);
    fl_dealloc(paths);
    if (st == FL_OK) st = fl_bpe_trainer_new(&trainer, o, err);
    if (st == FL_OK) st = feed_corpus(trainer, corpus, bytes, err);
    if (st == FL_OK) {
        fl_progress progress = app_progress();
        st = fl_bpe_trainer_finish(trainer, out, &progress, err);
    }
    fl_bpe_trainer_free(trainer);
    fl_corpus_close(corpus);
    return st;
}

static fl_status run_train(const app_args *a, fl_err *err) {
    fl_tokenizer *t;
    double bytes = 0, start = fl_now();
    fl_bpe_opts o = {.vocab_size = (int32_t)app_int(a, "vocab-size"),
                     .pattern = app_str(a, "pattern"),
                     .nfc = app_bool(a, "nfc"),
                     .max_token_bytes = (size_t)app_int(a, "max-token-bytes"),
                     .pool = fl_pool_default()};
    o.n_special = app_list(a, "special", &o.special);
    if (o.n_special == 0) o.special = NULL;
    FL_TRY(train_on(a, &o, &t, &bytes, err));
    fl_status st = fl_tokenizer_save(t, app_str(a, "out"), err);
    char human[FL_HUMAN], took[FL_HUMAN];
    if (st == FL_OK && app_bool(a, "json")) {
        st = app_print_json(json_pack("{s:s,s:i,s:f,s:f}", "out", app_str(a, "out"), "vocab_size",
                                      (int)fl_tokenizer_size(t), "bytes", bytes, "seconds",
                                      fl_now() - start),
                            err);
    } else if (st == FL_OK) {
        printf("%s: %d tokens from %s of text in %s\n", app_str(a, "out"), fl_tokenizer_size(t),
               fl_human_bytes(bytes, human), fl_human_seconds(fl_now() - start, took));
    }
    fl_tokenizer_free(t);
    return st;
}

static const app_flag train_flags[] = {
    {"out", 'o', FLAG_STR, "DIR", "tokenizer", .help = "folder to write tokenizer.json to"},
    {"vocab-size", 0, FLAG_INT, "N", "8192", "tokens, special ones included", .least = 257,
     .most = 1e7},
    {"pattern", 0, FLAG_STR, "NAME", "qwen2",
     .help = "gpt2, cl100k, llama3, qwen2, nanochat, o200k or a regular expression"},
    {"nfc", 0, FLAG_BOOL, .help = "normalise the text to NFC"},
    {"special", 0, FLAG_LIST, "TOKEN", .help = "a special token; may be repeated [<|endoftext|>]"},
    {"max-token-bytes", 0, FLAG_INT, "N", "0", "longest token, 0 for any", .least = 0, .most = 1e6},
    {"field", 0, FLAG_STR, "NAME", "text", .help = "field of JSONL files that holds the text"},
    {0},
};

const app_command cmd_tokenizer_train = {
    .name = "tokenizer train",
    .args = "TEXT...",
    .summary = "train a tokenizer on text",
    .details =
        "TEXT is a file or a folder: plain text or JSONL, as it is or packed with gzip or "
        "zstd. The result opens in transformers (AutoTokenizer) as it is.\n"
        "    fledge tokenizer train books/ --vocab-size 16384 --out tok",
    .flags = train_flags,
    .run = run_train,
};

/* ---- encode ---- */

static fl_status print_ids(const fl_tokenizer *t, const fl_ids *ids, const app_args *a,
                           fl_err *err) {
    if (app_bool(a, "json")) {
        json_t *list = json_array();
        for (size_t i = 0; i < ids->n; i++) json_array_append_new(list, json_integer(ids->id[i]));
        return app_print_json(list, err);
    }
    for (size_t i = 0; i < ids->n; i++) {
        if (!app_bool(a, "show")) {
            printf("%s%d", i ? " " : "", ids->id[i]);
            continue;
        }
        size_t n;
        const uint8_t *bytes = fl_token_bytes(t, ids->id[i], &n);
        printf("%s%d ", i ? "\n" : "", ids->id[i]);
        app_print_token(bytes, n);
    }
    putchar('\n');
    return FL_OK;
}

static fl_status run_encode(const app_args *a, fl_err *err) {
    fl_tokenizer *t;
    fl_text text = {0};
    fl_ids ids = {0};
    fl_encode_opts o = {.add_special = app_bool(a, "add-special"), .plain = app_bool(a, "plain")};
    FL_TRY(fl_model_tokenizer(&t, app_arg(a, 0), err));
    fl_status st = app_read_text(a, 1, "file", &text, err);
    if (st == FL_OK) st = fl_encode(t, text.data, text.n, &o, &ids, err);
    if (st == FL_OK) st = print_ids(t, &ids, a, err);
    fl_ids_clear(&ids);
    fl_text_clear(&text);
    fl_tokenizer_free(t);
    return st;
}

static const app_flag encode_flags[] = {
    {"file", 'f', FLAG_STR, "FILE", .help = "read the text from a file"},
    {"show", 0, FLAG_BOOL, .help = "print each token beside its id"},
    {"add-special", 0, FLAG_BOOL, .help = "put the tokens around the text that the model expects"},
    {"plain", 0, FLAG_BOOL, .help = "take special tokens in the text as ordinary text"},
    {0},
};

const app_command cmd_tokenizer_encode = {
    .name = "tokenizer encode",
    .args = "MODEL [TEXT]",
    .summary = "text to token ids",
    .details =
        "MODEL is a GGUF file, a folder with tokenizer.json (or vocab.json and merges.txt), or one "
        "of these "
        "files, or a .tiktoken file. Without TEXT and --file, standard input is read.",
    .flags = encode_flags,
    .run = run_encode,
};

/* ---- decode ---- */

/* Numbers with anything between them that is neither a digit nor a letter: "1 2 3", "[1, 2, 3]". */
static fl_status parse_ids(const char *s, fl_ids *out, fl_err *err) {
    size_t most = strlen(s) / 2 + 1;
    out->id = fl_alloc(most * sizeof *out->id);
    if (!out->id) return fl_fail(err, FL_ERR_NOMEM, "%zu token ids", most);
    out->cap = most;
    while (*(s += strspn(s, " \t\r\n,[]"))) {
        char *end;
        long id = strtol(s, &end, 10);
        if (end == s || id < 0 || id > INT32_MAX)
            return fl_fail(err, FL_ERR_ARG, "\"%.20s\": expected token ids", s);
        out->id[out->n++] = (int32_t)id;
        s = end;
    }
    return FL_OK;
}

static fl_status run_decode(const app_args *a, fl_err *err) {
    fl_tokenizer *t;
    fl_text typed = {0};
    fl_ids ids = {0};
    char *text = NULL;
    size_t n = 0;
    FL_TRY(fl_model_tokenizer(&t, app_arg(a, 0), err));
    fl_status st = app_read_text(a, 1, "file", &typed, err);
    if (st == FL_OK) st = parse_ids(fl_text_str(&typed), &ids, err);
    if (st == FL_OK) st = fl_decode(t, ids.id, ids.n, !app_bool(a, "skip-special"), &text, &n, err);
    if (st == FL_OK && app_bool(a, "json")) {
        json_t *v = json_stringn(text, n);
        st = v ? app_print_json(v, err)
               : fl_fail(err, FL_ERR_FORMAT, "the text is not UTF-8: JSON cannot hold it");
    } else if (st == FL_OK) {
        fwrite(text, 1, n, stdout);
    }
    fl_dealloc(text);
    fl_ids_clear(&ids);
    fl_text_clear(&typed);
    fl_tokenizer_free(t);
    return st;
}

static const app_flag decode_flags[] = {
    {"file", 'f', FLAG_STR, "FILE", .help = "read the ids from a file"},
    {"skip-special", 0, FLAG_BOOL, .help = "leave special tokens out"},
    {0},
};

const app_command cmd_tokenizer_decode = {
    .name = "tokenizer decode",
    .args = "MODEL [IDS]",
    .summary = "token ids to text",
    .details =
        "IDS are numbers in one word: \"15496 995\". Without IDS and --file, standard input is "
        "read. The bytes come out as they are, with no line end added.",
    .flags = decode_flags,
    .run = run_decode,
};

/* ---- inspect ---- */

static const char *const kind_names[] = {[FL_TOKEN_NORMAL] = "normal",
                                         [FL_TOKEN_CONTROL] = "special",
                                         [FL_TOKEN_USER] = "added",
                                         [FL_TOKEN_UNUSED] = "unused"};

static void print_row(const fl_tokenizer *t, int32_t id) {
    size_t n;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    printf("%8d  %-8s", id, kind_names[fl_tokenizer_kind(t, id)]);
    if (bytes) app_print_token(bytes, n);
    putchar('\n');
}

/* The longest ordinary tokens, by selection: a few of them are wanted. */
static void print_longest(const fl_tokenizer *t, int wanted) {
    size_t last_n = SIZE_MAX;
    int32_t last = -1;
    for (int k = 0; k < wanted; k++) {
        size_t best_n = 0;
        int32_t best = -1;
        for (int32_t id = 0; id < fl_tokenizer_size(t); id++) {
            size_t n;
            bool usable = fl_token_bytes(t, id, &n) && fl_tokenizer_kind(t, id) == FL_TOKEN_NORMAL;
            bool follows = n < last_n || (n == last_n && id > last);
            if (usable && follows && n > best_n) {
                best_n = n;
                best = id;
            }
        }
        if (best < 0) return;
        print_row(t, best);
        last_n = best_n;
        last = best;
    }
}

typedef struct {
    int32_t of_kind[FL_TOKEN_BYTE + 1];
    double bytes, tokens;  // of the text of --file
} facts;

static fl_status find_facts(const fl_tokenizer *t, const char *file, facts *f, fl_err *err) {
    for (int32_t id = 0; id < fl_tokenizer_size(t); id++) f->of_kind[fl_tokenizer_kind(t, id)]++;
    if (!file) return FL_OK;
    char *text;
    size_t n;
    fl_ids ids = {0};
    FL_TRY(fl_file_read(file, INPUT_MAX_BYTES, &text, &n, err));
    fl_status st = fl_encode(t, text, n, NULL, &ids, err);
    f->bytes = (double)n;
    f->tokens = (double)ids.n;
    fl_ids_clear(&ids);
    fl_dealloc(text);
    return st;
}

static json_t *facts_json(const fl_tokenizer *t, const facts *f) {
    char hash[33];
    fl_tokenizer_hash(t, hash);
    json_t *o = json_pack("{s:i,s:I,s:s?,s:s?,s:i,s:i,s:i,s:s}", "vocab_size",
                          (int)fl_tokenizer_size(t), "merges", (json_int_t)fl_tokenizer_n_merges(t),
                          "pattern", fl_tokenizer_pattern(t), "llama_cpp_pre",
                          fl_tokenizer_llama_cpp_pre(t), "special",
                          (int)f->of_kind[FL_TOKEN_CONTROL], "bos", (int)fl_tokenizer_bos(t), "eos",
                          (int)fl_tokenizer_eos(t), "hash", hash);
    if (o && f->tokens > 0) {
        json_object_set_new(o, "text_bytes", json_real(f->bytes));
        json_object_set_new(o, "text_tokens", json_real(f->tokens));
        json_object_set_new(o, "bytes_per_token", json_real(f->bytes / f->tokens));
    }
    return o;
}

static void print_end(const fl_tokenizer *t, const char *what, int32_t id) {
    size_t n;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    printf("%-12s", what);
    if (bytes) {
        printf("%d ", id);
        app_print_token(bytes, n);
    } else {
        fputs("none", stdout);
    }
    putchar('\n');
}

static void print_facts(const fl_tokenizer *t, const facts *f) {
    enum { SHOWN = 32 };
    char hash[33];
    const char *pattern = fl_tokenizer_pattern(t), *pre = fl_tokenizer_llama_cpp_pre(t);
    fl_tokenizer_hash(t, hash);
    printf("vocabulary  %d ids: %d learned, %d bytes, %d special, %d added, %d unused\n",
           fl_tokenizer_size(t), f->of_kind[FL_TOKEN_NORMAL], f->of_kind[FL_TOKEN_BYTE],
           f->of_kind[FL_TOKEN_CONTROL] + f->of_kind[FL_TOKEN_UNKNOWN], f->of_kind[FL_TOKEN_USER],
           f->of_kind[FL_TOKEN_UNUSED]);
    printf("merges      %zu\n", fl_tokenizer_n_merges(t));
    printf("pattern     %s\n", pattern ? pattern : "several stages, or none");
    printf("llama.cpp   %s\n", pre ? pre : "has no name for this pattern");
    printf("identity    %s\n", hash);
    print_end(t, "bos", fl_tokenizer_bos(t));
    print_end(t, "eos", fl_tokenizer_eos(t));
    if (f->tokens > 0)
        printf("text        %.0f bytes, %.0f tokens: %.3f bytes per token\n", f->bytes, f->tokens,
               f->bytes / f->tokens);
    int shown = 0;
    for (int32_t id = 0; id < fl_tokenizer_size(t) && shown < SHOWN; id++) {
        fl_token_kind kind = fl_tokenizer_kind(t, id);
        if (kind != FL_TOKEN_CONTROL && kind != FL_TOKEN_USER) continue;
        print_row(t, id);
        shown++;
    }
    int32_t more = f->of_kind[FL_TOKEN_CONTROL] + f->of_kind[FL_TOKEN_USER] - shown;
    if (more > 0) printf("          and %d more\n", more);
}

static fl_status run_inspect(const app_args *a, fl_err *err) {
    fl_tokenizer *t;
    facts f = {0};
    FL_TRY(fl_model_tokenizer(&t, app_arg(a, 0), err));
    fl_status st = find_facts(t, app_str(a, "file"), &f, err);
    if (st == FL_OK && app_bool(a, "json")) {
        st = app_print_json(facts_json(t, &f), err);
    } else if (st == FL_OK && app_bool(a, "dump")) {
        for (int32_t id = 0; id < fl_tokenizer_size(t); id++) print_row(t, id);
    } else if (st == FL_OK) {
        print_facts(t, &f);
        if (app_int(a, "longest")) puts("longest tokens");
        print_longest(t, (int)app_int(a, "longest"));
    }
    fl_tokenizer_free(t);
    return st;
}

static const app_flag inspect_flags[] = {
    {"file", 'f', FLAG_STR, "FILE", .help = "measure bytes per token on this text"},
    {"longest", 0, FLAG_INT, "N", "10", "how many of the longest tokens to print", .least = 0,
     .most = 1000},
    {"dump", 0, FLAG_BOOL, .help = "print every token"},
    {0},
};

const app_command cmd_tokenizer_inspect = {
    .name = "tokenizer inspect",
    .args = "MODEL",
    .summary = "print what a tokenizer holds",
    .flags = inspect_flags,
    .run = run_inspect,
};
