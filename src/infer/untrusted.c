/* untrusted - special tokens that somebody wrote into a message are text, not control. */
#include "infer/untrusted.h"

#include <string.h>

#include "base/alloc.h"

static const char mark[] = "\xEF\xB7\x90\xEF\xB7\x91";  // U+FDD0 U+FDD1
enum { MARK = sizeof mark - 1 };

fl_status fli_untrusted_init(fli_untrusted *u, const fl_tokenizer *t, fl_err *err) {
    const int32_t size = fl_tokenizer_size(t);
    size_t n = 0;
    for (int32_t id = 0; id < size; id++) n += fl_tokenizer_is_special(t, id);
    *u = (fli_untrusted){.special = fl_alloc((n + 1) * sizeof *u->special)};
    if (!u->special) return fl_fail(err, FL_ERR_NOMEM, "%zu special tokens", n);
    fl_status s = FL_OK;
    for (int32_t id = 0; id < size; id++) {
        if (!fl_tokenizer_is_special(t, id)) continue;
        fl_text *text = &u->special[u->n++];
        *text = (fl_text){0};
        fl_token_text(t, id, text);
        if (s == FL_OK) s = fl_text_ok(text, err);
    }
    if (s != FL_OK) fli_untrusted_clear(u);
    return s;
}

void fli_untrusted_clear(fli_untrusted *u) {
    for (size_t i = 0; i < u->n; i++) fl_text_clear(&u->special[i]);
    fl_dealloc(u->special);
    *u = (fli_untrusted){0};
}

/* ---- marking ---- */

static bool begins_special(const fli_untrusted *u, const char *s, size_t n) {
    for (size_t i = 0; i < u->n; i++) {
        const fl_text *t = &u->special[i];
        if (t->n > 1 && t->n <= n && t->data[0] == *s && memcmp(s, t->data, t->n) == 0) return true;
    }
    return false;
}

static json_t *mark_text(const fli_untrusted *u, const char *s, size_t n) {
    fl_text out = {0};
    for (size_t i = 0; i < n;) {
        const bool special = begins_special(u, s + i, n - i);
        do {
            fl_text_append(&out, s + i++, 1);
        } while (i < n && ((unsigned char)s[i] & 0xC0) == 0x80);
        if (special) fl_text_puts(&out, mark);
    }
    json_t *v = out.failed ? NULL : json_stringn(fl_text_str(&out), out.n);
    fl_text_clear(&out);
    return v;
}

/* Every text in a value, however deep: parts of messages, results of tools. */
static json_t *mark_value(const fli_untrusted *u, const json_t *v) {
    const char *key;
    json_t *item, *out;
    size_t i;
    if (json_is_string(v)) return mark_text(u, json_string_value(v), json_string_length(v));
    if (!json_is_object(v) && !json_is_array(v)) return json_incref((json_t *)(uintptr_t)v);
    out = json_is_object(v) ? json_object() : json_array();
    int failed = !out;
    json_object_foreach((json_t *)(uintptr_t)v, key, item)
        failed |= json_object_set_new(out, key, mark_value(u, item));
    json_array_foreach(v, i, item) failed |= json_array_append_new(out, mark_value(u, item));
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

static bool is_own(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "assistant") == 0;
}

json_t *fli_untrusted_mark(const fli_untrusted *u, const json_t *messages) {
    json_t *out = json_array();
    const json_t *m;
    size_t i;
    int failed = !out;
    json_array_foreach(messages, i, m) {
        json_t *v = is_own(m) ? json_incref((json_t *)(uintptr_t)m) : mark_value(u, m);
        failed |= json_array_append_new(out, v);
    }
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

/* ---- taking the marks out ---- */

static bool is_mark(const fl_text *text, size_t i) {
    return text->n - i >= MARK && memcmp(text->data + i, mark, MARK) == 0;
}

static size_t count_marks(const fl_text *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) n += is_mark(text, i);
    return n;
}

fl_status fli_untrusted_take(fl_text *text, fli_bars *out, fl_err *err) {
    const size_t n = count_marks(text);
    size_t to = 0;
    if (!n) return FL_OK;
    fli_bars bars = {.at = fl_alloc(n * sizeof *bars.at)};
    if (!bars.at) return fl_fail(err, FL_ERR_NOMEM, "%zu places in a prompt", n);
    for (size_t i = 0; i < text->n;) {
        if (is_mark(text, i)) {
            bars.at[bars.n++] = to;
            i += MARK;
        } else {
            text->data[to++] = text->data[i++];
        }
    }
    text->n = to;
    text->data[to] = '\0';
    *out = bars;
    return FL_OK;
}
