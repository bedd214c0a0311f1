/* record - run.json and the report of a run that has ended. */
#include "train/record.h"

#include <math.h>
#include <sys/resource.h>
#include <time.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/json.h"
#include "train/report.h"

static json_t *summary(const fl_record *r) {
    static const char *const ends[] = {"finished", "reached the loss asked for", "interrupted"};
    const fl_train_result *t = r->train;
    char date[32] = "";
    const time_t now = time(NULL);
    struct tm local;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    if (localtime_r(&now, &local)) strftime(date, sizeof date, "%Y-%m-%d %H:%M", &local);
    return json_pack("{sssssssisIsIsIsIsfsfsosososIsfsfsfsI}", "end", ends[t->end], "date", date,
                     "machine", fl_cpu_get()->name, "threads",
                     fl_pool_size(r->pool ? r->pool : fl_pool_default()), "parameters",
                     (json_int_t)r->n_params, "trained_parameters", (json_int_t)r->n_trained,
                     "step", (json_int_t)t->step, "steps", (json_int_t)t->steps, "tokens",
                     t->tokens, "pass_tokens", r->pass_tokens, "loss", fl_json_number(t->loss),
                     "val_loss", fl_json_number(t->val_loss), "val_bpb", fl_json_number(t->val_bpb),
                     "skipped", (json_int_t)t->n_skipped, "seconds", t->seconds,
                     "tokens_per_second", t->tokens_per_second, "flops", t->flops, "peak_bytes",
                     (json_int_t)used.ru_maxrss * 1024);
}

fl_status fl_record_write(const fl_record *r, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, "run.json", err));
    json_t *v = summary(r);
    if (!v) return fl_fail(err, FL_ERR_NOMEM, "the summary of the run");
    const fl_status s = fl_json_save(v, path, err);
    json_decref(v);
    return s == FL_OK ? fl_report_write(dir, err) : s;
}
