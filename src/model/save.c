/* save - from a model to a folder that transformers opens. config.json is written last: a folder
 * without it is not taken for a model. */
#include <string.h>

#include "base/file.h"
#include "model/internal.h"
#include "token/tokenizer.h"

static fl_status save_weights(const fl_model *m, const char *dir, fl_dtype dtype, fl_err *err) {
    char path[FL_PATH_MAX];
    fli_stored_list list;
    FL_TRY(fl_path_join(path, dir, "model.safetensors", err));
    FL_TRY(fli_stored_hf(&list, m, dtype, err));
    fl_status s = fl_safetensors_save(path, list.w, list.n, err);
    fli_stored_clear(&list);
    return s;
}

/* The tokenizer's own template is in tokenizer_config.json. */
static fl_status save_template(const fl_model *m, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    const char *with_tokenizer = m->tokenizer ? fl_tokenizer_chat_template(m->tokenizer) : NULL;
    if (!m->chat_template || (with_tokenizer && strcmp(with_tokenizer, m->chat_template) == 0))
        return FL_OK;
    FL_TRY(fl_path_join(path, dir, "chat_template.jinja", err));
    return fl_file_write(path, m->chat_template, strlen(m->chat_template), err);
}

fl_status fl_model_save(const fl_model *m, const char *dir, fl_dtype dtype, fl_err *err) {
    FL_TRY(fl_dir_make(dir, err));
    FL_TRY(save_weights(m, dir, dtype, err));
    if (m->tokenizer) FL_TRY(fl_tokenizer_save(m->tokenizer, dir, err));
    FL_TRY(save_template(m, dir, err));
    FL_TRY(fl_generation_config_save(&m->config, dir, err));
    FL_TRY(fl_config_save(&m->config, dir, dtype, err));
    return fl_dir_sync(dir, err);
}
