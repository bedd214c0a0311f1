/* tfevents.h - TensorBoard event files: curves of numbers over steps.
 *
 *     fl_tfevents *ev;
 *     if (fl_tfevents_open(&ev, "runs/tales", &err) != FL_OK) ...
 *     fl_tfevents_scalar(ev, "loss", step, 2.31);
 *     if (fl_tfevents_close(ev, &err) != FL_OK) ...
 *
 * The file is events.out.tfevents.TIME.HOST.PID in the folder. A record is u64 length, u32 masked
 * CRC-32C of it, the bytes, u32 masked CRC-32C of them. The bytes are a protobuf Event { 1: double
 * wall_time; 2: int64 step; 3: string file_version; 5: Summary { 1: Value { 1: string tag; 2: float
 * simple_value } } }. This is a log: it is appended to and flushed record by record, so what was
 * written survives a kill; a reader ignores a torn last record. */
#ifndef FL_FORMAT_TFEVENTS_H
#define FL_FORMAT_TFEVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_tfevents fl_tfevents;

FL_MUST_USE fl_status fl_tfevents_open(fl_tfevents **out, const char *dir, fl_err *err);
void fl_tfevents_scalar(fl_tfevents *ev, const char *tag, int64_t step,
                        double value);  // NULL ev: nothing
FL_MUST_USE fl_status fl_tfevents_close(fl_tfevents *ev,
                                        fl_err *err);  // reports the first write that failed

/* What open and scalar write, for tests: one framed record. Returns its bytes, at most `max`, 0 if
 * it does not fit. */
size_t fl_tfevents_frame(uint8_t *out, size_t max, const void *bytes, size_t n);
size_t fl_tfevents_encode_scalar(uint8_t *out, size_t max, double wall_time, int64_t step,
                                 const char *tag, float v);
size_t fl_tfevents_encode_version(uint8_t *out, size_t max, double wall_time);

#ifdef __cplusplus
}
#endif

#endif
