/* cmd_bench_inference - fledge bench inference: how fast models read and write, beside llama.cpp's
 * llama-bench where it is given. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/child.h"
#include "app/command.h"
#include "app/model_flags.h"
#include "backend/roof.h"
#include "base/cpu.h"
#include "base/json.h"
#include "infer/bench.h"

enum { MAX_ROUNDS = 99 };

/* What one program did with one model; smaller is better of the first two. */
enum {
    READY,
    PEAK,
    PREFILL,
    DECODE,
    TOGETHER,
    N_COMPARED,
    TOKEN_BYTES = N_COMPARED,
    READ,
    N_FIGURES
};
typedef struct {
    double v[N_FIGURES];
} figures;

typedef struct {
    const char *model, *peer;
    int threads;
    int64_t n_prompt, n_generate, n_sequences;
    fl_compute compute;
    bool lock;
} task;

/* ---- this program ---- */

static fl_status ours_work(void *ctx, int fd, fl_err *err) {
    const task *t = ctx;
    fl_infer_bench b;
    const fl_infer_bench_opts o = {.n_prompt = t->n_prompt,
                                   .n_generate = t->n_generate,
                                   .n_sequences = t->n_sequences,
                                   .compute = t->compute,
                                   .lock = t->lock};
    fl_pool_set_default_size(t->threads);
    FL_TRY(fl_infer_bench_run(&b, t->model, &o, err));
    dprintf(fd, "%.17g %.17g %.17g", b.prefill, b.decode, b.token_bytes);
    return FL_OK;
}

static fl_status ours_read(const app_child *c, figures *f, fl_err *err) {
    const int n = sscanf(c->text, "%lf %lf %lf", &f->v[PREFILL], &f->v[DECODE], &f->v[TOKEN_BYTES]);
    return n == 3 ? FL_OK : fl_fail(err, FL_ERR_IO, "a measurement was cut short");
}

static fl_status ours_together_read(const app_child *c, figures *f, fl_err *err) {
    figures all;
    FL_TRY(ours_read(c, &all, err));
    f->v[TOGETHER] = all.v[DECODE];
    return FL_OK;
}

/* ---- the memory ---- */

static fl_status memory_work(void *ctx, int fd, fl_err *err) {
    const task *t = ctx;
    double bytes;
    fl_pool_set_default_size(t->threads);
    FL_TRY(fl_roof_read(&bytes, NULL, err));
    dprintf(fd, "%.17g", bytes);
    return FL_OK;
}

static fl_status memory_measure(task t, double *out, fl_err *err) {
    app_child c;
    FL_TRY(app_child_run(&c, memory_work, &t, err));
    *out = strtod(c.text, NULL);
    app_child_clear(&c);
    return FL_OK;
}

/* ---- llama.cpp's ---- */

/* Become the program, with `fd` as its standard output. */
static fl_status become(const char *file, const char *const *argv, int fd, fl_err *err) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(fd, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execv(file, (char *const *)(uintptr_t)argv);
    return fl_fail(err, FL_ERR_IO, "%s cannot be run", file);
}

static fl_status peer_work(void *ctx, int fd, fl_err *err) {
    const task *t = ctx;
    char threads[24], prompt[24], generate[24];
    snprintf(threads, sizeof threads, "%d", t->threads);
    snprintf(prompt, sizeof prompt, "%lld", (long long)(t->n_prompt ? t->n_prompt : 1));
    snprintf(generate, sizeof generate, "%lld", (long long)t->n_generate);
    const char *argv[] = {t->peer,  "-m", t->model, "-t", threads, "-p", prompt, "-n",
                          generate, "-r", "1",      "-o", "json",  NULL, NULL};
    if (!t->n_prompt) argv[13] = "--no-warmup";
    return become(t->peer, argv, fd, err);
}

static fl_status peer_read(const app_child *c, figures *f, fl_err *err) {
    json_t *tests;
    FL_TRY(fl_json_parse(&tests, c->text, strlen(c->text), "llama-bench", err));
    fl_status st = FL_OK;
    for (size_t i = 0; i < json_array_size(tests) && st == FL_OK; i++) {
        const json_t *test = json_array_get(tests, i);
        int64_t n_prompt = 0;
        double rate = 0;
        st = fl_json_int(test, "n_prompt", &n_prompt, "llama-bench", err);
        if (st == FL_OK) st = fl_json_real(test, "avg_ts", &rate, "llama-bench", err);
        f->v[n_prompt ? PREFILL : DECODE] = rate;
    }
    json_decref(tests);
    return st;
}

