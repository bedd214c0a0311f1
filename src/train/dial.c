/* dial - the scaling rules, and recipes as model and trainer settings. */
#include "train/dial.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"

enum { HEAD = 64, DEFAULT_DEPTH = 6 };

static int64_t round_up(double x, int64_t to) {
    return (int64_t)ceil(x / (double)to) * to;
}

/* The power of two nearest to x on a log scale, within limits. */
static int64_t power_of_two(double x, double least, double most) {
    return (int64_t)exp2(round(log2(fmin(fmax(x, least), most))));
}

static void fill_int(int64_t *field, int64_t v) {
    if (*field == FL_UNSET) *field = v;
}

static void fill(double *field, double v) {
    if (isnan(*field)) *field = v;
}

/* ---- sizes ---- */

int64_t fl_dial_vocab(double text_bytes) {
    return power_of_two(4096 * pow(text_bytes / 4e6, 0.4), 512, 65536);
}

int64_t fl_dial_width(int64_t depth) {
    return depth < 2 ? 2 * HEAD : depth * HEAD;
}

void fl_dial_shape(fl_config *c, int64_t depth, int64_t width) {
    c->num_hidden_layers = depth;
    c->hidden_size = width;
    c->head_dim = HEAD;
    c->num_attention_heads = c->num_key_value_heads = width / HEAD;
    c->intermediate_size = round_up((double)width * 8 / 3, HEAD);
}

/* The depth and width, at 48 to 96 channels a layer, whose count lies nearest to the wanted one. */
static void shape_for_params(const fl_recipe *r, double wanted, int64_t *depth, int64_t *width) {
    double nearest = INFINITY;
    for (int64_t d = 1; d <= 64; d++) {
        for (int64_t w = HEAD; w <= d * 96; w += HEAD) {
            fl_config c = {.arch = fl_arch_find(r->arch),
                           .vocab_size = r->vocab_size,
                           .tie_word_embeddings = r->tie_embeddings,
                           .max_position_embeddings = 1024};
            fl_dial_shape(&c, d, w);
            const double off = fabs(log((double)fl_config_count(&c) / wanted));
            if (w < d * 48 || off >= nearest) continue;
            nearest = off;
            *depth = d;
            *width = w;
        }
    }
}

fl_status fl_dial_model(fl_recipe *r, fl_err *err) {
    int64_t depth = r->depth == FL_UNSET ? DEFAULT_DEPTH : r->depth, width = fl_dial_width(depth);
    if (!fl_arch_find(r->arch))
        return fl_fail(err, FL_ERR_ARG, "arch: %s: there is no such architecture", r->arch);
    if (!isnan(r->params)) shape_for_params(r, r->params, &depth, &width);
    fill_int(&r->depth, depth);
    fill_int(&r->width, width);
    const int64_t head = r->width % HEAD == 0   ? HEAD
                         : r->heads != FL_UNSET ? r->width / r->heads
                                                : r->width;
    fill_int(&r->heads, r->head_dim != FL_UNSET && r->width > r->head_dim ? r->width / r->head_dim
                                                                          : r->width / head);
    fill_int(&r->head_dim, r->width / r->heads);
    fill_int(&r->kv_heads, r->heads);
    fill_int(&r->ff, strcmp(r->arch, "gpt2") == 0 ? 4 * r->width
                                                  : round_up((double)r->width * 8 / 3, HEAD));
    fill_int(&r->seq_len, r->depth <= 8 ? 256 : r->depth <= 12 ? 512 : 1024);
    return FL_OK;
}

fl_status fl_recipe_config(const fl_recipe *r, int32_t bos, int32_t eos, fl_config *out,
                           fl_err *err) {
    fl_config c = {.arch = fl_arch_find(r->arch),
                   .vocab_size = r->vocab_size,
                   .hidden_size = r->width,
                   .intermediate_size = r->ff,
                   .num_hidden_layers = r->depth,
                   .num_attention_heads = r->heads,
                   .num_key_value_heads = r->kv_heads,
                   .head_dim = r->head_dim,
                   .max_position_embeddings = r->seq_len,
                   .sliding_window = r->sliding_window,
                   .rope_theta = r->rope_theta,
                   .logit_softcap = r->logit_softcap,
                   .tie_word_embeddings = r->tie_embeddings,
                   .bos_token_id = bos,
                   .eos_token_id = eos};
    if (c.arch && c.arch->position == FL_POSITION_LEARNED) c.tie_word_embeddings = c.arch->tied;
    c.norm_eps = 1e-6;
    const fl_status s = fl_config_complete(&c, err);
    if (s != FL_OK) return fl_context(err, s, "the model's sizes");
    *out = c;
    return FL_OK;
}

/* ---- the run ---- */

