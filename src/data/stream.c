/* stream - rows of T pairs out of one or more datasets.
 *
 * Everything is a function of the row's number, so a position is one number for each dataset.
 *
 * Packed: the pairs of pass after pass stand in one endless line, each pass with its documents in
 * an order of its own; row r is pairs [rT, rT + T) of it. The rows that begin in a pass are dealt
 * in shuffled order, so that rows of a long document are not neighbours. Each pass meets every pair
 * once; a row at the end of a pass goes on in the next. Windows: a row begins at a random pair,
 * documents in stored order. One pass: packed without the shuffling, and it stops.
 *
 * Orders come from fl_shuffle_index and need no memory; the sums of pairs along the current pass's
 * order are kept for looking up where a row begins. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "data/part.h"

/* The rows of one part of one dataset. */
typedef struct {
    const fl_dataset *dataset;
    const fli_part *part;
    double share;  // of the rows of a mixture
    int64_t row;   // rows given out
    bool windows;
    uint64_t seed;
    int64_t pass;       // the one `pair_end` is for; -1: none yet
    int64_t *pair_end;  // along this pass's order; not used when order is the stored one
} lane;

typedef struct {
    fl_source base;
    fl_source_opts opts;
    bool one_pass;
    int n_lanes;
    lane lanes[];
} stream;

/* Where the arrays of the row being filled are. */
typedef struct {
    int64_t T, filled;
    int32_t *tokens, *targets, *segment, *position;
    float *weight;
    double n_targets, n_bytes;
} row;

static bool shuffles(const stream *s, const lane *l) {
    return !s->one_pass && !l->windows;
}

static int64_t document_at(const stream *s, const lane *l, int64_t pass, int64_t k) {
    if (!shuffles(s, l)) return k;
    return (int64_t)fl_shuffle_index(l->seed, (uint64_t)pass, (uint64_t)l->part->info.n_documents,
                                     (uint64_t)k);
}

static void pass_begin(const stream *s, lane *l, int64_t pass) {
    if (!shuffles(s, l) || l->pass == pass) return;
    int64_t sum = 0;
    for (int64_t k = 0; k < l->part->info.n_documents; k++) {
        int64_t i = document_at(s, l, pass, k);
        sum += l->part->pair_end[i] - (i ? l->part->pair_end[i - 1] : 0);
        l->pair_end[k] = sum;
    }
    l->pass = pass;
}

/* The first k with end[k] > pair: the document along the order that holds the pair. */
static int64_t find(const int64_t *end, int64_t n, int64_t pair) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (end[mid] > pair) high = mid;
        else low = mid + 1;
    }
    return low;
}

/* Append up to `n` pairs of one document, from its pair `first` on. */
static void row_extend(row *r, const lane *l, const fli_span *s, int64_t first, int64_t n) {
    const fl_dataset *d = l->dataset;
    int64_t at = r->filled;
    int32_t segment = at ? r->segment[at - 1] + 1 : 0;
    fli_document_read(d, s, first, n, &r->tokens[at], &r->targets[at]);
    memcpy(r->tokens + at + 1, r->targets + at, (size_t)(n - 1) * sizeof *r->tokens);
    int64_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        r->weight[at + i] = 1;
        r->segment[at + i] = segment;
        r->position[at + i] = (int32_t)i;
        bytes += d->token_bytes[r->targets[at + i]];
    }
    r->n_targets += (double)n;
    r->n_bytes += (double)bytes * l->part->byte_scale;
    r->filled += n;
}

/* Fill the row from pair `pair` of pass `pass`; a single pass may end before the row is full. */
static void row_fill(const stream *s, lane *l, int64_t pass, int64_t pair, row *r) {
    const fli_part *p = l->part;
    pass_begin(s, l, pass);
    const int64_t *end = shuffles(s, l) ? l->pair_end : p->pair_end;
    int64_t n = p->info.n_documents;
    int64_t k = find(end, n, pair);
    int64_t first = pair - (k ? end[k - 1] : 0);
    while (r->filled < r->T) {
        if (k == n) {
            if (!shuffles(s, l)) return;
            k = 0;
            pass++;
        }
        const fli_span *span = &p->span[document_at(s, l, pass, k++)];
        int64_t m = fli_document_pairs(l->dataset, span->n_tokens) - first;
        if (m > r->T - r->filled) m = r->T - r->filled;
        if (m > 0) row_extend(r, l, span, first, m);
        first = 0;
    }
}

