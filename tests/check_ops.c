/* check_ops - holds every kernel of every backend to the reference, and every gradient rule to
 * central differences.
 *
 * Driven by the tables: an operation or kernel that is registered is tested, on each sample of its
 * row, in f32 and in each mix of formats the row names:
 *   - against ref, within the row's tolerance; a NaN is an error; nothing is written outside the
 *     result;
 *   - byte-identical however its tasks are split, in whatever order, and with garbage in scratch;
 *   - adding to the result where the row accumulates; written over its input where the row allows
 *     it; with each result left out in turn; with and without the weight packed.
 * Gradients are taken through a whole program in f64. Mutations it catches are listed in
 * docs/add-an-op.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/program.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "tensor/quant.h"

static int checks, failures;

static void *must_alloc(size_t bytes) {
    void *p = fl_alloc(bytes ? bytes : 1);
    if (!p) {
        printf("out of memory\n");
        exit(2);
    }
    return p;
}

/* --- one case: an operation, a sample, a mix of formats --- */

enum { GUARD = 128 };  // bytes of 0xFF around every tensor: NaN when read, noticed when written

typedef struct {
    fl_op_id op;
    fl_sample sample;
    int number, mix;  // of the sample; of row->mix, -1: all f32, -2: all f64
    fl_call call;     // inputs filled
    fl_call want;     // results of the reference
    double tolerance;
    bool accumulate;
} test_case;

static void *guarded(size_t bytes) {
    char *p = must_alloc(bytes + 2 * GUARD);
    memset(p, 0xFF, bytes + 2 * GUARD);
    return p + GUARD;
}

static void release(fl_tensor *t) {
    if (t->rank && t->data) fl_dealloc((char *)t->data - GUARD);
    t->data = NULL;
}

static bool guard_intact(const fl_tensor *t) {
    const unsigned char *p = (unsigned char *)t->data, *end = p + fl_tensor_bytes(t);
    for (int i = 0; i < GUARD; i++) {
        if (p[-1 - i] != 0xFF || end[i] != 0xFF) return false;
    }
    return true;
}

static void fill_ints(fl_tensor *t, const fl_sample *s, int i, fl_rng *rng) {
    const int64_t range = s->int_below[i] - s->int_min[i], cols = fl_tensor_cols(t);
    int32_t *p = t->data;
    for (int64_t k = 0, n = fl_tensor_count(t); k < n; k++) {
        p[k] = (int32_t)(s->int_min[i] +
                         (int64_t)fl_rng_below(rng, (uint64_t)(range > 0 ? range : 1)));
        if (s->ascending[i]) p[k] = k % cols ? p[k - 1] + (p[k] % 3 == 0) : 0;
        if (s->distinct[i]) p[k] = (int32_t)((k * 5 + 3) % range);  // 5 must not divide the range
    }
}

/* Random numbers as blocks; where a format is only read, random bytes, whose scales stay small
 * while the top bits of an f16's exponent are clear. */
static void fill_blocks(fl_tensor *t, fl_rng *rng) {
    uint8_t *bytes = t->data;
    float row[FL_BLOCK_MAX];
    const int64_t n = fl_dtype_block(t->dtype);
    const size_t block = fl_dtype_row_bytes(t->dtype, n);
    for (size_t at = 0; at < fl_tensor_bytes(t); at += block) {
        for (int64_t k = 0; k < n; k++) row[k] = 2 * fl_rng_float(rng) - 1;
        for (size_t k = 0; k < block; k++) bytes[at + k] = fl_rng_u32(rng) & 0x9f;
        if (fl_dtype_is_writable(t->dtype)) fl_quantize(bytes + at, t->dtype, row, NULL, n);
    }
}

static void fill(fl_tensor *t, const fl_sample *s, int i, fl_rng *rng) {
    t->data = guarded(fl_tensor_bytes(t));
    if (fl_dtype_is_block(t->dtype)) {
        fill_blocks(t, rng);
        return;
    }
    if (t->dtype == FL_I32) {
        fill_ints(t, s, i, rng);
        return;
    }
    for (int64_t k = 0, n = fl_tensor_count(t); k < n; k++) {
        fl_tensor_set(t, k, s->positive[i] ? 0.1 + fl_rng_double(rng) : 2 * fl_rng_double(rng) - 1);
    }
}

static void take_memory(fl_call *c) {
    for (int k = 0; k < c->n_out; k++) {
        if (c->out[k].rank) c->out[k].data = guarded(fl_tensor_bytes(&c->out[k]));
    }
}

