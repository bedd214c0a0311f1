/* io - what several commands read and print. */
#include "app/io.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { INPUT_MAX_BYTES = 1 << 30 };

static fl_status read_stdin(fl_text *out, fl_err *err) {
    char block[1 << 14];
    for (size_t n; (n = fread(block, 1, sizeof block, stdin)) > 0;) {
        if (out->n + n > INPUT_MAX_BYTES)
            return fl_fail(err, FL_ERR_ARG, "standard input: more than %d bytes", INPUT_MAX_BYTES);
        fl_text_append(out, block, n);
    }
    if (ferror(stdin)) return fl_fail(err, FL_ERR_IO, "reading standard input");
    return fl_text_ok(out, err);
}

fl_status app_read_text(const app_args *a, int i, const char *flag, fl_text *out, fl_err *err) {
    const char *word = app_arg(a, i), *file = app_str(a, flag);
    if (word && file) return fl_fail(err, FL_ERR_ARG, "a text and --%s: which of them?", flag);
    if (word && strcmp(word, "-") != 0) {
        fl_text_puts(out, word);
        return fl_text_ok(out, err);
    }
    if (!file) return read_stdin(out, err);
    char *data;
    size_t n;
    FL_TRY(fl_file_read(file, INPUT_MAX_BYTES, &data, &n, err));
    fl_text_append(out, data, n);
    fl_dealloc(data);
    return fl_text_ok(out, err);
}

fl_status app_paths(const app_args *a, int first, const char ***paths, int *n, fl_err *err) {
    int count = app_n_args(a) - first;
    const char **list = fl_alloc((size_t)(count + 1) * sizeof *list);
    if (!list) return fl_fail(err, FL_ERR_NOMEM, "%d paths", count);
    for (int i = 0; i < count; i++) list[i] = app_arg(a, first + i);
    *paths = list;
    *n = count;
    return FL_OK;
}

fl_status app_print_json(json_t *v, fl_err *err) {
    fl_text out = {0};
    if (v) fl_json_print(&out, v, 0);
    fl_status st = v ? fl_text_ok(&out, err) : fl_fail(err, FL_ERR_NOMEM, "the result");
    if (st == FL_OK) puts(fl_text_str(&out));
    fl_text_clear(&out);
    json_decref(v);
    return st;
}

static fl_status set_value(json_t *to, const char *flag, const char *assignment, fl_err *err) {
    const char *equals = strchr(assignment, '=');
    json_t *v;
    if (!equals || equals == assignment)
        return fl_fail(err, FL_ERR_ARG, "--%s %s: name=value is wanted", flag, assignment);
    if (fl_json_parse(&v, equals + 1, strlen(equals + 1), flag, NULL) != FL_OK)
        v = json_string(equals + 1);
    if (v && json_object_setn_new(to, assignment, (size_t)(equals - assignment), v) == 0)
        return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "--%s %s: it is not UTF-8", flag, assignment);
}

fl_status app_set_values(const app_args *a, const char *flag, json_t *to, fl_err *err) {
    const char *const *set;
    int n = app_list(a, flag, &set);
    for (int i = 0; i < n; i++) FL_TRY(set_value(to, flag, set[i], err));
    return FL_OK;
}

json_t *app_json_text(const void *bytes, size_t n) {
    fl_text out = {0};
    fl_text_append_utf8(&out, bytes, n);
    json_t *v = out.failed ? NULL : json_stringn(fl_text_str(&out), out.n);
    fl_text_clear(&out);
    return v;
}

void app_print_token(const uint8_t *s, size_t n) {
    putchar('"');
    for (size_t i = 0; i < n;) {
        int len;
        int32_t c = fl_utf8_decode(s + i, n - i, &len);
        if (c == '\n') fputs("\\n", stdout);
        else if (c == '\t') fputs("\\t", stdout);
        else if (c == '"' || c == '\\') printf("\\%c", (char)c);
        else if (c < 0x20 || (c >= 0x7F && c < 0xA0)) printf("\\x%02x", c < 0 ? s[i] : (unsigned)c);
        else fwrite(s + i, 1, (size_t)len, stdout);
        i += (size_t)len;
    }
    putchar('"');
}

void app_print_word(const char *s, size_t n, int width) {
    fputs("  ", stdout);
    for (size_t i = 0; i < n;) {
        int len;
        int32_t c = fl_utf8_decode((const uint8_t *)s + i, n - i, &len);
        if (c < 0x20 || (c >= 0x7F && c < 0xA0)) putchar('?');
        else fwrite(s + i, 1, (size_t)len, stdout);
        i += (size_t)len;
        width--;
    }
    for (; width > 0; width--) putchar(' ');
}
