/* hub - which hub, who we are to it, and what its answers mean. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "hub/internal.h"

enum { TOKEN_FILE_MAX = 4096 };

static bool is_true(const char *name) {
    const char *v = getenv(name);
    return v && fl_is_choice("1|on|yes|true|ON|YES|TRUE|True", v);
}

/* Printable, no blanks: it becomes part of a header. */
static bool take_token(fli_hub *h, const char *text) {
    size_t n = strcspn(text, " \t\r\n");
    if (n == 0 || n >= sizeof h->token) return false;
    memcpy(h->token, text, n);
    h->token[n] = '\0';
    return true;
}

static void find_token(fli_hub *h) {
    char path[FL_PATH_MAX], *text;
    const char *given = getenv("HF_TOKEN"), *file = getenv("HF_TOKEN_PATH");
    if (given && take_token(h, given)) return;
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return;
    if (!file && fli_cache_home(path, "token", NULL) != FL_OK) return;
    if (fl_file_read(file ? file : path, TOKEN_FILE_MAX, &text, NULL, NULL) != FL_OK) return;
    take_token(h, text);
    fl_dealloc(text);
}

static fl_status set_endpoint(fli_hub *h, const char *asked, fl_err *err) {
    const char *given = getenv("HF_ENDPOINT");
    const char *url = asked ? asked : given && *given ? given : "https://huggingface.co";
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') n--;
    bool web = strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
    if (!web || n < 9 || n >= sizeof h->endpoint)
        return fl_fail(err, FL_ERR_ARG, "%.100s: not the address of a hub; expected https://HOST",
                       url);
    memcpy(h->endpoint, url, n);
    h->endpoint[n] = '\0';
    return FL_OK;
}

fl_status fli_hub_init(fli_hub *h, const char *name, const fl_hub_opts *o, fl_err *err) {
    *h = (fli_hub){.progress = o->progress,
                   .offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE")};
    FL_TRY(fli_name_parse(&h->name, name, err));
    FL_TRY(set_endpoint(h, o->mirror, err));
    FL_TRY(fli_cache_root(h->root, o->cache, err));
    find_token(h);
    return fli_cache_dir(h->dir, h->root, h->name.repo, err);
}

void fli_hub_clear(fli_hub *h) {
    fli_http_close(h->http);
    *h = (fli_hub){0};
}

const char *fli_hub_host(const fli_hub *h) {
    return strstr(h->endpoint, "//") + 2;
}

fl_status fli_hub_refusal(const fli_hub *h, const fli_reply *r, const char *what, fl_err *err) {
    const char *said = *r->error ? r->error : "no reason given";
    switch (r->status) {
    case 401:
        return fl_fail(err, FL_ERR_IO, "%s: %s: %s", what, fli_hub_host(h),
                       *h->token ? "the token was refused (HF_TOKEN or the hub's token file)"
                                 : "there is no such model, or it is private or gated; for those "
                                   "set HF_TOKEN");
    case 403:
        return fl_fail(err, FL_ERR_IO,
                       "%s: access is restricted (%.80s): ask for it at %.60s/%.60s, then set "
                       "HF_TOKEN",
                       what, said, h->endpoint, h->name.repo);
    case 404:
        return fl_fail(err, FL_ERR_IO, "%s: %s has no such thing (%.80s)", what, fli_hub_host(h),
                       said);
    case 429:
        return fl_fail(err, FL_ERR_IO, "%s: %s asks for fewer requests; try later", what,
                       fli_hub_host(h));
    default:
        return fl_fail(err, FL_ERR_IO, "%s: %s answered %ld (%.80s)", what, fli_hub_host(h),
                       r->status, said);
    }
}