static void release_outs(fl_call *c) {
    for (int k = 0; k < c->n_out; k++) release(&c->out[k]);
}

/* What out[k] holds before the call: the input it replaces, or numbers to be added to. */
static void prepare_outs(const test_case *t, fl_call *c) {
    const fl_op *row = fl_ops[t->op];
    for (int k = 0; k < c->n_out; k++) {
        if (!c->out[k].rank) continue;
        const int alias = row->alias[k];
        if (alias) {
            memcpy(c->out[k].data, t->call.in[alias - 1].data, fl_tensor_bytes(&c->out[k]));
            c->in[alias - 1].data = c->out[k].data;
        } else if (t->accumulate && row->accumulates[k]) {
            for (int64_t i = 0, n = fl_tensor_count(&c->out[k]); i < n; i++) {
                fl_tensor_set(&c->out[k], i, (double)(i % 7) * 0.25);
            }
        }
    }
}

/* The reference does everything in one task of one phase. */
static void run_ref(fl_op_id op, fl_call *c) {
    const fl_kernel *k = fl_backend_find("ref")->kernel[op];
    void *scratch = must_alloc(k->scratch ? k->scratch(c) : 1);
    k->phase[0].run(c, 0, 1, scratch);
    fl_dealloc(scratch);
}

/* o and lse of an attention gradient must be those of its q, k and v. */
static void make_consistent(test_case *t) {
    if (t->op != FL_OP_ATTENTION_GRAD) return;
    fl_call f = {.n_in = 4, .n_out = 2, .attr = t->call.attr};
    for (int i = 0; i < 3; i++) f.in[i] = t->call.in[1 + i];
    f.in[3] = t->call.in[6];
    f.out[0] = t->call.in[4];
    f.out[1] = t->call.in[5];
    run_ref(FL_OP_ATTENTION, &f);
}

static void set_formats(test_case *t) {
    const fl_op *row = fl_ops[t->op];
    const unsigned in = t->mix >= 0 ? row->mix[t->mix].in : 0;
    for (int i = 0; i < t->call.n_in; i++) {
        fl_tensor *x = &t->call.in[i];
        if (x->dtype != FL_F32) continue;
        x->dtype = t->mix == -2 ? FL_F64 : in >> i & 1u ? FL_BF16 : FL_F32;
    }
    const bool out = t->mix >= 0 && row->mix[t->mix].out;
    t->call.attr.dtype = t->mix == -2 ? FL_F64 : out ? FL_BF16 : FL_F32;
    t->tolerance = t->mix >= 0 ? row->tolerance_bf16_ppm : row->tolerance_ppm;
}

static bool make_case(test_case *t, fl_op_id op, int number, int mix) {
    *t = (test_case){.op = op, .number = number, .mix = mix};
    if (!fl_ops[op]->sample(number, &t->sample)) return false;
    t->call = t->sample.call;
    t->call.n_out = fl_ops[op]->n_out;
    set_formats(t);
    fl_rng rng = {.seed = 7, .stream = (uint64_t)op, .counter = 0};
    for (int i = 0; i < t->call.n_in; i++) {
        if (t->call.in[i].rank) fill(&t->call.in[i], &t->sample, i, &rng);
    }
    fl_err err = {0};
    if (fl_ops[op]->shape(&t->call, &err) != FL_OK) {
        printf("FAIL %s sample %d: %s\n", fl_ops[op]->name, number, err.msg);
        failures++;
        return false;
    }
    make_consistent(t);
    return true;
}

static void compute_want(test_case *t, bool accumulate) {
    t->accumulate = t->call.attr.accumulate = accumulate;
    t->want = t->call;
    take_memory(&t->want);
    prepare_outs(t, &t->want);
    run_ref(t->op, &t->want);
}

static void free_case(test_case *t) {
    for (int i = 0; i < t->call.n_in; i++) release(&t->call.in[i]);
}

/* --- verdicts --- */

static void report(const test_case *t, const fl_backend *b, const char *what, const char *detail) {
    failures++;
    if (failures > 60) return;
    char shape[FL_SHAPE_TEXT];
    printf("FAIL %-16s %-8s sample %d %s %s mix %d%s: %s %s\n", fl_ops[t->op]->name, b->name,
           t->number, fl_tensor_shape_text(&t->call.in[0], shape),
           fl_dtype_name(t->call.in[0].dtype), t->mix, t->accumulate ? " accumulate" : "", what,
           detail);
}

/* Largest |want - got| / (1 + |want|) in ppm; NaN if there is one, for it loses every
 * comparison. */
