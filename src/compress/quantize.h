/* quantize.h - a GGUF file with its weights in smaller formats.
 *
 *     fl_quantize_opts o = {.mix = fl_mix_find("Q4_K_M")};
 *     fl_quantize_report r;
 *     if (fl_quantize_gguf("tales.gguf", "tales-Q4_K_M.gguf", &o, &r, &err) != FL_OK) ...
 *
 * Everything else in the file - keys, tokenizer, norms - is carried over as it is. Rows are
 * quantized on the pool; the file is replaced atomically when it is whole. */
#ifndef FL_COMPRESS_QUANTIZE_H
#define FL_COMPRESS_QUANTIZE_H

#include "base/progress.h"
#include "compress/imatrix.h"
#include "compress/mix.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Formats that weights can be written in: f32, f16, bf16, and the blocks that can be made. */
bool fl_quantize_writes(fl_dtype t);

/* One tensor's format by hand: the first whose `part` is in the tensor's name counts. */
typedef struct {
    const char *part;
    fl_dtype dtype;
} fl_quantize_choice;

typedef struct {
    const fl_mix *mix;
    const fl_imatrix *imatrix;  // NULL: every column counts the same
    const fl_quantize_choice *choice;
    int n_choices;
    bool again;             // quantized weights may be quantized once more; else that is an error
    fl_progress *progress;  // steps by bytes read; NULL: nobody is looking
} fl_quantize_opts;

typedef struct {
    int n_tensors, n_quantized, n_weighted;  // weighted: by the importance matrix
    int n_fitted;  // rows were no whole blocks of the format wanted: they got a smaller one
    double bytes_before, bytes_after;   // of all tensors
    double weights_in[FL_DTYPE_COUNT];  // how many
    double error;  // of the quantized ones, relative: sqrt(sum (w - q)^2 / sum w^2)
} fl_quantize_report;

/* `model` is whatever fl_model_load takes; one that is no GGUF file becomes one on the way, called
 * TO.whole and removed at the end. */
FL_MUST_USE fl_status fl_quantize_model(const char *model, const char *to,
                                        const fl_quantize_opts *o, fl_quantize_report *report,
                                        fl_err *err);

FL_MUST_USE fl_status fl_quantize_gguf(const char *from, const char *to, const fl_quantize_opts *o,
                                       fl_quantize_report *report, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
