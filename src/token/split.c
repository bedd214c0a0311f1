/* split.c - stages of pre-tokenization: known patterns by their scanners, others by PCRE2 with its
 * JIT.
 *
 * PCRE2 sees \s, \p{..} and case as Unicode does. Bytes that are not UTF-8 match nothing, so that
 * they become pieces of their own between matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "token/split.h"

#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "token/unicode.h"

enum {
    REGEX_MAX = 64 << 10,
    MATCH_LIMIT =
        1000000,  // steps of one match: a pattern that explodes is stopped within a second
    STACK_FIRST = 32 << 10,
    STACK_MAX = 16 << 20,  // of the JIT: long matches of groups
};

static void *take(PCRE2_SIZE n, void *ctx) {
    (void)ctx;
    return fl_alloc_small(n);
}

static void give(void *p, void *ctx) {
    (void)ctx;
    fl_dealloc(p);
}

static fl_status compile_with(void **out, const char *regex, pcre2_compile_context *how,
                              fl_err *err) {
    int code;
    PCRE2_SIZE at;
    uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)regex, strlen(regex), flags, &code, &at, how);
    if (!re) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return fl_fail(err, FL_ERR_FORMAT, "pattern \"%.80s\": %s at byte %zu", regex, (char *)why,
                       at);
    }
    // Without a JIT for this machine the interpreter does the same, slower.
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    *out = re;
    return FL_OK;
}

fl_status fli_regex_compile(void **out, const char *regex, fl_err *err) {
    if (strlen(regex) > REGEX_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "a pattern of %zu bytes, at most %d", strlen(regex),
                       REGEX_MAX);
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *how = memory ? pcre2_compile_context_create(memory) : NULL;
    fl_status st = how ? compile_with(out, regex, how, err)
                       : fl_fail(err, FL_ERR_NOMEM, "a pattern");
    pcre2_compile_context_free(how);
    pcre2_general_context_free(memory);
    return st;
}

void fli_regex_free(void *code) {
    pcre2_code_free(code);
}

static fl_status push_stage(fli_splitter *s, fli_stage stage, const char *regex, fl_err *err) {
    if (s->n == FLI_STAGES)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "more than %d pre-tokenizers in sequence",
                       FLI_STAGES);
    fli_unicode_init();
    if (!stage.known) FL_TRY(fli_regex_compile(&stage.code, regex, err));
    stage.regex = fl_strdup(regex);
    if (!stage.regex) {
        fli_regex_free(stage.code);
        return fl_fail(err, FL_ERR_NOMEM, "a pattern");
    }
    s->stage[s->n++] = stage;
    return FL_OK;
}

fl_status fli_splitter_add_known(fli_splitter *s, const fli_pattern *known, fl_err *err) {
    const char *spelling = known->spelling[0];
    return push_stage(s, (fli_stage){.known = known}, spelling ? spelling : known->name, err);
}

fl_status fli_splitter_add_as(fli_splitter *s, const char *pattern, fli_behavior behavior,
                              bool invert, fl_err *err) {
    const fli_pattern *known = behavior == FLI_ISOLATED ? fli_pattern_find(pattern) : NULL;
    if (known) return fli_splitter_add_known(s, known, err);
    return push_stage(s, (fli_stage){.behavior = behavior, .invert = invert}, pattern, err);
}

fl_status fli_splitter_add(fli_splitter *s, const char *pattern, fl_err *err) {
    return fli_splitter_add_as(s, pattern, FLI_ISOLATED, false, err);
}

void fli_splitter_clear(fli_splitter *s) {
    for (int k = 0; k < s->n; k++) {
        fl_dealloc(s->stage[k].regex);
        fli_regex_free(s->stage[k].code);
    }
    *s = (fli_splitter){0};
}

/* What a thread needs to match: the limits and the JIT's stack, made with the first pattern. */
static bool make_limits(fli_walk *w) {
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    if (!memory) return false;
    w->limits = pcre2_match_context_create(memory);
    w->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MAX, memory);
    pcre2_general_context_free(memory);
    if (!w->limits) return false;
    pcre2_set_match_limit(w->limits, MATCH_LIMIT);
    if (w->stack) pcre2_jit_stack_assign(w->limits, NULL, w->stack);  // without a JIT there is none
    return true;
}

fl_status fli_walk_init(fli_walk *w, const fli_splitter *split, fl_err *err) {
    *w = (fli_walk){.split = split};
    bool ok = true;
    for (int k = 0; k < split->n && ok; k++) {
        if (split->stage[k].known) continue;
        ok = w->limits || make_limits(w);
        if (ok) w->found[k] = pcre2_match_data_create_from_pattern(split->stage[k].code, NULL);
        ok = ok && w->found[k];
    }
    if (ok) return FL_OK;
    fli_walk_clear(w);
    return fl_fail(err, FL_ERR_NOMEM, "a pre-tokenizer");
}

