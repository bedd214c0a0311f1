/* yaml - YAML documents as jansson values, through libyaml.
 *
 * Plain scalars are resolved by the core schema of YAML 1.2 (so 1e-4 is a number and "no" a
 * string). Anchors, aliases and merge keys (<<) work; tags beyond the core schema do not. A
 * document that expands to more than MAX_NODES values (a long scalar counts once per SCALAR_UNIT
 * bytes) or MAX_DEPTH levels is refused, which also ends aliases that contain themselves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

enum { YAML_MAX_BYTES = 1 << 24, MAX_NODES = 1 << 20, MAX_DEPTH = 64, SCALAR_UNIT = 64 };

typedef struct {
    yaml_document_t *doc;
    json_t *lines;  // NULL: not wanted
    const char *where;
    fl_err *err;
    int n_nodes, depth;
    fl_text path;  // of the value being read
} reader;

#define YAML_FAIL(r, code, node, fmt, ...) \
    fl_fail((r)->err, code, "%s:%zu: " fmt, (r)->where, (node)->start_mark.line + 1, __VA_ARGS__)

static fl_status no_memory(const reader *r) {
    return fl_fail(r->err, FL_ERR_NOMEM, "%s", r->where);
}

/* ---- scalars ---- */

static bool one_of(const char *s, const char *const *list) {
    for (; *list; list++)
        if (strcmp(s, *list) == 0) return true;
    return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const truths[] = {"true", "True", "TRUE", NULL};
static const char *const falses[] = {"false", "False", "FALSE", NULL};
static const char *const not_finite[] = {".inf",  "+.inf", "-.inf", ".Inf",  "+.Inf",
                                         "-.Inf", ".INF",  "+.INF", "-.INF", ".nan",
                                         ".NaN",  ".NAN",  NULL};
static const char *const old_bools[] =
    {"y",  "n",  "yes", "no",  "on", "off", "Y",   "N", "Yes",
     "No", "On", "Off", "YES", "NO", "ON",  "OFF", NULL};  // to YAML 1.1, which PyYAML reads

static size_t digits(const char *s) {
    return strspn(s, "0123456789");
}

/* The base of the integer that all of s is, or 0. */
static int integer_base(const char *s) {
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o')) {
        const char *set = s[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
        size_t n = strspn(s + 2, set);
        return n && !s[2 + n] ? (s[1] == 'x' ? 16 : 8) : 0;
    }
    s += *s == '+' || *s == '-';
    size_t n = digits(s);
    return n && !s[n] ? 10 : 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *s) {
    s += *s == '+' || *s == '-';
    size_t whole = digits(s), part = 0;
    s += whole;
    if (*s == '.') s += 1 + (part = digits(s + 1));
    if (whole + part == 0) return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '+' || s[1] == '-');
        size_t n = digits(s);
        if (!n) return false;
        s += n;
    }
    return !*s;
}

static fl_status plain_scalar(const reader *r, const yaml_node_t *node, const char *s,
                              json_t **out) {
    int base = integer_base(s);
    errno = 0;
    if (one_of(s, nulls)) {
        *out = json_null();
    } else if (one_of(s, truths) || one_of(s, falses)) {
        *out = json_boolean(one_of(s, truths));
    } else if (one_of(s, not_finite)) {
        return YAML_FAIL(r, FL_ERR_FORMAT, node, "%s: expected a finite number", s);
    } else if (base) {
        long long v = strtoll(base == 10 ? s : s + 2, NULL, base);
        if (errno) return YAML_FAIL(r, FL_ERR_FORMAT, node, "%.40s: integer out of range", s);
        *out = json_integer(v);
    } else if (is_real(s)) {
        double v = strtod(s, NULL);
        *out = json_real(v);  // NULL for what overflowed to infinity
        if (!*out) return YAML_FAIL(r, FL_ERR_FORMAT, node, "%.40s: number out of range", s);
    } else {
        *out = json_string(s);
        if (!*out) return YAML_FAIL(r, FL_ERR_FORMAT, node, "%.40s: not UTF-8", s);
    }
    return FL_OK;
}

