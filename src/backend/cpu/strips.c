/* strips - the formats that are multiplied in integers, and how a tile walks over K (strips.h). */
#include "backend/cpu/strips.h"
#include "backend/cpu/whole.h"

#define X(id, name, ...) [FL_##id] = FLI_STRIP_FACTS(name, __VA_ARGS__),
static const fli_strip_format formats[FL_DTYPE_COUNT] = {FLI_STRIP_FORMATS(X)};
#undef X

enum { SLAB = 2 * FLI_UNIT };  // blocks of K: a strip's and a panel's share of them fit L1

const fli_strip_format *fli_strip_format_of(fl_dtype t) {
    return formats[t].low ? &formats[t] : NULL;
}

size_t fli_strip_bytes(const fli_strip_format *f, int64_t k) {
    const int64_t blocks = k / FL_X_GROUP, rest = blocks % FLI_UNIT;
    const int64_t whole = blocks / FLI_UNIT * fli_strip_unit_bytes(f, FLI_UNIT);
    return (size_t)(whole + (rest ? fli_strip_unit_bytes(f, rest) : 0));
}

/* Few rows see a strip once from end to end. Many see it slab by slab: it stays in L1, and their
 * slab of x in L2. */
void fli_strips_multiply(const fli_strip_product *p, int64_t m0, int64_t m1, int64_t s0, int64_t s1,
                         float *sums, int64_t ld) {
    const int64_t blocks = p->k / FL_X_GROUP, unit = fli_strip_unit_bytes(p->f, FLI_UNIT);
    const int64_t slab = m1 - m0 > FLI_STRIP_ROWS ? SLAB : blocks;
    const size_t strip_bytes = fli_strip_bytes(p->f, p->k);
    for (int64_t b = 0; b < blocks; b += slab) {
        const int64_t n = imin(slab, blocks - b);
        for (int64_t s = s0; s < s1; s++) {
            const uint8_t *units = p->w + (size_t)s * strip_bytes + (size_t)(b / FLI_UNIT * unit);
            for (int64_t m = m0; m < m1; m += FLI_STRIP_ROWS) {
                p->e->multiply(p->dtype, p->x + m * blocks + b * FLI_STRIP_ROWS, units, n,
                               sums + (m - m0) * ld + (s - s0) * FLI_STRIP, ld,
                               imin(FLI_STRIP_ROWS, m1 - m), b > 0);
            }
        }
    }
}
