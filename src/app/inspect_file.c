/* inspect_file - the keys and tensors of a model file, for people and for programs. Everything here
 * was written by somebody else: it is quoted, and shortened where it is long. */
#include <stdio.h>
#include <string.h>

#include "app/inspect.h"
#include "app/io.h"
#include "tensor/quant.h"

enum { SHOWN = 6, JSON_SHOWN = 16, TEXT_SHOWN = 70 };

fl_status app_model_file_open(app_model_file *out, const char *path, fl_err *err) {
    char config[FL_PATH_MAX];
    *out = (app_model_file){0};
    if (!fl_path_is_dir(path)) return fl_gguf_open(&out->gguf, path, err);
    FL_TRY(fl_path_join(config, path, "config.json", err));
    FL_TRY(fl_safetensors_open(&out->hf, path, err));
    fl_status s = fl_json_load(&out->config, config, err);
    if (s != FL_OK) app_model_file_close(out);
    return s;
}

void app_model_file_close(app_model_file *f) {
    fl_gguf_close(f->gguf);
    fl_safetensors_close(f->hf);
    json_decref(f->config);
    *f = (app_model_file){0};
}

static int n_tensors(const app_model_file *f) {
    return f->gguf ? fl_gguf_n_tensors(f->gguf) : f->hf ? fl_safetensors_count(f->hf) : 0;
}

static const fl_stored_tensor *tensor_at(const app_model_file *f, int i) {
    return f->gguf ? fl_gguf_tensor_at(f->gguf, i) : fl_safetensors_at(f->hf, i);
}

/* ---- metadata ---- */

/* At most `most` bytes of it, and how long it is if that is not all. */
static void print_short(const char *s, size_t n, size_t most) {
    const size_t shown = n <= most ? n : fl_utf8_complete((const uint8_t *)s, most);
    app_print_token((const uint8_t *)s, shown);
    if (shown < n) printf(".. %zu bytes", n);
}

static void print_element(const fl_gguf_key *k, uint64_t i) {
    if (k->type == FL_GGUF_STRING)
        print_short(k->strings[i].bytes, k->strings[i].n, k->is_array ? 20 : TEXT_SHOWN);
    else if (k->type == FL_GGUF_BOOL) fputs(fl_gguf_number(k, i) != 0 ? "true" : "false", stdout);
    else printf("%.10g", fl_gguf_number(k, i));
}

static void print_key(const fl_gguf_key *k) {
    app_print_word(k->name, strlen(k->name), 42);
    printf(" %-6s ", fl_gguf_type_name(k->type));
    if (!k->is_array) {
        print_element(k, 0);
    } else {
        putchar('[');
        for (uint64_t i = 0; i < k->n && i < SHOWN; i++) {
            if (i) fputs(", ", stdout);
            print_element(k, i);
        }
        printf("%s] %llu in all", k->n > SHOWN ? ", .." : "", (unsigned long long)k->n);
    }
    putchar('\n');
}

void app_print_metadata(const app_model_file *f) {
    const char *name;
    json_t *v;
    puts("metadata");
    for (int i = 0; f->gguf && i < fl_gguf_n_keys(f->gguf); i++)
        print_key(fl_gguf_key_at(f->gguf, i));
    json_object_foreach(f->config, name, v) {
        fl_text text = {0};
        fl_json_print(&text, v, 0);
        app_print_word(name, strlen(name), 42);
        putchar(' ');
        app_print_word(fl_text_str(&text), text.n, 0);
        putchar('\n');
        fl_text_clear(&text);
    }
}

static json_t *element_json(const fl_gguf_key *k, uint64_t i) {
    const double v = k->type == FL_GGUF_STRING ? 0 : fl_gguf_number(k, i);
    if (k->type == FL_GGUF_STRING) return app_json_text(k->strings[i].bytes, k->strings[i].n);
    if (k->type == FL_GGUF_BOOL) return json_boolean(v != 0);
    if (k->type == FL_GGUF_F32 || k->type == FL_GGUF_F64) return json_real(v);
    return json_integer((json_int_t)v);
}

static json_t *key_json(const fl_gguf_key *k) {
    if (!k->is_array) return element_json(k, 0);
    json_t *first = json_array();
    for (uint64_t i = 0; i < k->n && i < JSON_SHOWN; i++)
        json_array_append_new(first, element_json(k, i));
    return json_pack("{s:s, s:I, s:o}", "type", fl_gguf_type_name(k->type), "n", (json_int_t)k->n,
                     "first", first);
}

json_t *app_metadata_json(const app_model_file *f) {
    if (!f->gguf) return json_incref(f->config);
    json_t *all = json_object();
    for (int i = 0; i < fl_gguf_n_keys(f->gguf); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(f->gguf, i);
        json_object_set_new(all, k->name, key_json(k));
    }
    return all;
}

/* ---- tensors ---- */

void app_print_tensors(const app_model_file *f) {
    puts("tensors");
    for (int i = 0; i < n_tensors(f); i++) {
        const fl_stored_tensor *t = tensor_at(f, i);
        char shape[FL_SHAPE_TEXT], bytes[FL_HUMAN];
        app_print_word(t->name, strlen(t->name), 42);
        printf(" %-7s %-18s %10s\n", fl_dtype_name(t->t.dtype), fl_tensor_shape_text(&t->t, shape),
               fl_human_bytes((double)fl_tensor_bytes(&t->t), bytes));
    }
}

json_t *app_tensors_json(const app_model_file *f) {
    json_t *all = json_array();
    for (int i = 0; i < n_tensors(f); i++) {
        const fl_stored_tensor *t = tensor_at(f, i);
        json_t *shape = json_array();
        for (int d = 0; d < t->t.rank; d++) json_array_append_new(shape, json_integer(t->t.dim[d]));
        json_array_append_new(all, json_pack("{s:o, s:s, s:o, s:I, s:s}", "name",
                                             app_json_text(t->name, strlen(t->name)), "format",
                                             fl_dtype_name(t->t.dtype), "shape", shape, "bytes",
                                             (json_int_t)fl_tensor_bytes(&t->t), "file",
                                             fl_path_base(t->file)));
    }
    return all;
}

void app_print_formats(const app_model_file *f) {
    puts("in the file");
    for (int d = 0; d < FL_DTYPE_COUNT; d++) {
        double bytes = 0, numbers = 0;
        int n = 0;
        for (int i = 0; i < n_tensors(f); i++) {
            const fl_tensor *t = &tensor_at(f, i)->t;
            if ((int)t->dtype != d) continue;
            n++;
            bytes += (double)fl_tensor_bytes(t);
            numbers += (double)fl_tensor_count(t);
        }
        char count[FL_HUMAN], size[FL_HUMAN];
        if (!n) continue;
        printf("  %-13s %10s %7.3f bits %10s  %5d tensors%s\n", fl_dtype_name((fl_dtype)d),
               fl_human_count(numbers, count), numbers > 0 ? 8 * bytes / numbers : 0,
               fl_human_bytes(bytes, size), n,
               fl_dtype_is_writable((fl_dtype)d) ? "" : "; a format that is read, not written");
    }
}
