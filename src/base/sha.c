/* sha - SHA-1 and SHA-256 by the letter of FIPS 180-4. Both eat blocks of 64 bytes and pad alike.
 */
#include "base/sha.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, LENGTH_BYTES = 8 };

static uint32_t rotl(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

static uint32_t rotr(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- the two compression functions (6.1.2, 6.2.2) ---- */

static void sha1_block(uint32_t h[8], const uint8_t *block) {
    static const uint32_t K[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 16; t++) w[t] = big_endian(block + 4 * t);
    for (int t = 16; t < 80; t++) w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        uint32_t choose = (b & c) ^ (~b & d), parity = b ^ c ^ d;
        uint32_t majority = (b & c) ^ (b & d) ^ (c & d);
        uint32_t f = t < 20 ? choose : t >= 40 && t < 60 ? majority : parity;
        uint32_t next = rotl(a, 5) + f + e + K[t / 20] + w[t];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
static const uint32_t sha256_k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
                                      0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
                                      0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
                                      0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
                                      0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
                                      0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
                                      0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
                                      0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
                                      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
                                      0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
                                      0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
                                      0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
                                      0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha256_block(uint32_t h[8], const uint8_t *block) {
    uint32_t w[64], v[8];
    for (int t = 0; t < 16; t++) w[t] = big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = w[t - 15], y = w[t - 2];
        uint32_t s0 = rotr(x, 7) ^ rotr(x, 18) ^ x >> 3, s1 = rotr(y, 17) ^ rotr(y, 19) ^ y >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t a = v[0], e = v[4];
        uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
        uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
        uint32_t choose = (e & v[5]) ^ (~e & v[6]);
        uint32_t majority = (a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]);
        uint32_t t1 = v[7] + s1 + choose + sha256_k[t] + w[t];
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

static const struct {
    int words;  // of the result
    uint32_t start[8];
    void (*block)(uint32_t h[8], const uint8_t *block);
} rows[] = {
    [FL_SHA1] = {5, {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, sha1_block},
    [FL_SHA256] = {8,
                   {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                    0x1f83d9ab, 0x5be0cd19},
                   sha256_block},
};

/* ---- piece by piece ---- */

void fl_sha_init(fl_sha *s, fl_sha_kind kind) {
    *s = (fl_sha){.kind = kind};
    memcpy(s->h, rows[kind].start, sizeof s->h);
}

void fl_sha_update(fl_sha *s, const void *data, size_t n) {
    const uint8_t *p = data;
    while (n) {
        size_t at = s->bytes % BLOCK, take = BLOCK - at < n ? BLOCK - at : n;
        if (take == BLOCK) {
            rows[s->kind].block(s->h, p);
        } else {
            memcpy(s->block + at, p, take);
            if (at + take == BLOCK) rows[s->kind].block(s->h, s->block);
        }
        s->bytes += take;
        p += take;
        n -= take;
    }
}

/* A one bit, zeros, and the length in bits, big-endian, at the end of a block (5.1.1). */
static void pad(fl_sha *s) {
    static const uint8_t one[BLOCK] = {0x80};
    uint64_t bits = 8 * s->bytes;
    uint8_t length[LENGTH_BYTES];
    size_t at = s->bytes % BLOCK, room = BLOCK - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (uint8_t)(bits >> (8 * (7 - i)));
    fl_sha_update(s, one, at < room ? room - at : BLOCK + room - at);
    fl_sha_update(s, length, LENGTH_BYTES);
}

void fl_sha_text(const fl_sha *s, char out[FL_SHA_TEXT]) {
    fl_sha end = *s;
    pad(&end);
    for (int i = 0; i < rows[s->kind].words; i++) snprintf(out + 8 * i, 9, "%08x", end.h[i]);
}