static double worst_ppm(const fl_tensor *want, const fl_tensor *got) {
    double worst = 0;
    for (int64_t i = 0, n = fl_tensor_count(want); i < n; i++) {
        const double w = fl_tensor_get(want, i), g = fl_tensor_get(got, i);
        const double e = w == g ? 0 : fabs(w - g) / (1 + fabs(w));
        if (isnan(e)) return NAN;
        if (e > worst) worst = e;
    }
    return worst * 1e6;
}

static void check_against_ref(const test_case *t, const fl_backend *b, const fl_call *got,
                              const char *what) {
    for (int k = 0; k < got->n_out; k++) {
        if (!got->out[k].rank) continue;
        checks++;
        const double ppm = worst_ppm(&t->want.out[k], &got->out[k]);
        char detail[80];
        snprintf(detail, sizeof detail, "out[%d] %.2f ppm, allowed %.0f", k, ppm, t->tolerance);
        if (!(ppm <= t->tolerance)) report(t, b, what, detail);
        if (!guard_intact(&got->out[k])) report(t, b, what, "writes outside its result");
    }
    for (int i = 0; i < got->n_in; i++) {
        if (got->in[i].rank && !guard_intact(&got->in[i]))
            report(t, b, what, "writes outside an input");
    }
}

static void check_same_bytes(const test_case *t, const fl_backend *b, const fl_call *a,
                             const fl_call *c, const char *what) {
    for (int k = 0; k < a->n_out; k++) {
        if (!a->out[k].rank || !c->out[k].rank) continue;
        checks++;
        if (memcmp(a->out[k].data, c->out[k].data, fl_tensor_bytes(&a->out[k])))
            report(t, b, what, "changes the result");
    }
}

/* --- running a kernel --- */

typedef enum { ALL_AT_ONCE, ONE_REVERSED, BY_THREES } split;

static void run_tasks(const fl_phase *f, const fl_call *c, split how, void *scratch,
                      size_t n_scratch) {
    const int64_t n = f->tasks ? f->tasks(c) : 1;
    const int64_t step = how == ALL_AT_ONCE ? n : how == BY_THREES ? 3 : 1;
    for (int64_t i = 0; i < n; i += step) {
        const int64_t begin = how == ONE_REVERSED ? n - 1 - i : i;
        memset(scratch, 0xFF, n_scratch);
        f->run(c, begin, begin + step < n ? begin + step : n, scratch);
    }
}

static void run_kernel(const fl_kernel *k, fl_call *c, split how, bool packed) {
    const size_t n_scratch = k->scratch ? k->scratch(c) : 0,
                 n_work = k->workspace ? k->workspace(c) : 0;
    void *scratch = guarded(n_scratch), *work = guarded(n_work), *pack = NULL;
    c->workspace = work;
    c->packed = NULL;
    if (packed) {
        const size_t bytes = k->pack_bytes(c);
        pack = guarded(bytes);
        const int64_t n = k->pack_tasks ? k->pack_tasks(c) : 1;
        for (int64_t i = n - 1; i >= 0; i--) k->pack(c, pack, i, i + 1);
        c->packed = pack;
    }
    const int64_t rounds = k->rounds ? k->rounds(c) : 1;
    for (c->round = 0; c->round < rounds; c->round++) {
        for (int f = 0; f < FL_MAX_PHASES && k->phase[f].run; f++)
            run_tasks(&k->phase[f], c, how, scratch, n_scratch);
    }
    fl_dealloc((char *)scratch - GUARD);
    fl_dealloc((char *)work - GUARD);
    if (pack) fl_dealloc((char *)pack - GUARD);
    c->packed = c->workspace = NULL;
}

static void check_splits(const test_case *t, const fl_backend *b, const fl_kernel *k,
                         const fl_call *first, bool packed) {
    for (split how = ONE_REVERSED; how <= BY_THREES; how++) {
        fl_call c = t->call;
        take_memory(&c);
        prepare_outs(t, &c);
        run_kernel(k, &c, how, packed);
        check_same_bytes(t, b, first, &c,
                         how == BY_THREES ? "splitting tasks by threes"
                                          : "running tasks one by one, reversed");
        release_outs(&c);
    }
}

