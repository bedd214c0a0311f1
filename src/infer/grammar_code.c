/* grammar_code - writing the code of a grammar: instructions, byte sets, characters as UTF-8. */
#include "infer/grammar_code.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Room for one more of `size` bytes in *array of n, at most `most`. */
static fl_status room(void *array, int32_t *cap, int32_t n, int32_t more, size_t size, int32_t most,
                      const char *what, fl_err *err) {
    void *old;
    memcpy(&old, array, sizeof old);
    if (n + more <= *cap) return FL_OK;
    if (more > most - n) {
        return fl_fail(err, FL_ERR_ARG, "the grammar is too large: more than %d %s", most, what);
    }
    int32_t grown_cap = *cap ? *cap : 64;
    while (grown_cap < n + more) grown_cap *= 2;
    void *grown = fl_alloc((size_t)grown_cap * size);
    if (!grown) return fl_fail(err, FL_ERR_NOMEM, "a grammar of %d %s", grown_cap, what);
    if (n) memcpy(grown, old, (size_t)n * size);
    fl_dealloc(old);
    memcpy(array, &grown, sizeof grown);
    *cap = grown_cap;
    return FL_OK;
}

static fl_status code_room(fl_grammar *g, int32_t more, fl_err *err) {
    return room(&g->code, &g->cap_code, g->n_code, more, sizeof *g->code, FLI_MAX_CODE,
                "instructions", err);
}

fl_status fli_code_add(fl_grammar *g, fli_op op, int32_t arg, fl_err *err) {
    FL_TRY(code_room(g, 1, err));
    g->code[g->n_code++] = (fli_instruction){op, arg};
    return FL_OK;
}

fl_status fli_code_insert(fl_grammar *g, int32_t at, fli_op op, int32_t arg, fl_err *err) {
    FL_TRY(code_room(g, 1, err));
    memmove(g->code + at + 1, g->code + at, (size_t)(g->n_code - at) * sizeof *g->code);
    g->code[at] = (fli_instruction){op, arg};
    g->n_code++;
    return FL_OK;
}

fl_status fli_code_copy(fl_grammar *g, int32_t from, int32_t n, fl_err *err) {
    FL_TRY(code_room(g, n, err));
    memmove(g->code + g->n_code, g->code + from, (size_t)n * sizeof *g->code);
    g->n_code += n;
    return FL_OK;
}

/* --- sets of bytes ---------------------------------------------------------------------------- */

static void set_add(fli_set *s, int low, int high) {
    for (int b = low; b <= high; b++) s->word[b >> 6] |= (uint64_t)1 << (b & 63);
}

static fl_status emit_set(fl_grammar *g, const fli_set *set, fl_err *err) {
    int32_t i = 0;
    while (i < g->n_sets && memcmp(&g->sets[i], set, sizeof *set) != 0) i++;
    if (i == g->n_sets) {
        FL_TRY(room(&g->sets, &g->cap_sets, i, 1, sizeof *set, FLI_MAX_SETS, "sets of bytes", err));
        g->sets[g->n_sets++] = *set;
    }
    return fli_code_add(g, FLI_SET, i, err);
}

fl_status fli_code_add_byte(fl_grammar *g, uint8_t byte, fl_err *err) {
    if (g->byte_set[byte]) return fli_code_add(g, FLI_SET, g->byte_set[byte] - 1, err);
    fli_set set = {0};
    set_add(&set, byte, byte);
    FL_TRY(emit_set(g, &set, err));
    g->byte_set[byte] = g->code[g->n_code - 1].arg + 1;
    return FL_OK;
}

/* --- characters as bytes ---------------------------------------------------------------------- */

/* Characters of equally many bytes whose bytes after the first are these ranges; first bytes in a
 * set, so that sequences with equal tails are one. */
typedef struct {
    fli_set first;
    uint8_t n_tail, low[3], high[3];
} sequence;

typedef struct {
    sequence *at;
    int32_t n, cap;
} sequences;

static fl_status sequence_add(sequences *s, const char *low, const char *high, int n, fl_err *err) {
    sequence q = {.n_tail = (uint8_t)(n - 1)};
    for (int i = 1; i < n; i++) {
        q.low[i - 1] = (uint8_t)low[i];
        q.high[i - 1] = (uint8_t)high[i];
    }
    int32_t i = 0;
    for (; i < s->n; i++) {
        const sequence *o = &s->at[i];
        if (o->n_tail == q.n_tail && memcmp(o->low, q.low, 3) == 0 &&
            memcmp(o->high, q.high, 3) == 0)
            break;
    }
    if (i == s->n) {
        FL_TRY(room(&s->at, &s->cap, s->n, 1, sizeof q, FLI_MAX_SETS, "sequences of bytes", err));
        s->at[s->n++] = q;
    }
    set_add(&s->at[i].first, (uint8_t)low[0], (uint8_t)high[0]);
    return FL_OK;
}

