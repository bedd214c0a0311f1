/* program.c - making a program from a plan, and running it.
 *
 * Everything that can be decided once is: a run is a walk over an array of ready calls. */
#include "backend/program.h"

#include <stdlib.h>
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/progress.h"
#include "base/text.h"

/* --- making --- */

static fl_status make_plan(fl_program *p, int n_scopes, fl_err *err) {
    fl_arena_free(&p->arena);
    FL_TRY(fli_lower(&p->plan, p->g, &p->arena, err));
    FL_TRY(fli_recompute(&p->plan, n_scopes, err));
    FL_TRY(fli_choose(&p->plan, p->backend, err));
    fli_join(&p->plan);
    return fli_place(&p->plan, err);
}

/* Recompute one scope more, from the first on, until the values fit. */
static fl_status make_plan_within(fl_program *p, size_t limit, fl_err *err) {
    FL_TRY(make_plan(p, 0, err));
    size_t least = p->plan.bytes;
    const int n_scopes = limit ? fli_n_scopes_to_recompute(&p->plan) : 0;
    for (int n = 1; n <= n_scopes && p->plan.bytes > limit; n++) {
        FL_TRY(make_plan(p, n, err));
        if (p->plan.bytes < least) least = p->plan.bytes;
    }
    if (!limit || p->plan.bytes <= limit) return FL_OK;
    char have[FL_HUMAN], need[FL_HUMAN];
    return fl_fail(err, FL_ERR_NOMEM,
                   "computed values need at least %s even when every layer is recomputed; the "
                   "limit is %s: make the batch smaller",
                   fl_human_bytes((double)least, need), fl_human_bytes((double)limit, have));
}

static void count_tasks(fli_step *s) {
    for (int f = 0; f < FL_MAX_PHASES && s->kernel && s->kernel->phase[f].run; f++)
        s->tasks[f] = s->kernel->phase[f].tasks ? s->kernel->phase[f].tasks(&s->call) : 1;
    if (s->prepared) s->tasks[0] = 0;
}

static void set_data(fl_program *p) {
    fli_plan *plan = &p->plan;
    char *base = fl_buffer_data(p->values);
    for (int v = 0; v < plan->n_slots; v++) {
        fli_slot *s = &plan->slot[v], *r = s;
        while (&plan->slot[r->root] != r) r = &plan->slot[r->root];
        if (r->kind == FL_VALUE_EXTERN) s->t.data = r->t.data;
        else if (r->bytes) s->t.data = base + r->offset;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        fli_step *s = &plan->step[i];
        for (int k = 0; k < s->call.n_in; k++) {
            if (s->in[k] >= 0) s->call.in[k].data = plan->slot[s->in[k]].t.data;
        }
        for (int k = 0; k < s->call.n_out; k++) {
            if (s->call.out[k].rank) s->call.out[k].data = plan->slot[s->out[k]].t.data;
        }
        if (s->workspace >= 0) s->call.workspace = plan->slot[s->workspace].t.data;
        count_tasks(s);
    }
}

static fl_status get_packs(fl_program *p, fl_err *err) {
    for (int i = 0; i < p->plan.n_steps; i++) {
        fli_step *s = &p->plan.step[i];
        if (s->call.packed) FL_TRY(fli_packs_get(&s->pack, p->packs, s->kernel, &s->call, err));
    }
    return FL_OK;
}

static fl_status get_memory(fl_program *p, fl_err *err) {
    const size_t per_worker = fli_round_up(p->plan.scratch_bytes, 4096);  // workers share no page
    p->plan.scratch_bytes = per_worker;
    FL_TRY(fl_buffer_new(&p->values, p->plan.bytes, err));
    FL_TRY(fl_buffer_new(&p->scratch, per_worker * (size_t)fl_pool_size(p->pool), err));
    if (!p->packs) {
        p->packs = fl_packs_new();
        p->owns_packs = true;
        if (!p->packs) return fl_fail(err, FL_ERR_NOMEM, "packing weights");
    }
    return FL_OK;
}

static fl_status build(fl_program *p, const fl_program_opts *opts, fl_err *err) {
    FL_TRY(fl_graph_check(p->g, err));
    if (!p->backend) FL_TRY(fl_backend_pick(&p->backend, err));
    if (!p->pool) p->pool = fl_pool_default();
    if (!p->pool) return fl_fail(err, FL_ERR_NOMEM, "starting threads");
    FL_TRY(make_plan_within(p, opts->memory_limit, err));
    FL_TRY(get_memory(p, err));
    set_data(p);
    return get_packs(p, err);
}

fl_status fl_program_new(fl_program **out, fl_graph *g, const fl_program_opts *opts, fl_err *err) {
    const fl_program_opts none = {0};
    if (!opts) opts = &none;
    fl_program *p = fl_alloc(sizeof *p);
    if (!p) return fl_fail(err, FL_ERR_NOMEM, "a program");
    const char *validate = getenv("FLEDGE_VALIDATE");
    *p = (fl_program){.g = g,
                      .backend = opts->backend,
                      .pool = opts->pool,
                      .packs = opts->packs,
                      .validate = opts->validate || (validate && strcmp(validate, "1") == 0),
                      .check_finite = validate && strcmp(validate, "nan") == 0};
    fl_arena_init(&p->arena, 256 << 10);
    const fl_status s = build(p, opts, err);
    if (s != FL_OK) {
        fl_program_free(p);
        return s;
    }
    *out = p;
    return FL_OK;
}