/* out[k] in the memory of the input the row names. */
static void check_in_place(const test_case *t, const fl_backend *b, const fl_kernel *k,
                           const fl_call *first) {
    const fl_op *row = fl_ops[t->op];
    for (int o = 0; o < t->call.n_out; o++) {
        const int in = row->in_place[o] - 1;
        if (in < 0 || t->accumulate || t->call.in[in].dtype != t->call.out[o].dtype ||
            fl_tensor_bytes(&t->call.in[in]) != fl_tensor_bytes(&t->call.out[o])) {
            continue;
        }
        fl_call c = t->call;
        take_memory(&c);
        memcpy(c.out[o].data, c.in[in].data, fl_tensor_bytes(&c.out[o]));
        c.in[in].data = c.out[o].data;
        run_kernel(k, &c, BY_THREES, false);
        check_same_bytes(t, b, first, &c, "working in place");
        release_outs(&c);
    }
}

/* Each result but the main one of a forward operation may be left out. */
static void check_unwanted(const test_case *t, const fl_backend *b, const fl_kernel *k,
                           const fl_call *first, bool packed) {
    const fl_op *row = fl_ops[t->op];
    bool in_place = false;  // state is always wanted whole
    for (int o = 0; o < t->call.n_out; o++) in_place |= row->alias[o] != 0;
    for (int o = row->grad ? 1 : 0; o < t->call.n_out && t->call.n_out > 1 && !in_place; o++) {
        fl_call c = t->call;
        c.out[o] = (fl_tensor){0};
        if (k->supports && !k->supports(&c)) continue;
        take_memory(&c);
        prepare_outs(t, &c);
        run_kernel(k, &c, ALL_AT_ONCE, packed);
        check_same_bytes(t, b, first, &c, "leaving a result out");
        release_outs(&c);
    }
}

static void check_kernel(const test_case *t, const fl_backend *b, const fl_kernel *k) {
    const bool can_pack = k->pack_id && k->pack_id(&t->call);
    for (int packed = 0; packed <= can_pack; packed++) {
        fl_call c = t->call;
        take_memory(&c);
        prepare_outs(t, &c);
        run_kernel(k, &c, ALL_AT_ONCE, packed);
        check_against_ref(t, b, &c, packed ? "with packed weights" : "");
        check_splits(t, b, k, &c, packed);
        check_unwanted(t, b, k, &c, packed);
        if (!packed) check_in_place(t, b, k, &c);
        release_outs(&c);
    }
}

static void check_case(test_case *t) {
    bool accumulates = false;
    for (int k = 0; k < FL_MAX_OUT; k++) accumulates |= fl_ops[t->op]->accumulates[k];
    for (int accumulate = 0; accumulate <= accumulates; accumulate++) {
        if (accumulate && t->call.out[0].dtype == FL_BF16) continue;  // parameter gradients are f32
        compute_want(t, accumulate);
        for (const fl_backend *const *b = fl_backends; *b; b++) {
            const fl_kernel *k = (*b)->kernel[t->op];
            if (k && (*b)->available() && (!k->supports || k->supports(&t->call)))
                check_kernel(t, *b, k);
        }
        release_outs(&t->want);
    }
}

static void check_op(fl_op_id op) {
    if (fl_ops[op]->view) return;
    for (int mix = -1; mix < 4; mix++) {
        if (mix >= 0 && !fl_ops[op]->mix[mix].in && !fl_ops[op]->mix[mix].out) break;
        test_case t;
        int n = 0;
        for (; make_case(&t, op, n, mix); n++) {
            check_case(&t);
            free_case(&t);
        }
        checks++;
        if (!n) failures++, printf("FAIL %s has no samples\n", fl_ops[op]->name);
    }
}

/* --- gradients --- */

/* Integers, weights in blocks or f16, and floats that are constants of the operation. */
static bool is_constant(const test_case *t, int in) {
    const fl_dtype dtype = t->call.in[in].dtype;
    if (dtype == FL_I32 || dtype == FL_F16 || fl_dtype_is_block(dtype)) return true;
    return (t->op == FL_OP_ROPE && in == 2) || (t->op == FL_OP_ROUTE && in == 1);
}

typedef struct {
    fl_graph *g;
    fl_program *program;
    fl_val in[FL_MAX_IN], loss;
    double *weights;
} grad_case;