/* Cut a range where the number of bytes changes, around the surrogates, and until each byte is a
 * range of its own (R. Cox, "Regular expression matching in the wild", 2010). */
static fl_status sequences_of(sequences *s, int32_t low, int32_t high, fl_err *err) {
    enum { SURROGATES = 3 };
    static const int32_t edge[] = {0x7F, 0x7FF, 0xD7FF, [SURROGATES] = 0xDFFF, 0xFFFF, 0x10FFFF};
    for (int32_t end; low <= high; low = end + 1) {
        int k = 0;
        while (low > edge[k]) k++;
        end = high < edge[k] ? high : edge[k];
        if (k == SURROGATES) continue;
        for (int i = 1; i <= 3 && k > 0; i++) {
            int32_t m = (1 << 6 * i) - 1;
            if ((low & ~m) == (end & ~m)) continue;
            if (low & m) end = low | m;
            else if ((end & m) != m) end = (end & ~m) - 1;
        }
        char from[4], to[4];
        int n = fl_utf8_encode(low, from);
        fl_utf8_encode(end, to);
        FL_TRY(sequence_add(s, from, to, n, err));
    }
    return FL_OK;
}

/* SPLIT to the next, the bytes of this one, JUMP to the end; the last has neither SPLIT nor
 * JUMP. */
static fl_status emit_sequences(fl_grammar *g, const sequences *s, fl_err *err) {
    int32_t left = 0;
    for (int32_t i = 0; i < s->n; i++) left += s->at[i].n_tail + 3;
    for (int32_t i = 0; i < s->n; i++) {
        const sequence *q = &s->at[i];
        int32_t length = q->n_tail + 3;
        bool last = i + 1 == s->n;
        if (!last) FL_TRY(fli_code_add(g, FLI_SPLIT, length, err));
        FL_TRY(emit_set(g, &q->first, err));
        for (int t = 0; t < q->n_tail; t++) {
            fli_set set = {0};
            set_add(&set, q->low[t], q->high[t]);
            FL_TRY(emit_set(g, &set, err));
        }
        left -= length;
        if (!last) FL_TRY(fli_code_add(g, FLI_JUMP, left - 1, err));  // the last is 2 shorter
    }
    return FL_OK;
}

static int by_low(const void *pa, const void *pb) {
    const fli_range *a = pa, *b = pb;
    return (a->low > b->low) - (a->low < b->low);
}

fl_status fli_code_add_class(fl_grammar *g, fli_range *ranges, int32_t n, bool others,
                             fl_err *err) {
    sequences s = {0};
    fl_status st = FL_OK;
    int32_t next = 0;  // first code point not passed yet
    if (n) qsort(ranges, (size_t)n, sizeof *ranges, by_low);
    for (int32_t i = 0; i < n && st == FL_OK; i++) {
        int32_t low = ranges[i].low > next ? ranges[i].low : next, high = ranges[i].high;
        if (others) st = sequences_of(&s, next, ranges[i].low - 1, err);
        else st = sequences_of(&s, low, high, err);
        if (high >= next) next = high + 1;
    }
    if (others && st == FL_OK) st = sequences_of(&s, next, 0x10FFFF, err);
    if (st == FL_OK && !s.n) st = fl_fail(err, FL_ERR_ARG, "a class that no character is in");
    if (st == FL_OK) st = emit_sequences(g, &s, err);
    fl_dealloc(s.at);
    return st;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* Where a name stands, or would stand, among the rules in order. */
static int32_t rule_place(const fl_grammar *g, const char *name, size_t n, bool *found) {
    int32_t low = 0, high = g->n_rules;
    *found = false;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        const char *have = g->rules[g->order[middle]].name;
        int sign = strncmp(have, name, n);
        if (sign == 0 && have[n]) sign = 1;
        if (sign == 0) {
            *found = true;
            return middle;
        }
        if (sign < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

fl_status fli_rule_named(fl_grammar *g, const char *name, size_t n, int32_t *out, fl_err *err) {
    bool found;
    int32_t place = rule_place(g, name, n, &found), rule = g->n_rules;
    if (found) {
        *out = g->order[place];
        return FL_OK;
    }
    FL_TRY(room(&g->rules, &g->cap_rules, rule, 1, sizeof *g->rules, FLI_MAX_RULES, "rules", err));
    FL_TRY(room(&g->order, &g->cap_order, rule, 1, sizeof *g->order, FLI_MAX_RULES, "rules", err));
    char *copy = fl_alloc(n + 1);
    if (!copy) return fl_fail(err, FL_ERR_NOMEM, "a rule");
    memcpy(copy, name, n);
    copy[n] = 0;
    g->rules[rule] = (fli_rule){copy, -1};
    memmove(g->order + place + 1, g->order + place, (size_t)(rule - place) * sizeof *g->order);
    g->order[place] = *out = g->n_rules++;
    return FL_OK;
}
