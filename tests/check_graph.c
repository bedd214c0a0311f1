/* check_graph - graphs built, checked, printed and differentiated.
 *
 * Caught by: an error that does not stick, a message without its scope, a contribution to a shared
 * parameter lost or counted twice, a tied weight that costs an extra pass, a leak when memory runs
 * out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/program.h"
#include "base/alloc.h"
#include "check.h"
#include "small_model.h"

static fl_val number_input(fl_graph *g, const char *name, int64_t n) {
    return fl_input(g, name, FL_F32, 1, &n);
}

static void check_errors_stick(void) {
    fl_graph *g = fl_graph_new();
    fl_err err = {0};
    fl_graph_scope(g, "layer 3");
    const fl_val x = fl_input(g, "x", FL_F32, 2, (int64_t[]){2, 3});
    const fl_val w = fl_input(g, "w", FL_BF16, 2, (int64_t[]){4, 5});
    const fl_val bad = fl_linear(g, x, w, FL_NONE, FL_F32);
    CHECK(bad.id == FL_NONE.id && fl_add(g, bad, x).id < 0 && fl_scale(g, x, 2).id < 0);
    CHECK(fl_graph_check(g, &err) == FL_ERR_SHAPE);
    CHECKF(strcmp(err.msg,
                  "layer 3: linear: w must be (N, K), K the columns of x; given (2, 3) f32, (4, 5) "
                  "bf16") == 0,
           "%s", err.msg);
    fl_program *p = NULL;
    CHECK(fl_program_new(&p, g, NULL, &err) == FL_ERR_SHAPE && !p);
    fl_graph_free(g);
}

/* Each misuse on a fresh graph, and a piece of what is said about it. */
static void check_messages(void) {
    for (int i = 0; i < 7; i++) {
        fl_graph *g = fl_graph_new();
        float weight[4] = {0};
        fl_tensor t = fl_tensor_of(weight, FL_F32, 2, (int64_t[]){2, 2}), strided = t;
        strided.stride[0] = 1, strided.stride[1] = 2;
        const fl_val x = number_input(g, "x", 2), w = fl_extern(g, "w", t, true);
        const char *want = "";
        switch (i) {
        case 0: want = "add: in[1] is missing", fl_add(g, x, FL_NONE); break;
        case 1: want = "contiguous", fl_extern(g, "w", strided, false); break;
        case 2: want = "the loss must be one f32 number", fl_graph_backward(g, w); break;
        case 3:
            want = "softmax has no gradient rule",
            fl_graph_backward(g, fl_sum_to(g, fl_softmax(g, w), 1, (int64_t[]){1}));
            break;
        case 4: want = "softcap needs a positive cap", fl_softcap(g, x, 0); break;
        case 5: want = "in[0] must be i32", fl_embedding(g, x, w, FL_F32); break;
        default: want = "another number of elements", fl_reshape(g, x, 1, (int64_t[]){3}); break;
        }
        fl_err err = {0};
        CHECKF(fl_graph_check(g, &err) != FL_OK && strstr(err.msg, want), "case %d: %s", i,
               err.msg);
        fl_graph_free(g);
    }
}

static void check_looking(void) {
    fl_graph *g = fl_graph_new();
    const fl_val x = number_input(g, "x", 3);
    CHECK(fl_cast(g, x, FL_F32).id == x.id);  // nothing to do
    fl_val last = x;
    for (int i = 0; i < 1000; i++) last = fl_scale(g, last, 1.5f);
    const fl_value_info *first = fl_value_get(g, x);
    for (int i = 0; i < 1000; i++) last = fl_scale(g, last, 1.5f);
    CHECK(first == fl_value_get(g, x) && fl_graph_n_nodes(g) == 2000 &&
          fl_graph_n_values(g) == 2001);
    CHECK(fl_value_get(g, last)->node == 1999 && fl_graph_node(g, 1999)->op == FL_OP_SCALE);
    fl_err err;
    CHECK(fl_graph_check(g, &err) == FL_OK);
    fl_graph_free(g);
}

