/* check_grammar - GBNF: what is accepted, what is refused, and the mask of a vocabulary against
 * trying each token.
 *
 * Caught by it (each tried): a repetition {m,n} with one copy too many; a complement of ranges one
 * inside the other; a range cut at the wrong byte; a tail call that forgets what follows; the stack
 * of a trimmed state renamed wrongly; a walk that goes on below a node that cannot match; end
 * allowed where it is not; letters taken as alike where the grammar tells them apart. */
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "infer/grammar.h"
#include "token/tokenizer.h"

static fl_tokenizer *tokenizer;
static fl_token_trie *trie;

static fl_grammar *parse(const char *text) {
    fl_grammar *g = NULL;
    fl_err err = {0};
    CHECKF(fl_grammar_parse(&g, text, strlen(text), &err) == FL_OK, "%s: %s", text, err.msg);
    return g;
}

static fl_matcher *matcher(const fl_grammar *g) {
    fl_matcher *m = NULL;
    fl_err err = {0};
    CHECKF(fl_matcher_new(&m, g, trie, &err) == FL_OK, "%s", err.msg);
    return m;
}

/* Whether a text is complete; "more" if it is only the beginning of one. */
static const char *match(fl_matcher *m, const char *text, size_t n) {
    bool fits;
    fl_err err = {0};
    CHECK(fl_matcher_reset(m, NULL) == FL_OK);
    CHECKF(fl_matcher_feed(m, text, n, &fits, &err) == FL_OK, "%s", err.msg);
    if (!fits) return "no";
    return fl_matcher_can_end(m) ? "yes" : "more";
}

static const struct {
    const char *grammar, *text, *want;
} matches[] = {
    {"root ::= \"ab\"", "ab", "yes"},
    {"root ::= \"ab\"", "a", "more"},
    {"root ::= \"ab\"", "abc", "no"},
    {"root ::= \"\"", "", "yes"},
    {"# a comment\nroot ::= a | # another\n b\n\na ::= \"x\"  \nb ::= \"y\"", "y", "yes"},
    {"root ::= a | b\na ::= \"x\"\nb ::= \"y\"", "z", "no"},
    {"root ::= (\n  \"a\"\n  | \"b\" \"c\"\n)", "bc", "yes"},
    {"root ::=\n  \"a\" |\n  \"b\"", "b", "yes"},
    {"root ::= \"a\"? \"b\"* \"c\"+", "c", "yes"},
    {"root ::= \"a\"? \"b\"* \"c\"+", "abbcc", "yes"},
    {"root ::= \"a\"? \"b\"* \"c\"+", "ab", "more"},
    {"root ::= \"a\"? \"b\"* \"c\"+", "aac", "no"},
    {"root ::= \"ab\"{2}", "abab", "yes"},
    {"root ::= \"ab\"{2}", "ababab", "no"},
    {"root ::= [a-c]{2,4}", "a", "more"},
    {"root ::= [a-c]{2,4}", "ab", "yes"},
    {"root ::= [a-c]{2,4}", "abca", "yes"},
    {"root ::= [a-c]{2,4}", "abcab", "no"},
    {"root ::= [a-c]{2,}", "a", "more"},
    {"root ::= [a-c]{2,}", "abcabc", "yes"},
    {"root ::= [a-c]{,2} \"z\"", "z", "yes"},
    {"root ::= [a-c]{0,2} \"z\"", "abz", "yes"},
    {"root ::= [a-c]{0,2} \"z\"", "abcz", "no"},
    {"root ::= [a-c]{0} \"z\"", "az", "no"},
    {"root ::= [a-c]{0} \"z\"", "z", "yes"},
    {"root ::= (\"a\" | \"b\"{2}){1,2}", "bba", "yes"},
    {"root ::= (\"a\" | \"b\"{2}){1,2}", "bab", "no"},
    {"root ::= (\"a\"?)* \"b\"", "aab", "yes"},
    {"root ::= (a)* \"b\"\na ::= \"x\"?", "xxb", "yes"},
    {"root ::= \"(\" root \")\" | \"x\"", "((x))", "yes"},
    {"root ::= \"(\" root \")\" | \"x\"", "((x)", "more"},
    {"root ::= \"(\" root \")\" | \"x\"", "((x)))", "no"},
    {"root ::= list \".\"\nlist ::= \"a\" | \"a,\" list", "a,a,a.", "yes"},
    {"root ::= list \".\"\nlist ::= \"a\" | \"a,\" list", "a,a,a", "more"},
    {"root ::= [^a-cx]", "b", "no"},
    {"root ::= [^a-cx]", "d", "yes"},
    {"root ::= [^a-cx]", "x", "no"},
    {"root ::= [^a-cx]", "é", "yes"},
    {"root ::= [^é]", "é", "no"},
    {"root ::= [^é]", "è", "yes"},
    {"root ::= [^c-ea-d]", "b", "no"},
    {"root ::= [^a-zc-e]", "x", "no"},
    {"root ::= [à-ü]+", "éü", "yes"},
    {"root ::= [à-ü]+", "ý", "no"},
    {"root ::= [\\u0430-\\u044f]", "ж", "yes"},
    {"root ::= [\\U0001F600-\\U0001F64F]", "😂", "yes"},
    {"root ::= [\\U0001F600-\\U0001F64F]", "🚀", "no"},
    {"root ::= .", "é", "yes"},
    {"root ::= .", "\n", "yes"},
    {"root ::= .", "\xC3", "more"},
    {"root ::= .", "\x80", "no"},
    {"root ::= .", "\xED\xA0", "no"},  // a surrogate
    {"root ::= .", "\xC0", "no"},
    {"root ::= .", "\xF4\x90", "no"},
    {"root ::= . .",
     "\xF4\x8F\xBF\xBF"
     "a",
     "yes"},
    {"root ::= [\\]\\[\\\\\\n-]", "-", "yes"},
    {"root ::= [\\]\\[\\\\\\n-]", "]", "yes"},
    {"root ::= [\\]\\[\\\\\\n-]", "\n", "yes"},
    {"root ::= [-a]", "-", "yes"},
    {"root ::= \"\\x41\\t\\\"\"", "A\t\"", "yes"},
    {"root ::= [\\xe9]", "é", "yes"},
    {"root ::= a-1 b_2\na-1 ::= \"x\"\nb_2 ::= \"y\"", "xy", "yes"},
};

