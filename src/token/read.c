/* read.c - which reader a tokenizer's file or folder is for: by its name. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "token/internal.h"

/* The pairs of files a folder may hold, best first. */
static const struct {
    const char *first, *second;
    fl_status (*read)(fl_tokenizer **out, const char *first, const char *second, fl_err *err);
} folder_forms[] = {
    {"tokenizer.json", "tokenizer_config.json", fli_read_hf},
    {"tokenizer.model", "tokenizer_config.json", fli_read_spm},
    {"tekken.json", "tokenizer_config.json", fli_read_tekken},
    {"vocab.json", "merges.txt", fli_read_gpt2},
    {"encoder.json", "vocab.bpe", fli_read_gpt2},
};
enum { N_FORMS = sizeof folder_forms / sizeof *folder_forms };

static fl_status load_folder(fl_tokenizer **out, const char *dir, fl_err *err) {
    for (int i = 0; i < N_FORMS; i++) {
        char first[FL_PATH_MAX], second[FL_PATH_MAX];
        FL_TRY(fl_path_join(first, dir, folder_forms[i].first, err));
        FL_TRY(fl_path_join(second, dir, folder_forms[i].second, err));
        if (fl_path_exists(first)) return folder_forms[i].read(out, first, second, err);
    }
    return fl_fail(err, FL_ERR_IO,
                   "%s: no tokenizer.json, tokenizer.model, tekken.json, and no vocab.json with "
                   "merges.txt",
                   dir);
}

/* A file of a pair stands for both: its neighbour is beside it. */
static fl_status load_file(fl_tokenizer **out, const char *path, fl_err *err) {
    char dir[FL_PATH_MAX], second[FL_PATH_MAX];
    size_t n = (size_t)(fl_path_base(path) - path);
    if (n >= sizeof dir) return fl_fail(err, FL_ERR_ARG, "path of %zu bytes", strlen(path));
    snprintf(dir, sizeof dir, "%.*s", (int)n, path);
    for (int i = 0; i < N_FORMS; i++) {
        if (strcmp(fl_path_base(path), folder_forms[i].first) != 0) continue;
        FL_TRY(fl_path_join(second, n ? dir : ".", folder_forms[i].second, err));
        return folder_forms[i].read(out, path, second, err);
    }
    if (fl_path_has_suffix(path, ".tiktoken")) return fli_read_tiktoken(out, path, NULL, err);
    FL_TRY(fl_path_join(second, n ? dir : ".", "tokenizer_config.json", err));
    if (fl_path_has_suffix(path, ".model")) return fli_read_spm(out, path, second, err);
    if (!fl_path_has_suffix(path, ".json"))
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: not the name of a tokenizer; read are a GGUF file, tokenizer.json, "
                       "tokenizer.model, tekken.json, vocab.json with merges.txt, and .tiktoken",
                       path);
    if (strncmp(fl_path_base(path), "tekken", 6) == 0)
        return fli_read_tekken(out, path, second, err);
    return fli_read_hf(out, path, second, err);
}

fl_status fl_tokenizer_load(fl_tokenizer **out, const char *path, fl_err *err) {
    return fl_path_is_dir(path) ? load_folder(out, path, err) : load_file(out, path, err);
}

fl_status fl_tokenizer_load_tiktoken(fl_tokenizer **out, const char *path, const char *pattern,
                                     fl_err *err) {
    return fli_read_tiktoken(out, path, pattern, err);
}
