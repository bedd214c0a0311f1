/* sampler_flags.h - the flags of commands that choose tokens, and the sampler they ask for.
 *
 *     static const app_flag flags[] = {
 *     #include "app/sampler_flags.def"
 *         {0}};
 *     app_sampler s;
 *     app_sampler_read(&s, a, model->tokenizer, &err);  ... s.opts ...  app_sampler_clear(&s); */
#ifndef FL_APP_SAMPLER_FLAGS_H
#define FL_APP_SAMPLER_FLAGS_H

#include "app/command.h"
#include "infer/sampler.h"

typedef struct {
    fl_sampler_opts opts;
    fl_logit_bias *bias;  // owned; opts points to it
} app_sampler;

FL_MUST_USE fl_status app_sampler_read(app_sampler *s, const app_args *a, const fl_tokenizer *t,
                                       fl_err *err);
void app_sampler_clear(app_sampler *s);

#endif
