/* test_train - the trainer keeps its word: the same bytes at any thread count, after any number of
 * kill -9, after an interrupt; accumulation is the big batch; a full disk loses nothing; what is
 * not a number is skipped, then refused.
 *
 * Catches: state missing from a checkpoint (guard, momentum, data position, update count), a log
 * not cut back, a partial folder taken for a checkpoint, the loss normalised per micro-batch, a
 * validation that moves the data. */
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"
#include "model/transform.h"
#include "toy_train.h"
#include "train/lines.h"

/* ---- comparing ---- */

static bool same_file(const char *a, const char *b, const char *name) {
    char pa[FL_PATH_MAX], pb[FL_PATH_MAX];
    fl_map ma = {0}, mb = {0};
    bool same = fl_path_join(pa, a, name, NULL) == FL_OK &&
                fl_path_join(pb, b, name, NULL) == FL_OK && fl_map_open(&ma, pa, NULL) == FL_OK &&
                fl_map_open(&mb, pb, NULL) == FL_OK;
    same = same && ma.bytes == mb.bytes && memcmp(ma.data, mb.data, ma.bytes) == 0;
    fl_map_close(&ma);
    fl_map_close(&mb);
    return same;
}

static void check_same(const char *a, const char *b, const char *weights) {
    const char *const names[] = {weights, "trainer/optimizer.safetensors", "trainer/state.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECKF(same_file(a, b, names[i]), "%s differs between %s and %s", names[i], a, b);
}

static const char *checkpoint(const char *dir, int step) {
    char name[64];
    snprintf(name, sizeof name, "%s/checkpoints/step-%06d", dir, step);
    return folder_file(name);
}

/* Every step has exactly one line. */
static void check_log(const char *dir, int steps) {
    char path[FL_PATH_MAX];
    json_t *lines = NULL;
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder_file(dir));
    CHECK(fl_lines_read(&lines, path, INT64_MAX, NULL) == FL_OK);
    CHECKF((int)json_array_size(lines) == steps, "%s: %d lines", path, (int)json_array_size(lines));
    for (int i = 0; i < (int)json_array_size(lines); i++)
        CHECK(json_integer_value(json_object_get(json_array_get(lines, (size_t)i), "step")) ==
              i + 1);
    json_decref(lines);
}

/* ---- runs ---- */

enum { STEPS = 14 };

static fl_status run_in(const char *name, int steps, int threads, bool resume) {
    toy_run r = {.dir = folder_file(name), .opts = toy_opts(steps), .threads = threads};
    r.opts.resume = resume;
    const fl_status s = toy_train(&r);
    if (s != FL_OK) printf("%s: %s\n", name, r.err.msg);
    return s;
}

