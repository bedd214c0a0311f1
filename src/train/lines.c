/* lines - reading, cutting and appending logs of JSON lines. */
#include "train/lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

static const size_t LOG_BYTES_MAX = (size_t)1 << 32;

struct fl_lines {
    FILE *file;
    char *path;
};

/* Take the line [s, end) into `array` unless it is torn or too late. */
static fl_status take(json_t *array, const char *s, size_t n, int64_t last, fl_err *err) {
    json_t *v = json_loadb(s, n, 0, NULL);
    const json_t *step = json_object_get(v, "step");
    const bool wanted = json_is_integer(step) && json_integer_value(step) <= last;
    if (!wanted) json_decref(v);
    else if (json_array_append_new(array, v) != 0) return fl_fail(err, FL_ERR_NOMEM, "a log");
    return FL_OK;
}

fl_status fl_lines_read(json_t **out, const char *path, int64_t last, fl_err *err) {
    char *text = NULL;
    size_t n = 0;
    if (fl_path_exists(path)) FL_TRY(fl_file_read(path, LOG_BYTES_MAX, &text, &n, err));
    json_t *array = json_array();
    fl_status s = array ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%s", path);
    for (size_t at = 0; s == FL_OK && at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        if (!end) break;
        s = take(array, text + at, (size_t)(end - text) - at, last, err);
        at = (size_t)(end - text) + 1;
    }
    fl_dealloc(text);
    if (s != FL_OK) {
        json_decref(array);
        return s;
    }
    *out = array;
    return FL_OK;
}

static fl_status rewrite(const char *path, const json_t *array, fl_err *err) {
    fl_text t = {0};
    for (size_t i = 0; i < json_array_size(array); i++) {
        fl_json_print(&t, json_array_get(array, i), 0);
        fl_text_puts(&t, "\n");
    }
    fl_status s = fl_text_ok(&t, err);
    if (s == FL_OK) s = fl_file_write(path, fl_text_str(&t), t.n, err);
    fl_text_clear(&t);
    return s;
}

fl_status fl_lines_open(fl_lines **out, const char *path, int64_t last, fl_err *err) {
    json_t *kept;
    FL_TRY(fl_lines_read(&kept, path, last, err));
    const fl_status s = rewrite(path, kept, err);
    json_decref(kept);
    if (s != FL_OK) return s;
    fl_lines *l = fl_alloc(sizeof *l);
    char *copy = fl_strdup(path);
    FILE *f = l && copy ? fopen(path, "ab") : NULL;
    if (!f) {
        const int why = errno;
        fl_dealloc(l);
        fl_dealloc(copy);
        return fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(why));
    }
    *l = (fl_lines){.file = f, .path = copy};
    *out = l;
    return FL_OK;
}

void fl_lines_close(fl_lines *l) {
    if (!l) return;
    fclose(l->file);
    fl_dealloc(l->path);
    fl_dealloc(l);
}

fl_status fl_lines_add(fl_lines *l, json_t *line, fl_err *err) {
    fl_text t = {0};
    if (line) fl_json_print(&t, line, 0);
    else t.failed = true;
    json_decref(line);
    fl_text_puts(&t, "\n");
    fl_status s = fl_text_ok(&t, err);
    if (s == FL_OK && (fwrite(fl_text_str(&t), 1, t.n, l->file) != t.n || fflush(l->file) != 0))
        s = fl_fail(err, FL_ERR_IO, "%s: %s", l->path, strerror(errno));
    fl_text_clear(&t);
    return s;
}
