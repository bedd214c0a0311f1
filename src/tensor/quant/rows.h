/* rows.h - what the families of block formats share. A row is called fli_quant_NAME. */
#ifndef FL_TENSOR_QUANT_ROWS_H
#define FL_TENSOR_QUANT_ROWS_H

#include "tensor/blocks.h"
#include "tensor/quant.h"

#define X(id, name, ggml, block, bytes) extern const fl_quant fli_quant_##name;
FL_BLOCK_DTYPE_LIST(X)
#undef X

/* Blocks may lie at odd addresses: they are read through a copy. */
#define FLI_READ(type, name, from) \
    type name;                     \
    memcpy(&name, (from), sizeof name)

/* The sixteen numbers of IQ4_NL and IQ4_XS, and the doubled E2M1 of MXFP4 and NVFP4. */
extern const int8_t fli_iq4_values[16], fli_e2m1_values[16];

#endif
