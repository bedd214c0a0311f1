/* check_schema - JSON schema as a grammar: what is written under random schemas is valid under
 * them.
 *
 *     check_schema [FILE]   also writes {"schema", "text"} lines for tests/peers/schema_validate.py
 *
 * The validator here knows the keywords by their meaning in the specification, and nothing of
 * grammars.
 *
 * Caught by it (each tried): an integer limit off by one, a limit of more digits forgotten,
 * required properties that may be left out, a comma before the first member, an additional name
 * equal to another, a tuple cut short, more items than maxItems, an unanchored pattern read as
 * anchored, oneOf taken for anyOf, additionalProperties of the one schema not asked for the other's
 * properties. */
#include "infer/schema.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "infer/grammar.h"

static fl_tokenizer *tokenizer;
static fl_token_trie *trie;
static FILE *dump;

/* --- an independent validator ----------------------------------------------------------------- */

static const json_t *root;

static bool valid(const json_t *schema, const json_t *v);

static size_t n_valid(const json_t *list, const json_t *v) {
    size_t n = 0, i;
    const json_t *one;
    json_array_foreach(list, i, one) n += valid(one, v);
    return n;
}

static bool is_type(const char *type, const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT: return strcmp(type, "object") == 0;
    case JSON_ARRAY: return strcmp(type, "array") == 0;
    case JSON_STRING: return strcmp(type, "string") == 0;
    case JSON_INTEGER: return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL: return strcmp(type, "number") == 0;
    case JSON_NULL: return strcmp(type, "null") == 0;
    default: return strcmp(type, "boolean") == 0;
    }
}

static bool valid_type(const json_t *type, const json_t *v) {
    size_t i;
    const json_t *one;
    if (json_is_string(type)) return is_type(json_string_value(type), v);
    json_array_foreach(type, i, one) {
        if (is_type(json_string_value(one), v)) return true;
    }
    return !type;
}

static bool valid_number(const json_t *s, const json_t *v) {
    const json_t *l;
    double x = json_number_value(v);
    if ((l = json_object_get(s, "minimum")) && x < json_number_value(l)) return false;
    if ((l = json_object_get(s, "maximum")) && x > json_number_value(l)) return false;
    if ((l = json_object_get(s, "exclusiveMinimum")) && x <= json_number_value(l)) return false;
    return !((l = json_object_get(s, "exclusiveMaximum")) && x >= json_number_value(l));
}

static bool in_size(const json_t *s, const char *least, const char *most, size_t n) {
    const json_t *l = json_object_get(s, least), *m = json_object_get(s, most);
    return !(l && n < (size_t)json_integer_value(l)) && !(m && n > (size_t)json_integer_value(m));
}

static bool valid_string(const json_t *s, const json_t *v) {
    size_t n = 0;
    for (const char *c = json_string_value(v); *c; c++) n += ((unsigned char)*c & 0xC0) != 0x80;
    return in_size(s, "minLength", "maxLength", n);
}

static bool valid_array(const json_t *s, const json_t *v) {
    const json_t *prefix = json_object_get(s, "prefixItems"), *items = json_object_get(s, "items"),
                 *one;
    size_t i;
    json_array_foreach(v, i, one) {
        const json_t *sub = json_array_get(prefix, i) ? json_array_get(prefix, i) : items;
        if (sub && !valid(sub, one)) return false;
    }
    return in_size(s, "minItems", "maxItems", json_array_size(v));
}

static bool valid_object(const json_t *s, const json_t *v) {
    const json_t *rest = json_object_get(s, "additionalProperties"), *name;
    const char *key;
    json_t *member;
    size_t i;
    json_array_foreach(json_object_get(s, "required"), i, name) {
        if (!json_object_get(v, json_string_value(name))) return false;
    }
    json_object_foreach((json_t *)v, key, member) {
        const json_t *sub = json_object_get(json_object_get(s, "properties"), key);
        if (!sub) sub = rest;
        if (sub && !valid(sub, member)) return false;
    }
    return true;
}

