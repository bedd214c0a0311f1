/* dataset - a store seen as two parts, each a list of documents with the pairs they give. */
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "data/ids.h"
#include "data/part.h"

int64_t fli_document_pairs(const fl_dataset *d, int64_t n_tokens) {
    int64_t length = n_tokens + (d->begin >= 0) + (d->end >= 0);
    return length > 0 ? length - 1 : 0;
}

/* Element i of the sequence B t1 .. tn E. */
static int32_t element(const fl_dataset *d, const fli_span *s, int64_t i) {
    i -= d->begin >= 0;
    if (i < 0) return d->begin;
    if (i == s->n_tokens) return d->end;
    int32_t id;
    fli_shards_read(&d->store.shards, s->first + i, 1, &id);
    return id;
}

void fli_document_read(const fl_dataset *d, const fli_span *s, int64_t first, int64_t n,
                       int32_t *input, int32_t *targets) {
    *input = element(d, s, first);
    int64_t token = first + 1 - (d->begin >= 0);  // of the first target
    bool ends = token + n > s->n_tokens;
    int64_t m = n - ends;
    if (m > 0) fli_shards_read(&d->store.shards, s->first + token, m, targets);
    if (ends) targets[n - 1] = d->end;
}

/* ---- which documents are for validation ---- */

typedef struct {
    uint64_t hash;
    int64_t index;
} ranked;

static int ranked_compare(const void *pa, const void *pb) {
    const ranked *a = pa, *b = pb;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* In the order of their hashes take every document that still fits the fraction; the shortest one
 * if none does. Equal documents have equal hashes, so that a copy of a validation text is taken
 * next rather than trained on. */
static void pick_by_hash(const fli_shards *s, ranked *order, uint64_t target, bool *is_val) {
    int64_t n = s->n_documents, shortest = 0;
    for (int64_t i = 0; i < n; i++) {
        order[i] = (ranked){s->document[i].hash, i};
        if (s->document[i].n_bytes < s->document[shortest].n_bytes) shortest = i;
    }
    qsort(order, (size_t)n, sizeof *order, ranked_compare);
    uint64_t taken = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = order[k].index;
        bool copy = k && order[k - 1].hash == order[k].hash && is_val[order[k - 1].index];
        if (!copy && taken + s->document[i].n_bytes > target) continue;
        is_val[i] = true;
        taken += s->document[i].n_bytes;
    }
    if (!taken) is_val[shortest] = true;
}

static fl_status split_by_document(const fl_dataset *d, double fraction, bool *is_val,
                                   fl_err *err) {
    const fli_shards *s = &d->store.shards;
    if (s->n_documents < 2) {
        return fl_fail(err, FL_ERR_ARG,
                       "a single document cannot be split by document; "
                       "split off its tail instead (val_split: tail)");
    }
    uint64_t bytes = 0;
    for (int64_t i = 0; i < s->n_documents; i++) bytes += s->document[i].n_bytes;
    ranked *order = fl_alloc((size_t)s->n_documents * sizeof *order);
    if (!order) return fl_fail(err, FL_ERR_NOMEM, "%lld documents", (long long)s->n_documents);
    pick_by_hash(s, order, (uint64_t)((double)bytes * fraction), is_val);
    fl_dealloc(order);
    return FL_OK;
}

static fl_status split(const fl_dataset *d, double fraction, bool *is_val, fl_err *err) {
    const fli_shards *s = &d->store.shards;
    memset(is_val, 0, (size_t)s->n_documents * sizeof *is_val);
    if (d->store.split == FL_SPLIT_DOCUMENT) return split_by_document(d, fraction, is_val, err);
    if (d->store.split == FL_SPLIT_NONE) return FL_OK;
    uint64_t at = 0;
    for (int64_t i = 0; i < s->n_documents; i++) {
        is_val[i] = at >= (uint64_t)d->store.cut;
        at += s->document[i].n_bytes;
    }
    return FL_OK;
}

/* ---- opening ---- */

