/* inspect.h - what is inside a model: parameters by part and by format. check.h says whether it is
 * sound. */
#ifndef FL_MODEL_INSPECT_H
#define FL_MODEL_INSPECT_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FL_MODEL_PART_LIST(X) \
    X(EMBEDDING, "embedding") \
    X(ATTENTION, "attention") \
    X(FEED_FORWARD, "feed-forward") X(EXPERTS, "experts") X(NORM, "norms") X(HEAD, "head")

typedef enum {
#define X(id, name) FL_MODEL_PART_##id,
    FL_MODEL_PART_LIST(X)
#undef X
        FL_MODEL_PART_COUNT
} fl_model_part;
const char *fl_model_part_name(fl_model_part p);

typedef struct {
    int64_t tensors, parameters;
    size_t bytes;
} fl_model_part_size;

typedef struct {
    fl_model_part_size part[FL_MODEL_PART_COUNT], format[FL_DTYPE_COUNT];
} fl_model_report;

void fl_model_inspect(const fl_model *m, fl_model_report *out);

#ifdef __cplusplus
}
#endif

#endif
