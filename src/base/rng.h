/* rng.h - random numbers that are a pure function of (seed, stream, counter).
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11). Counter
 * based, so any position can be computed directly: a resumed run and any number of threads draw the
 * same numbers. */
#ifndef FL_BASE_RNG_H
#define FL_BASE_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint64_t seed, stream, counter;  // the whole state: save these three to resume
} fl_rng;

/* The streams of one seed are independent. A name makes a stream: fl_rng_stream("init"). */
uint64_t fl_rng_stream(const char *name);
void fl_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

uint32_t fl_rng_u32(fl_rng *r);
uint64_t fl_rng_u64(fl_rng *r);
uint64_t fl_rng_below(fl_rng *r, uint64_t n);  // uniform in [0, n), n > 0
float fl_rng_float(fl_rng *r);                 // [0, 1)
double fl_rng_double(fl_rng *r);
double fl_rng_normal(fl_rng *r);  // mean 0, deviation 1 (Box-Muller)

/* Value i of a fixed random permutation of [0, n), without storing it (Feistel network, cycle
 * walking). */
uint64_t fl_shuffle_index(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t i);

#ifdef __cplusplus
}
#endif

#endif
