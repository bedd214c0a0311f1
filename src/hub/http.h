/* http.h - HTTP GET through libcurl.
 *
 * Redirects are followed, eight at most and never from https to http; the token goes to the first
 * host only. */
#ifndef FL_HUB_HTTP_H
#define FL_HUB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FLI_URL_MAX = 4096, FLI_HEADER_MAX = 256 };

typedef enum {
    FLI_HTTP_REPLIED,      // with whatever status
    FLI_HTTP_UNREACHABLE,  // no such host, or it does not answer
    FLI_HTTP_BROKEN,       // the connection broke or stalled
    FLI_HTTP_REFUSED,      // by us: certificate, redirects, protocol
    FLI_HTTP_STOPPED,      // by the body callback, or interrupted
} fli_http_outcome;

typedef struct {
    fli_http_outcome outcome;
    long status;                 // of the last reply; 0: none came
    int64_t from;                // where in the file the body begins
    double retry_after;          // seconds; -1: not said
    char error[FLI_HEADER_MAX];  // X-Error-Message
    char next[FLI_URL_MAX];      // Link: <..>; rel="next"
} fli_reply;

typedef struct {
    const char *url;
    const char *token;                                                        // NULL: none
    int64_t from;                                                             // first byte wanted
    bool (*body)(void *ctx, const fli_reply *r, const void *data, size_t n);  // of 200 and 206
    void *ctx;
} fli_request;

/* Keeps connections open from one request to the next. */
typedef struct fli_http fli_http;
FL_MUST_USE fl_status fli_http_open(fli_http **out, fl_err *err);
void fli_http_close(fli_http *h);  // NULL is allowed

/* FL_OK when a whole reply came, also one of 404. `r` is set either way. */
FL_MUST_USE fl_status fli_http_get(fli_http *h, const fli_request *q, fli_reply *r, fl_err *err);

/* Whether to ask once more, after a wait that grows. `failures` counts and starts at 0. */
bool fli_http_again(const fli_reply *r, int *failures);

/* `s` with every byte that is not safe in a URL as %XX; '/' stays where `slashes` says so. False if
 * it does not fit. */
bool fli_url_quote(char *out, size_t cap, const char *s, bool slashes);

#endif
