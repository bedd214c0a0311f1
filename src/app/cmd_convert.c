/* cmd_convert - fledge convert: the same model in another format. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/model.h"

static const app_flag flags[] = {{"to", 0, FLAG_CHOICE, "gguf|hf", NULL,
                                  .help = "format to write [gguf when OUT ends in .gguf, else hf]"},
                                 {"dtype", 0, FLAG_CHOICE, "f32|f16|bf16", NULL,
                                  .help = "number format of the matrices [as stored]"},
                                 {"out", 'o', FLAG_STR, "PATH", NULL,
                                  .help = "file (gguf) or folder (hf) to write"},
                                 {0}};

static bool wants_gguf(const app_args *a, const char *out) {
    const char *to = app_str(a, "to");
    return to ? strcmp(to, "gguf") == 0 : fl_path_has_suffix(out, ".gguf");
}

static void report(const app_args *a, const char *out, bool gguf, fl_dtype dtype) {
    if (!app_bool(a, "json")) {
        printf("%s: %s, %s\n", out, gguf ? "GGUF" : "Hugging Face folder", fl_dtype_name(dtype));
        return;
    }
    json_t *v = json_pack("{s:s, s:s, s:s}", "out", out, "format", gguf ? "gguf" : "hf", "dtype",
                          fl_dtype_name(dtype));
    json_dumpf(v, stdout, 0);
    putchar('\n');
    json_decref(v);
}

static bool has_blocks(const fl_model *m) {
    for (int i = 0; i < m->n_params; i++)
        if (fl_dtype_block(m->param[i].data.dtype) > 1) return true;
    return false;
}

/* Weights as they are stored; folders have no block formats, so for them blocks become f32. */
static fl_status load(fl_model **m, const char *path, bool for_gguf, fl_err *err) {
    FL_TRY(fl_model_load(m, path, &(fl_model_opts){.as_stored = true}, err));
    if (for_gguf || !has_blocks(*m)) return FL_OK;
    fl_model_free(*m);
    return fl_model_load(m, path, &(fl_model_opts){.as_stored = false}, err);
}

static fl_status run(const app_args *a, fl_err *err) {
    const char *path = app_arg(a, 0), *out = app_str(a, "out"), *wanted = app_str(a, "dtype");
    if (!out) return fl_fail(err, FL_ERR_ARG, "where to? give --out PATH");
    fl_model *m;
    const bool gguf = wants_gguf(a, out);
    FL_TRY(load(&m, path, gguf, err));
    fl_dtype dtype = fl_model_format(m);
    if (wanted && !fl_dtype_from_name(&dtype, wanted)) dtype = FL_F32;
    fl_status s = gguf ? fl_model_save_gguf(m, out, fl_path_base(path),
                                            wanted ? dtype : FL_DTYPE_KEPT, err)
                       : fl_model_save(m, out, dtype, err);
    fl_model_free(m);
    if (s == FL_OK) report(a, out, gguf, dtype);
    return s;
}

const app_command cmd_convert = {
    .name = "convert",
    .args = "MODEL",
    .summary = "write a model in another format",
    .details =
        "MODEL is a Hugging Face folder, a run folder, a checkpoint or a GGUF file. GGUF files "
        "hold "
        "the tokenizer too\n"
        "and open in llama.cpp; folders open in transformers. Quantized weights become f32 in a "
        "folder, or --dtype;\n"
        "experts that a folder has in MXFP4 stay MXFP4 in a GGUF file, whatever --dtype says.\n\n"
        "    fledge convert runs/tales --out tales.gguf --dtype f16\n"
        "    fledge convert runs/tales --to hf --dtype bf16 --out tales-bf16",
    .flags = flags,
    .run = run,
};