static bool valid(const json_t *s, const json_t *v) {
    const json_t *k;
    if (json_is_boolean(s)) return json_is_true(s);
    if ((k = json_object_get(s, "$ref"))) {
        const char *ref = json_string_value(k);
        const json_t *named = strcmp(ref, "#") == 0
                                  ? root
                                  : json_object_get(json_object_get(root, "$defs"), ref + 8);
        if (!valid(named, v)) return false;
    }
    if (!valid_type(json_object_get(s, "type"), v)) return false;
    if ((k = json_object_get(s, "const")) && !json_equal(k, v)) return false;
    if ((k = json_object_get(s, "enum"))) {
        size_t i, same = 0;
        const json_t *one;
        json_array_foreach(k, i, one) same += json_equal(one, v) != 0;
        if (!same) return false;
    }
    if ((k = json_object_get(s, "allOf")) && n_valid(k, v) != json_array_size(k)) return false;
    if ((k = json_object_get(s, "anyOf")) && n_valid(k, v) == 0) return false;
    if ((k = json_object_get(s, "oneOf")) && n_valid(k, v) != 1) return false;
    if (json_is_number(v)) return valid_number(s, v);
    if (json_is_string(v)) return valid_string(s, v);
    if (json_is_array(v)) return valid_array(s, v);
    return !json_is_object(v) || valid_object(s, v);
}

/* --- random schemas --------------------------------------------------------------------------- */

static fl_rng rng;

static int64_t below(int64_t n) {
    return (int64_t)fl_rng_below(&rng, (uint64_t)n);
}

static json_t *random_schema(int depth);

static const char *name_of(int i) {
    static const char *const names[] = {"a",    "ab",    "abc", "name", "names",
                                        "x\"y", "größe", "id",  "n\\m", ""};
    return names[i % 10];
}

static void put_sizes(json_t *s, const char *least, const char *most, int64_t up_to) {
    int64_t n = below(up_to);
    if (below(2)) json_object_set_new(s, least, json_integer(n));
    if (below(2)) json_object_set_new(s, most, json_integer(n + below(4)));
}

static json_t *random_object(int depth) {
    json_t *s = json_pack("{s:s}", "type", "object"), *properties = json_object(),
           *required = json_array();
    for (int i = (int)below(6); i > 0; i--) {
        const char *name = name_of((int)below(10));
        json_object_set_new(properties, name, random_schema(depth - 1));
        if (below(2)) json_array_append_new(required, json_string(name));
    }
    if (below(5) == 0) json_array_append_new(required, json_string("more"));
    if (below(6)) json_object_set(s, "properties", properties);
    if (below(6)) json_object_set(s, "required", required);
    if (below(3) == 0)
        json_object_set_new(s, "additionalProperties",
                            below(2) ? json_true() : random_schema(depth - 1));
    json_decref(properties);
    json_decref(required);
    return s;
}

static json_t *random_array(int depth) {
    json_t *s = json_pack("{s:s}", "type", "array");
    int64_t n = below(3) ? 0 : below(3);
    if (n) {
        json_t *prefix = json_array();
        for (int64_t i = 0; i < n; i++) json_array_append_new(prefix, random_schema(depth - 1));
        json_object_set_new(s, "prefixItems", prefix);
    }
    if (below(4)) json_object_set_new(s, "items", random_schema(depth - 1));
    put_sizes(s, "minItems", "maxItems", 4);
    return s;
}

static json_t *random_integer(void) {
    json_t *s = json_pack("{s:s}", "type", "integer");
    int64_t low = below(100000) >> below(16);
    low = below(2) ? -low : low;
    if (below(2))
        json_object_set_new(s, below(2) ? "minimum" : "exclusiveMinimum", json_integer(low));
    if (below(2))
        json_object_set_new(s, below(2) ? "maximum" : "exclusiveMaximum",
                            json_integer(low + 2 + below(500)));
    return s;
}

static json_t *random_string(void) {
    static const char *const format[] = {"date", "time", "date-time", "uuid"};
    static const char *const pattern[] = {"^[a-z]{2,5}$", "^(\\d{3}-)?\\d{4}$", "^b\"\\\\+$",
                                          "^x|y$",        "^[^a-z]*é?$",        "^\\d+@\\d+\\.com$",
                                          "^.{3}$"};
    json_t *s = json_pack("{s:s}", "type", "string");
    int64_t kind = below(4);
    if (kind == 0) json_object_set_new(s, "format", json_string(format[below(4)]));
    if (kind == 1) json_object_set_new(s, "pattern", json_string(pattern[below(7)]));
    if (kind == 2) put_sizes(s, "minLength", "maxLength", 9);
    return s;
}

