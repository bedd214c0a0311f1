/* cmd_formats - fledge formats: the number formats weights may have, as the rows have them; a table
 * in Markdown, which docs/models.md shows. */
#include <stdio.h>

#include "app/command.h"
#include "app/io.h"
#include "tensor/quant.h"

/* Of one weight, the share of its block's scales included. */
static double bits(fl_dtype t) {
    return 8.0 * (double)fl_dtype_row_bytes(t, fl_dtype_block(t)) / (double)fl_dtype_block(t);
}

static const char *files(fl_dtype t) {
    const bool gguf = fl_dtype_ggml(t) >= 0, hf = fl_dtype_hf_name(t) != NULL;
    return gguf && hf ? "GGUF, safetensors" : gguf ? "GGUF" : "safetensors";
}

static const char *use(fl_dtype t) {
    if (t == FL_I8 || t == FL_U8 || t == FL_I32 || t == FL_I64) return "read; not as weights";
    return fl_dtype_is_writable(t) ? "read and written" : "read";
}

static json_t *row_json(fl_dtype t) {
    return json_pack("{s:s, s:i, s:I, s:f, s:s, s:b}", "format", fl_dtype_name(t), "ggml",
                     fl_dtype_ggml(t), "block", (json_int_t)fl_dtype_block(t), "bits", bits(t),
                     "files", files(t), "writable", fl_dtype_is_writable(t));
}

static fl_status run(const app_args *a, fl_err *err) {
    json_t *rows = json_array();
    const bool json = app_bool(a, "json");
    if (!json) puts("| format | bits a weight | block | files | here |\n|--|--|--|--|--|");
    for (int i = 0; i < FL_DTYPE_COUNT; i++) {
        const fl_dtype t = (fl_dtype)i;
        if (json) json_array_append_new(rows, row_json(t));
        else
            printf("| %s | %g | %lld | %s | %s |\n", fl_dtype_name(t), bits(t),
                   (long long)fl_dtype_block(t), files(t), use(t));
    }
    if (json) return app_print_json(rows, err);
    json_decref(rows);
    return FL_OK;
}

const app_command cmd_formats = {
    .name = "formats",
    .summary = "list the number formats that weights may have",
    .details =
        "Formats that are only read are multiplied as they are stored; `fledge quantize` writes "
        "the others.",
    .run = run,
};
