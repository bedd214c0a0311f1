/* sha.h - SHA-1 and SHA-256 (FIPS 180-4), piece by piece.
 *
 *     fl_sha h;
 *     char text[FL_SHA_TEXT];
 *     fl_sha_init(&h, FL_SHA256);
 *     fl_sha_update(&h, data, n);
 *     fl_sha_text(&h, text);  // "ba7816bf..."
 *
 * For the checksums that published files come with. SHA-1 is how git names a file; it shows damage,
 * not malice. */
#ifndef FL_BASE_SHA_H
#define FL_BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FL_SHA1, FL_SHA256 } fl_sha_kind;
enum { FL_SHA_TEXT = 65, FL_SHA1_DIGITS = 40, FL_SHA256_DIGITS = 64 };

typedef struct {
    fl_sha_kind kind;
    uint32_t h[8];
    uint64_t bytes;  // so far
    uint8_t block[64];
} fl_sha;

void fl_sha_init(fl_sha *s, fl_sha_kind kind);
void fl_sha_update(fl_sha *s, const void *data, size_t n);
void fl_sha_text(const fl_sha *s, char out[FL_SHA_TEXT]);  // of all so far, in hexadecimal

#ifdef __cplusplus
}
#endif

#endif