static json_t *random_choice(int depth) {
    json_t *list = json_array(), *a, *b;
    int64_t kind = below(3);
    if (kind == 0) {
        for (int64_t i = 1 + below(3); i > 0; i--)
            json_array_append_new(list, random_schema(depth - 1));
        return json_pack("{s:o}", "anyOf", list);
    }
    if (kind == 1) {  // told apart by their types, or by a constant
        a = below(2) ? random_string() : json_pack("{s:[n, b]}", "enum", 1);
        b = below(2) ? random_integer() : random_array(depth - 1);
        json_decref(list);
        return json_pack("{s:[o, o]}", "oneOf", a, b);
    }
    a = json_pack("{s:s, s:{s:o, s:o}, s:[s]}", "type", "object", "properties", "a",
                  random_integer(), "b", random_schema(depth - 1), "required", "a");
    b = json_pack("{s:{s:{s:i}, s:o}, s:[s]}", "properties", "a", "minimum", -1000000, "c",
                  random_schema(depth - 1), "required", "c");
    json_decref(list);
    return json_pack("{s:[o, o], s:s}", "allOf", a, b, "description", "both");
}

static json_t *random_schema(int depth) {
    static const char *const plain[] = {"null", "boolean", "number", "string", "integer"};
    int64_t kind = below(depth > 0 ? 14 : 8);
    if (kind == 0) return json_pack("{s:[s, s]}", "type", plain[below(5)], plain[below(5)]);
    if (kind == 1)
        return json_pack("{s:[i, s, n, {s:f}]}", "enum", (int)below(100), name_of((int)below(10)),
                         "x", 0.5);
    if (kind == 2) return json_pack("{s:s}", "const", name_of((int)below(10)));
    if (kind == 3) return json_pack("{s:s}", "type", plain[below(5)]);
    if (kind < 6) return random_integer();
    if (kind < 8) return random_string();
    if (kind < 10) return random_object(depth);
    if (kind == 10) return random_array(depth);
    if (kind == 11) return random_choice(depth);
    if (kind == 12) return json_pack("{s:s, s:s}", "$ref", "#/$defs/list", "title", "a list");
    return below(4) ? random_object(depth) : json_true();
}

static json_t *whole_schema(void) {
    json_t *s = random_object(3);
    json_t *list = json_pack("{s:s, s:{s:o, s:{s:s}}, s:[s]}", "type", "object", "properties",
                             "value", random_schema(0), "next", "$ref", "#/$defs/list", "required",
                             "value");
    json_object_set_new(s, "$defs", json_pack("{s:o}", "list", list));
    return s;
}

/* --- writing ---------------------------------------------------------------------------------- */

static fl_grammar *grammar_of(const json_t *schema) {
    fl_text text = {0};
    fl_grammar *g = NULL;
    fl_err err = {0};
    fl_status st = fl_schema_grammar(schema, &text, &err);
    CHECKF(st == FL_OK, "%s", err.msg);
    if (st == FL_OK) {
        st = fl_grammar_parse(&g, fl_text_str(&text), text.n, &err);
        CHECKF(st == FL_OK, "%s\n%s", err.msg, fl_text_str(&text));
    }
    fl_text_clear(&text);
    return g;
}

/* How much a token helps to come to an end. */
static int closing(int32_t id) {
    static const char order[] = "1]}.@y\"";
    size_t n;
    const uint8_t *bytes = fl_token_bytes(tokenizer, id, &n);
    if (id == fl_tokenizer_eos(tokenizer)) return 9;
    const char *at = n == 1 && bytes[0] ? strchr(order, bytes[0]) : NULL;
    return at ? (int)(at - order) + 1 : 0;
}

/* Any allowed token; from the 100th on one that helps to end. */
static int32_t choose(const uint64_t *allowed, int step) {
    int32_t chosen = -1;
    int best = -1;
    int64_t n = 0;
    for (int32_t id = 0; id < fl_tokenizer_size(tokenizer); id++) {
        if (!(allowed[id / 64] >> (id % 64) & 1)) continue;
        int score = step < 100 ? 0 : closing(id);
        if (score < best) continue;
        if (score > best) n = 0;
        best = score;
        if (below(++n) == 0) chosen = id;
    }
    return chosen;
}

static bool write_text(fl_matcher *m, fl_text *out) {
    fl_err err = {0};
    CHECK(fl_matcher_reset(m, NULL) == FL_OK);
    for (int step = 0; step < 1500; step++) {
        const uint64_t *allowed;
        size_t n;
        fl_status st = fl_matcher_mask(m, &allowed, &err);
        int32_t id = st == FL_OK ? choose(allowed, step) : -1;
        if (id == fl_tokenizer_eos(tokenizer)) return true;
        if (id >= 0) st = fl_matcher_accept(m, id, &err);
        CHECKF(st == FL_OK && id >= 0, "%s", err.msg);
        if (st != FL_OK || id < 0) return false;
        const uint8_t *bytes = fl_token_bytes(tokenizer, id, &n);
        fl_text_append(out, bytes, n);
    }
    return false;
}