static void fill_rates(fl_recipe *r) {
    const double narrow = sqrt(384.0 / (double)r->width);
    const bool muon = strcmp(r->optimizer, "muon") == 0;
    fill(&r->muon_lr, 0.015);
    fill(&r->lr, muon ? 3e-3 * narrow : 2e-3 * narrow);
    fill(&r->embedding_lr, muon ? 2e-2 * narrow : r->lr);
    fill(&r->head_lr, muon ? 4e-3 * narrow : r->lr);
    fill(&r->weight_decay, 0.1);
    fill(&r->muon_weight_decay, 0.1);
    if (!r->schedule) r->schedule = "wsd";
    fill(&r->final_lr, strcmp(r->schedule, "cosine") == 0 ? 0.1 : 0.02);
    fill(&r->warmup, muon ? 0.01 : 0.05);
}

/* Targets of the run, before rounding to whole steps. */
static double horizon(const fl_recipe *r, double n_params, double pass_tokens) {
    if (!isnan(r->tokens)) return r->tokens;
    if (!isnan(r->epochs)) return r->epochs * pass_tokens;
    const double optimal = 20 * n_params, most = 12 * pass_tokens;
    return pass_tokens > 0 && most < optimal ? most : optimal;
}

static void fill_steps(fl_recipe *r, double n_params, double pass_tokens) {
    const double T = (double)r->seq_len, tokens = horizon(r, n_params, pass_tokens);
    const double a_step = (double)power_of_two(8192 * pow(tokens / 3e7, 0.45), 1024, 1 << 19);
    const double at_once = fmin(a_step, r->width <= 512 ? 8192 : 4096);
    fill_int(&r->batch_size, (int64_t)fmax(1, at_once / T));
    const double rows = (double)r->batch_size;
    fill_int(&r->accumulation, (int64_t)fmax(1, round(a_step / (rows * T))));
    const double step = rows * T * (double)r->accumulation;
    fill_int(&r->steps, (int64_t)fmax(1, ceil(tokens / step)));
}

void fl_dial_run(fl_recipe *r, double n_params, double pass_tokens) {
    fill_rates(r);
    fill_steps(r, n_params, pass_tokens);
    if (r->warmup_steps != FL_UNSET)
        r->warmup = fmin(0.999, (double)r->warmup_steps / (double)r->steps);
    fill_int(&r->eval_every, r->steps < 40 ? 1 : r->steps / 20);
    fill_int(&r->save_every, r->steps < 10 ? 1 : r->steps / 5);
    fill_int(&r->sample_every, r->steps < 10 ? 1 : r->steps / 8);
    fill(&r->eval_tokens, 65536);
}

/* ---- the trainer ---- */

static fl_dtype compute_format(const fl_recipe *r) {
    const bool fast = fl_cpu_get()->amx_bf16 || fl_cpu_get()->avx512_bf16;
    if (strcmp(r->compute, "auto") == 0) return fast ? FL_BF16 : FL_F32;
    return strcmp(r->compute, "bf16") == 0 ? FL_BF16 : FL_F32;
}

static fl_optimizer_opts optimizer_opts(const fl_recipe *r) {
    return (fl_optimizer_opts){.name = r->optimizer,
                               .lr = r->lr,
                               .embedding_lr = r->embedding_lr,
                               .head_lr = r->head_lr,
                               .beta1 = r->beta1,
                               .beta2 = r->beta2,
                               .eps = r->eps,
                               .weight_decay = r->weight_decay,
                               .muon_lr = r->muon_lr,
                               .momentum = r->momentum,
                               .muon_weight_decay = r->muon_weight_decay,
                               .muon_scale = strcmp(r->muon_scale, "rms") == 0
                                                 ? FL_MUON_SCALE_RMS
                                                 : FL_MUON_SCALE_ASPECT};
}

fl_status fl_recipe_train_opts(const fl_recipe *r, fl_train_opts *out, fl_err *err) {
    const fl_schedule *schedule = fl_schedule_find(r->schedule);
    if (!schedule)
        return fl_fail(err, FL_ERR_ARG, "schedule: %s: there is no such schedule", r->schedule);
    *out = (fl_train_opts){.steps = r->steps,
                           .batch_size = r->batch_size,
                           .seq_len = r->seq_len,
                           .accumulation = r->accumulation,
                           .optimizer = optimizer_opts(r),
                           .schedule = {.row = schedule,
                                        .warmup = r->warmup,
                                        .final = r->final_lr,
                                        .decay = r->decay},
                           .clip = r->clip,
                           .compute = compute_format(r),
                           .memory_limit = (size_t)r->memory,
                           .spike_sigma = r->spike_sigma,
                           .spike_most = r->spike_most,
                           .eval_every = r->eval_every,
                           .save_every = r->save_every,
                           .sample_every = r->sample_every,
                           .keep = r->keep,
                           .eval_tokens = r->eval_tokens,
                           .stop_at_val_loss = r->stop_at_val_loss,
                           .seconds = isnan(r->budget) ? 0 : r->budget,
                           .resume = r->resume};
    return FL_OK;
}
