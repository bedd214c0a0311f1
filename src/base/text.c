/* text - growable strings, UTF-8, and numbers for people. */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void fl_text_clear(fl_text *t) {
    fl_dealloc(t->data);
    *t = (fl_text){0};
}

/* Room for n more bytes and the NUL. */
static bool text_reserve(fl_text *t, size_t n) {
    if (t->failed) return false;
    if (n < t->cap - t->n) return true;  // cap 0: 0 - 0 is no room
    if (n > SIZE_MAX / 4 - t->n) {
        t->failed = true;
        return false;
    }
    size_t need = t->n + n + 1, cap = t->cap ? 2 * t->cap : 64;
    if (cap < need) cap = need;
    char *data = fl_alloc(cap);
    if (!data) {
        t->failed = true;
        return false;
    }
    if (t->n) memcpy(data, t->data, t->n);
    fl_dealloc(t->data);
    t->data = data;
    t->cap = cap;
    return true;
}

void fl_text_append(fl_text *t, const void *bytes, size_t n) {
    if (!text_reserve(t, n)) return;
    if (n) memcpy(t->data + t->n, bytes, n);
    t->n += n;
    t->data[t->n] = '\0';
}

void fl_text_puts(fl_text *t, const char *s) {
    fl_text_append(t, s, strlen(s));
}