static void check_threads(void) {
    CHECK(run_in("one", STEPS, 1, false) == FL_OK);
    CHECK(run_in("two", STEPS, 2, false) == FL_OK);
    for (int step = 4; step < STEPS; step += 4)
        check_same(checkpoint("one", step), checkpoint("two", step), "model.safetensors");
    check_same(checkpoint("one", STEPS), checkpoint("two", STEPS), "model.safetensors");
    check_log("one", STEPS);
    CHECK(same_file(folder_file("one/latest"), checkpoint("one", STEPS), "config.json"));
    CHECKF(run_in("one", STEPS, 1, false) == FL_ERR_ARG, "a run must not be written over");
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Start, kill at some moment, three times; then let it finish. */
static void check_kill(void) {
    fl_rng rng = {.seed = (uint64_t)time(NULL)};
    for (int i = 0; i < 3; i++) {
        const pid_t child = fork();
        if (child == 0) _exit(run_in("killed", STEPS, 2, true) == FL_OK ? 0 : 1);
        sleep_ms((long)fl_rng_below(&rng, 60));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    CHECK(run_in("killed", STEPS, 2, true) == FL_OK);
    check_same(checkpoint("one", STEPS), checkpoint("killed", STEPS), "model.safetensors");
    check_log("killed", STEPS);
}

static fl_status interrupt_soon(fl_train_job *job, fl_err *err) {
    (void)job, (void)err;
    fl_interrupt();
    return FL_OK;
}

static void check_interrupt(void) {
    toy_run r = {.dir = folder_file("interrupted"),
                 .opts = toy_opts(STEPS),
                 .tweak = interrupt_soon};
    CHECK(toy_train(&r) == FL_OK && r.result.end == FL_TRAIN_INTERRUPTED && r.result.step == 1);
    fl_interrupt_reset();
    CHECK(run_in("interrupted", STEPS, 1, true) == FL_OK);
    check_same(checkpoint("one", STEPS), checkpoint("interrupted", STEPS), "model.safetensors");
}

/* ---- disk ---- */

static void check_disk(void) {
    CHECK(run_in("disk", 4, 1, false) == FL_OK);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){20000, 20000});
        _exit(run_in("disk", STEPS, 1, true) == FL_ERR_IO ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECKF(status == 0, "a full disk must be an input/output error");
    CHECK(!fl_path_exists(checkpoint("disk", 8)));
    CHECK(fl_path_is_dir(checkpoint("disk", 4)));
    CHECK(run_in("disk", STEPS, 1, true) == FL_OK);
    CHECK(fl_path_is_dir(checkpoint("disk", STEPS)));
    folder_puts("file", "not a folder");
    CHECK(run_in("file/run", 4, 1, false) != FL_OK);
}

/* ---- accumulation ---- */

/* The gradients of eight rows in micro-batches of B, in one array. */
static float *gradients(int64_t B, double *loss, int64_t *count) {
    fl_model *m = toy_model();
    const fl_stepper_opts so = {.model = m,
                                .objective = fl_objective_find("next_token"),
                                .optimizer = toy_opts(1).optimizer,
                                .B = B,
                                .T = TOY_T,
                                .no_scoring = true};
    toy_source source = {.base = {.row = &toy_rows}};
    fl_stepper *s = NULL;
    fl_batch b = {0};
    fl_err err = {0};
    fl_status st = fl_stepper_new(&s, &so, &err);
    if (st == FL_OK) st = fl_batch_new(&b, B, TOY_T, &err);
    *loss = 0;
    for (int64_t row = 0; row < 8 && st == FL_OK; row += B) {
        double sum = 0;
        st = toy_fill(&source.base, &b, &err);
        if (st == FL_OK) st = fl_stepper_micro(s, &b, row == 0, &sum, &err);
        *loss += sum / (8 * TOY_T);
    }
    CHECKF(st == FL_OK, "%s", err.msg);
    float *out = fl_alloc(sizeof *out * (size_t)fl_model_count(m, true));
    *count = 0;
    for (int i = 0; i < m->n_params; i++) {
        const int64_t n = fl_tensor_count(&m->param[i].data);
        memcpy(out + *count, m->param[i].grad, sizeof *out * (size_t)n);
        *count += n;
    }
    fl_batch_clear(&b);
    fl_stepper_free(s);
    fl_model_free(m);
    return out;
}

static void check_accumulation(void) {
    double loss_1, loss_8, off = 0, largest = 0;
    int64_t n;
    float *one = gradients(1, &loss_1, &n), *eight = gradients(8, &loss_8, &n);
    for (int64_t i = 0; i < n; i++) {
        off = fmax(off, fabs((double)one[i] - (double)eight[i]));
        largest = fmax(largest, fabs((double)eight[i]));
    }
    CHECKF(fabs(loss_1 - loss_8) < 1e-6, "loss %.9f in eight parts, %.9f in one", loss_1, loss_8);
    CHECKF(off < 1e-6 * largest, "gradients differ by %.3g of %.3g", off, largest);
    fl_dealloc(one);
    fl_dealloc(eight);
}

/* ---- ends ---- */

static fl_status poison(fl_train_job *job, fl_err *err) {
    (void)err;
    *(float *)job->model->param[0].data.data = NAN;
    return FL_OK;
}

static void check_ends(void) {
    toy_run nan = {.dir = folder_file("nan"), .opts = toy_opts(STEPS), .tweak = poison};
    nan.opts.batch_size = 64;  // token 0 is among so many
    CHECK(toy_train(&nan) == FL_ERR_ARG && strstr(nan.err.msg, "diverged"));
    toy_run early = {.dir = folder_file("early"), .opts = toy_opts(STEPS)};
    early.opts.stop_at_val_loss = 100;
    CHECK(toy_train(&early) == FL_OK && early.result.end == FL_TRAIN_REACHED &&
          early.result.step == 3);
    CHECK(fl_path_is_dir(checkpoint("early", 3)));
    toy_run learns = {.dir = folder_file("learns"), .opts = toy_opts(120)};
    learns.opts.save_every = 0;
    CHECK(toy_train(&learns) == FL_OK);
    CHECKF(learns.result.val_loss < 2.5, "held-out loss %.3f of ln 64 = 4.16",
           learns.result.val_loss);
    CHECKF(fabs(learns.result.val_bpb - learns.result.val_loss / log(2) / 2) < 1e-9,
           "two bytes a token");
}

/* ---- time ---- */

static json_t *plans_of(const char *dir) {
    char path[FL_PATH_MAX];
    json_t *lines = NULL;
    snprintf(path, sizeof path, "%s/plan.jsonl", folder_file(dir));
    CHECK(fl_lines_read(&lines, path, INT64_MAX, NULL) == FL_OK);
    return lines;
}

/* A run held to a time ends near it; resumed from an early checkpoint, it repeats the changes of
 * plan it had made. */
static void check_time(void) {
    char dir[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", folder_file("timed"));
    toy_run r = {.dir = dir, .opts = toy_opts(1000000)};
    r.opts.seconds = 1;
    r.opts.eval_every = r.opts.save_every = 20;
    CHECK(toy_train(&r) == FL_OK && r.result.end == FL_TRAIN_FINISHED);
    CHECK(r.result.step == r.result.steps && r.result.step < 1000000);
    json_t *before = plans_of("timed");
    CHECK(json_array_size(before) > 0);
    for (int64_t step = r.result.step; step > 20; step--) {
        const char *late = checkpoint("timed", (int)step);
        if (fl_path_is_dir(late)) CHECK(fl_dir_remove(late, NULL) == FL_OK);
    }
    r.opts.resume = true;
    CHECK(toy_train(&r) == FL_OK);
    json_t *after = plans_of("timed");
    for (size_t i = 0; i < json_array_size(before); i++)
        CHECKF(json_equal(json_array_get(before, i), json_array_get(after, i)), "change of plan %d",
               (int)i);
    const json_t *last = json_array_get(before, json_array_size(before) - 1);
    CHECK(r.result.step > json_integer_value(json_object_get(last, "step")));
    json_decref(before);
    json_decref(after);
}

/* ---- transforms ---- */

static fl_status adapt(fl_train_job *job, fl_err *err) {
    json_t *config = json_pack("{sisiss}", "r", 4, "lora_alpha", 8, "target_modules", "all-linear");
    const fl_status s = fl_model_attach(job->model, &fl_transform_lora, config, 3, err);
    json_decref(config);
    job->objective = fl_objective_find("chosen_tokens");
    return s;
}

static fl_status adapt_and_interrupt(fl_train_job *job, fl_err *err) {
    fl_interrupt();
    return adapt(job, err);
}

/* The trainer saves and restores what a transform learnt, and nothing else. */
static void check_lora(void) {
    toy_run whole = {.dir = folder_file("lora"), .opts = toy_opts(9), .tweak = adapt};
    CHECKF(toy_train(&whole) == FL_OK, "%s", whole.err.msg);
    toy_run part = {.dir = folder_file("lora-resumed"),
                    .opts = toy_opts(9),
                    .tweak = adapt_and_interrupt};
    CHECKF(toy_train(&part) == FL_OK && part.result.step == 1, "%s", part.err.msg);
    fl_interrupt_reset();
    part.tweak = adapt;
    part.opts.resume = true;
    CHECKF(toy_train(&part) == FL_OK, "%s", part.err.msg);
    CHECK(!fl_path_exists(folder_file("lora/latest/model.safetensors")));
    check_same(folder_file("lora/latest"), folder_file("lora-resumed/latest"),
               "adapter_model.safetensors");
}

int main(void) {
    folder_make();
    check_threads();
    check_kill();
    check_interrupt();
    check_disk();
    check_accumulation();
    check_ends();
    check_time();
    check_lora();
    folder_remove();
    return check_report();
}
