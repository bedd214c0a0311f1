/* rows - the JSON objects of a .jsonl file (or of an array in a .json file), one after another.
 *
 * Lines are read through a growing buffer and parsed one at a time. A file whose first character is
 * '[' is an array: it is read and parsed whole, within the size limit of one line. */
#include "data/rows.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "data/corpus.h"
#include "format/reader.h"

enum { READ_BYTES = 1 << 16, KEYS_SHOWN = 6 };

struct fli_rows {
    char *path;
    fl_reader *reader;
    bool skip_bad, at_end, is_array;
    json_t *array;  // all rows, when is_array
    json_t *row;    // the last one given out
    int64_t line, n_skipped;
    fl_text text;  // bytes read and not yet used: [at, text.n)
    size_t at;
};

static fl_status more(fli_rows *r, fl_err *err) {
    if (r->at) {
        memmove(r->text.data, r->text.data + r->at, r->text.n - r->at);
        r->text.n -= r->at;
        r->at = 0;
    }
    char chunk[READ_BYTES];
    size_t n;
    FL_TRY(fl_reader_read(r->reader, chunk, sizeof chunk, &n, err));
    fl_text_append(&r->text, chunk, n);
    r->at_end = n == 0;
    return fl_text_ok(&r->text, err);
}

/* The next line without its newline, however long. False at the end of the file. */
static fl_status line_next(fli_rows *r, const char **line, size_t *n, bool *got, fl_err *err) {
    size_t seen = 0;
    for (;;) {
        const char *from = r->text.n ? r->text.data + r->at : "";
        size_t left = r->text.n - r->at;
        const char *end = left > seen ? memchr(from + seen, '\n', left - seen) : NULL;
        if (end || r->at_end) {
            *got = end || left;
            *line = from;
            *n = end ? (size_t)(end - from) : left;
            r->at += end ? *n + 1 : left;
            r->line++;
            return FL_OK;
        }
        if (left > FL_LINE_BYTES_MAX) {
            return fl_fail(err, FL_ERR_FORMAT, "%s:%lld: a line of more than %d MiB", r->path,
                           (long long)r->line + 1, FL_LINE_BYTES_MAX >> 20);
        }
        seen = left;
        FL_TRY(more(r, err));
    }
}

static bool is_blank(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!strchr(" \t\r\n", s[i])) return false;
    }
    return true;
}

static fl_status array_load(fli_rows *r, fl_err *err) {
    while (!r->at_end) {
        if (r->text.n > FL_LINE_BYTES_MAX) {
            return fl_fail(err, FL_ERR_FORMAT,
                           "%s: a JSON array of more than %d MiB; write it as "
                           "JSON lines",
                           r->path, FL_LINE_BYTES_MAX >> 20);
        }
        FL_TRY(more(r, err));
    }
    json_error_t e;
    r->array = json_loadb(r->text.data, r->text.n, JSON_ALLOW_NUL, &e);
    if (!r->array) return fl_fail(err, FL_ERR_FORMAT, "%s:%d: %s", r->path, e.line, e.text);
    return FL_OK;
}

/* Look at the first character that is not blank. */
static fl_status kind_find(fli_rows *r, fl_err *err) {
    FL_TRY(more(r, err));
    for (size_t i = 0; i < r->text.n; i++) {
        if (strchr(" \t\r\n", r->text.data[i])) continue;
        r->is_array = r->text.data[i] == '[';
        break;
    }
    return r->is_array ? array_load(r, err) : FL_OK;
}

fl_status fli_rows_open(fli_rows **out, const char *path, bool skip_bad, fl_err *err) {
    fli_rows *r = fl_alloc(sizeof *r);
    if (!r) return fl_fail(err, FL_ERR_NOMEM, "%s: no memory to read it", path);
    *r = (fli_rows){.skip_bad = skip_bad, .path = fl_strdup(path)};
    fl_status st = r->path ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the name of a file");
    if (st == FL_OK) st = fl_reader_open(&r->reader, path, err);
    if (st == FL_OK) st = kind_find(r, err);
    if (st != FL_OK) {
        fli_rows_close(r);
        return st;
    }
    *out = r;
    return FL_OK;
}

void fli_rows_close(fli_rows *r) {
    if (!r) return;
    json_decref(r->row);
    json_decref(r->array);
    fl_reader_close(r->reader);
    fl_text_clear(&r->text);
    fl_dealloc(r->path);
    fl_dealloc(r);
}

/* One value, or NULL with *wrong saying why, or NULL and *end at the end. */
static fl_status value_next(fli_rows *r, json_t **value, char wrong[200], bool *end, fl_err *err) {
    wrong[0] = '\0';
    *value = NULL;
    if (r->is_array) {
        *value = json_incref(json_array_get(r->array, (size_t)r->line));
        *end = !*value;
        r->line++;
        return FL_OK;
    }
    const char *line = NULL;
    size_t n = 0;
    bool got;
    do FL_TRY(line_next(r, &line, &n, &got, err));
    while (got && is_blank(line, n));
    *end = !got;
    if (!got) return FL_OK;
    json_error_t e;
    *value = json_loadb(line, n, JSON_ALLOW_NUL, &e);
    if (!*value) snprintf(wrong, 200, "column %d: %s", e.column, e.text);
    return FL_OK;
}

fl_status fli_rows_next(fli_rows *r, json_t **row, fl_err *err) {
    for (;;) {
        json_t *value;
        char wrong[200];
        bool end;
        FL_TRY(value_next(r, &value, wrong, &end, err));
        if (value && !json_is_object(value)) {
            snprintf(wrong, sizeof wrong, "expected a JSON object {...}");
            json_decref(value);
            value = NULL;
        }
        if (value || end) {
            json_decref(r->row);
            r->row = *row = value;
            return FL_OK;
        }
        if (!r->skip_bad) {
            return fl_fail(err, FL_ERR_FORMAT, "%s:%lld: %s", r->path, (long long)r->line, wrong);
        }
        r->n_skipped++;
    }
}

int64_t fli_rows_line(const fli_rows *r) {
    return r->line;
}

int64_t fli_rows_consumed(const fli_rows *r) {
    return fl_reader_consumed(r->reader);
}

int64_t fli_rows_n_skipped(const fli_rows *r) {
    return r->n_skipped;
}

fl_status fli_rows_str(const fli_rows *r, const json_t *row, const char *key, const char **s,
                       size_t *n, fl_err *err) {
    const json_t *v = json_object_get(row, key);
    if (json_is_string(v)) {
        *s = json_string_value(v);
        *n = json_string_length(v);
        return FL_OK;
    }
    if (v) {
        return fl_fail(err, FL_ERR_FORMAT, "%s:%lld: field \"%s\" is not a string", r->path,
                       (long long)r->line, key);
    }
    fl_text keys = {0};
    const char *k;
    json_t *ignored;
    int shown = 0;
    json_object_foreach((json_t *)row, k, ignored) {
        if (shown++ < KEYS_SHOWN) fl_text_printf(&keys, " \"%.40s\"", k);
    }
    fl_status st = fl_fail(err, FL_ERR_FORMAT, "%s:%lld: no field \"%s\"; it has%s", r->path,
                           (long long)r->line, key, shown ? fl_text_str(&keys) : " none");
    fl_text_clear(&keys);
    return st;
}
