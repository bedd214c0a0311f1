/* check_sha - the examples of FIPS 180-4 and git, and pieces of every size around a block. */
#include "base/sha.h"

#include <string.h>

#include "check.h"

static const struct {
    fl_sha_kind kind;
    const char *text, *want;
} known[] = {
    {FL_SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {FL_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {FL_SHA1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {FL_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {FL_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {FL_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void check_known(void) {
    char text[FL_SHA_TEXT];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        fl_sha s;
        fl_sha_init(&s, known[i].kind);
        fl_sha_update(&s, known[i].text, strlen(known[i].text));
        fl_sha_text(&s, text);
        CHECKF(strcmp(text, known[i].want) == 0, "'%s' is %s", known[i].text, text);
    }
}

/* A million times 'a', in pieces of 1, 2, .. 130 bytes. */
static void check_million(fl_sha_kind kind, const char *want) {
    char a[130], text[FL_SHA_TEXT];
    size_t left = 1000000;
    fl_sha s;
    memset(a, 'a', sizeof a);
    fl_sha_init(&s, kind);
    for (size_t piece = 1; left; piece = piece % sizeof a + 1) {
        size_t n = piece < left ? piece : left;
        fl_sha_update(&s, a, n);
        left -= n;
    }
    fl_sha_text(&s, text);
    CHECKF(strcmp(text, want) == 0, "a million a are %s", text);
}

/* Every length around the end of a block: all at once, and byte by byte. */
static void check_lengths(void) {
    char data[200], once[FL_SHA_TEXT], bytewise[FL_SHA_TEXT];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof data; n++) {
        for (fl_sha_kind kind = FL_SHA1; kind <= FL_SHA256; kind++) {
            fl_sha a, b;
            fl_sha_init(&a, kind);
            fl_sha_init(&b, kind);
            fl_sha_update(&a, data, n);
            for (size_t i = 0; i < n; i++) fl_sha_update(&b, data + i, 1);
            fl_sha_text(&a, once);
            fl_sha_text(&b, bytewise);
            CHECKF(strcmp(once, bytewise) == 0, "%zu bytes", n);
        }
    }
}

int main(void) {
    check_known();
    check_million(FL_SHA1, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    check_million(FL_SHA256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_lengths();
    return check_report();
}
