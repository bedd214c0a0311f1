/* rng - Philox4x32-10 and what is drawn from it.
 *
 * Key: the seed. Counter block: (position, stream). Every draw owns one block and moves the
 * position by one, so the position is the number of draws made. */
#include "base/rng.h"

#include <math.h>

#include "base/assert.h"

enum { ROUNDS = 10, FEISTEL_ROUNDS = 6 };

static void multiply(uint32_t a, uint32_t b, uint32_t *hi, uint32_t *lo) {
    uint64_t product = (uint64_t)a * b;
    *hi = (uint32_t)(product >> 32);
    *lo = (uint32_t)product;
}

void fl_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t hi0, lo0, hi1, lo1;
        multiply(0xD2511F53u, c0, &hi0, &lo0);
        multiply(0xCD9E8D57u, c2, &hi1, &lo1);
        c0 = hi1 ^ c1 ^ k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ k1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t fl_rng_stream(const char *name) {
    uint64_t h = 0xcbf29ce484222325u;  // FNV-1a
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static void draw(fl_rng *r, uint32_t out[4]) {
    fl_philox(r->seed, r->stream, r->counter++, out);
}

static uint64_t pair(const uint32_t w[2]) {
    return (uint64_t)w[1] << 32 | w[0];
}

static double unit_interval(uint64_t bits) {
    return (double)(bits >> 11) * 0x1p-53;
}

uint32_t fl_rng_u32(fl_rng *r) {
    uint32_t w[4];
    draw(r, w);
    return w[0];
}

uint64_t fl_rng_u64(fl_rng *r) {
    uint32_t w[4];
    draw(r, w);
    return pair(w);
}

/* Values from the incomplete last multiple of n are drawn again; anything else would favour small
 * results. */
uint64_t fl_rng_below(fl_rng *r, uint64_t n) {
    FL_ASSERT(n > 0);
    uint64_t uneven = -n % n;  // 2^64 mod n
    for (;;) {
        uint64_t v = fl_rng_u64(r);
        if (v >= uneven) return v % n;
    }
}

float fl_rng_float(fl_rng *r) {
    return (float)(fl_rng_u32(r) >> 8) * 0x1p-24f;
}

double fl_rng_double(fl_rng *r) {
    return unit_interval(fl_rng_u64(r));
}

double fl_rng_normal(fl_rng *r) {
    const double tau = 6.283185307179586476925;
    uint32_t w[4];
    draw(r, w);
    double radius = 1.0 - unit_interval(pair(w));  // (0, 1]: its logarithm is finite
    return sqrt(-2.0 * log(radius)) * cos(tau * unit_interval(pair(w + 2)));
}

/* A balanced Feistel network over the next even power of two permutes that range whatever its round
 * function; walking on while the value lies outside [0, n) permutes [0, n). */
uint64_t fl_shuffle_index(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t i) {
    FL_ASSERT(i < n);
    int half = 2;  // bits of one side; less than two could not reach all orders of four
    while (half < 32 && (n - 1) >> (2 * half)) half++;
    const uint32_t mask = (uint32_t)(((uint64_t)1 << half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> half), right = (uint32_t)i & mask;
        for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
            uint32_t w[4];
            fl_philox(seed, epoch, round << 32 | right, w);
            uint32_t mixed = left ^ (w[0] & mask);
            left = right;
            right = mixed;
        }
        i = (uint64_t)left << half | right;
    } while (i >= n);
    return i;
}
