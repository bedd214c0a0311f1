/* check_tensor - number formats and shapes.
 *
 * Caught by: rounding up instead of to even, double rounding from f64, a subnormal flushed, a NaN
 * made infinite, strides taken in the wrong order. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tensor/tensor.h"

static int checks, failures;

#define CHECK(cond)                                                             \
    do {                                                                        \
        checks++;                                                               \
        if (!(cond)) failures++, printf("FAIL line %d: %s\n", __LINE__, #cond); \
    } while (0)

/* Every 16-bit pattern survives the way through f32, NaNs as NaNs. */
static void check_round_trips(void) {
    int bad = 0;
    for (uint32_t h = 0; h < 65536; h++) {
        const float b = fl_bf16_to_f32((uint16_t)h), f = fl_f16_to_f32((uint16_t)h);
        bad += isnan(b) ? !isnan(fl_bf16_to_f32(fl_f32_to_bf16(b))) : fl_f32_to_bf16(b) != h;
        bad += isnan(f) ? !isnan(fl_f16_to_f32(fl_f32_to_f16(f))) : fl_f32_to_f16(f) != h;
    }
    CHECK(bad == 0);
}

/* Between two neighbours: below the middle down, above it up, at it to the even one. */
static void check_to_even(float (*widen)(uint16_t), uint16_t (*narrow)(float), uint32_t last) {
    int bad = 0;
    for (uint32_t h = 0; h < last; h++) {
        const double a = (double)widen((uint16_t)h), b = (double)widen((uint16_t)(h + 1));
        const float middle = (float)((a + b) / 2);
        bad += narrow(middle) != h + (h & 1);
        bad += narrow(nextafterf(middle, 0)) != h;
        bad += narrow(nextafterf(middle, INFINITY)) != h + 1;
        bad += narrow(-middle) != (0x8000u | (h + (h & 1)));
    }
    CHECK(bad == 0);
}

static void check_extremes(void) {
    CHECK(fl_f32_to_f16(65519.0f) == 0x7bff && fl_f32_to_f16(65520.0f) == 0x7c00);
    CHECK(fl_f32_to_f16(INFINITY) == 0x7c00 && fl_f32_to_bf16(-INFINITY) == 0xff80);
    CHECK(fl_f32_to_f16(0x1p-24f) == 1 && fl_f32_to_f16(0x1p-25f) == 0 &&
          fl_f32_to_f16(-0x1p-26f) == 0x8000);
    CHECK(isnan(fl_bf16_to_f32(fl_f32_to_bf16(NAN))) && isnan(fl_f16_to_f32(fl_f32_to_f16(NAN))));
    CHECK(fl_bf16_to_f32(0x3f80) == 1.0f && fl_f16_to_f32(0x3c00) == 1.0f);
}

/* 1 + 2^-8 + 2^-40 is above the middle of two bf16 numbers, but f32 would put it on the middle. */
static void check_double_rounding(void) {
    uint16_t h = 0;
    const fl_tensor t = fl_tensor_of(&h, FL_BF16, 1, (int64_t[]){1});
    fl_tensor_set(&t, 0, 1 + 0x1p-8 + 0x1p-40);
    CHECK(h == 0x3f81);
    fl_tensor_set(&t, 0, -(1 + 0x1p-8 + 0x1p-40));
    CHECK(h == 0xbf81);
    fl_tensor_set(&t, 0, 1 + 0x1p-8 - 0x1p-40);
    CHECK(h == 0x3f80);
    fl_tensor_set(&t, 0, -(1 + 3 * 0x1p-8 - 0x1p-40));
    CHECK(h == 0xbf81);
}

static void check_convert(void) {
    const float in[3] = {1.5f, -2.25f, 1e30f};
    uint16_t half[3];
    double wide[3];
    fl_convert(half, FL_BF16, in, FL_F32, 3);
    fl_convert(wide, FL_F64, half, FL_BF16, 3);
    CHECK(wide[0] == 1.5 && wide[1] == -2.25 && fabs(wide[2] / 1e30 - 1) < 0x1p-8);
    fl_convert(half, FL_F16, in, FL_F32, 3);
    fl_convert(wide, FL_F64, half, FL_F16, 3);
    CHECK(wide[0] == 1.5 && wide[1] == -2.25 && isinf(wide[2]));
}