static void check_text(const json_t *schema, fl_matcher *m) {
    fl_text text = {0};
    CHECKF(write_text(m, &text), "no end: %s", fl_text_str(&text));
    json_error_t e;
    json_t *v = json_loadb(fl_text_str(&text), text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    CHECKF(v, "%s: %s", e.text, fl_text_str(&text));
    root = schema;
    bool good = v && valid(schema, v);
    if (!good) json_dumpf(schema, stdout, 0);
    CHECKF(good, "\n%s", fl_text_str(&text));
    if (dump && v) {
        json_t *line = json_pack("{s:O, s:o}", "schema", schema, "text",
                                 json_stringn(fl_text_str(&text), text.n));
        json_dumpf(line, dump, JSON_COMPACT);
        fputc('\n', dump);
        json_decref(line);
    }
    json_decref(v);
    fl_text_clear(&text);
}

static void check_random(void) {
    for (int k = 0; k < 1000; k++) {
        rng = (fl_rng){.seed = 8, .stream = (uint64_t)k};
        json_t *schema = whole_schema();
        fl_grammar *g = grammar_of(schema);
        fl_matcher *m = NULL;
        CHECK(g && fl_matcher_new(&m, g, trie, NULL) == FL_OK);
        if (m) check_text(schema, m);
        fl_matcher_free(m);
        fl_grammar_free(g);
        json_decref(schema);
    }
}

/* --- what is accepted ------------------------------------------------------------------------- */

static bool accepts(fl_matcher *m, const char *text) {
    bool fits = false;
    CHECK(fl_matcher_reset(m, NULL) == FL_OK &&
          fl_matcher_feed(m, text, strlen(text), &fits, NULL) == FL_OK);
    return fits && fl_matcher_can_end(m);
}

static const struct {
    const char *schema, *yes, *no;
} pairs[] = {
    {"true", "[{\"a\": 1.5e3}, null, \"\\u00e9\"]", "[1,]"},
    {"{}", "-0.25", "01"},
    {"{\"type\": \"string\"}", "\"\\\"\\n\xC3\xA9\"", "\"\n\""},
    {"{\"type\": \"string\"}", "\"\\uD7FF\"", "\"\\uD800\""},
    {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}", "\"\xC3\xA9\\u00e9\\n\"",
     "\"\xC3\xA9\""},
    {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}", "\"ab\"", "\"abcd\""},
    {"{\"minLength\": 1}", "\"a\"", "5"},
    {"{\"properties\": {\"a\": true, \"b\": true}, \"required\": [\"b\"]}", "{\"b\": 1}",
     "{\"a\": 1}"},
    {"{\"properties\": {\"a\": true, \"b\": true}, \"required\": [\"b\"]}", "{\"a\": 1, \"b\":2}",
     "{, \"b\": 1}"},
    {"{\"properties\": {\"a\": true}}", "{}", "{\"b\": 1}"},
    {"{\"properties\": {\"a\": {\"type\": \"null\"}}, \"additionalProperties\": true}",
     "{\"ab\": 1, \"b\": 2}", "{\"a\": 1}"},
    {"{\"properties\": {\"a\": {\"type\": \"null\"}}, \"additionalProperties\": true}",
     "{\"a\": null, \"\": 2}", "{\"b\": 1, \"a\": 2}"},
    {"{\"type\": \"object\", \"required\": [\"k\"]}", "{\"k\": 1}", "{\"m\": 1}"},
    {"{\"prefixItems\": [{\"const\": 1}, {\"const\": 2}]}", "[1, 2]", "[2]"},
    {"{\"prefixItems\": [{\"const\": 1}], \"items\": {\"type\": \"null\"}, \"maxItems\": 2}",
     "[1, null]", "[1, null, null]"},
    {"{\"items\": {\"const\": 7}, \"minItems\": 2}", "[7,7]", "[7]"},
    {"{\"items\": {\"const\": 7}, \"maxItems\": 2}", "[]", "[7,7,7]"},
    {"{\"enum\": [1, \"a\\\"b\", null]}", "\"a\\\"b\"", "\"a\""},
    {"{\"enum\": [1, \"1\"], \"type\": \"string\"}", "\"1\"", "1"},
    {"{\"anyOf\": [{\"const\": 1}, {\"const\": 2}], \"type\": \"integer\"}", "2", "3"},
    {"{\"allOf\": [{\"minimum\": 3}, {\"maximum\": 5}], \"type\": \"integer\"}", "5", "6"},
    {"{\"allOf\": [{\"type\": [\"integer\", \"string\"]}, {\"type\": \"number\"}]}", "12", "1.5"},
    {"{\"allOf\": [{\"properties\": {\"a\": true}, \"additionalProperties\": false}, "
     "{\"properties\": {\"b\": true}}]}",
     "{\"a\": 1}", "{\"b\": 1}"},
    {"{\"$ref\": \"#/$defs/x~1y\", \"$defs\": {\"x/y\": {\"const\": 1}}}", "1", "2"},
    {"{\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}", "[[], [[]]]", "[1]"},
    {"{\"$ref\": \"#/$defs/n\", \"minimum\": 3, \"$defs\": {\"n\": {\"type\": \"integer\"}}}", "3",
     "2"},
    {"{\"type\": \"integer\", \"minimum\": 1.5, \"exclusiveMaximum\": 3}", "2", "3"},
    {"{\"pattern\": \"^a+b?$\"}", "\"aab\"", "\"xaab\""},
    {"{\"pattern\": \"a+b?\"}", "\"xaaby\"", "\"xb\""},
    {"{\"pattern\": \"^a|b$\"}", "\"ax\"", "\"xa\""},
    {"{\"pattern\": \"^a|b$\"}", "\"xb\"", "\"bx\""},
    {"{\"pattern\": \"^(?:a|bc){2,3}$\"}", "\"abca\"", "\"a\""},
    {"{\"pattern\": \"^[^a-c\\\"]$\"}", "\"\\\\\"", "\"\\\"\""},
    {"{\"pattern\": \"^[\\\\w.-]+@\\\\d$\"}", "\"a.b-c_@7\"", "\"a b@7\""},
    {"{\"pattern\": \"^\\\\u00e9\\\\x41\\\\n.$\"}",
     "\"\xC3\xA9"
     "A\\nx\"",
     "\"\xC3\xA9"
     "A\\n\\n\""},
    {"{\"format\": \"date\"}", "\"2024-02-28\"", "\"2024-02-30\""},
    {"{\"format\": \"date\"}", "\"1999-12-31\"", "\"1999-11-31\""},
    {"{\"format\": \"date-time\"}", "\"2024-02-28T23:59:59.5+01:00\"", "\"2024-02-28T24:00:00Z\""},
    {"{\"format\": \"uuid\"}", "\"123e4567-e89b-12d3-a456-426614174000\"", "\"123e4567\""},
};

