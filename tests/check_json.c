/* check_json - JSON and YAML: values, where an error is said to be, and what is refused. */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "check.h"

typedef struct {
    const char *text, *want;  // one line of JSON, or part of the message after "E "
} row;

static fl_status parse_json(json_t **v, const char *text, fl_err *err) {
    return fl_json_parse(v, text, strlen(text), "x.json", err);
}

static fl_status parse_yaml(json_t **v, const char *text, fl_err *err) {
    return fl_yaml_parse(v, NULL, text, strlen(text), "x.yaml", err);
}

static void check_rows(const row *rows, size_t n,
                       fl_status (*parse)(json_t **, const char *, fl_err *)) {
    for (size_t i = 0; i < n; i++) {
        fl_err err = {0};
        json_t *v = NULL;
        fl_status s = parse(&v, rows[i].text, &err);
        bool refused = strncmp(rows[i].want, "E ", 2) == 0;
        if (refused) {
            CHECKF(s != FL_OK && !v && strstr(err.msg, rows[i].want + 2), "row %zu: %s", i,
                   err.msg);
        } else {
            fl_text t = {0};
            if (v) fl_json_print(&t, v, 0);
            CHECKF(s == FL_OK && strcmp(fl_text_str(&t), rows[i].want) == 0, "row %zu: %s%s", i,
                   fl_text_str(&t), err.msg);
            fl_text_clear(&t);
        }
        json_decref(v);
    }
}

static const row json_rows[] = {
    {"{\"a\": [1, 2.50, true, null, \"x\\n\\u0001\\\"\"]}",
     "{\"a\": [1, 2.5, true, null, \"x\\n\\u0001\\\"\"]}"},
    {"[1e-6, 1.0, 0.1, 1e300, 0.30000000000000004]",
     "[1e-06, 1.0, 0.1, 1e+300, 0.30000000000000004]"},
    {"3", "3"},
    {"[]", "[]"},
    {"{}", "{}"},
    {"{\n  \"a\": 1,\n  \"b\" 2\n}", "E x.json:3:"},
    {"{\"a\": 1, \"a\": 2}", "E duplicate"},
    {"", "E x.json"},
    {"[1] x", "E end of file expected"},
    {"\"\xff\"", "E x.json:1"},
    {"[1e999]", "E x.json:1"},
    {"{\"n\": 1000000000000000019884624838656, \"m\": [-99999999999999999999, 7]}",
     "{\"n\": 1e+30, \"m\": [-1e+20, 7]}"},
    {"{\"a\": [}", "E x.json:1"},
};

static const row yaml_rows[] = {
    {"", "{}"},
    {"# nothing\n", "{}"},
    {"a: 1\nb: 1e-4\nc: no\nd: true\ne: ~\nf: 'true'\n",
     "{\"a\": 1, \"b\": 0.0001, \"c\": \"no\", \"d\": true, \"e\": null, \"f\": \"true\"}"},
    {"[0x1F, 0o17, -3, +4, .5, 1., 1e3, 012, 1_000, 1e, .]",
     "[31, 15, -3, 4, 0.5, 1.0, 1000.0, 12, \"1_000\", \"1e\", \".\"]"},
    {"a: {b: [1, {c: d}]}\n", "{\"a\": {\"b\": [1, {\"c\": \"d\"}]}}"},
    {"x: &base {lr: 1, n: 2}\ny:\n  <<: *base\n  n: 3\n",
     "{\"x\": {\"lr\": 1, \"n\": 2}, \"y\": {\"n\": 3, \"lr\": 1}}"},
    {"y:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", "{\"y\": {\"a\": 1, \"b\": 3}}"},
    {"a: |\n  two\n  lines\n", "{\"a\": \"two\\nlines\\n\"}"},
    {"a: 1\nb: [1\nc: 2\n", "E x.yaml:3:"},
    {"a: 1\n\na: 2\n", "E x.yaml:3: a: given twice"},
    {"a: 99999999999999999999\n", "E x.yaml:1: 99999999999999999999: integer out of range"},
    {"a: 1e999\n", "E x.yaml:1: 1e999: number out of range"},
    {"a:\n- .nan\n", "E x.yaml:2: .nan: expected a finite number"},
    {"a: !mine x\n", "E x.yaml:1: tag !mine is not supported"},
    {"[1]: 2\n", "E x.yaml:1: a key must be a scalar"},
    {"<<: 3\n", "E <<: expected a mapping"},
    {"a: 1\n---\nb: 2\n", "E x.yaml:3: a second document"},
    {"&a [*a]\n", "E nested deeper than"},
    {"a: *b\n", "E x.yaml:1:"},
    {"\x01\x02", "E x.yaml"},
    {"a: \"\\0\"\n", "E a zero byte"},
};