void fl_text_printf(fl_text *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    FL_ASSERT(n >= 0);
    if (text_reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->n, (size_t)n + 1, fmt, again);
        t->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

fl_status fl_text_ok(const fl_text *t, fl_err *err) {
    return t->failed ? fl_fail(err, FL_ERR_NOMEM, "a text of more than %zu bytes", t->n) : FL_OK;
}

const char *fl_text_str(const fl_text *t) {
    return t->data ? t->data : "";
}

char *fl_strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = fl_alloc_small(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

/* ---- UTF-8 (Unicode 15, table 3-7) ---- */

/* By the number of bytes: the bits of the first one, and the least code point not overlong. */
static const struct {
    uint8_t mask, lead;
    int32_t least;
} utf8_form[] = {{0, 0, 0},
                 {0x80, 0x00, 0},
                 {0xE0, 0xC0, 0x80},
                 {0xF0, 0xE0, 0x800},
                 {0xF8, 0xF0, 0x10000}};

enum { UTF8_LAST = 0x10FFFF, SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

/* Bytes that a character starting with `lead` has, 0 if none starts so. */
static int utf8_length(uint8_t lead) {
    for (int k = 1; k <= 4; k++)
        if ((lead & utf8_form[k].mask) == utf8_form[k].lead) return k;
    return 0;
}

static bool is_surrogate(int32_t cp) {
    return cp >= SURROGATE_FIRST && cp <= SURROGATE_LAST;
}

int32_t fl_utf8_decode(const uint8_t *s, size_t n, int *len) {
    *len = 1;
    if (s[0] < 0x80) return s[0];
    int k = utf8_length(s[0]);
    if (k == 0 || (size_t)k > n) return -1;
    int32_t cp = s[0] & (uint8_t)~utf8_form[k].mask;
    for (int i = 1; i < k; i++) {
        if ((s[i] & 0xC0) != 0x80) return -1;
        cp = cp << 6 | (s[i] & 0x3F);
    }
    if (cp < utf8_form[k].least || cp > UTF8_LAST || is_surrogate(cp)) return -1;
    *len = k;
    return cp;
}

void fl_text_append_utf8(fl_text *t, const void *bytes, size_t n) {
    const uint8_t *s = bytes;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        if (fl_utf8_decode(s + i, n - i, &len) < 0) fl_text_puts(t, "\xEF\xBF\xBD");
        else fl_text_append(t, s + i, (size_t)len);
    }
}

int fl_utf8_encode(int32_t cp, char out[4]) {
    FL_ASSERT(cp >= 0 && cp <= UTF8_LAST && !is_surrogate(cp));
    int k = 4;
    while (k > 1 && cp < utf8_form[k].least) k--;
    for (int i = k - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(utf8_form[k].lead | cp);
    return k;
}

/* Only the last three bytes can begin a character that more bytes would complete. */
size_t fl_utf8_complete(const uint8_t *s, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t b = s[n - back];
        if ((b & 0xC0) == 0x80) continue;
        return utf8_length(b) > (int)back ? n - back : n;
    }
    return n;
}

/* ---- numbers for people ---- */

typedef struct {
    const char *name;
    double times;
} unit;

/* Largest first. Printing takes the first that fits, parsing any, letters in either case. */
static const unit count_units[] = {{"T", 1e12}, {"B", 1e9}, {"G", 1e9}, {"M", 1e6},
                                   {"k", 1e3},  {"", 1},    {0}};
static const unit byte_units[] = {
    {"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"B", 1},
    {"", 1},         {"TB", 1e12},    {"GB", 1e9},     {"MB", 1e6},     {"kB", 1e3},
    {"T", 0x1p40},   {"G", 0x1p30},   {"M", 0x1p20},   {"K", 0x1p10},   {0},
};
static const unit time_units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"min", 60},
                                  {"s", 1},     {"", 1},     {0}};

/* The first unit not larger than n, with as many decimals as keep three figures. */
static const char *human(double n, const unit *units, const char *gap, char out[FL_HUMAN]) {
    const unit *u = units;
    while (u->times > 1 && fabs(n) < 0.9995 * u->times) u++;
    double v = n / u->times;
    int decimals = u->times > 1 && fabs(v) < 99.95 ? 1 : v == floor(v) || fabs(v) >= 99.5 ? 0 : 2;
    snprintf(out, FL_HUMAN, "%.*f%s%s", decimals, v, *u->name ? gap : "", u->name);
    return out;
}

const char *fl_human_count(double n, char out[FL_HUMAN]) {
    return human(n, count_units, "", out);
}

const char *fl_human_bytes(double n, char out[FL_HUMAN]) {
    return human(n, byte_units, " ", out);
}

const char *fl_human_seconds(double s, char out[FL_HUMAN]) {
    if (!(s >= 0 && s < 1e9)) {
        snprintf(out, FL_HUMAN, "?");
    } else if (s < 59.95) {
        snprintf(out, FL_HUMAN, "%.1fs", s);
    } else {
        long t = lround(s);
        if (t < 3600) snprintf(out, FL_HUMAN, "%ldm %02lds", t / 60, t % 60);
        else if (t < 86400) snprintf(out, FL_HUMAN, "%ldh %02ldm", t / 3600, t / 60 % 60);
        else snprintf(out, FL_HUMAN, "%ldd %02ldh", t / 86400, t / 3600 % 24);
    }
    return out;
}

static bool same_letters(const char *a, size_t n, const char *b) {
    if (strlen(b) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
    return true;
}

/* One "number unit" at *s. strtod alone would also take "nan", "inf" and hexadecimal. */
static bool parse_part(double *out, const char **s, const unit *units) {
    if (!strchr("0123456789.", **s) || !**s || (*s)[1] == 'x' || (*s)[1] == 'X') return false;
    char *end;
    double v = strtod(*s, &end);
    if (end == *s) return false;
    end += strspn(end, " ");
    size_t n = strspn(end, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (const unit *u = units; u->name; u++)
        if (same_letters(end, n, u->name)) {
            *out = v * u->times;
            *s = end + n;
            return isfinite(*out);
        }
    return false;
}

static bool parse_whole(double *out, const char *s, const unit *units, bool parts) {
    double sum = 0;
    do {
        double v;
        if (!parse_part(&v, &s, units)) return false;
        sum += v;
        s += strspn(s, " ");
    } while (parts && *s);
    if (*s) return false;
    *out = sum;
    return true;
}

bool fl_parse_count(double *out, const char *s) {
    return parse_whole(out, s, count_units, false);
}

bool fl_parse_seconds(double *out, const char *s) {
    return parse_whole(out, s, time_units, true);
}

bool fl_parse_bytes(double *out, const char *s) {
    return parse_whole(out, s, byte_units, false);
}

bool fl_parse_int(int64_t *out, const char *s) {
    char *end;
    errno = 0;
    *out = strtoll(s, &end, 10);
    return *s && !*end && !errno;
}

bool fl_parse_real(double *out, const char *s) {
    char *end;
    *out = strtod(s, &end);
    return *s && !*end && isfinite(*out);
}

bool fl_parse_bool(bool *out, const char *s) {
    *out = strcmp(s, "true") == 0;
    return *out || strcmp(s, "false") == 0;
}

bool fl_is_choice(const char *choices, const char *s) {
    const size_t n = strlen(s);
    for (const char *c = choices; *c; c += strcspn(c, "|"), c += *c == '|')
        if (n && strcspn(c, "|") == n && strncmp(c, s, n) == 0) return true;
    return false;
}

/* ---- words ---- */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool same_letter(char a, char b) {
    return a == b || (a == '_' && b == '-') || (a == '-' && b == '_');
}

/* Letters to insert, delete, replace or swap with a neighbour to turn a into b (optimal string
 * alignment). */
static size_t edits(const char *a, const char *b) {
    enum { MOST = 48 };
    const size_t n = strlen(a), m = strlen(b);
    size_t d[MOST + 1][MOST + 1];
    if (n > MOST || m > MOST) return SIZE_MAX;
    for (size_t i = 0; i <= n; i++) d[i][0] = i;
    for (size_t j = 0; j <= m; j++) d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            const size_t replaced = d[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]);
            d[i][j] = least(replaced, 1 + least(d[i - 1][j], d[i][j - 1]));
            const bool swapped = i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                                 same_letter(a[i - 2], b[j - 1]);
            if (swapped) d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

const char *fl_nearest(const char *typed, const char *const *words) {
    const size_t n = strlen(typed);
    const char *best = NULL;
    size_t fewest = 2 + n / 3;  // a third of the letters may be wrong, and one more
    for (; *words; words++) {
        const bool beginning = n >= 3 && strncmp(typed, *words, n) == 0;
        const size_t d = beginning ? least(1, edits(typed, *words)) : edits(typed, *words);
        if (d < fewest) fewest = d, best = *words;
    }
    return best;
}