static fl_status check_tag(const reader *r, const yaml_node_t *node) {
    static const char *const core[] = {YAML_STR_TAG,  YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG,
                                       YAML_NULL_TAG, YAML_SEQ_TAG, YAML_MAP_TAG,   NULL};
    const char *tag = (const char *)node->tag;
    if (tag && !one_of(tag, core))
        return YAML_FAIL(r, FL_ERR_UNSUPPORTED, node, "tag %.60s is not supported", tag);
    return FL_OK;
}

/* ---- nodes ---- */

static fl_status read_node(reader *r, int index, json_t **out);

static fl_status note_line(reader *r, const yaml_node_t *node) {
    if (!r->lines || !r->path.n) return FL_OK;
    json_t *line = json_integer((json_int_t)node->start_mark.line + 1);
    return json_object_set_new(r->lines, r->path.data, line) == 0 ? FL_OK : no_memory(r);
}

static void path_cut(reader *r, size_t n) {
    r->path.n = n;
    if (r->path.data) r->path.data[n] = '\0';
}

static fl_status read_scalar(reader *r, const yaml_node_t *node, json_t **out) {
    const char *s = (const char *)node->data.scalar.value;
    if (strlen(s) != node->data.scalar.length)
        return YAML_FAIL(r, FL_ERR_FORMAT, node, "%s", "a zero byte in a scalar");
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) return plain_scalar(r, node, s, out);
    *out = json_string(s);
    return *out ? FL_OK : no_memory(r);
}

static fl_status read_sequence(reader *r, const yaml_node_t *node, json_t **out) {
    json_t *list = json_array();
    fl_status s = list ? FL_OK : no_memory(r);
    size_t outer = r->path.n;
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top && s == FL_OK; i++) {
        json_t *item = NULL;
        fl_text_printf(&r->path, "[%zu]", (size_t)(i - node->data.sequence.items.start));
        s = note_line(r, yaml_document_get_node(r->doc, *i));
        if (s == FL_OK) s = read_node(r, *i, &item);
        if (s == FL_OK && json_array_append_new(list, item) != 0) s = no_memory(r);
        path_cut(r, outer);
    }
    if (s != FL_OK) json_decref(list);
    else *out = list;
    return s;
}

/* Keys of `from` that `to` does not set itself. (json_object_update_missing hides a failure.) */
static fl_status merge_one(const reader *r, const yaml_node_t *node, json_t *to, json_t *from) {
    const char *key;
    json_t *value;
    if (!json_is_object(from))
        return YAML_FAIL(r, FL_ERR_FORMAT, node, "%s", "<<: expected a mapping or a list of them");
    json_object_foreach(from, key, value)
        if (!json_object_get(to, key) && json_object_set(to, key, value) != 0) return no_memory(r);
    return FL_OK;
}

static fl_status merge(const reader *r, const yaml_node_t *node, json_t *to, json_t *from) {
    size_t i;
    json_t *item;
    if (!json_is_array(from)) return merge_one(r, node, to, from);
    json_array_foreach(from, i, item) FL_TRY(merge_one(r, node, to, item));
    return FL_OK;
}

static fl_status read_pair(reader *r, const yaml_node_pair_t *pair, json_t *map, json_t **merged) {
    const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
    if (key->type != YAML_SCALAR_NODE)
        return YAML_FAIL(r, FL_ERR_FORMAT, key, "%s", "a key must be a scalar");
    const char *name = (const char *)key->data.scalar.value;
    if (strlen(name) != key->data.scalar.length)
        return YAML_FAIL(r, FL_ERR_FORMAT, key, "%s", "a zero byte in a key");
    bool merging = strcmp(name, "<<") == 0 && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (merging ? *merged != NULL : json_object_get(map, name) != NULL)
        return YAML_FAIL(r, FL_ERR_FORMAT, key, "%.60s: given twice", name);

    size_t outer = r->path.n;
    if (!merging) fl_text_printf(&r->path, "%s%s", outer ? "." : "", name);
    json_t *value = NULL;
    fl_status s = merging ? FL_OK : note_line(r, key);
    if (s == FL_OK) s = read_node(r, pair->value, merging ? merged : &value);
    path_cut(r, outer);
    if (s == FL_OK && !merging && json_object_set_new(map, name, value) != 0) s = no_memory(r);
    return s;
}