/* llama-batched-bench, which stands beside llama-bench. */
static fl_status batched_work(void *ctx, int fd, fl_err *err) {
    const task *t = ctx;
    char file[FL_PATH_MAX], threads[24], generate[24], texts[24], context[24];
    const int dir = (int)(fl_path_base(t->peer) - t->peer);
    snprintf(file, sizeof file, "%.*sllama-batched-bench", dir, t->peer);
    if (access(file, X_OK) != 0) return FL_OK;  // an older build: nothing to say
    snprintf(threads, sizeof threads, "%d", t->threads);
    snprintf(generate, sizeof generate, "%lld", (long long)t->n_generate);
    snprintf(texts, sizeof texts, "%lld", (long long)t->n_sequences);
    snprintf(context, sizeof context, "%lld", (long long)((t->n_generate + 2) * t->n_sequences));
    const char *const argv[] =
        {file,   "-m",  t->model, "-t",    threads,           "-npp",  "1", "-ntg", generate,
         "-npl", texts, "-c",     context, "--output-format", "jsonl", NULL};
    return become(file, argv, fd, err);
}

static fl_status batched_read(const app_child *c, figures *f, fl_err *err) {
    const char *at = strstr(c->text, "\"speed_tg\": ");
    if (!*c->text) return FL_OK;
    if (!at) return fl_fail(err, FL_ERR_FORMAT, "llama-batched-bench: no speed_tg in its output");
    f->v[TOGETHER] = strtod(at + strlen("\"speed_tg\": "), NULL);
    return FL_OK;
}

/* ---- a program ---- */

typedef struct {
    app_child_work work;
    fl_status (*read)(const app_child *c, figures *f, fl_err *err);
} part;

typedef struct {
    const char *name;
    part alone, together;
} program;

static const program ours = {"fledge", {ours_work, ours_read}, {ours_work, ours_together_read}};
static const program peer = {"llama.cpp", {peer_work, peer_read}, {batched_work, batched_read}};

static fl_status part_measure(const part *p, task t, figures *f, double *peak, fl_err *err) {
    app_child c;
    FL_TRY(app_child_run(&c, p->work, &t, err));
    *peak = c.peak_bytes;
    const fl_status st = p->read(&c, f, err);
    app_child_clear(&c);
    return st;
}

/* To the end of the first token, which says when it is ready; one text; several. */
static fl_status measure(const program *p, const task *t, figures *f, fl_err *err) {
    app_child c;
    double peak;
    task first = *t, alone = *t, together = *t;
    first.n_prompt = first.n_generate = 0;
    first.n_sequences = alone.n_sequences = 0;
    together.n_prompt = 0;
    FL_TRY(app_child_run(&c, p->alone.work, &first, err));
    f->v[READY] = c.seconds;
    app_child_clear(&c);
    FL_TRY(part_measure(&p->alone, alone, f, &f->v[PEAK], err));
    if (!t->n_sequences) return FL_OK;
    return part_measure(&p->together, together, f, &peak, err);
}

