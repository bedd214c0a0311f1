/* proto.h - reading Protocol Buffers: the fields of one message, in the order they come.
 *
 *     fli_proto p = {bytes, n};
 *     while (fli_proto_next(&p, &f))
 *         if (f.number == 3) ...
 *     if (p.broken) ...
 *
 * A key is a varint, number << 3 | wire type. The encoding:
 * protobuf.dev/programming-guides/encoding. */
#ifndef FL_TOKEN_PROTO_H
#define FL_TOKEN_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *s;
    size_t n, i;
    bool broken;  // cut off, or of an unknown wire type
} fli_proto;

typedef enum { FLI_VARINT = 0, FLI_FIXED64 = 1, FLI_BYTES = 2, FLI_FIXED32 = 5 } fli_wire;

typedef struct {
    uint32_t number;
    fli_wire wire;
    uint64_t value;        // of all but FLI_BYTES
    const uint8_t *bytes;  // of FLI_BYTES
    size_t n;
} fli_field;

bool fli_proto_next(fli_proto *p, fli_field *f);  // false at the end, or where it is broken
float fli_field_float(const fli_field *f);

#endif