void fli_walk_clear(fli_walk *w) {
    for (int k = 0; k < FLI_STAGES; k++) pcre2_match_data_free(w->found[k]);
    pcre2_jit_stack_free(w->stack);
    pcre2_match_context_free(w->limits);
    *w = (fli_walk){0};
}

void fli_walk_begin(fli_walk *w, const uint8_t *s, size_t n) {
    w->s = s;
    w->n = n;
    memset(w->begin, 0, sizeof w->begin);
    memset(w->end, 0, sizeof w->end);
    memset(w->match, 0, sizeof w->match);
}

/* Find the next match from `pos` on within [base, limit); at limit if there is none. */
static fl_status find_match(fli_walk *w, int k, size_t pos, size_t base, size_t limit,
                            fl_err *err) {
    if (w->match[k].known && w->match[k].base == base && w->match[k].begin >= pos) return FL_OK;
    // Matches of nothing are no pieces: NOTEMPTY.
    int rc = pcre2_match(w->split->stage[k].code, w->s + base, limit - base, pos - base,
                         PCRE2_NOTEMPTY, w->found[k], w->limits);
    w->match[k].known = true;
    w->match[k].base = base;
    w->match[k].begin = w->match[k].end = limit;
    if (rc == PCRE2_ERROR_NOMATCH) return FL_OK;
    if (rc < 0) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(rc, why, sizeof why);
        return fl_fail(err, FL_ERR_UNSUPPORTED, "pattern \"%.60s\" at byte %zu of the text: %s",
                       w->split->stage[k].regex, pos, (char *)why);
    }
    PCRE2_SIZE *at = pcre2_get_ovector_pointer(w->found[k]);
    w->match[k].begin = base + at[0];
    w->match[k].end = base + at[1];
    return FL_OK;
}

/* The match at `pos`, or the text before the next one: its end, and which it is. */
static fl_status next_span(fli_walk *w, int k, size_t pos, size_t base, size_t limit, size_t *end,
                           bool *is_match, fl_err *err) {
    FL_TRY(find_match(w, k, pos, base, limit, err));
    bool here = w->match[k].begin == pos;
    *end = here ? w->match[k].end : w->match[k].begin;
    *is_match = here != w->split->stage[k].invert;
    return FL_OK;
}

/* Whether a span joins the one after it. */
static bool joins(fli_behavior behavior, bool is_match, bool next_is_match) {
    return behavior == FLI_WITH_PREVIOUS ? !is_match && next_is_match
           : behavior == FLI_WITH_NEXT   ? is_match && !next_is_match
                                         : behavior == FLI_CONTIGUOUS && is_match == next_is_match;
}

/* The piece of a compiled stage that starts at `pos`. */
static fl_status next_piece(fli_walk *w, int k, size_t pos, size_t base, size_t limit,
                            bool *dropped, fl_err *err) {
    fli_behavior behavior = w->split->stage[k].behavior;
    bool is_match, next_is_match;
    size_t end, next_end;
    FL_TRY(next_span(w, k, pos, base, limit, &end, &is_match, err));
    *dropped = behavior == FLI_REMOVED && is_match;
    while (behavior > FLI_REMOVED && end < limit) {
        FL_TRY(next_span(w, k, end, base, limit, &next_end, &next_is_match, err));
        if (!joins(behavior, is_match, next_is_match)) break;
        end = next_end;
        if (behavior != FLI_CONTIGUOUS) break;
    }
    w->end[k] = end;
    return FL_OK;
}

fl_status fli_walk_next(fli_walk *w, size_t pos, size_t *end, bool *dropped, fl_err *err) {
    size_t base = 0, limit = w->n;
    *dropped = false;
    for (int k = 0; k < w->split->n; k++) {
        const fli_stage *stage = w->split->stage + k;
        if (w->end[k] == pos) {
            w->begin[k] = pos;
            if (stage->known) w->end[k] = fli_scan(stage->known, w->s, pos, limit);
            else FL_TRY(next_piece(w, k, pos, base, limit, dropped, err));
            if (stage->known) *dropped = fli_scan_drops(stage->known, w->s, pos, limit);
        }
        base = w->begin[k];
        limit = w->end[k];
        if (*dropped) break;
    }
    for (int k = 0; *dropped && k < w->split->n; k++)
        if (w->end[k] < limit) w->end[k] = limit;
    *end = limit;
    return FL_OK;
}