/* ---- the table ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static figures median(const figures *all, int n) {
    figures m;
    for (int k = 0; k < N_FIGURES; k++) {
        double v[MAX_ROUNDS];
        for (int i = 0; i < n; i++) v[i] = all[i].v[k];
        qsort(v, (size_t)n, sizeof *v, by_value);
        m.v[k] = (v[(n - 1) / 2] + v[n / 2]) / 2;
    }
    return m;
}

static void print_name(const task *t, const char *who) {
    printf("%s\t%s\t%d", fl_path_base(t->model), who, t->threads);
}

static void print_figures(const task *t, const char *who, const figures *f) {
    print_name(t, who);
    printf("\t%.2f\t%.0f\t%.1f\t%.1f\t%.1f", f->v[READY], f->v[PEAK] / (1 << 20), f->v[PREFILL],
           f->v[DECODE], f->v[TOGETHER]);
    const double bytes = f->v[DECODE] * f->v[TOKEN_BYTES];
    if (f->v[READ] > 0)
        printf("\t%.1f\t%.1f\t%.0f", 1e-9 * bytes, 1e-9 * f->v[READ], 100 * bytes / f->v[READ]);
    putchar('\n');
}

static void print_ratio(const task *t, const figures *a, const figures *b) {
    print_name(t, "times");
    for (int k = 0; k < N_COMPARED; k++) {
        const bool less_is_better = k == READY || k == PEAK;
        const double better = less_is_better ? a->v[k] : b->v[k];
        printf("\t%.2f", better > 0 ? (less_is_better ? b->v[k] : a->v[k]) / better : 0);
    }
    putchar('\n');
}

/* Programs take turns: the memory's speed drifts. */
static fl_status compare(const task *t, int rounds, fl_err *err) {
    figures a[MAX_ROUNDS] = {0}, b[MAX_ROUNDS] = {0};
    for (int i = 0; i < rounds; i++) {
        FL_TRY(measure(&ours, t, &a[i], err));
        FL_TRY(memory_measure(*t, &a[i].v[READ], err));
        if (t->peer) FL_TRY(measure(&peer, t, &b[i], err));
    }
    const figures our = median(a, rounds), their = median(b, rounds);
    print_figures(t, ours.name, &our);
    if (t->peer) {
        print_figures(t, peer.name, &their);
        print_ratio(t, &our, &their);
    }
    fflush(stdout);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    task t = {.peer = app_str(a, "peer"),
              .n_prompt = app_int(a, "prompt"),
              .n_generate = app_int(a, "generate"),
              .n_sequences = app_int(a, "sequences"),
              .compute = app_compute(a),
              .lock = app_bool(a, "mlock")};
    const int most = app_given(a, "threads") ? (int)app_int(a, "threads") : fl_cpu_get()->cores;
    printf(
        "# model\tprogram\tthreads\tready s\tpeak MiB\tprefill tok/s\tdecode tok/s\t"
        "together tok/s\tdecode GB/s\tread GB/s\t%% of read\n");
    for (int i = 0; i < app_n_args(a); i++) {
        t.model = app_arg(a, i);
        for (t.threads = app_given(a, "threads") ? most : 1;; t.threads = most) {
            FL_TRY(compare(&t, (int)app_int(a, "rounds"), err));
            if (t.threads == most) break;
        }
    }
    return FL_OK;
}

static const app_flag flags[] = {
    {"prompt", 0, FLAG_INT, "N", "512", "tokens read at once", .least = 1, .most = 1e6},
    {"generate", 'n', FLAG_INT, "N", "128", "tokens read one by one", .least = 1, .most = 1e6},
    {"sequences", 0, FLAG_INT, "N", "8", "texts that are continued together; 0 leaves that out",
     .least = 0, .most = FL_GROUP_ROWS},
    {"rounds", 0, FLAG_INT, "N", "3", "measurements of each, of which the median counts",
     .least = 1, .most = MAX_ROUNDS},
    {"peer", 0, FLAG_STR, "FILE", .help = "llama-bench, to be measured in turn"},
    {"compute", 0, FLAG_CHOICE, "auto|f32|bf16", "auto",
     .help = "number format; auto is bf16 where it is fast"},
    {"mlock", 0, FLAG_BOOL, .help = "keep weights in memory, never swapped or dropped"},
    {0},
};

const app_command cmd_bench_inference = {
    .name = "bench inference",
    .args = "MODEL...",
    .summary = "measure how fast models read and write, beside llama.cpp",
    .details =
        "A line for each model and number of threads (one, and one per core, unless --threads says "
        "otherwise), tab-separated: seconds until a first token has been read, the process "
        "included; most memory; tokens a second of a prompt, and of tokens that follow one "
        "another; "
        "and what these read of the weights in a second, beside what this machine can read.\n"
        "With --peer the same of llama.cpp, in turn, and how many times as good each figure is.\n"
        "    fledge bench inference m.gguf --threads 2 --peer llama.cpp/build/bin/llama-bench",
    .flags = flags,
    .run = run,
};