static void check_matches(void) {
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) {
        fl_grammar *g = parse(matches[i].grammar);
        if (!g) continue;
        fl_matcher *m = matcher(g);
        const char *got = match(m, matches[i].text, strlen(matches[i].text));
        CHECKF(strcmp(got, matches[i].want) == 0, "%s, %s: %s, want %s", matches[i].grammar,
               matches[i].text, got, matches[i].want);
        fl_matcher_free(m);
        fl_grammar_free(g);
    }
}

/* Each character of a class and each outside, at every border of UTF-8. */
static void check_ranges(void) {
    fl_rng rng = {.seed = 2};
    static const int32_t edge[] = {0,      0x41,    0x7F,    0x80,    0x7FF,
                                   0x800,  0xFFF,   0x1000,  0xD7FF,  0xE000,
                                   0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0x10FFFF};
    enum { N = sizeof edge / sizeof *edge };
    for (int k = 0; k < 300; k++) {
        int32_t low = edge[fl_rng_below(&rng, N)] + (int32_t)fl_rng_below(&rng, 70) - 35;
        int32_t high = low + (int32_t)fl_rng_below(&rng, k % 2 ? 200 : 70000);
        low = low < 1 ? 1 : low > 0x10FFFF ? 0x10FFFF : low;
        high = high < low ? low : high > 0x10FFFF ? 0x10FFFF : high;
        if (low >= 0xD800 && low <= 0xDFFF) low = 0xE000;
        if (high >= 0xD800 && high <= 0xDFFF) high = 0xD7FF;
        if (high < low) continue;
        char text[64];
        snprintf(text, sizeof text, "root ::= [%s\\U%08X-\\U%08X]", k % 3 ? "" : "^", (unsigned)low,
                 (unsigned)high);
        fl_grammar *g = parse(text);
        fl_matcher *m = matcher(g);
        for (int i = 0; i < 80; i++) {
            int32_t c = (i & 1 ? low : high) + (int32_t)fl_rng_below(&rng, 130) - 65;
            if (i > 60) c = edge[fl_rng_below(&rng, N)];
            if (c < 1 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) continue;
            char bytes[4];
            int n = fl_utf8_encode(c, bytes);
            bool want = (c >= low && c <= high) == (k % 3 != 0);
            CHECKF((strcmp(match(m, bytes, (size_t)n), "yes") == 0) == want, "%s, U+%04X", text,
                   (unsigned)c);
        }
        fl_matcher_free(m);
        fl_grammar_free(g);
    }
}

