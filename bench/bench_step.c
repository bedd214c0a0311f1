/* bench_step - time of one training step, and where it goes.
 *
 *     bench_step SHAPE [bf16|f32] [STEPS]       SHAPE: small, gpt2-t256, gpt2-t1024
 *
 * The step is what tests/peers/torch_step.py times in torch: forward, backward, global-norm
 * clipping and AdamW on random tokens. First line: program, shape, format, median seconds,
 * tokens/s, peak MiB, GFLOP/s, percent of the roof. Then one line for each operation: seconds a
 * step, percent of the step, calls, GFLOP/s, GB/s. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backend/roof.h"
#include "base/progress.h"
#include "base/rng.h"
#include "model/arch.h"
#include "train/stepper.h"

typedef struct {
    const char *name;
    int64_t layers, width, heads, vocab, B, T;
} shape;

static const shape shapes[] = {
    {"small", 6, 384, 6, 4096, 16, 256},
    {"gpt2-t256", 12, 768, 12, 50257, 4, 256},
    {"gpt2-t1024", 12, 768, 12, 50257, 4, 1024},
};

enum { WARM_UP = 2, MAX_STEPS = 100, MAX_ROWS = 64 };

static fl_config gpt2_config(const shape *s) {
    return (fl_config){.arch = fl_arch_find("gpt2"),
                       .vocab_size = s->vocab,
                       .hidden_size = s->width,
                       .intermediate_size = 4 * s->width,
                       .num_hidden_layers = s->layers,
                       .num_attention_heads = s->heads,
                       .num_key_value_heads = s->heads,
                       .head_dim = s->width / s->heads,
                       .max_position_embeddings = s->T,
                       .norm_eps = 1e-5,
                       .tie_word_embeddings = true,
                       .bos_token_id = -1,
                       .eos_token_id = -1};
}

static void random_batch(fl_batch *b, int64_t vocab) {
    fl_rng rng = {.seed = 1};
    for (int64_t i = 0; i < b->B * b->T; i++) {
        b->tokens[i] = (int32_t)fl_rng_below(&rng, (uint64_t)vocab);
        b->targets[i] = (int32_t)fl_rng_below(&rng, (uint64_t)vocab);
        b->weight[i] = 1;
        b->segment[i] = 0;
        b->position[i] = (int32_t)(i % b->T);
    }
}

static fl_status step(fl_stepper *s, const fl_batch *b, fl_err *err) {
    double sum, norm;
    const double count = (double)(b->B * b->T);
    FL_TRY(fl_stepper_micro(s, b, true, &sum, err));
    FL_TRY(fl_stepper_grad_norm(s, &norm, err));
    norm /= count;
    return fl_stepper_update(s, 1, (norm > 1 ? 1 / norm : 1) / count, err);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_rows(const fl_stepper *s, double seconds, int steps) {
    fl_profile_row row[MAX_ROWS];
    const int n = fl_stepper_profile_rows(s, row, MAX_ROWS);
    printf("op\tbackend\tseconds\tpercent\tcalls\tGFLOP/s\tGB/s\n");
    for (int i = 0; i < n; i++) {
        const double t = row[i].seconds / steps;
        printf("%s\t%s\t%.4f\t%.1f\t%.0f\t%.0f\t%.1f\n", row[i].op, row[i].backend, t,
               100 * t / seconds, (double)row[i].n_calls / steps,
               row[i].flops / row[i].seconds / 1e9, row[i].bytes / row[i].seconds / 1e9);
    }
}

static fl_status print_step(const shape *sh, const fl_config *config, fl_dtype compute, double t,
                            fl_err *err) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    const double tokens = (double)(sh->B * sh->T);
    const double flops = fl_config_flops_per_token(config, sh->T) * tokens;
    fl_roof roof;
    FL_TRY(fl_roof_measure(&roof, NULL, 0.2, err));
    printf("fledge\t%s\t%s\t%.4f\t%.0f\t%ld\t%.0f\t%.1f\n", sh->name, fl_dtype_name(compute), t,
           tokens / t, use.ru_maxrss / 1024, flops / t / 1e9,
           100 * flops / t / (compute == FL_BF16 ? roof.bf16_flops : roof.f32_flops));
    return FL_OK;
}

static fl_status bench(const shape *sh, fl_dtype compute, int steps, fl_err *err) {
    const fl_config config = gpt2_config(sh);
    fl_model *m = NULL;
    fl_stepper *s = NULL;
    fl_batch b = {0};
    FL_TRY(fl_model_new(&m, &config, 1, err));
    const fl_stepper_opts o = {.model = m,
                               .objective = fl_objective_find("next_token"),
                               .B = sh->B,
                               .T = sh->T,
                               .compute = compute,
                               .no_scoring = true,
                               .optimizer = {.name = "adamw",
                                             .lr = 1e-4,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .weight_decay = 0.1}};
    double seconds[MAX_STEPS];
    fl_status st = fl_stepper_new(&s, &o, err);
    if (st == FL_OK) st = fl_batch_new(&b, sh->B, sh->T, err);
    if (st == FL_OK) random_batch(&b, sh->vocab);
    for (int i = 0; i < steps + WARM_UP && st == FL_OK; i++) {
        if (i == WARM_UP) fl_stepper_profile(s, true);
        const double start = fl_now();
        st = step(s, &b, err);
        if (i >= WARM_UP) seconds[i - WARM_UP] = fl_now() - start;
    }
    if (st == FL_OK) {
        qsort(seconds, (size_t)steps, sizeof *seconds, by_value);
        st = print_step(sh, &config, compute, seconds[steps / 2], err);
        if (st == FL_OK) print_rows(s, seconds[steps / 2], steps);
    }
    fl_batch_clear(&b);
    fl_stepper_free(s);
    fl_model_free(m);
    return st;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "small";
    const fl_dtype compute = argc > 2 && !strcmp(argv[2], "f32") ? FL_F32 : FL_BF16;
    const int asked = argc > 3 ? atoi(argv[3]) : 5, steps = asked < 1           ? 1
                                                            : asked > MAX_STEPS ? MAX_STEPS
                                                                                : asked;
    fl_err err;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(shapes[i].name, name)) continue;
        if (bench(&shapes[i], compute, steps, &err) == FL_OK) return 0;
        fprintf(stderr, "bench_step: %s\n", err.msg);
        return 1;
    }
    fprintf(stderr, "bench_step: no shape %s; there are small, gpt2-t256, gpt2-t1024\n", name);
    return 2;
}
