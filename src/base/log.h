/* log.h - how the library tells its caller something that is not an error.
 *
 * The library never prints. Warnings and notes go to the sink the program installs; without one
 * they are dropped. A warning names the file, the field and the remedy. */
#ifndef FL_BASE_LOG_H
#define FL_BASE_LOG_H

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FL_LOG_WARN, FL_LOG_NOTE, FL_LOG_DEBUG } fl_log_level;
typedef void (*fl_log_sink)(void *ctx, fl_log_level level, const char *msg);

void fl_log_to(fl_log_sink sink, void *ctx);  // before other threads start
void fl_warn(const char *fmt, ...) FL_PRINTF(1, 2);
void fl_note(const char *fmt, ...) FL_PRINTF(1, 2);
void fl_debug(const char *fmt, ...) FL_PRINTF(1, 2);

#ifdef __cplusplus
}
#endif

#endif