static fl_status read_mapping(reader *r, const yaml_node_t *node, json_t **out) {
    json_t *map = json_object(), *merged = NULL;
    fl_status s = map ? FL_OK : no_memory(r);
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top && s == FL_OK; p++)
        s = read_pair(r, p, map, &merged);
    if (s == FL_OK && merged) s = merge(r, node, map, merged);
    json_decref(merged);
    if (s != FL_OK) json_decref(map);
    else *out = map;
    return s;
}

static fl_status read_node(reader *r, int index, json_t **out) {
    const yaml_node_t *node = yaml_document_get_node(r->doc, index);
    r->n_nodes += 1 + (node->type == YAML_SCALAR_NODE ? (int)node->data.scalar.length / SCALAR_UNIT
                                                      : 0);
    if (r->n_nodes > MAX_NODES)
        return YAML_FAIL(r, FL_ERR_FORMAT, node, "its aliases expand to more than %d values",
                         MAX_NODES);
    if (r->depth >= MAX_DEPTH)
        return YAML_FAIL(r, FL_ERR_FORMAT, node, "nested deeper than %d levels", MAX_DEPTH);
    FL_TRY(check_tag(r, node));
    r->depth++;
    fl_status s = node->type == YAML_SCALAR_NODE     ? read_scalar(r, node, out)
                  : node->type == YAML_SEQUENCE_NODE ? read_sequence(r, node, out)
                                                     : read_mapping(r, node, out);
    r->depth--;
    return s;
}

/* ---- documents ---- */

static fl_status parser_failed(const yaml_parser_t *p, const char *where, fl_err *err) {
    if (p->error == YAML_MEMORY_ERROR) return fl_fail(err, FL_ERR_NOMEM, "%s", where);
    const char *problem = p->problem ? p->problem : "malformed";
    if (p->error == YAML_READER_ERROR)
        return fl_fail(err, FL_ERR_FORMAT, "%s: byte %zu: %s", where, p->problem_offset, problem);
    return fl_fail(err, FL_ERR_FORMAT, "%s:%zu:%zu: %s", where, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, problem);
}

/* One document; an empty one is an empty object, as a recipe that sets nothing. */
static fl_status read_document(yaml_parser_t *p, reader *r, json_t **out) {
    yaml_document_t doc, more;
    if (!yaml_parser_load(p, &doc)) return parser_failed(p, r->where, r->err);
    r->doc = &doc;
    fl_status s;
    if (!yaml_document_get_root_node(&doc)) {
        *out = json_object();
        s = *out ? FL_OK : no_memory(r);
    } else if (s = read_node(r, 1, out), s == FL_OK) {
        if (!yaml_parser_load(p, &more)) {
            s = parser_failed(p, r->where, r->err);
        } else {
            const yaml_node_t *second = yaml_document_get_root_node(&more);
            if (second)
                s = YAML_FAIL(r, FL_ERR_FORMAT, second, "%s",
                              "a second document; one was expected");
            yaml_document_delete(&more);
        }
        if (s != FL_OK) json_decref(*out);
    }
    yaml_document_delete(&doc);
    return s;
}

fl_status fl_yaml_parse(json_t **out, json_t **lines, const char *text, size_t n, const char *where,
                        fl_err *err) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return fl_fail(err, FL_ERR_NOMEM, "%s", where);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    reader r = {.where = where, .err = err, .lines = lines ? json_object() : NULL};
    json_t *value = NULL;
    fl_status s = lines && !r.lines ? no_memory(&r) : read_document(&parser, &r, &value);
    yaml_parser_delete(&parser);
    if (s == FL_OK && (s = fl_text_ok(&r.path, err)) != FL_OK) json_decref(value);
    fl_text_clear(&r.path);
    if (s != FL_OK) {
        json_decref(r.lines);
        return s;
    }
    *out = value;
    if (lines) *lines = r.lines;
    return FL_OK;
}

fl_status fl_yaml_load_lines(json_t **out, json_t **lines, const char *path, fl_err *err) {
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, YAML_MAX_BYTES, &text, &n, err));
    fl_status s = fl_yaml_parse(out, lines, text, n, path, err);
    fl_dealloc(text);
    return s;
}

fl_status fl_yaml_load(json_t **out, const char *path, fl_err *err) {
    return fl_yaml_load_lines(out, NULL, path, err);
}

/* ---- writing ---- */

