/* choose - which files of a repository make up the model that was asked for.
 *
 * A GGUF model is one file, or the parts NAME-00001-of-00003.gguf of one. A Hugging Face model is
 * the weights and the small files of its upper folder that say how to use them; the same weights in
 * other formats (.bin, .msgpack, onnx, ..) are left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hub/internal.h"

enum { PART_DIGITS = 5, PARTS_MAX = 1000 };

/* What Fledge reads of a folder besides weights, as shell patterns with at most one '*'. */
static const char *const small_files[] = {"config.json",
                                          "generation_config.json",
                                          "tokenizer.json",
                                          "tokenizer_config.json",
                                          "tokenizer.model",
                                          "special_tokens_map.json",
                                          "added_tokens.json",
                                          "vocab.json",
                                          "vocab.txt",
                                          "merges.txt",
                                          "spiece.model",
                                          "sentencepiece.bpe.model",
                                          "*.tiktoken",
                                          "chat_template.jinja",
                                          "chat_template.json",
                                          "adapter_config.json",
                                          "model.safetensors.index.json"};

/* What people mean when they do not say, best first. */
static const char *const usual_formats[] = {"Q4_K_M", "Q4_0", "Q8_0", "F16", "BF16"};

static bool has_suffix(const char *s, const char *suffix) {
    return fl_path_has_suffix(s, suffix);
}

static bool matches(const char *s, const char *pattern) {
    const char *star = strchr(pattern, '*');
    return star ? has_suffix(s, star + 1) : strcmp(s, pattern) == 0;
}

/* ---- parts ---- */

/* "x-00002-of-00005.gguf": the length of "x", the part and the number of parts. False: whole. */
static bool split_of(const char *path, size_t *stem, int *part, int *parts) {
    const char *dot = strrchr(path, '.');
    size_t tail = 1 + PART_DIGITS + 4 + PART_DIGITS;  // "-00002-of-00005"
    if (!dot || (size_t)(dot - path) <= tail) return false;
    const char *p = dot - tail, *of = p + 1 + PART_DIGITS;
    if (p[0] != '-' || strspn(p + 1, "0123456789") != PART_DIGITS || memcmp(of, "-of-", 4) != 0 ||
        strspn(of + 4, "0123456789") != PART_DIGITS)
        return false;
    *stem = (size_t)(p - path);
    *part = (int)strtol(p + 1, NULL, 10);
    *parts = (int)strtol(of + 4, NULL, 10);
    return *parts > 0 && *parts <= PARTS_MAX;
}

static bool same_model(const char *a, const char *b) {
    size_t n, m;
    int part, parts, of_b;
    if (!split_of(a, &n, &part, &parts) || !split_of(b, &m, &part, &of_b)) return strcmp(a, b) == 0;
    return n == m && parts == of_b && memcmp(a, b, n) == 0;
}

/* Mark file i and the other parts of it; *first is the one to open. */
static fl_status mark(fli_listing *l, int i, int *first, fl_err *err) {
    size_t stem;
    int part, parts = 1, found = 0;
    split_of(l->file[i].path, &stem, &part, &parts);
    for (int k = 0; k < l->n; k++) {
        if (!same_model(l->file[k].path, l->file[i].path)) continue;
        l->file[k].chosen = true;
        found++;
        if (!split_of(l->file[k].path, &stem, &part, &(int){0}) || part == 1) *first = k;
    }
    if (found == parts) return FL_OK;
    return fl_fail(err, FL_ERR_IO, "%s: %d of its %d parts are there", l->file[i].path, found,
                   parts);
}

/* ---- GGUF ---- */

/* A whole model: no part but the first, none of the files that go beside one. */
static bool is_gguf_model(const char *path) {
    size_t stem;
    int part = 1, parts;
    const char *base = fl_path_base(path);
    split_of(path, &stem, &part, &parts);
    return has_suffix(path, ".gguf") && part == 1 && strncmp(base, "mmproj", 6) != 0 &&
           strncmp(base, "mtp-", 4) != 0;
}