void fl_program_free(fl_program *p) {
    if (!p) return;
    if (p->owns_packs) fl_packs_free(p->packs);
    fl_buffer_unref(p->values);
    fl_buffer_unref(p->scratch);
    fl_arena_free(&p->arena);
    fl_dealloc(p);
}

fl_tensor fl_program_tensor(const fl_program *p, fl_val v) {
    FL_ASSERT(v.id >= 0 && v.id < fl_graph_n_values(p->g));
    const fli_slot *s = &p->plan.slot[p->plan.slot_of[v.id]];
    FL_ASSERT(s->keep || s->kind != FL_VALUE_COMPUTED);  // anything else may be overwritten
    return s->t;
}

/* --- running --- */

/* A phase of steps that run as one: their tasks are numbered through. */
typedef struct {
    const fli_step *step;
    int n_steps, phase;
    char *scratch;
    size_t scratch_bytes;
} job;

static int64_t n_tasks(const job *j) {
    int64_t n = 0;
    for (int i = 0; i < j->n_steps; i++) n += j->step[i].tasks[j->phase];
    return n;
}

static void run_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    for (int i = 0; i < j->n_steps && end > 0; i++) {
        const fli_step *s = &j->step[i];
        const int64_t n = s->tasks[j->phase], last = end < n ? end : n;
        if (begin < last)
            s->kernel->phase[j->phase].run(&s->call, begin, last,
                                           j->scratch + (size_t)worker * j->scratch_bytes);
        begin = begin > n ? begin - n : 0;
        end -= n;
    }
}

/* Tasks to take at a time: short jobs in one part for each worker, because a part that begins has
 * to wait for memory that nobody asked for, longer ones as the pool sees fit, so that workers end
 * together. */
static int64_t grain_of(const fl_program *p, const job *j, int64_t n) {
    static const double SHORT_SECONDS = 2e-4;
    const int64_t workers = fl_pool_size(p->pool);
    double work = 0;
    if (j->step->kernel->uneven) return 1;
    for (int i = 0; i < j->n_steps; i++) work += j->step[i].work;
    return work < SHORT_SECONDS ? (n + workers - 1) / workers : 0;
}

static void run_phases(fl_program *p, const fli_step *s, int n_steps) {
    for (int f = 0; f < FL_MAX_PHASES; f++) {
        job j = {s, n_steps, f, fl_buffer_data(p->scratch), p->plan.scratch_bytes};
        const int64_t n = n_tasks(&j);
        if (n <= 1 || (s->inline_ && n_steps == 1)) run_tasks(&j, 0, n, 0);
        else fl_pool_run(p->pool, n, grain_of(p, &j, n), run_tasks, &j);
    }
}

void fli_run_step(fl_program *p, fli_step *s) {
    const int64_t n = s->kernel->rounds ? s->kernel->rounds(&s->call) : 1;
    for (s->call.round = 0; s->call.round < n; s->call.round++) {
        if (n > 1) count_tasks(s);
        run_phases(p, s, 1);
    }
    s->call.round = 0;
}

static void look_at_packs(fl_program *p) {
    if (p->packs_version == fli_packs_version(p->packs)) return;
    for (int i = 0; i < p->plan.n_steps; i++) {
        fli_step *s = &p->plan.step[i];
        if (!s->pack) continue;
        s->call.packed = fli_pack_ready(s->pack, p->packs, p->pool);
        count_tasks(s);
    }
    p->packs_version = fli_packs_version(p->packs);
}

/* A kernel may have other tasks when it adds than when it replaces: nothing to zero, for one. */
static void set_accumulate(fl_program *p, bool accumulate) {
    for (int i = 0; i < p->plan.n_steps; i++) {
        fli_step *s = &p->plan.step[i];
        if (!s->head || s->call.attr.accumulate == accumulate) continue;
        s->call.attr.accumulate = accumulate;
        count_tasks(s);
    }
    p->accumulate = accumulate;
}

static void run_job(fl_program *p, fli_step *s) {
    if (s->job == 1) fli_run_step(p, s);
    else run_phases(p, s, s->job);
}

/* Joined steps share their time: the first has it. */
static void run_profiled(fl_program *p, fli_step *s) {
    const double start = fl_now();
    run_job(p, s);
    s->seconds += fl_now() - start;
    for (int i = 0; i < s->job; i++) s[i].n_calls++;
}

/* Every step alone, and looked at. */
static fl_status run_checked(fl_program *p, fli_step *s, fl_err *err) {
    for (int i = 0; i < s->job; i++) {
        if (p->validate) FL_TRY(fli_run_validated(p, &s[i], err));
        else FL_TRY(fli_run_checked(p, &s[i], err));
    }
    return FL_OK;
}