static void check_pairs(void) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        json_t *schema = json_loads(pairs[i].schema, JSON_DECODE_ANY, NULL);
        fl_grammar *g = grammar_of(schema);
        fl_matcher *m = NULL;
        CHECKF(g && fl_matcher_new(&m, g, NULL, NULL) == FL_OK, "%s", pairs[i].schema);
        if (m) {
            CHECKF(accepts(m, pairs[i].yes), "%s refuses %s", pairs[i].schema, pairs[i].yes);
            CHECKF(!accepts(m, pairs[i].no), "%s accepts %s", pairs[i].schema, pairs[i].no);
        }
        fl_matcher_free(m);
        fl_grammar_free(g);
        json_decref(schema);
    }
}

/* Every integer around and between random limits. */
static void check_integers(void) {
    rng = (fl_rng){.seed = 4};
    for (int k = 0; k < 120; k++) {
        int64_t low = (below(3) - 1) * (below(20000) >> below(14)),
                high = low + (below(4000) >> below(12));
        json_t *schema = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)low,
                                   "maximum", (json_int_t)high);
        if (k % 5 == 0) json_object_del(schema, "minimum");
        if (k % 5 == 1) json_object_del(schema, "maximum");
        fl_grammar *g = grammar_of(schema);
        fl_matcher *m = NULL;
        CHECK(fl_matcher_new(&m, g, NULL, NULL) == FL_OK);
        for (int64_t v = low - 150; v <= high + 150; v++) {
            char text[32];
            snprintf(text, sizeof text, "%lld", (long long)v);
            bool want = (v >= low || k % 5 == 0) && (v <= high || k % 5 == 1);
            CHECKF(accepts(m, text) == want, "%s in %lld to %lld", text, (long long)low,
                   (long long)high);
        }
        CHECK(!accepts(m, "00") && !accepts(m, "") && !accepts(m, "-"));
        fl_matcher_free(m);
        fl_grammar_free(g);
        json_decref(schema);
    }
}

