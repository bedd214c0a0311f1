/* cmd_imatrix - fledge imatrix: how strongly the inputs of a model's weights vary, from a text. */
#include <stdio.h>

#include "app/command.h"
#include "app/io.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "base/file.h"
#include "compress/observe.h"
#include "token/tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 30 };

static fl_status observe(const app_args *a, fl_model *m, fl_imatrix **out, fl_err *err) {
    char *text = NULL;
    size_t n = 0;
    fl_ids ids = {0};
    fl_progress progress = app_progress();
    const fl_observe_opts o = {.context = app_int(a, "window"),
                               .most = app_int(a, "chunks"),
                               .text_name = fl_path_base(app_arg(a, 1)),
                               .progress = &progress};
    if (!m->tokenizer)
        return fl_fail(err, FL_ERR_ARG, "%s: the model has no tokenizer to read the text with",
                       app_arg(a, 0));
    fl_status s = fl_file_read(app_arg(a, 1), TEXT_MAX_BYTES, &text, &n, err);
    const fl_encode_opts how = {.add_special = true, .plain = true};
    if (s == FL_OK) s = fl_encode(m->tokenizer, text, n, &how, &ids, err);
    if (s == FL_OK) s = fl_imatrix_observe(out, m, ids.id, (int64_t)ids.n, &o, err);
    fl_ids_clear(&ids);
    fl_dealloc(text);
    return s;
}

static fl_status report(const app_args *a, const fl_imatrix *im, fl_err *err) {
    const fl_imatrix_text text = fl_imatrix_text_of(im);
    const char *out = app_str(a, "out");
    if (app_bool(a, "json"))
        return app_print_json(json_pack("{s:s, s:i, s:I, s:I}", "out", out, "tensors",
                                        fl_imatrix_count(im), "chunks", (json_int_t)text.chunks,
                                        "chunk_size", (json_int_t)text.chunk_size),
                              err);
    printf("%s: %d tensors, from %lld windows of %lld tokens\n", out, fl_imatrix_count(im),
           (long long)text.chunks, (long long)text.chunk_size);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    const char *out = app_str(a, "out");
    fl_imatrix *im = NULL;
    fl_model *m;
    if (!out) return fl_fail(err, FL_ERR_ARG, "where to? give --out FILE.gguf");
    FL_TRY(fl_model_load(&m, app_arg(a, 0), &(fl_model_opts){.as_stored = true}, err));
    fl_status s = observe(a, m, &im, err);
    fl_model_free(m);
    if (s == FL_OK) s = fl_imatrix_save(im, out, err);
    if (s == FL_OK) s = report(a, im, err);
    fl_imatrix_free(im);
    return s;
}

static const app_flag flags[] = {
    {"out", 'o', FLAG_STR, "FILE", .help = "file to write"},
    {"window", 0, FLAG_INT, "N", .help = "tokens read together [512]", .least = 1, .most = 1e9},
    {"chunks", 0, FLAG_INT, "N", .help = "windows to read [all]", .least = 1, .most = 1e9},
    {0},
};

const app_command cmd_imatrix = {
    .name = "imatrix",
    .args = "MODEL TEXT",
    .summary = "measure which columns of a model's weights matter, for quantize",
    .details =
        "The model reads TEXT, a file of what it will be used for, and the squares of what each "
        "weight is multiplied by\n"
        "are summed. The file is llama.cpp's, and llama-quantize reads it too.\n\n"
        "    fledge imatrix tales-f16.gguf held-out.txt --out tales-imatrix.gguf\n"
        "    fledge quantize tales-f16.gguf --imatrix tales-imatrix.gguf --to Q4_K_M --out "
        "tales-Q4_K_M.gguf",
    .flags = flags,
    .run = run,
};