/* loss = sum of out[0] times random weights, every float input trainable. */
static bool build_grad_case(grad_case *c, const test_case *t, fl_err *err) {
    *c = (grad_case){.g = fl_graph_new()};
    for (int i = 0; i < t->call.n_in; i++) {
        const fl_tensor *x = &t->call.in[i];
        c->in[i] = x->rank ? fl_extern(c->g, "in", *x, !is_constant(t, i)) : FL_NONE;
    }
    const fl_val out = fl_apply(c->g, t->op, &t->call.attr, t->call.n_in, c->in);
    fl_tensor w = fl_value_get(c->g, out)->t;
    c->weights = must_alloc((size_t)fl_tensor_count(&w) * sizeof(double));
    fl_rng rng = {.seed = 5};
    for (int64_t i = 0, n = fl_tensor_count(&w); i < n; i++)
        c->weights[i] = 2 * fl_rng_double(&rng) - 1;
    w.data = c->weights;
    c->loss = fl_sum_to(c->g, fl_mul(c->g, out, fl_extern(c->g, "weights", w, false)), 1,
                        (int64_t[]){1});
    fl_graph_backward(c->g, c->loss);
    fl_graph_output(c->g, c->loss);
    const fl_program_opts opts = {.backend = fl_backend_find("ref")};
    return fl_program_new(&c->program, c->g, &opts, err) == FL_OK &&
           fl_program_run(c->program, false, err) == FL_OK;
}

static double loss_at(const grad_case *c, const fl_tensor *x, int64_t i, double v) {
    fl_err err = {0};
    const double old = fl_tensor_get(x, i);
    fl_tensor_set(x, i, v);
    if (fl_program_run(c->program, false, &err) != FL_OK) return NAN;
    fl_tensor_set(x, i, old);
    const fl_tensor loss = fl_program_tensor(c->program, c->loss);
    return fl_tensor_get(&loss, 0);
}

static void check_derivative(const grad_case *c, const test_case *t, int in, const double *grad,
                             int64_t i) {
    const fl_tensor *x = &t->call.in[in];
    const double at = fl_tensor_get(x, i), h = 2e-5;
    const double want = (loss_at(c, x, i, at + h) - loss_at(c, x, i, at - h)) / (2 * h),
                 got = grad[i];
    checks++;
    if (fabs(want - got) <= 1e-6 * (1 + fabs(want))) return;
    failures++;
    printf(
        "FAIL gradient of %s sample %d: d in[%d] element %lld is %.9g, central difference %.9g\n",
        fl_ops[t->op]->name, t->number, in, (long long)i, got, want);
}

static void check_input(const grad_case *c, const test_case *t, int in) {
    fl_err err = {0};
    if (c->in[in].id < 0 || fl_graph_grad(c->g, c->in[in]).id < 0) return;
    if (fl_program_run(c->program, false, &err) != FL_OK) failures++;
    const fl_tensor g = fl_program_tensor(c->program, fl_graph_grad(c->g, c->in[in]));
    const int64_t n = fl_tensor_count(&g), step = n / 9 + 1;
    double *grad = must_alloc(fl_tensor_bytes(&g));
    memcpy(grad, g.data, fl_tensor_bytes(&g));  // the runs below write it again
    for (int64_t i = n - 1; i >= 0; i -= step) check_derivative(c, t, in, grad, i);
    fl_dealloc(grad);
}

static void check_gradient(const test_case *t) {
    grad_case c;
    fl_err err = {0};
    if (!build_grad_case(&c, t, &err)) {
        failures++;
        printf("FAIL gradient of %s sample %d: %s\n", fl_ops[t->op]->name, t->number, err.msg);
    } else {
        for (int in = 0; in < t->call.n_in; in++) check_input(&c, t, in);
    }
    fl_program_free(c.program);
    fl_graph_free(c.g);
    fl_dealloc(c.weights);
}

static void check_gradients(fl_op_id op) {
    if (!fl_ops[op]->grad) return;
    test_case t;
    for (int n = 0; make_case(&t, op, n, -2); n++) {
        int64_t work = 0;
        bool trainable = false;
        for (int i = 0; i < t.call.n_in; i++) {
            work += t.call.in[i].rank ? fl_tensor_count(&t.call.in[i]) : 0;
            trainable |= t.call.in[i].rank && !is_constant(&t, i);
        }
        const bool cached = op == FL_OP_ATTENTION && t.call.n_in > 4 &&
                            t.call.in[4].rank;  // keys of a cache: inference only
        if (work < 12000 && trainable && !cached) check_gradient(&t);  // the reference is slow
        free_case(&t);
    }
}

int main(void) {
    const char *required = getenv("FLEDGE_REQUIRE");
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if ((*b)->available()) continue;
        printf("SKIP %s: needs %s\n", (*b)->name, (*b)->needs);
        if (required && strcmp(required, (*b)->name) == 0) failures++;
    }
    if (required && *required && !fl_backend_find(required))
        failures++, printf("FAIL no backend %s\n", required);
    for (int op = 0; op < FL_OP_COUNT; op++) {
        check_op((fl_op_id)op);
        check_gradients((fl_op_id)op);
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