static void check_refusals(void) {
    static const struct {
        const char *grammar, *says;
    } bad[] = {
        {"", "no rule root"},
        {"rot ::= \"a\"", "no rule root"},
        {"root ::= a", "rule a is used but not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "defined twice"},
        {"root ::= root \"a\" | \"b\"", "rule root may begin with itself"},
        {"root ::= \"x\" a\na ::= b?\nb ::= c a\nc ::= \"y\"*", "may begin with itself"},
        {"root ::= z\nz ::= e (\"k\" | y)\ny ::= e? z\ne ::= \"\" | \"q\"",
         "may begin with itself"},
        {"root ::= (root)*", "may begin with itself"},
        {"root \"a\"", "line 1, column 6: expected ::="},
        {"root ::= \"a", "the text ends inside a string"},
        {"root ::= \"a\nb\"", "the line ends inside a string"},
        {"root ::= [a", "the text ends inside"},
        {"root ::= []", "an empty class"},
        {"root ::= [^\\x00-\\U0010ffff]", "no character is in"},
        {"root ::= [z-a]", "ends before it begins"},
        {"root ::= (\"a\"", "expected )"},
        {"root ::= \"a\")", "expected an item or the end"},
        {"root ::= \"a\"{2", "expected {m}"},
        {"root ::= \"a\"{,}", "expected {m}"},
        {"root ::= \"a\"{3,2}", "ends before it begins"},
        {"root ::= \"a\"{99999999}", "too many times"},
        {"root ::= (((\"a\"{1000}){1000}){1000}){1000}", "too large"},
        {"root ::= \"\\q\"", "an unknown escape"},
        {"root ::= \"\\u12\"", "hexadecimal digit"},
        {"root ::= \"\\uD800\"", "no character has"},
        {"root ::= \"\\U00110000\"", "no character has"},
        {"root ::= \"\xFF\"", "not UTF-8"},
        {"root ::= <[1000]>", "tokens in a grammar"},
        {"\n\n  root ::= \"a\" }", "line 3, column 16"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_grammar *g;
        fl_err err = {0};
        fl_status st = fl_grammar_parse(&g, bad[i].grammar, strlen(bad[i].grammar), &err);
        CHECKF(st == FL_ERR_ARG && strstr(err.msg, bad[i].says), "%s: %s", bad[i].grammar, err.msg);
    }
    fl_text deep = {0};
    fl_text_puts(&deep, "root ::= ");
    for (int i = 0; i < 100000; i++) fl_text_puts(&deep, "(");
    fl_grammar *g;
    CHECK(fl_grammar_parse(&g, deep.data, deep.n, NULL) == FL_ERR_ARG);
    fl_text_clear(&deep);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void feed(fl_matcher *m, const char *bytes, int times, const char *want) {
    bool fits = true;
    fl_err err = {0};
    fl_status st = FL_OK;
    for (int i = 0; i < times && st == FL_OK && fits; i++)
        st = fl_matcher_feed(m, bytes, strlen(bytes), &fits, &err);
    const char *got = st != FL_OK ? err.msg : !fits ? "no" : fl_matcher_can_end(m) ? "yes" : "more";
    CHECKF(strstr(got, want), "%d times %s: %s, want %s", times, bytes, got, want);
}

/* Deep stacks outlive trimming; lists do not grow them; ambiguity without bound is an error. */
static void check_limits(void) {
    fl_grammar *g = parse("root ::= \"(\" root \")\" | \"[\" root \"]\" | \"x\"");
    fl_matcher *m = matcher(g);
    feed(m, "([", 50000, "more");
    feed(m, "x", 1, "more");
    feed(m, "])", 49999, "more");
    feed(m, "]", 1, "more");
    feed(m, "]", 1, "no");
    feed(m, ")", 1, "yes");
    CHECK(fl_matcher_reset(m, NULL) == FL_OK);
    feed(m, "(", 300000, "too ambiguous, or nested too deep");
    fl_matcher_free(m);
    fl_grammar_free(g);

    g = parse("root ::= \"a\" | \"a,\" root");
    m = matcher(g);
    feed(m, "a,", 300000, "more");
    feed(m, "a", 1, "yes");
    fl_matcher_free(m);
    fl_grammar_free(g);

    g = parse("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"");
    m = matcher(g);
    feed(m, "a", 10, "more");
    feed(m, "b", 1, "more");
    feed(m, "c", 9, "yes");
    CHECK(fl_matcher_reset(m, NULL) == FL_OK);
    feed(m, "a", 30, "too ambiguous");
    fl_matcher_free(m);
    fl_grammar_free(g);
}

/* --- the mask --------------------------------------------------------------------------------- */

static const char json_grammar[] =
    "root ::= object\n"
    "value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n"
    "array ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
    "[0-9a-fA-F]{4}))* \"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "
    "[1-9]{0,15})? ws\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

static const char *const grammars[] = {
    json_grammar,
    "root ::= [à-ÿ]{1,5} (\" the\" | \" king\" [^a-m]{0,3})* [A-Z]{2,4} \".\"?",
    "root ::= sum\nsum ::= term (\" + \" term)*\nterm ::= [a-z]+ | \"(\" sum \")\"",
    "root ::= .{0,30}",
};

/* Walk at random along the mask; at each step every token is tried on its own. */
static void check_mask(const char *text, uint64_t seed) {
    fl_grammar *g = parse(text);
    fl_matcher *m = matcher(g), *other = matcher(g);
    fl_text so_far = {0};
    fl_rng rng = {.seed = seed};
    int32_t V = fl_tokenizer_size(tokenizer), eos = fl_tokenizer_eos(tokenizer);
    for (int step = 0; step < 25; step++) {
        const uint64_t *allowed;
        int32_t choice[2048], n = 0;
        CHECK(fl_matcher_mask(m, &allowed, NULL) == FL_OK);
        for (int32_t id = 0; id < V; id++) {
            size_t length;
            const char *bytes = (const char *)fl_token_bytes(tokenizer, id, &length);
            bool got = allowed[id / 64] >> (id % 64) & 1, want = fl_matcher_can_end(m), fits;
            if (id != eos) {
                CHECK(strcmp(match(other, fl_text_str(&so_far), so_far.n), "no") != 0);
                CHECK(fl_matcher_feed(other, bytes, length, &fits, NULL) == FL_OK);
                want = fits && length > 0;
            }
            CHECKF(got == want, "token %d after %s", id, fl_text_str(&so_far));
            if (got && id != eos) choice[n++] = id;
            if (!got && id % 50 == 0) CHECK(fl_matcher_accept(m, id, NULL) == FL_ERR_ARG);
        }
        if (!n) break;
        int32_t id = choice[fl_rng_below(&rng, (uint64_t)n)];
        size_t length;
        const uint8_t *bytes = fl_token_bytes(tokenizer, id, &length);
        fl_text_append(&so_far, bytes, length);
        CHECK(fl_matcher_accept(m, id, NULL) == FL_OK);
    }
    fl_text_clear(&so_far);
    fl_matcher_free(m);
    fl_matcher_free(other);
    fl_grammar_free(g);
}

static void check_print(void) {
    fl_grammar *g = parse("root ::= a | [0-9x] root\na ::= \"é\"*");
    fl_text t = {0};
    fl_grammar_print(g, &t);
    static const char want[] =
        "root:\n     0  split 3\n     1  tail a\n     2  jump 5\n     3  set 0-9x\n     4  tail "
        "root\n"
        "     5  return \na:\n     6  split 10\n     7  set \\xC3\n     8  set \\xA9\n     9  jump "
        "6\n    10  return \n";
    CHECKF(strcmp(fl_text_str(&t), want) == 0, "\n%s", fl_text_str(&t));
    fl_text_clear(&t);
    fl_grammar_free(g);
}

static void check_memory(void) {
    for (long n = 1;; n++) {
        fl_grammar *g = NULL;
        fl_matcher *m = NULL;
        fl_token_trie *t = NULL;
        const uint64_t *allowed;
        fl_alloc_fail_at(n);
        fl_status st = fl_grammar_parse(&g, json_grammar, strlen(json_grammar), NULL);
        if (st == FL_OK) st = fl_token_trie_new(&t, tokenizer, NULL, 0, NULL);
        if (st == FL_OK) st = fl_matcher_new(&m, g, t, NULL);
        if (st == FL_OK) st = fl_matcher_mask(m, &allowed, NULL);
        if (st == FL_OK)
            st = fl_matcher_accept(m, '{', NULL) == FL_ERR_NOMEM ? FL_ERR_NOMEM : FL_OK;
        bool reached = fl_alloc_fail_at(0);
        CHECKF(st == (reached ? FL_ERR_NOMEM : FL_OK), "allocation %ld", n);
        fl_matcher_free(m);
        fl_token_trie_free(t);
        fl_grammar_free(g);
        if (!reached) break;
    }
}

int main(void) {
    CHECK(fl_tokenizer_load(&tokenizer, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    int32_t eos = fl_tokenizer_eos(tokenizer);
    CHECK(fl_token_trie_new(&trie, tokenizer, &eos, 1, NULL) == FL_OK);
    check_matches();
    check_ranges();
    check_refusals();
    check_limits();
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        for (uint64_t seed = 0; seed < 4; seed++) check_mask(grammars[i], seed);
    }
    check_print();
    check_memory();
    fl_token_trie_free(trie);
    fl_tokenizer_free(tokenizer);
    return check_report();
}