/* `format` is a word of the path, in either case: Q4_K is none of m-Q4_K_M.gguf. */
static bool has_format(const char *path, const char *format) {
    size_t n = strlen(format);
    for (const char *p = path; *p; p++) {
        bool begins = p == path || strchr("-._/", p[-1]);
        if (begins && strncasecmp(p, format, n) == 0 && p[n] && strchr("-./", p[n])) return true;
    }
    return false;
}

/* The GGUF models that have the format (NULL: any): how many, and the first of them. */
static int count_gguf(const fli_listing *l, const char *format, int *first) {
    int n = 0;
    for (int i = l->n - 1; i >= 0; i--) {
        const char *path = l->file[i].path;
        if (!is_gguf_model(path) || (format && !has_format(path, format))) continue;
        *first = i;
        n++;
    }
    return n;
}

/* "what there is: a.gguf, b.gguf", as much as fits. */
static fl_status list_gguf(const fli_listing *l, const fli_name *name, const char *problem,
                           fl_err *err) {
    char list[160] = "";
    size_t n = 0;
    for (int i = 0; i < l->n; i++) {
        const char *path = l->file[i].path;
        if (!is_gguf_model(path)) continue;
        int k = snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", path);
        if (k < 0 || (size_t)k + 4 >= sizeof list - n) {
            snprintf(list + n, sizeof list - n, "%s", ", ..");
            break;
        }
        n += (size_t)k;
    }
    return fl_fail(err, FL_ERR_ARG, "%s: %s; GGUF files: %s", name->repo, problem,
                   *list ? list : "none");
}

static fl_status choose_format(fli_listing *l, const fli_name *name, int *main, fl_err *err) {
    char problem[160];
    int first = 0, n = count_gguf(l, name->want, &first);
    if (n == 1) return mark(l, first, main, err);
    snprintf(problem, sizeof problem, n ? "several files are %.60s: name one" : "no file is %.60s",
             name->want);
    return list_gguf(l, name, problem, err);
}

static fl_status choose_usual(fli_listing *l, const fli_name *name, int *main, fl_err *err) {
    int first = 0;
    if (count_gguf(l, NULL, &first) == 1) return mark(l, first, main, err);
    for (size_t i = 0; i < sizeof usual_formats / sizeof *usual_formats; i++)
        if (count_gguf(l, usual_formats[i], &first) == 1) return mark(l, first, main, err);
    return list_gguf(l, name, "which one?", err);
}

/* ---- Hugging Face ---- */

static bool is_upper(const char *path) {
    return !strchr(path, '/');
}

/* model.safetensors, its shards, or an adapter; not a second copy under another name. */
static bool is_weights(const char *path) {
    size_t stem;
    int part, parts;
    if (strcmp(path, "model.safetensors") == 0 || strcmp(path, "adapter_model.safetensors") == 0)
        return true;
    return has_suffix(path, ".safetensors") && split_of(path, &stem, &part, &parts) && stem == 5 &&
           memcmp(path, "model", 5) == 0;
}

static fl_status choose_folder(fli_listing *l, fl_err *err) {
    int ignored;
    for (int i = 0; i < l->n; i++) {
        const char *path = l->file[i].path;
        if (!is_upper(path)) continue;
        if (is_weights(path)) FL_TRY(mark(l, i, &ignored, err));
        for (size_t k = 0; k < sizeof small_files / sizeof *small_files; k++)
            if (matches(path, small_files[k])) l->file[i].chosen = true;
    }
    return FL_OK;
}

static bool has_weights(const fli_listing *l) {
    for (int i = 0; i < l->n; i++)
        if (is_upper(l->file[i].path) && is_weights(l->file[i].path)) return true;
    return false;
}

fl_status fli_files_choose(fli_listing *l, const fli_name *name, int *main, fl_err *err) {
    int first;
    *main = -1;
    for (int i = 0; *name->want && i < l->n; i++)
        if (strcmp(l->file[i].path, name->want) == 0) return mark(l, i, main, err);
    if (*name->want) return choose_format(l, name, main, err);
    if (has_weights(l)) return choose_folder(l, err);
    if (count_gguf(l, NULL, &first)) return choose_usual(l, name, main, err);
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "%s: neither model.safetensors nor a GGUF file is in it; other formats are not "
                   "read",
                   name->repo);
}