static void check_print(void) {
    static const char want[] =
        "%0 f32 (4, 8) \"x\" = input\n"
        "%1 f32 (2, 8) \"w\" = extern trainable\n"
        "%5 f32 (1) \"one\" = extern\n"
        "%2 bf16 (4, 2) = linear(%0:x, %1:w, none)   # layer 0\n"
        "%3 bf16 (4, 2) = unary(%2) gelu_tanh   # layer 0\n"
        "%4 f32 (1) \"loss\" output = sum_to(%3)   # layer 0\n"
        "%6 f32 (4, 2) = broadcast(%5:one)   # layer 0 backward\n"
        "%7 bf16 (4, 2) = cast(%6)   # layer 0 backward\n"
        "%8 bf16 (4, 2) = unary_grad(%2, %7) gelu_tanh   # layer 0 backward\n"
        "%9 f32 (2, 8) = linear_dw(%8, %0:x)   # layer 0 backward\n";
    static float weight[16];
    char text[2048] = "";
    fl_graph *g = fl_graph_new();
    const fl_val x = fl_input(g, "x", FL_F32, 2, (int64_t[]){4, 8});
    const fl_val w = fl_extern(g, "w", fl_tensor_of(weight, FL_F32, 2, (int64_t[]){2, 8}), true);
    fl_graph_scope(g, "layer 0");
    const fl_val y = fl_unary_of(g, FL_UNARY_GELU_TANH, fl_linear(g, x, w, FL_NONE, FL_BF16));
    const fl_val loss = fl_sum_to(g, y, 1, (int64_t[]){1});
    fl_graph_name(g, loss, "loss");
    fl_graph_output(g, loss);
    fl_graph_backward(g, loss);
    FILE *f = tmpfile();
    if (!f) exit(2);
    fl_graph_print(g, f);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    CHECKF(strcmp(text, want) == 0, "printed:\n%s", text);
    fl_graph_free(g);
}

/* --- the gradients of a whole model --- */

static double loss_of(const small_model *m, fl_program *p) {
    fl_err err;
    if (fl_program_run(p, false, &err) != FL_OK) return NAN;
    const fl_tensor t = fl_program_tensor(p, m->loss);
    return fl_tensor_get(&t, 0);
}

static void check_param(const small_model *m, fl_program *p, int i) {
    const fl_value_info *info = fl_value_get(m->g, m->param[i]);
    CHECK(!isnan(loss_of(m, p)));
    const fl_tensor g = fl_program_tensor(p, fl_graph_grad(m->g, m->param[i]));
    const int64_t n = fl_tensor_count(&g), at[] = {0, n / 3, n - 1};
    double got[3];
    for (int k = 0; k < 3; k++) got[k] = fl_tensor_get(&g, at[k]);
    for (int k = 0; k < 3; k++) {
        const double x = fl_tensor_get(&info->t, at[k]), h = 1e-5;
        fl_tensor_set(&info->t, at[k], x + h);
        const double above = loss_of(m, p);
        fl_tensor_set(&info->t, at[k], x - h);
        const double want = (above - loss_of(m, p)) / (2 * h);
        fl_tensor_set(&info->t, at[k], x);
        CHECKF(fabs(got[k] - want) <= 1e-7 * (1 + fabs(want)),
               "parameter %d %s element %lld: %.10g, want %.10g", i, info->name, (long long)at[k],
               got[k], want);
    }
}

static void check_model(void) {
    static small_weights w;
    small_model m;
    small_build(&m, &w, FL_F64, FL_F64, false);
    fl_graph_backward(m.g, m.loss);
    fl_err err = {0};
    fl_program *p = NULL;
    const fl_program_opts opts = {.backend = fl_backend_find("ref")};
    const fl_status made = fl_program_new(&p, m.g, &opts, &err);
    CHECKF(made == FL_OK, "%s", err.msg);
    if (made == FL_OK) {
        small_fill(fl_program_tensor(p, m.tokens), fl_program_tensor(p, m.targets),
                   fl_program_tensor(p, m.position), fl_program_tensor(p, m.segment),
                   fl_program_tensor(p, m.weight), 1);
        for (int i = 0; i < m.n_params; i++) check_param(&m, p, i);
    }
    fl_program_free(p);
    fl_graph_free(m.g);
}