static void row_pad(row *r) {
    int32_t segment = r->filled ? r->segment[r->filled - 1] + 1 : 0;
    for (int64_t i = r->filled; i < r->T; i++) {
        r->tokens[i] = 0;
        r->targets[i] = -1;
        r->weight[i] = 0;
        r->segment[i] = segment;
        r->position[i] = (int32_t)(i - r->filled);
    }
}

static void row_join(row *r) {
    for (int64_t i = 0; i < r->T; i++) {
        r->segment[i] = 0;
        r->position[i] = (int32_t)i;
    }
}

/* The lane's next row. */
static void lane_row(const stream *s, lane *l, row *r) {
    int64_t n = l->part->info.n_pairs, T = r->T, at = l->row++;
    if (l->windows) {
        fl_rng rng = {.seed = l->seed, .stream = fl_rng_stream("windows"), .counter = 0};
        rng.stream += (uint64_t)at;
        row_fill(s, l, 0, (int64_t)fl_rng_below(&rng, (uint64_t)(n - T + 1)), r);
    } else if (s->one_pass) {
        if (at <= (n - 1) / T && n > 0) row_fill(s, l, 0, at * T, r);
    } else {
        int64_t pass = at * T / n;
        int64_t first = (pass * n + T - 1) / T, last = ((pass + 1) * n + T - 1) / T;
        uint64_t seed = l->seed ^ fl_rng_stream("rows");
        at = first + (int64_t)fl_shuffle_index(seed, (uint64_t)pass, (uint64_t)(last - first),
                                               (uint64_t)(at - first));
        row_fill(s, l, pass, at * T - pass * n, r);
    }
}

/* The lane furthest behind its share. */
static lane *lane_next(stream *s) {
    double total = 1;
    for (int i = 0; i < s->n_lanes; i++) total += (double)s->lanes[i].row;
    lane *best = NULL;
    double most = -INFINITY;
    for (int i = 0; i < s->n_lanes; i++) {
        double behind = s->lanes[i].share * total - (double)s->lanes[i].row;
        if (s->lanes[i].share > 0 && behind > most) {
            most = behind;
            best = &s->lanes[i];
        }
    }
    return best;
}

static fl_status stream_next(fl_source *source, fl_batch *b, fl_err *err) {
    (void)err;
    stream *s = (stream *)source;
    FL_ASSERT(b->T == s->opts.T);
    b->n_targets = b->n_bytes = 0;
    for (int64_t i = 0; i < b->B; i++) {
        int64_t at = i * b->T;
        row r = {.T = b->T,
                 .tokens = b->tokens + at,
                 .targets = b->targets + at,
                 .segment = b->segment + at,
                 .position = b->position + at,
                 .weight = b->weight + at};
        lane_row(s, lane_next(s), &r);
        row_pad(&r);
        if (s->opts.cross_document_attention) row_join(&r);
        b->n_targets += r.n_targets;
        b->n_bytes += r.n_bytes;
    }
    return FL_OK;
}