static void check_shapes(void) {
    float data[24];
    for (int i = 0; i < 24; i++) data[i] = (float)i;
    fl_tensor t = fl_tensor_of(data, FL_F32, 3, (int64_t[]){2, 3, 4});
    char text[FL_SHAPE_TEXT];
    CHECK(fl_tensor_count(&t) == 24 && fl_tensor_bytes(&t) == 96 && fl_tensor_contiguous(&t));
    CHECK(fl_tensor_rows(&t) == 6 && fl_tensor_cols(&t) == 4 && fl_tensor_get(&t, 23) == 23);
    CHECK(strcmp(fl_tensor_shape_text(&t, text), "(2, 3, 4)") == 0);
    const fl_tensor turned = {.data = data,
                              .dtype = FL_F32,
                              .rank = 2,
                              .dim = {4, 6, 1, 1},
                              .stride = {1, 4, 0, 0}};
    CHECK(!fl_tensor_contiguous(&turned) && fl_tensor_get(&turned, 1) == 4 &&
          fl_tensor_get(&turned, 6) == 1);
    const fl_tensor spread = {.data = data + 3,
                              .dtype = FL_F32,
                              .rank = 2,
                              .dim = {5, 2, 1, 1},
                              .stride = {0, 1, 0, 0}};
    CHECK(fl_tensor_get(&spread, 8) == 3 && fl_tensor_get(&spread, 9) == 4);
    fl_tensor one = t;
    one.dim[0] = 1;
    one.stride[0] = 999;  // the stride of a single row means nothing
    CHECK(fl_tensor_contiguous(&one) && !fl_tensor_same_shape(&one, &t));
}

static void check_names(void) {
    fl_dtype t;
    CHECK(fl_dtype_from_name(&t, "BF16") && t == FL_BF16 && fl_dtype_from_name(&t, "f16") &&
          t == FL_F16);
    CHECK(!fl_dtype_from_name(&t, "q4_9") && strcmp(fl_dtype_hf_name(FL_I64), "I64") == 0);
    CHECK(fl_dtype_bytes(FL_F64) == 8 && strcmp(fl_dtype_name(FL_U8), "u8") == 0);
}

static void check_buffers(void) {
    const size_t sizes[] = {0, 100, 5 << 20};
    for (int i = 0; i < 3; i++) {
        fl_buffer *b;
        fl_err err;
        CHECK(fl_buffer_new(&b, sizes[i], &err) == FL_OK);
        unsigned char *p = fl_buffer_data(b);
        CHECK((uintptr_t)p % FL_ALIGN == 0 && fl_buffer_bytes(b) == sizes[i]);
        if (sizes[i]) CHECK(p[0] == 0 && p[sizes[i] - 1] == 0);
        fl_buffer_unref(fl_buffer_ref(b));
        memset(p, 1, sizes[i]);
        fl_buffer_unref(b);
    }
    fl_buffer *b = NULL;
    fl_err err;
    CHECK(fl_buffer_new(&b, SIZE_MAX - 100, &err) == FL_ERR_NOMEM && !b);
    for (long n = 1; n <= 2; n++) {
        fl_alloc_fail_at(n);
        CHECK(fl_buffer_new(&b, 100, &err) == FL_ERR_NOMEM && !b);
        fl_alloc_fail_at(0);
    }
}

int main(void) {
    check_round_trips();
    check_to_even(fl_bf16_to_f32, fl_f32_to_bf16, 0x7f7f);
    check_to_even(fl_f16_to_f32, fl_f32_to_f16, 0x7bff);
    check_extremes();
    check_double_rounding();
    check_convert();
    check_shapes();
    check_names();
    check_buffers();
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0;
}
