/* check_token_split - every hand-written scanner cuts where PCRE2 does with the same pattern.
 *
 * And every character is of the class that utf8proc's categories give it.
 *
 * Catches: an alternative out of order, a run that stops or goes on wrongly, white space given to
 * the wrong side; on texts no one would write, which is where scanners differ; a run of the class
 * table that begins one character late. */
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/rng.h"
#include "base/text.h"
#include "check.h"
#include "token/split.h"
#include "token/unicode.h"

enum { TEXTS = 4000, CHARS = 40, PATTERN_MAX = 1024 };

/* A character from each class and each edge: old ones, that PCRE2's Unicode has too. */
static const char *const chars[] = {" ",
                                    " ",
                                    "\t",
                                    "\n",
                                    "\r",
                                    "'",
                                    "s",
                                    "S",
                                    "t",
                                    "L",
                                    "l",
                                    "v",
                                    "e",
                                    "R",
                                    "d",
                                    "M",
                                    "a",
                                    "Z",
                                    "0",
                                    "7",
                                    ".",
                                    "/",
                                    "-",
                                    "_",
                                    "\xc2\xa0",
                                    "\xe3\x80\x80",
                                    "\xc5\xbf",
                                    "\xc3\xa9",
                                    "\xc3\x89",
                                    "\xc7\x85",
                                    "\xca\xb0",
                                    "\xcc\x81",
                                    "\xe4\xbd\xa0",
                                    "\xd9\xa0",
                                    "\xc2\xbd",
                                    "\xf0\x9f\x98\x80",
                                    "\xe2\x80\xa8",
                                    "\xc2\x85",
                                    "word",
                                    "HTML",
                                    "    "};
enum { N_CHARS = sizeof chars / sizeof *chars };

static void make_text(fl_rng *r, fl_text *out) {
    out->n = 0;
    for (uint64_t n = 1 + fl_rng_below(r, CHARS); n; n--)
        fl_text_puts(out, chars[fl_rng_below(r, N_CHARS)]);
}

static void check_text(fli_walk walk[2], const fl_text *text, const char *name) {
    size_t end[2];
    bool dropped;
    fl_err err = {0};
    for (int k = 0; k < 2; k++) fli_walk_begin(walk + k, (const uint8_t *)text->data, text->n);
    for (size_t i = 0; i < text->n; i = end[0]) {
        for (int k = 0; k < 2; k++)
            CHECK(fli_walk_next(walk + k, i, end + k, &dropped, &err) == FL_OK && !dropped);
        CHECKF(end[0] == end[1], "%s: \"%s\" from byte %zu: %zu, PCRE2 %zu", name, text->data, i,
               end[0], end[1]);
        if (end[0] != end[1] || end[0] <= i) return;
    }
}

static void check_pattern(const fli_pattern *p) {
    char regex[PATTERN_MAX];
    fli_splitter split[2] = {0};
    fli_walk walk[2];
    fl_text text = {0};
    fl_err err = {0};
    fl_rng r = {.seed = 1, .stream = fl_rng_stream(p->name)};
    snprintf(regex, sizeof regex, "(?:%s)", p->spelling[0]);
    CHECK(fli_splitter_add(split, p->name, &err) == FL_OK && split[0].stage[0].known == p);
    CHECKF(fli_splitter_add(split + 1, regex, &err) == FL_OK, "%s", err.msg);
    CHECK(split[1].stage[0].known == NULL);
    for (int k = 0; k < 2; k++) CHECK(fli_walk_init(walk + k, split + k, &err) == FL_OK);
    for (int i = 0; i < TEXTS; i++) {
        make_text(&r, &text);
        check_text(walk, &text, p->name);
    }
    for (int k = 0; k < 2; k++) {
        fli_walk_clear(walk + k);
        fli_splitter_clear(split + k);
    }
    fl_text_clear(&text);
}

/* The class a category stands for. */
static unsigned class_of_category(utf8proc_category_t category) {
    static const uint8_t classes[] =
        {[UTF8PROC_CATEGORY_LU] = FLI_UPPER,  [UTF8PROC_CATEGORY_LT] = FLI_UPPER,
         [UTF8PROC_CATEGORY_LL] = FLI_LOWER,  [UTF8PROC_CATEGORY_LM] = FLI_PLAIN,
         [UTF8PROC_CATEGORY_LO] = FLI_PLAIN,  [UTF8PROC_CATEGORY_MN] = FLI_MARK,
         [UTF8PROC_CATEGORY_MC] = FLI_MARK,   [UTF8PROC_CATEGORY_ME] = FLI_MARK,
         [UTF8PROC_CATEGORY_ND] = FLI_NUMBER, [UTF8PROC_CATEGORY_NL] = FLI_NUMBER,
         [UTF8PROC_CATEGORY_NO] = FLI_NUMBER, [UTF8PROC_CATEGORY_ZS] = FLI_SPACE,
         [UTF8PROC_CATEGORY_ZL] = FLI_SPACE,  [UTF8PROC_CATEGORY_ZP] = FLI_SPACE,
         [UTF8PROC_CATEGORY_CO] = 0};
    return classes[category];
}

/* Characters that utf8proc's Unicode lacks may be in ours. White space among the controls is by
 * name. */
static void check_classes(void) {
    fli_unicode_init();
    for (int32_t c = 0; c < FLI_N_CHARS; c++) {
        utf8proc_category_t category = utf8proc_category(c);
        if (category == UTF8PROC_CATEGORY_CN) continue;
        bool space = (c >= '\t' && c <= '\r') || c == 0x85;
        unsigned want = space ? FLI_SPACE : class_of_category(category);
        CHECKF(fli_class_of[c] == want, "U+%04X: %u, want %u", (unsigned)c, fli_class_of[c], want);
    }
}

int main(void) {
    check_classes();
    for (int i = 0; fli_pattern_row(i); i++) check_pattern(fli_pattern_row(i));
    return check_report();
}
