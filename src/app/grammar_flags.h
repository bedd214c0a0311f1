/* grammar_flags.h - the flags of commands whose texts may keep to a grammar, and the matcher they
 * ask for.
 *
 *     static const app_flag flags[] = {
 *     #include "app/grammar_flags.def"
 *         {0}};
 *     app_grammar g;
 *     app_grammar_read(&g, a, model, &opts, &err);  opts.matcher = g.matcher; ... 
 * app_grammar_clear(&g); */
#ifndef FL_APP_GRAMMAR_FLAGS_H
#define FL_APP_GRAMMAR_FLAGS_H

#include "app/command.h"
#include "infer/generate.h"

typedef struct {
    fl_grammar *grammar;
    fl_token_trie *trie;
    fl_matcher *matcher;  // NULL: no flag was given
} app_grammar;

/* `o` says which tokens end a text. */
FL_MUST_USE fl_status app_grammar_read(app_grammar *g, const app_args *a, const fl_model *m,
                                       const fl_generate_opts *o, fl_err *err);
void app_grammar_clear(app_grammar *g);

#endif