static void check_refusals(void) {
    static const struct {
        const char *schema, *says;
    } bad[] = {
        {"{\"type\": \"object\", \"patternProperties\": {}}",
         "the keyword patternProperties is not supported"},
        {"{\"properties\": {\"a\": {\"not\": {}}}}", "the keyword not is not supported"},
        {"{\"type\": \"integer\", \"multipleOf\": 2}", "the keyword multipleOf"},
        {"{\"uniqueItems\": true}", "the keyword uniqueItems"},
        {"{\"type\": \"number\", \"minimum\": 0}", "limits of a number"},
        {"{\"type\": \"strin\"}", "type strin: expected object"},
        {"{\"format\": \"email\"}", "format email is not supported"},
        {"{\"pattern\": \"a\", \"maxLength\": 3}", "only one of pattern, format and a length"},
        {"{\"pattern\": \"(?=a)\"}", "look-around"},
        {"{\"pattern\": \"a\\\\b\"}", "an escape that is not supported"},
        {"{\"pattern\": \"(a\"}", "a group without )"},
        {"{\"pattern\": \"a)\"}", "a ) too many"},
        {"{\"pattern\": \"(^a)\"}", "^ or $ inside"},
        {"{\"pattern\": \"*\"}", "nothing to repeat"},
        {"{\"pattern\": \"a**\"}", "a repetition repeated"},
        {"{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"number\"}]}",
         "oneOf: a value may be valid under both alternative 0 and 1"},
        {"{\"allOf\": [{\"pattern\": \"a\"}, {\"pattern\": \"b\"}]}", "different pattern"},
        {"{\"allOf\": [{\"type\": \"string\"}, {\"type\": \"null\"}]}", "no type is left"},
        {"{\"allOf\": [{\"const\": 1}, {\"const\": 2}]}", "different const"},
        {"{\"anyOf\": []}", "anyOf: expected a list"},
        {"{\"anyOf\": [5]}", "a schema is an object, true or false"},
        {"{\"$ref\": \"#/$defs/a\"}", "there is no such schema"},
        {"{\"$ref\": \"other.json\"}", "there is no such schema"},
        {"{\"minItems\": 3, \"maxItems\": 2}", "at least 3 and at most 2"},
        {"{\"minLength\": -1}", "minLength is -1"},
        {"{\"minLength\": 100001}", "lengths above"},
        {"{\"type\": \"integer\", \"minimum\": 3, \"maximum\": 2}", "no integer is"},
        {"{\"properties\": {\"a\": false}, \"required\": [\"a\"]}", "a is required and may not be"},
        {"{\"enum\": [1], \"minimum\": 3}", "minimum beside enum"},
        {"{\"enum\": [1], \"type\": \"string\"}", "no value of the type"},
        {"{\"enum\": []}", "no value"},
        {"false", "nothing is valid"},
        {"[1]", "a schema is an object"},
        {"{\"allOf\": [{\"$ref\": \"#\"}]}", "may begin with itself"},
        {"{\"allOf\": [{\"$ref\": \"#\"}, {\"minimum\": 1}]}", "nested deeper"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *schema = json_loads(bad[i].schema, JSON_DECODE_ANY, NULL);
        fl_text text = {0};
        fl_err err = {0};
        fl_grammar *g = NULL;
        fl_status st = fl_schema_grammar(schema, &text, &err);
        if (st == FL_OK) st = fl_grammar_parse(&g, fl_text_str(&text), text.n, &err);
        fl_grammar_free(g);
        CHECKF(st != FL_OK && strstr(err.msg, bad[i].says), "%s: %s", bad[i].schema,
               st == FL_OK ? "accepted" : err.msg);
        fl_text_clear(&text);
        json_decref(schema);
    }
}

int main(int argc, char **argv) {
    CHECK(fl_tokenizer_load(&tokenizer, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    int32_t eos = fl_tokenizer_eos(tokenizer);
    CHECK(fl_token_trie_new(&trie, tokenizer, &eos, 1, NULL) == FL_OK);
    if (argc > 1) dump = fopen(argv[1], "w");
    check_pairs();
    check_integers();
    check_refusals();
    check_random();
    if (dump) fclose(dump);
    fl_token_trie_free(trie);
    fl_tokenizer_free(tokenizer);
    return check_report();
}
