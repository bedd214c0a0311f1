/* group_impl.h - what a group and a sequence are, for files of this folder that look at what is
 * kept. */
#ifndef FL_INFER_GROUP_IMPL_H
#define FL_INFER_GROUP_IMPL_H

#include "infer/session.h"
#include "infer/steps.h"

struct fl_group {
    fl_model *m;
    fl_packs *own_packs;
    fli_pages pages;
    fli_steps steps;
    uint64_t n_steps;  // so far, failed ones too: only the last one's logits are there
};

struct fl_sequence {
    fl_group *g;
    fli_page_list text;
    int64_t length, room;
    int32_t *id;  // room
    const float *logits;
    uint64_t step;  // that made them
};

/* The text becomes these tokens, whose keys and values the caller writes. */
FL_MUST_USE fl_status fli_sequence_adopt(fl_sequence *s, const int32_t *id, int64_t n, fl_err *err);

fl_sequence *fli_session_text(const fl_session *s);

#endif
