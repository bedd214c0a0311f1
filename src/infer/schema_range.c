/* schema_range - the integers between two limits, as a grammar of their digits.
 *
 * Numbers of equally many digits: where the limits begin alike, that digit and the rest; else the
 * first digit of the lower and what is not below it, those between with any digits, that of the
 * upper and what is not above it. Numbers of more digits are more such groups. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "infer/schema_write.h"

enum { MOST_DIGITS = 16 };  // where there is no limit

static void any_digits(fl_text *out, size_t n) {
    if (n) fl_text_printf(out, " [0-9]{%zu}", n);
}

static bool all(const char *s, char c) {
    return s[strspn(s, (char[]){c, 0})] == 0;
}

/* From low to high, digits of one length. */
static void equally_long(fl_text *out, const char *low, const char *high) {
    size_t n = strlen(low);
    if (!n) return;
    if (all(low, '0') && all(high, '9')) {
        any_digits(out, n);
    } else if (low[0] == high[0]) {
        fl_text_printf(out, " \"%c\"", low[0]);
        equally_long(out, low + 1, high + 1);
    } else {
        char nines[24] = {0}, zeros[24] = {0};
        memset(nines, '9', n - 1);
        memset(zeros, '0', n - 1);
        fl_text_printf(out, " (\"%c\"", low[0]);
        equally_long(out, low + 1, nines);
        if (high[0] - low[0] > 1) {
            fl_text_printf(out, " | [%c-%c]", low[0] + 1, high[0] - 1);
            any_digits(out, n - 1);
        }
        fl_text_printf(out, " | \"%c\"", high[0]);
        equally_long(out, zeros, high + 1);
        fl_text_puts(out, ")");
    }
}

/* From low to high, 0 <= low <= high; UINT64_MAX: no limit. */
static void natural(fl_text *out, uint64_t low, uint64_t high) {
    char from[24], to[24], end[24] = {0};
    snprintf(from, sizeof from, "%" PRIu64, low);
    snprintf(to, sizeof to, "%" PRIu64, high);
    size_t longest = high == UINT64_MAX ? MOST_DIGITS : strlen(to);
    if (longest < strlen(from)) longest = strlen(from);
    for (size_t n = strlen(from); n <= longest; n++) {
        bool last = n == strlen(to) && high != UINT64_MAX;
        memset(end, '9', n);
        if (n > strlen(from)) {
            memset(from, '0', n);
            from[0] = '1';
            from[n] = 0;
            fl_text_puts(out, " |");
        }
        equally_long(out, from, last ? to : end);
    }
}

static uint64_t magnitude(int64_t v) {
    return v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
}

void fli_schema_integers(fl_text *out, int64_t low, int64_t high) {
    bool negative = low < 0, positive = high >= 0;
    if (negative) {
        uint64_t most = low == INT64_MIN ? UINT64_MAX : magnitude(low);
        fl_text_puts(out, " \"-\" (");
        natural(out, high < 0 ? magnitude(high) : 1, most);
        fl_text_puts(out, positive ? ") |" : ")");
    }
    if (positive)
        natural(out, low < 0 ? 0 : (uint64_t)low, high == INT64_MAX ? UINT64_MAX : (uint64_t)high);
}
