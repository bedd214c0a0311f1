/* proto.c - reading Protocol Buffers. Every length is checked against what is left. */
#include "token/proto.h"

#include <string.h>

static bool varint(fli_proto *p, uint64_t *v) {
    *v = 0;
    for (unsigned shift = 0; shift < 64 && p->i < p->n; shift += 7) {
        uint8_t byte = p->s[p->i++];
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

static bool fixed(fli_proto *p, size_t n, uint64_t *v) {
    *v = 0;
    if (p->n - p->i < n) return false;
    for (size_t k = 0; k < n; k++) *v |= (uint64_t)p->s[p->i++] << (8 * k);
    return true;
}

static bool read_value(fli_proto *p, fli_field *f) {
    if (f->wire == FLI_VARINT) return varint(p, &f->value);
    if (f->wire == FLI_FIXED64) return fixed(p, 8, &f->value);
    if (f->wire == FLI_FIXED32) return fixed(p, 4, &f->value);
    uint64_t n;
    if (f->wire != FLI_BYTES || !varint(p, &n) || n > p->n - p->i) return false;
    f->bytes = p->s + p->i;
    f->n = (size_t)n;
    p->i += (size_t)n;
    return true;
}

bool fli_proto_next(fli_proto *p, fli_field *f) {
    uint64_t key;
    if (p->broken || p->i >= p->n) return false;
    *f = (fli_field){0};
    p->broken = !varint(p, &key) || key >> 3 == 0 || key > UINT32_MAX;
    if (p->broken) return false;
    f->number = (uint32_t)(key >> 3);
    f->wire = (fli_wire)(key & 7);
    p->broken = !read_value(p, f);
    return !p->broken;
}

float fli_field_float(const fli_field *f) {
    uint32_t bits = (uint32_t)f->value;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