static json_t *stream_position(const fl_source *source) {
    const stream *s = (const stream *)source;
    json_t *rows = json_array();
    for (int i = 0; rows && i < s->n_lanes; i++) {
        if (json_array_append_new(rows, json_integer(s->lanes[i].row))) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows ? json_pack("{s:o}", "rows", rows) : NULL;
}

static fl_status stream_seek(fl_source *source, const json_t *position, fl_err *err) {
    stream *s = (stream *)source;
    const json_t *rows = json_object_get(position, "rows");
    if (json_array_size(rows) != (size_t)s->n_lanes) {
        return fl_fail(err, FL_ERR_FORMAT,
                       "data position: \"rows\" has %zu numbers, there are %d "
                       "datasets",
                       json_array_size(rows), s->n_lanes);
    }
    for (int pass = 0; pass < 2; pass++) {  // look at all before changing any
        for (int i = 0; i < s->n_lanes; i++) {
            const json_t *v = json_array_get(rows, (size_t)i);
            if (!json_is_integer(v) || json_integer_value(v) < 0) {
                return fl_fail(err, FL_ERR_FORMAT, "data position: row %d is not a count", i);
            }
            if (pass) s->lanes[i].row = json_integer_value(v);
        }
    }
    return FL_OK;
}

static void stream_close(fl_source *source) {
    stream *s = (stream *)source;
    for (int i = 0; i < s->n_lanes; i++) fl_dealloc(s->lanes[i].pair_end);
    fl_dealloc(s);
}

static const fl_source_row stream_row = {stream_next, stream_position, stream_seek, stream_close};

static fl_status lane_init(stream *s, lane *l, const fl_dataset *d, fl_part part, fl_err *err) {
    const fli_part *p = &d->part[part];
    bool automatic = s->opts.sampling == FL_SAMPLING_AUTO;
    *l = (lane){.dataset = d,
                .part = p,
                .pass = -1,
                .seed = s->opts.seed + (uint64_t)(l - s->lanes)};
    l->windows = !s->one_pass &&
                 (s->opts.sampling == FL_SAMPLING_WINDOWS ||
                  (automatic && p->info.n_documents == 1 && p->info.n_pairs >= s->opts.T));
    if (!s->one_pass && p->info.n_pairs == 0) {
        return fl_fail(err, FL_ERR_ARG, "there is no text to train on in %s", d->store.dir);
    }
    if (l->windows && p->info.n_pairs < s->opts.T) {
        return fl_fail(err, FL_ERR_ARG,
                       "windows of %lld tokens out of a text of %lld: want a "
                       "shorter sequence length or more text",
                       (long long)s->opts.T, (long long)p->info.n_pairs);
    }
    s->base.n_tokens += (double)p->info.n_pairs;
    s->base.n_bytes += (double)p->info.n_bytes;
    if (!shuffles(s, l)) return FL_OK;
    l->pair_end = fl_alloc((size_t)p->info.n_documents * sizeof *l->pair_end);
    return l->pair_end ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the order of the documents");
}

static stream *stream_new(int n_lanes, const fl_source_opts *o, bool one_pass) {
    FL_ASSERT(o->T > 0 && n_lanes > 0);
    size_t bytes = sizeof(stream) + (size_t)n_lanes * sizeof(lane);
    stream *s = fl_alloc(bytes);
    if (!s) return NULL;
    memset(s, 0, bytes);
    s->base.row = &stream_row;
    s->opts = *o;
    s->one_pass = one_pass;
    s->n_lanes = n_lanes;
    return s;
}

/* Shares that sum to 1: the weights, or the sizes when no weight is given. */
static fl_status shares_set(stream *s, const fl_mix_part *part, fl_err *err) {
    double weights = 0;
    for (int i = 0; i < s->n_lanes; i++) {
        if (!(part[i].weight >= 0 && part[i].weight < INFINITY)) {
            return fl_fail(err, FL_ERR_ARG,
                           "the weight of dataset %d is %g; want a number from 0 on", i + 1,
                           part[i].weight);
        }
        weights += part[i].weight;
    }
    for (int i = 0; i < s->n_lanes; i++) {
        s->lanes[i].share = weights > 0 ? part[i].weight / weights
                                        : (double)s->lanes[i].part->info.n_pairs / s->base.n_tokens;
    }
    return FL_OK;
}

fl_status fl_train_source_new(fl_source **out, const fl_mix_part *part, int n,
                              const fl_source_opts *o, fl_err *err) {
    stream *s = stream_new(n, o, false);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a mixture of %d datasets", n);
    fl_status st = FL_OK;
    for (int i = 0; i < n && st == FL_OK; i++) {
        st = lane_init(s, &s->lanes[i], part[i].dataset, FL_PART_TRAIN, err);
    }
    if (st == FL_OK) st = shares_set(s, part, err);
    if (st == FL_OK) *out = &s->base;
    else stream_close(&s->base);
    return st;
}

fl_status fl_pass_source_new(fl_source **out, const fl_dataset *d, fl_part part,
                             const fl_source_opts *o, fl_err *err) {
    stream *s = stream_new(1, o, true);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a source of validation rows");
    fl_status st = lane_init(s, &s->lanes[0], d, part, err);
    s->lanes[0].share = 1;
    if (st == FL_OK) *out = &s->base;
    else stream_close(&s->base);
    return st;
}