/* "Billion laughs": 10^9 strings from ten lines. */
static void check_laughs(void) {
    fl_text t = {0};
    fl_text_puts(&t, "a0: &a0 [x]\n");
    for (int i = 1; i < 10; i++) {
        fl_text_printf(&t, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) fl_text_printf(&t, "%s*a%d", k ? ", " : "", i - 1);
        fl_text_puts(&t, "]\n");
    }
    fl_err err = {0};
    json_t *v = NULL;
    CHECKF(parse_yaml(&v, t.data, &err) == FL_ERR_FORMAT && strstr(err.msg, "expand"), "%s",
           err.msg);
    fl_text_clear(&t);
}

static void check_lines(void) {
    static const char text[] = "lr: 1\n\noptimizer:\n  name: muon\n  betas: [0.9,\n    0.95]\n";
    static const struct {
        const char *path;
        int line;
    } want[] = {{"lr", 1},
                {"optimizer", 3},
                {"optimizer.name", 4},
                {"optimizer.betas", 5},
                {"optimizer.betas[1]", 6}};
    json_t *v = NULL, *lines = NULL;
    fl_err err = {0};
    CHECKF(fl_yaml_parse(&v, &lines, text, sizeof text - 1, "x.yaml", &err) == FL_OK, "%s",
           err.msg);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECKF(json_integer_value(json_object_get(lines, want[i].path)) == want[i].line, "%s",
               want[i].path);
    json_decref(lines);
    json_decref(v);
}

static void check_getters(void) {
    json_t *o = NULL;
    fl_err err = {0};
    CHECK(parse_json(&o,
                     "{\"i\": 3, \"r\": 2.5, \"w\": 1e3, \"s\": \"x\", \"t\": true, \"n\": null, "
                     "\"z\": \"a\\u0000b\"}",
                     &err) == FL_OK);
    int64_t i = 0;
    double r = 0;
    const char *s = NULL;
    bool b = false;
    CHECK(fl_json_int(o, "i", &i, "c", &err) == FL_OK && i == 3);
    CHECK(fl_json_int(o, "w", &i, "c", &err) == FL_OK && i == 1000);
    CHECK(fl_json_real(o, "i", &r, "c", &err) == FL_OK && r == 3);
    CHECK(fl_json_real(o, "r", &r, "c", &err) == FL_OK && r == 2.5);
    CHECK(fl_json_str(o, "s", &s, "c", &err) == FL_OK && strcmp(s, "x") == 0);
    CHECK(fl_json_bool(o, "t", &b, "c", &err) == FL_OK && b);

    CHECK(fl_json_int(o, "r", &i, "c.json", &err) == FL_ERR_FORMAT && i == 1000);
    CHECKF(strcmp(err.msg, "c.json: r: expected an integer, found a real number") == 0, "%s",
           err.msg);
    CHECK(fl_json_int(o, "q", &i, "c.json", &err) == FL_ERR_FORMAT);
    CHECKF(strcmp(err.msg, "c.json: q: missing, expected an integer") == 0, "%s", err.msg);
    CHECK(fl_json_real(o, "n", &r, "c", &err) == FL_ERR_FORMAT && strstr(err.msg, "found null"));
    CHECK(fl_json_str(o, "z", &s, "c", &err) == FL_ERR_FORMAT && strstr(err.msg, "zero byte"));
    CHECK(fl_json_bool(o, "i", &b, "c", &err) == FL_ERR_FORMAT);
    CHECK(fl_json_int(json_object_get(o, "i"), "x", &i, "c", &err) == FL_ERR_FORMAT &&
          strstr(err.msg, "expected an object"));
    CHECK(fl_json_int(NULL, "x", &i, "c", &err) == FL_ERR_FORMAT);

    CHECK(fl_json_int_or(o, "q", 7, &i, "c", &err) == FL_OK && i == 7);
    CHECK(fl_json_real_or(o, "n", 0.5, &r, "c", &err) == FL_OK && r == 0.5);
    CHECK(fl_json_str_or(o, "s", "y", &s, "c", &err) == FL_OK && strcmp(s, "x") == 0);
    CHECK(fl_json_bool_or(o, "s", true, &b, "c", &err) == FL_ERR_FORMAT && b);
    json_decref(o);
}

