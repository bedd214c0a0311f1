/* log - one sink for what the library has to say. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static fl_log_sink sink;
static void *sink_ctx;

void fl_log_to(fl_log_sink to, void *ctx) {
    sink = to;
    sink_ctx = ctx;
}

FL_PRINTF(2, 0)
static void send(fl_log_level level, const char *fmt, va_list ap) {
    if (!sink) return;
    char msg[1024];
    vsnprintf(msg, sizeof msg, fmt, ap);
    sink(sink_ctx, level, msg);
}

#define SENDER(name, level)           \
    void name(const char *fmt, ...) { \
        va_list ap;                   \
        va_start(ap, fmt);            \
        send(level, fmt, ap);         \
        va_end(ap);                   \
    }
SENDER(fl_warn, FL_LOG_WARN)
SENDER(fl_note, FL_LOG_NOTE)
SENDER(fl_debug, FL_LOG_DEBUG)
