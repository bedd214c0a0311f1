/* grammar.h - text that keeps to a grammar: which tokens may come next.
 *
 *     fl_grammar *g;
 *     fl_grammar_parse(&g, text, n, &err);              // GBNF; begins at the rule "root"
 *     fl_token_trie *trie;
 *     fl_token_trie_new(&trie, tokenizer, &eos, 1, &err);
 *     fl_matcher *m;
 *     fl_matcher_new(&m, g, trie, &err);
 *     for (;;) {
 *         const uint64_t *allowed;
 *         fl_matcher_mask(m, &allowed, &err);           // a bit for each token
 *         fl_sampler_restrict(sampler, allowed);
 *         ... pick id ...
 *         fl_matcher_accept(m, id, &err);
 *     }
 *
 * GBNF is llama.cpp's dialect of BNF:
 *
 *     root  ::= item ("," item)*      # a comment
 *     item  ::= [a-z0-9]{1,8} | "\"" [^"\n]* "\"" | .
 *
 *   "text"    these characters; \" \\ \n \r \t \xHH \uHHHH \UHHHHHHHH, as in classes, which add
 *             \[ \]
 *   [a-z]     one character of these; [^a-z] one that is none of these; . any character
 *   ( )       a group;  x | y  one or the other;  x y  one after the other
 *   ? * +     0 or 1, any number, 1 or more of what stands before;  {m} {m,} {m,n} {,n} so many
 *
 * A rule ends with its line, except inside a group and after ::= and |. Left recursion is refused.
 *
 * A grammar is compiled to instructions over bytes (a character beyond ASCII is a sequence of byte
 * ranges), with calls between rules; so a token may end inside a character. The matcher runs all
 * parses at once. A set of parses - where each stands in the code, and its stack of places to
 * return to - is a state; states and their transitions are kept, so text runs through a table. The
 * mask of a state is found by walking the vocabulary, a trie of bytes, through these transitions,
 * and is kept too.
 *
 * A grammar and a trie are immutable; a matcher belongs to one thread, and outlives neither. */
#ifndef FL_INFER_GRAMMAR_H
#define FL_INFER_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_grammar fl_grammar;
FL_MUST_USE fl_status fl_grammar_parse(fl_grammar **out, const char *text, size_t n, fl_err *err);
void fl_grammar_free(fl_grammar *g);  // NULL is allowed
/* The code, an instruction a line. */
void fl_grammar_print(const fl_grammar *g, fl_text *out);

/* The bytes of every token that is text. `end` are the tokens that end a text: allowed where the
 * grammar may end. */
typedef struct fl_token_trie fl_token_trie;
FL_MUST_USE fl_status fl_token_trie_new(fl_token_trie **out, const fl_tokenizer *t,
                                        const int32_t *end, int n_end, fl_err *err);
void fl_token_trie_free(fl_token_trie *t);

/* At the beginning of a text. Without a trie it matches bytes only. */
typedef struct fl_matcher fl_matcher;
FL_MUST_USE fl_status fl_matcher_new(fl_matcher **out, const fl_grammar *g,
                                     const fl_token_trie *trie, fl_err *err);
void fl_matcher_free(fl_matcher *m);
FL_MUST_USE fl_status fl_matcher_reset(fl_matcher *m, fl_err *err);  // to the beginning

/* Whether these bytes continue the text; if so they are part of it now. Failure is a grammar with
 * more parses at once than are followed. */
FL_MUST_USE fl_status fl_matcher_feed(fl_matcher *m, const void *bytes, size_t n, bool *fits,
                                      fl_err *err);
bool fl_matcher_can_end(const fl_matcher *m);  // the text so far is complete

/* A bit for each token (lowest first, as many as the tokenizer has) that may come next; valid until
 * the next call. None is set where the text is complete and there is no token that ends it. */
FL_MUST_USE fl_status fl_matcher_mask(fl_matcher *m, const uint64_t **allowed, fl_err *err);

/* The token that came; one that was not allowed is FL_ERR_ARG. */
FL_MUST_USE fl_status fl_matcher_accept(fl_matcher *m, int32_t id, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