/* What is saved is read back equal, as JSON and as YAML. */
static void check_round_trip(void) {
    static const char text[] =
        "{\"name\": \"a: b\", \"yes\": \"no\", \"n\": -3, \"lr\": 1e-06, \"list\": [1, 2.5, \"3\", "
        "\"\", \"true\", null],"
        " \"deep\": {\"x\": [{\"a\": []}, {}], \"text\": \"two\\nlines\\n\", \"u\": "
        "\"\\u00e9\\ud83d\\ude00\"}, \"<<\": 1, \"e\": \"1e5\"}";
    char root[] = "/tmp/fledge-check-json-XXXXXX", path[FL_PATH_MAX];
    fl_err err = {0};
    json_t *v = NULL, *again = NULL;
    if (!mkdtemp(root)) abort();
    CHECK(parse_json(&v, text, &err) == FL_OK);

    CHECK(fl_path_join(path, root, "x.json", &err) == FL_OK);
    CHECK(fl_json_save(v, path, &err) == FL_OK && fl_json_load(&again, path, &err) == FL_OK &&
          json_equal(v, again));
    json_decref(again);
    again = NULL;
    CHECK(fl_path_join(path, root, "x.yaml", &err) == FL_OK);
    CHECKF(fl_yaml_save(v, path, &err) == FL_OK && fl_yaml_load(&again, path, &err) == FL_OK, "%s",
           err.msg);
    CHECK(again && json_equal(v, again));
    json_decref(again);
    json_decref(v);
    CHECK(fl_json_load(&again, root, &err) == FL_ERR_IO);
    CHECK(fl_dir_remove(root, &err) == FL_OK);
}

static fl_status parse_both(fl_err *err) {
    json_t *v = NULL, *lines = NULL;
    fl_text t = {0};
    static const char text[] = "a: {b: [1, 2, x], c: 1.5}\nd:\n  <<: {q: 1}\n";
    FL_TRY(fl_yaml_parse(&v, &lines, text, sizeof text - 1, "x.yaml", err));
    fl_json_print(&t, v, 2);
    json_decref(v);
    json_decref(lines);
    fl_status s = fl_text_ok(&t, err);
    if (s == FL_OK) s = fl_json_parse(&v, t.data, t.n, "x.json", err);
    if (s == FL_OK) json_decref(v);
    fl_text_clear(&t);
    return s;
}

static void check_faults(void) {
    json_set_alloc_funcs(fl_alloc_small, fl_dealloc);
    for (long n = 1;; n++) {
        fl_alloc_fail_at(n);
        fl_status s = parse_both(NULL);
        if (!fl_alloc_fail_at(0)) {
            CHECKF(s == FL_OK && n > 20, "%ld allocations", n - 1);
            return;
        }
        // jansson's own scanner calls some of these a syntax error
        CHECKF(s == FL_ERR_NOMEM || s == FL_ERR_FORMAT, "allocation %ld failed and it said %s", n,
               fl_status_text(s));
    }
}

int main(void) {
    check_rows(json_rows, sizeof json_rows / sizeof *json_rows, parse_json);
    check_rows(yaml_rows, sizeof yaml_rows / sizeof *yaml_rows, parse_yaml);
    check_laughs();
    check_lines();
    check_getters();
    check_round_trip();
    check_faults();
    return check_report();
}