/* The tied embedding: its second contribution is added onto the first, without a node of its
 * own. */
static void check_tied(void) {
    static small_weights w;
    small_model m;
    small_build(&m, &w, FL_F32, FL_F32, false);
    fl_graph_backward(m.g, m.loss);
    const fl_node *n = fl_graph_node(m.g, fl_value_get(m.g, fl_graph_grad(m.g, m.param[0]))->node);
    CHECK(n->op == FL_OP_EMBEDDING_GRAD && n->attr.accumulate && n->onto[0].id >= 0);
    const fl_value_info *first = fl_value_get(m.g, n->onto[0]);
    CHECK(first->node >= 0 && fl_graph_node(m.g, first->node)->op == FL_OP_LINEAR_CE_GRAD &&
          first->out_index == 1);
    fl_graph_free(m.g);
}

/* A parameter that is only added hands on a gradient others read too: it must be copied, not
 * shared. */
static void check_passed_on(void) {
    double a[2] = {1, 2}, b[2] = {3, 4};
    fl_graph *g = fl_graph_new();
    const int64_t two = 2;
    const fl_val pa = fl_extern(g, "a", fl_tensor_of(a, FL_F64, 1, &two), true);
    const fl_val pb = fl_extern(g, "b", fl_tensor_of(b, FL_F64, 1, &two), true);
    const fl_val sum = fl_add(g, fl_add(g, pa, pb), fl_mul(g, pa, pa));  // d a = 1 + 2a, d b = 1
    const fl_val loss = fl_sum_to(g, sum, 1, (int64_t[]){1});
    fl_graph_output(g, loss);
    fl_graph_backward(g, loss);
    fl_program *p = NULL;
    fl_err err = {0};
    CHECKF(fl_program_new(&p, g, NULL, &err) == FL_OK && fl_program_run(p, false, &err) == FL_OK,
           "%s", err.msg);
    if (p) {
        const fl_tensor da = fl_program_tensor(p, fl_graph_grad(g, pa)),
                        db = fl_program_tensor(p, fl_graph_grad(g, pb));
        CHECK(fl_tensor_get(&da, 0) == 3 && fl_tensor_get(&da, 1) == 5);
        CHECK(fl_tensor_get(&db, 0) == 1 && fl_tensor_get(&db, 1) == 1);
    }
    fl_program_free(p);
    fl_graph_free(g);
}

static void check_no_dependence(void) {
    float weight = 0;
    fl_graph *g = fl_graph_new();
    const int64_t one = 1;
    const fl_val w = fl_extern(g, "w", fl_tensor_of(&weight, FL_F32, 1, &one), true);
    const fl_val x = number_input(g, "x", 1), y = fl_scale(g, x, 2);
    fl_graph_backward(g, y);
    fl_err err;
    CHECK(fl_graph_grad(g, w).id < 0 && fl_graph_check(g, &err) == FL_OK);
    fl_graph_free(g);
}

/* Memory may run out at any allocation: an error, and (under ASan) no leak. */
static void check_out_of_memory(void) {
    static small_weights w;
    for (long n = 1;; n++) {
        fl_alloc_fail_at(n);
        small_model m;
        small_build(&m, &w, FL_F32, FL_F32, false);
        if (m.g) fl_graph_backward(m.g, m.loss);
        const bool reached = fl_alloc_fail_at(0);
        fl_err err = {0};
        if (!reached) {
            CHECK(m.g && fl_graph_check(m.g, &err) == FL_OK && n > 2);
            fl_graph_free(m.g);
            return;
        }
        CHECKF(!m.g || fl_graph_check(m.g, &err) == FL_ERR_NOMEM, "allocation %ld: %s", n, err.msg);
        fl_graph_free(m.g);
    }
}

int main(void) {
    check_errors_stick();
    check_messages();
    check_looking();
    check_print();
    check_model();
    check_tied();
    check_passed_on();
    check_no_dependence();
    check_out_of_memory();
    return check_report();
}