static fl_status check_values(const fli_step *s, fl_err *err) {
    for (int i = 0; i < s->job; i++)
        if (s[i].values) FL_TRY(s[i].values(&s[i].call, err));
    return FL_OK;
}

static fl_status run_steps(fl_program *p, fl_err *err) {
    for (int i = 0; i < p->plan.n_steps; i += p->plan.step[i].job) {
        fli_step *s = &p->plan.step[i];
        if (!s->kernel) continue;
        FL_TRY(check_values(s, err));
        if (p->validate || p->check_finite) FL_TRY(run_checked(p, s, err));
        else if (p->profile) run_profiled(p, s);
        else run_job(p, s);
    }
    return FL_OK;
}

fl_status fl_program_run(fl_program *p, bool accumulate, fl_err *err) {
    fli_packs_pay(p->packs, p->pool);
    const double start = fl_now();
    look_at_packs(p);
    set_accumulate(p, accumulate);
    FL_TRY(run_steps(p, err));
    fli_packs_owe(p->packs, fl_now() - start);
    return FL_OK;
}

/* --- looking --- */

void fl_program_stats_get(const fl_program *p, fl_program_stats *out) {
    *out = (fl_program_stats){.values_bytes = p->plan.bytes,
                              .unshared_bytes = p->plan.unshared_bytes,
                              .scratch_bytes = fl_buffer_bytes(p->scratch),
                              .packs_bytes = fl_packs_bytes(p->packs),
                              .n_recomputed = p->plan.n_repeated};
    for (int i = 0; i < p->plan.n_steps; i++) {
        out->flops += p->plan.step[i].cost.flops;
        out->bytes += p->plan.step[i].cost.bytes;
    }
}

static void print_slot(const fli_plan *plan, int slot, FILE *out) {
    const fli_slot *s = &plan->slot[slot];
    int r = slot;
    while (plan->slot[r].root != r) r = plan->slot[r].root;
    if (s->value >= 0) fprintf(out, " %%%d", s->value);
    else fprintf(out, " workspace");
    if (plan->slot[r].kind == FL_VALUE_EXTERN) fprintf(out, " extern");
    else fprintf(out, " @%zu+%zu", plan->slot[r].offset, fl_tensor_bytes(&s->t));
    if (r != slot && plan->slot[r].value >= 0) fprintf(out, " in %%%d", plan->slot[r].value);
}

static void print_step(const fli_plan *plan, const fli_step *s, FILE *out) {
    fprintf(out, "%-16s %-8s", fli_step_op(plan, s)->name, s->kernel ? s->backend->name : "view");
    for (int k = 0; k < s->call.n_out; k++) {
        if (s->call.out[k].rank) print_slot(plan, s->out[k], out);
    }
    if (s->workspace >= 0) print_slot(plan, s->workspace, out);
    for (int f = 0; f < FL_MAX_PHASES && s->tasks[f]; f++)
        fprintf(out, "%s%lld", f ? "+" : " tasks ", (long long)s->tasks[f]);
    fprintf(out, "%s%s%s%s%s\n", s->inline_ ? " inline" : "", s->call.packed ? " packed" : "",
            s->head ? " head" : "", s->repeated ? " again" : "", s->job ? "" : " joined");
}

void fl_program_print(const fl_program *p, FILE *out) {
    for (int i = 0; i < p->plan.n_steps; i++) print_step(&p->plan, &p->plan.step[i], out);
    fprintf(out, "values %zu bytes, unshared %zu, scratch %zu, packs %zu, %d nodes run twice\n",
            p->plan.bytes, p->plan.unshared_bytes, fl_buffer_bytes(p->scratch),
            fl_packs_bytes(p->packs), p->plan.n_repeated);
}

void fl_program_profile(fl_program *p, bool on) {
    p->profile = on;
    for (int i = 0; i < p->plan.n_steps && on; i++)
        p->plan.step[i].seconds = 0, p->plan.step[i].n_calls = 0;
}

static int longest_first(const void *a, const void *b) {
    const fl_profile_row *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

int fl_program_profile_rows(const fl_program *p, fl_profile_row *rows, int max) {
    fl_profile_row all[FL_OP_COUNT];
    int n = 0;
    for (int i = 0; i < p->plan.n_steps; i++) {
        const fli_step *s = &p->plan.step[i];
        if (!s->n_calls) continue;
        const char *op = fli_step_op(&p->plan, s)->name;
        int r = 0;
        while (r < n && (all[r].op != op || all[r].backend != s->backend->name)) r++;
        if (r == FL_OP_COUNT) continue;
        if (r == n) all[n++] = (fl_profile_row){.op = op, .backend = s->backend->name};
        all[r].n_calls += s->n_calls;
        all[r].seconds += s->seconds;
        all[r].flops += s->cost.flops * (double)s->n_calls;
        all[r].bytes += s->cost.bytes * (double)s->n_calls;
    }
    qsort(all, (size_t)n, sizeof *all, longest_first);
    if (n > max) n = max;
    memcpy(rows, all, (size_t)n * sizeof *all);
    return n;
}