static int write_bytes(void *text, unsigned char *bytes, size_t n) {
    fl_text_append(text, bytes, n);
    return !((fl_text *)text)->failed;
}

static bool emit_scalar(yaml_emitter_t *e, const char *s, size_t n, bool quoted) {
    yaml_event_t event;
    yaml_scalar_style_t style = !quoted              ? YAML_PLAIN_SCALAR_STYLE
                                : memchr(s, '\n', n) ? YAML_LITERAL_SCALAR_STYLE
                                                     : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s, (int)n, 1, 1,
                                        style) &&
           yaml_emitter_emit(e, &event);
}

/* A string that another reader would take for something else without quotes. */
static bool emit_string(yaml_emitter_t *e, const char *s, size_t n) {
    bool quoted = one_of(s, nulls) || one_of(s, truths) || one_of(s, falses) ||
                  one_of(s, not_finite) || one_of(s, old_bools) || integer_base(s) || is_real(s) ||
                  strcmp(s, "<<") == 0 || memchr(s, '\n', n) || strchr("0123456789+-.", s[0]);
    return emit_scalar(e, s, n, quoted);
}

/* A real as YAML 1.1 also reads it: it wants a point before the exponent. */
static bool emit_real(yaml_emitter_t *e, const json_t *v) {
    fl_text t = {0};
    fl_json_print(&t, v, 0);
    const char *s = fl_text_str(&t), *exponent = strchr(s, 'e');
    fl_text u = {0};
    if (exponent && !strchr(s, '.'))
        fl_text_printf(&u, "%.*s.0%s", (int)(exponent - s), s, exponent);
    else fl_text_puts(&u, s);
    bool ok = !t.failed && !u.failed && emit_scalar(e, u.data, u.n, false);
    fl_text_clear(&u);
    fl_text_clear(&t);
    return ok;
}

static bool emit_value(yaml_emitter_t *e, const json_t *v);

static bool emit_list(yaml_emitter_t *e, const json_t *v) {
    yaml_event_t event;
    size_t i;
    json_t *item;
    bool flat = true;  // a list of scalars goes on one line
    json_array_foreach(v, i, item) flat = flat && !json_is_object(item) && !json_is_array(item);
    yaml_sequence_style_t style = flat ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_array_foreach(v, i, item)
        if (!emit_value(e, item)) return false;
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool emit_object(yaml_emitter_t *e, const json_t *v) {
    yaml_event_t event;
    const char *key;
    json_t *item;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, item)
        if (!emit_string(e, key, strlen(key)) || !emit_value(e, item)) return false;
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool emit_value(yaml_emitter_t *e, const json_t *v) {
    char integer[24];
    switch (json_typeof(v)) {
    case JSON_OBJECT: return emit_object(e, v);
    case JSON_ARRAY: return emit_list(e, v);
    case JSON_STRING: return emit_string(e, json_string_value(v), json_string_length(v));
    case JSON_REAL: return emit_real(e, v);
    case JSON_TRUE: return emit_scalar(e, "true", 4, false);
    case JSON_FALSE: return emit_scalar(e, "false", 5, false);
    case JSON_NULL: return emit_scalar(e, "null", 4, false);
    case JSON_INTEGER: break;
    }
    int n = snprintf(integer, sizeof integer, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    return emit_scalar(e, integer, (size_t)n, false);
}

static bool emit_document(yaml_emitter_t *e, const json_t *v) {
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(e, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(e, &event) && emit_value(e, v) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(e, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

fl_status fl_yaml_save(const json_t *v, const char *path, fl_err *err) {
    yaml_emitter_t emitter;
    fl_text text = {0};
    if (!yaml_emitter_initialize(&emitter)) return fl_fail(err, FL_ERR_NOMEM, "%s", path);
    yaml_emitter_set_output(&emitter, write_bytes, &text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    fl_status s = FL_OK;
    if (!emit_document(&emitter, v)) s = fl_fail(err, FL_ERR_NOMEM, "%s: writing as YAML", path);
    yaml_emitter_delete(&emitter);
    if (s == FL_OK) s = fl_text_ok(&text, err);
    if (s == FL_OK) s = fl_file_write(path, text.data, text.n, err);
    fl_text_clear(&text);
    return s;
}