static fl_status part_make(fl_dataset *d, fl_part which, const bool *is_val, fl_err *err) {
    const fli_shards *s = &d->store.shards;
    fli_part *p = &d->part[which];
    bool want = which == FL_PART_VAL;
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_documents; i++) n += is_val[i] == want;
    p->span = fl_alloc((size_t)(n + 1) * sizeof *p->span);
    p->pair_end = fl_alloc((size_t)(n + 1) * sizeof *p->pair_end);
    if (!p->span || !p->pair_end) return fl_fail(err, FL_ERR_NOMEM, "%lld documents", (long long)n);

    int64_t first = 0, token_bytes = 0;
    for (int64_t i = 0; i < s->n_documents; i++) {
        const fli_document *doc = &s->document[i];
        int64_t tokens = (int64_t)doc->n_tokens;
        if (is_val[i] == want) {
            int64_t k = p->info.n_documents++;
            p->info.n_tokens += tokens;
            p->info.n_bytes += (int64_t)doc->n_bytes;
            p->info.n_pairs += fli_document_pairs(d, tokens);
            p->span[k] = (fli_span){first, tokens};
            p->pair_end[k] = p->info.n_pairs;
            token_bytes += (int64_t)doc->token_bytes;
        }
        first += tokens;
    }
    p->byte_scale = token_bytes ? (double)p->info.n_bytes / (double)token_bytes : 1;
    return FL_OK;
}

static fl_status token_bytes_make(fl_dataset *d, const fl_tokenizer *t, fl_err *err) {
    int32_t n = fl_tokenizer_size(t);
    d->token_bytes = fl_alloc((size_t)n * sizeof *d->token_bytes);
    if (!d->token_bytes) return fl_fail(err, FL_ERR_NOMEM, "a table of %d tokens", n);
    for (int32_t id = 0; id < n; id++) {
        size_t bytes = 0;
        bool text = fl_token_bytes(t, id, &bytes) && !fl_tokenizer_is_special(t, id);
        if (bytes > UINT16_MAX) {
            return fl_fail(err, FL_ERR_UNSUPPORTED, "token %d is %zu bytes long", id, bytes);
        }
        d->token_bytes[id] = text ? (uint16_t)bytes : 0;
    }
    return FL_OK;
}

/* What is left to do once the store is there. */
static fl_status dataset_fill(fl_dataset *d, const fl_dataset_opts *o, fl_err *err) {
    int32_t bos = fl_tokenizer_bos(o->tokenizer);
    d->end = fl_tokenizer_eos(o->tokenizer);
    d->begin = bos >= 0 ? bos : d->end;
    FL_TRY(token_bytes_make(d, o->tokenizer, err));
    bool *is_val = fl_alloc((size_t)d->store.shards.n_documents * sizeof *is_val);
    if (!is_val) return fl_fail(err, FL_ERR_NOMEM, "a dataset");
    fl_status st = split(d, o->val_fraction, is_val, err);
    if (st == FL_OK) st = part_make(d, FL_PART_TRAIN, is_val, err);
    if (st == FL_OK) st = part_make(d, FL_PART_VAL, is_val, err);
    fl_dealloc(is_val);
    return st;
}

fl_status fl_dataset_open(fl_dataset **out, const fl_dataset_opts *o, fl_err *err) {
    FL_ASSERT(o->tokenizer && o->cache_dir && o->val_fraction >= 0 && o->val_fraction < 1);
    fl_dataset_opts opts = *o;
    if (opts.val_fraction == 0) opts.val_fraction = 0.05;
    fl_dataset *d = fl_alloc(sizeof *d);
    if (!d) return fl_fail(err, FL_ERR_NOMEM, "a dataset");
    memset(d, 0, sizeof *d);
    fl_status st = fli_store_open(&d->store, &opts, err);
    if (st == FL_OK) st = dataset_fill(d, &opts, err);
    if (st == FL_OK) *out = d;
    else fl_dataset_free(d);
    return st;
}

void fl_dataset_free(fl_dataset *d) {
    if (!d) return;
    for (int i = 0; i < FL_PART_COUNT; i++) {
        fl_dealloc(d->part[i].span);
        fl_dealloc(d->part[i].pair_end);
    }
    fl_dealloc(d->token_bytes);
    fli_store_close(&d->store);
    fl_dealloc(d);
}

const fl_part_info *fl_dataset_info(const fl_dataset *d, fl_part part) {
    return &d->part[part].info;
}

fl_split fl_dataset_split(const fl_dataset *d) {
    return d->store.split;
}

bool fl_dataset_was_reused(const fl_dataset *d) {
    return d->store.reused;
}

const char *fl_dataset_dir(const fl_dataset *d) {
    return d->store.dir;
}

fl_status fl_dataset_tokens(const fl_dataset *d, fl_part part, int64_t document, fl_ids *out,
                            fl_err *err) {
    FL_ASSERT(document >= 0 && document < d->part[part].info.n_documents);
    const fli_span *s = &d->part[part].span[document];
    FL_TRY(fli_ids_reserve(out, (size_t)s->n_tokens, err));
    fli_shards_read(&d->store.shards, s->first, s->n_tokens, out->id + out->n);
    out->n += (size_t)s->n_tokens;
    return FL_OK;
}
