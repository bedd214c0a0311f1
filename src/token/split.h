/* split.h - pre-tokenization: the text cut into the pieces within which merges happen.
 *
 * A splitter is up to FLI_STAGES stages, each cutting the pieces of the one before, as in a
 * Sequence of Split pre-tokenizers. A stage is a row of scan.h or a PCRE2 pattern; what becomes of
 * the matches and of the text between them is its behaviour. */
#ifndef FL_TOKEN_SPLIT_H
#define FL_TOKEN_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "token/scan.h"

enum { FLI_STAGES = 8 };

typedef enum {
    FLI_ISOLATED,       // a match is a piece, and so is the text before it
    FLI_REMOVED,        // matches are dropped
    FLI_WITH_PREVIOUS,  // a match is the end of the piece before it
    FLI_WITH_NEXT,      // or the beginning of the one after it
    FLI_CONTIGUOUS      // as isolated, but matches beside each other are one piece
} fli_behavior;

typedef struct {
    const fli_pattern *known;  // NULL: the compiled pattern
    char *regex;               // as it was spelled
    void *code;                // pcre2_code
    fli_behavior behavior;
    bool invert;  // matches and the text between them change places
} fli_stage;

typedef struct {
    fli_stage stage[FLI_STAGES];
    int n;  // 0: the whole text is one piece
} fli_splitter;

/* Add a stage by the name or spelling of a pattern. */
FL_MUST_USE fl_status fli_splitter_add(fli_splitter *s, const char *pattern, fl_err *err);
/* The same, with what becomes of matches; a known pattern is isolated. */
FL_MUST_USE fl_status fli_splitter_add_as(fli_splitter *s, const char *pattern,
                                          fli_behavior behavior, bool invert, fl_err *err);
FL_MUST_USE fl_status fli_splitter_add_known(fli_splitter *s, const fli_pattern *known,
                                             fl_err *err);
void fli_splitter_clear(fli_splitter *s);

/* A walk over one text; one thread's. */
typedef struct {
    const fli_splitter *split;
    const uint8_t *s;
    size_t n;
    size_t begin[FLI_STAGES], end[FLI_STAGES];  // the piece each stage is in
    struct {
        size_t base, begin, end;  // the next match within the piece that begins at base
        bool known;
    } match[FLI_STAGES];
    void *found[FLI_STAGES];  // pcre2_match_data
    void *limits, *stack;     // pcre2_match_context, pcre2_jit_stack
} fli_walk;

FL_MUST_USE fl_status fli_walk_init(fli_walk *w, const fli_splitter *split, fl_err *err);
void fli_walk_clear(fli_walk *w);
void fli_walk_begin(fli_walk *w, const uint8_t *s, size_t n);
/* The end of the piece that starts at `pos`, the end of the piece before it; and whether it is
 * dropped. */
FL_MUST_USE fl_status fli_walk_next(fli_walk *w, size_t pos, size_t *end, bool *dropped,
                                    fl_err *err);

/* A compiled pattern (pcre2_code). */
FL_MUST_USE fl_status fli_regex_compile(void **code, const char *regex, fl_err *err);
void fli_regex_free(void *code);

#endif
