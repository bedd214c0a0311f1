/* cmd_inspect - fledge inspect: what is inside a model, and whether anything is wrong with it. */
#include <stdio.h>
#include <string.h>

#include "app/inspect.h"
#include "app/io.h"
#include "app/terminal.h"
#include "hub/hub.h"
#include "model/check.h"

typedef struct {
    const app_args *args;
    char path[FL_PATH_MAX];
    fl_model *m;  // NULL: it cannot be loaded
    app_model_file file;
    fl_findings found;
    int n_checksums;
} inspection;

static bool shows(const inspection *in, const char *flag) {
    return app_bool(in->args, flag) || app_bool(in->args, "all");
}

/* ---- checks ---- */

static fl_status check(inspection *in, fl_err *err) {
    fl_progress progress = app_progress();
    fl_err why;
    FL_TRY(fl_model_check(&in->found, &in->m, in->path, &progress, err));
    fl_status s = fl_hub_verify(in->path, &progress, &in->n_checksums, &why);
    if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "%s", why.msg);
    if (s != FL_OK) fl_findings_add(&in->found, true, "%s", why.msg);
    return FL_OK;
}

static void print_check(const inspection *in) {
    const fl_findings *f = &in->found;
    char numbers[FL_HUMAN];
    puts("checks");
    for (int i = 0; i < f->n; i++) {
        printf("  %-13s ", f->finding[i].wrong ? "wrong" : "note");
        app_show_text(f->finding[i].text, strlen(f->finding[i].text));
        putchar('\n');
    }
    if (f->n_more) printf("  %-13s %d\n", "more of them", f->n_more);
    printf("  %-13s %lld tensors, %s numbers\n", "read", (long long)f->n_tensors,
           fl_human_count((double)f->n_numbers, numbers));
    if (in->n_checksums)
        printf("  %-13s %d compared with the hub's\n", "checksums", in->n_checksums);
    if (f->n_wrong) printf("verdict          wrong: %d problems\n", f->n_wrong);
    else puts("verdict          sound");
}

static json_t *check_json(const inspection *in) {
    const fl_findings *f = &in->found;
    json_t *all = json_array();
    for (int i = 0; i < f->n; i++)
        json_array_append_new(all, json_pack("{s:b, s:o}", "wrong", f->finding[i].wrong, "text",
                                             app_json_text(f->finding[i].text,
                                                           strlen(f->finding[i].text))));
    return json_pack("{s:b, s:i, s:I, s:I, s:i, s:o}", "sound", !f->n_wrong, "problems", f->n_wrong,
                     "tensors", (json_int_t)f->n_tensors, "numbers", (json_int_t)f->n_numbers,
                     "checksums", in->n_checksums, "findings", all);
}

/* ---- the whole ---- */

static void print_text(const inspection *in) {
    puts(in->path);
    if (in->m) app_print_model(in->m);
    app_print_formats(&in->file);
    if (shows(in, "metadata")) app_print_metadata(&in->file);
    if (shows(in, "tensors")) app_print_tensors(&in->file);
    if (shows(in, "template") && in->m && in->m->chat_template) {
        puts("chat template");
        app_show_text(in->m->chat_template, strlen(in->m->chat_template));
        putchar('\n');
    }
    if (app_bool(in->args, "check")) print_check(in);
}

static void print_json(const inspection *in) {
    json_t *v = json_pack("{s:o}", "path", app_json_text(in->path, strlen(in->path)));
    fl_text text = {0};
    if (in->m) app_model_json(in->m, v);
    if (shows(in, "metadata")) json_object_set_new(v, "metadata", app_metadata_json(&in->file));
    if (shows(in, "tensors")) json_object_set_new(v, "tensors", app_tensors_json(&in->file));
    if (shows(in, "template") && in->m && in->m->chat_template)
        json_object_set_new(v, "template",
                            app_json_text(in->m->chat_template, strlen(in->m->chat_template)));
    if (app_bool(in->args, "check")) json_object_set_new(v, "check", check_json(in));
    fl_json_print(&text, v, 2);
    puts(fl_text_str(&text));
    fl_text_clear(&text);
    json_decref(v);
}

static fl_status load(inspection *in, fl_err *err) {
    return fl_model_load(&in->m, in->path, &(fl_model_opts){.as_stored = true}, err);
}

/* What can be shown of a model that does not load is shown before the reason why. */
static fl_status inspect(inspection *in, fl_err *err) {
    fl_err why;
    const bool checked = app_bool(in->args, "check");
    fl_status s = checked ? check(in, err) : load(in, err);
    if (checked) FL_TRY(s);
    const fl_status opens = app_model_file_open(&in->file, in->path, &why);
    if (opens == FL_OK || checked) (app_bool(in->args, "json") ? print_json : print_text)(in);
    if (in->found.n_wrong)
        return fl_fail(err, FL_ERR_FORMAT, "%d problems, the first: %.400s", in->found.n_wrong,
                       in->found.finding[0].text);
    return s;
}

static fl_status run(const app_args *a, fl_err *err) {
    inspection in = {.args = a};
    FL_TRY(fl_model_folder(in.path, app_arg(a, 0), err));
    fl_status s = inspect(&in, err);
    fl_findings_clear(&in.found);
    app_model_file_close(&in.file);
    fl_model_free(in.m);
    return s;
}

static const app_flag flags[] = {
    {"metadata", 0, FLAG_BOOL, .help = "every key of the file, long ones shortened"},
    {"tensors", 0, FLAG_BOOL, .help = "every tensor with its format, shape and size"},
    {"template", 0, FLAG_BOOL, .help = "the chat template"},
    {"all", 'a', FLAG_BOOL, .help = "all three"},
    {"check", 0, FLAG_BOOL, .help = "read everything and say what is wrong; exit 1 if anything is"},
    {0},
};

const app_command cmd_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "print what is inside a model, and check it",
    .details =
        "MODEL is a GGUF file, a Hugging Face folder, a run folder, a checkpoint or the name of a "
        "pulled model. --check reads every number: NaN and infinities, tensors that overlap or lie "
        "outside the file, facts that do not fit the tensors, tokens that are there twice, special "
        "ids that are no token, templates that do not parse; and the checksum, where the model was "
        "pulled.\n\n"
        "    fledge inspect runs/tales\n"
        "    fledge inspect model.gguf --metadata --tensors\n"
        "    fledge inspect org/name-GGUF --check",
    .flags = flags,
    .run = run,
};
