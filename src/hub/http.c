/* http - libcurl behind our own names. */
#include "hub/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/version.h"

enum { CONNECT_SECONDS = 15, STALL_SECONDS = 30, REDIRECTS = 8, TRIES = 8 };
static const double FIRST_WAIT = 0.125, LONGEST_WAIT = 30;

typedef struct {
    const fli_request *q;
    fli_reply *r;
    CURL *curl;
} transfer;

/* ---- headers ---- */

static void keep_text(char *out, size_t cap, const char *value, size_t n) {
    if (*out || n >= cap) return;  // the first one counts
    memcpy(out, value, n);
    out[n] = '\0';
}

/* It will be shown on a terminal. */
static void keep_error(fli_reply *r, const char *v, size_t n) {
    keep_text(r->error, sizeof r->error, v, n);
    for (char *p = r->error; *p; p++)
        if (*p < 0x20 || *p == 0x7F) *p = '?';
}

/* "bytes 100-199/200" */
static void keep_range(fli_reply *r, const char *v, size_t n) {
    char text[FLI_HEADER_MAX] = "";
    keep_text(text, sizeof text, v, n);
    r->from = strncmp(text, "bytes ", 6) == 0 ? strtoll(text + 6, NULL, 10) : -1;
}

static void keep_retry_after(fli_reply *r, const char *v, size_t n) {
    char text[FLI_HEADER_MAX] = "", *end;
    keep_text(text, sizeof text, v, n);
    double seconds = strtod(text, &end);
    if (end != text && seconds >= 0) r->retry_after = seconds;  // else it is a date
}

static void keep_next(fli_reply *r, const char *v, size_t n) {
    const char *open = memchr(v, '<', n),
               *shut = open ? memchr(open, '>', n - (size_t)(open - v)) : NULL;
    char rest[FLI_HEADER_MAX] = "";
    if (!shut) return;
    keep_text(rest, sizeof rest, shut, n - (size_t)(shut - v));
    if (strstr(rest, "rel=\"next\""))
        keep_text(r->next, sizeof r->next, open + 1, (size_t)(shut - open - 1));
}

static const struct {
    const char *name;
    void (*keep)(fli_reply *r, const char *value, size_t n);
} headers[] = {
    {"content-range", keep_range},
    {"retry-after", keep_retry_after},
    {"x-error-message", keep_error},
    {"link", keep_next},
};

static size_t on_header(char *line, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    const char *colon = memchr(line, ':', n);
    size_t total = size * n;
    if (total >= 5 && memcmp(line, "HTTP/", 5) == 0) t->r->from = 0;  // the next reply of a chain
    if (!colon) return total;
    const char *v = colon + 1, *end = line + n;
    while (v < end && (*v == ' ' || *v == '\t')) v++;
    while (end > v && strchr(" \t\r\n", end[-1])) end--;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size_t k = strlen(headers[i].name);
        if (k == (size_t)(colon - line) && strncasecmp(line, headers[i].name, k) == 0)
            headers[i].keep(t->r, v, (size_t)(end - v));
    }
    return total;
}

/* ---- the transfer ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    t->r->status = status;
    if (status != 200 && status != 206) return size * n;  // a page that says what the status does
    return t->q->body(t->q->ctx, t->r, data, size * n) ? size * n : 0;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)ctx, (void)a, (void)b, (void)c, (void)d;
    return fl_interrupted();
}

static fli_http_outcome outcome_of(CURLcode code) {
    switch (code) {
    case CURLE_OK: return FLI_HTTP_REPLIED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return FLI_HTTP_UNREACHABLE;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK: return FLI_HTTP_STOPPED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION: return FLI_HTTP_REFUSED;
    default: return FLI_HTTP_BROKEN;
    }
}

static void start_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* A secure address never leads to one that is not. */
static void set_protocols(CURL *c, const char *url) {
    bool secure = strncasecmp(url, "https:", 6) == 0;
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
}

static void set_options(transfer *t, char *problem) {
    CURL *c = t->curl;
    char range[32];
    snprintf(range, sizeof range, "%lld-", (long long)t->q->from);
    curl_easy_setopt(c, CURLOPT_URL, t->q->url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "fledge/" FL_VERSION);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (t->q->from > 0) curl_easy_setopt(c, CURLOPT_RANGE, range);
    if (t->q->token) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, t->q->token);
    }
    set_protocols(c, t->q->url);
}

fl_status fli_http_open(fli_http **out, fl_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    CURL *curl = curl_easy_init();
    if (!curl) return fl_fail(err, FL_ERR_NOMEM, "starting libcurl");
    *out = (fli_http *)curl;
    return FL_OK;
}

void fli_http_close(fli_http *h) {
    curl_easy_cleanup((CURL *)h);
}

fl_status fli_http_get(fli_http *h, const fli_request *q, fli_reply *r, fl_err *err) {
    char problem[CURL_ERROR_SIZE] = "";
    transfer t = {.q = q, .r = r, .curl = (CURL *)h};
    *r = (fli_reply){.retry_after = -1};
    set_options(&t, problem);
    CURLcode code = curl_easy_perform(t.curl);
    curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &r->status);
    curl_easy_reset(t.curl);
    r->outcome = outcome_of(code);
    if (code == CURLE_OK) return FL_OK;
    return fl_fail(err, FL_ERR_IO, "%s", *problem ? problem : curl_easy_strerror(code));
}

/* ---- trying again ---- */

static bool may_pass(const fli_reply *r) {
    static const long passing[] = {408, 425, 429, 500, 502, 503, 504};
    if (r->outcome != FLI_HTTP_REPLIED)
        return r->outcome == FLI_HTTP_BROKEN || r->outcome == FLI_HTTP_UNREACHABLE;
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (r->status == passing[i]) return true;
    return false;
}

static void wait_seconds(double seconds) {
    double end = fl_now() + seconds;
    while (fl_now() < end && !fl_interrupted())
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

bool fli_http_again(const fli_reply *r, int *failures) {
    if (!may_pass(r) || ++*failures >= TRIES || fl_interrupted()) return false;
    double wait = r->retry_after >= 0 ? r->retry_after : FIRST_WAIT * (1 << *failures);
    if (wait > LONGEST_WAIT) wait = LONGEST_WAIT;
    if (r->outcome == FLI_HTTP_REPLIED)
        fl_debug("the hub answered %ld; again in %.1f s", r->status, wait);
    else fl_debug("the connection broke; again in %.1f s", wait);
    wait_seconds(wait);
    return !fl_interrupted();
}

bool fli_url_quote(char *out, size_t cap, const char *s, bool slashes) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = 0;
    for (; *s; s++) {
        if (n + 4 > cap) return false;
        if (strchr(plain, *s) || (slashes && *s == '/')) out[n++] = *s;
        else n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*s);
    }
    out[n] = '\0';
    return cap > 0;
}
