/* name - org/name[@revision][:what], and paths that other people chose. */
#include <string.h>

#include "hub/internal.h"

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* One of the two parts of org/name. The cache writes '/' as "--", so that may not be in one. */
static bool is_part(const char *s, size_t n) {
    if (n == 0 || s[0] == '.' || s[0] == '-' || s[n - 1] == '.' || s[n - 1] == '-') return false;
    for (size_t i = 0; i < n; i++) {
        bool doubled = i > 0 && (s[i] == '-' || s[i] == '.') && s[i - 1] == s[i];
        if (!is_name_char(s[i]) || doubled) return false;
    }
    return true;
}

static bool is_repo(const char *s, size_t n) {
    const char *slash = memchr(s, '/', n);
    if (!slash || n >= FLI_REPO_MAX) return false;
    size_t org = (size_t)(slash - s);
    return is_part(s, org) && is_part(slash + 1, n - org - 1);
}

bool fli_path_is_safe(const char *path) {
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        bool dots = (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
        if (n == 0 || dots) return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7F || p[i] == '\\') return false;
        p += n;
        if (!*p) return true;
    }
}

bool fli_is_hash(const char *s, size_t digits) {
    return strlen(s) == digits && strspn(s, "0123456789abcdef") == digits;
}

/* The parts into `out`; what is absent is "". False if one has no place. */
static bool cut(fli_name *out, const char *text) {
    size_t all = strlen(text), front = strcspn(text, ":"), repo = strcspn(text, "@:");
    size_t rev = front > repo ? front - repo - 1 : 0, want = all > front ? all - front - 1 : 0;
    if (!is_repo(text, repo) || rev >= FLI_REV_MAX || want >= FLI_WANT_MAX) return false;
    *out = (fli_name){0};
    memcpy(out->repo, text, repo);
    if (rev) memcpy(out->rev, text + repo + 1, rev);
    if (want) memcpy(out->want, text + front + 1, want);
    return (rev > 0) == (front > repo) && (want > 0) == (all > front);
}

fl_status fli_name_parse(fli_name *out, const char *text, fl_err *err) {
    fli_name n;
    if (!cut(&n, text))
        return fl_fail(err, FL_ERR_ARG,
                       "%.100s: not the name of a model; expected org/name[@revision][:file or "
                       "quantization]",
                       text);
    if (!*n.rev) memcpy(n.rev, "main", 5);
    if (!fli_path_is_safe(n.rev))
        return fl_fail(err, FL_ERR_ARG, "%s: '%s' is not a revision", n.repo, n.rev);
    *out = n;
    return FL_OK;
}

bool fl_hub_is_name(const char *text) {
    return fli_name_parse(&(fli_name){0}, text, NULL) == FL_OK;
}
