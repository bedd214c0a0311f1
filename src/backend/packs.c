/* packs.c - weights in the layouts kernels want, made once and again after the weights changed.
 *
 * A copy is found by the memory of the weight and the name of the layout. `epoch` counts changes; a
 * copy is stale when it was made in an earlier one, and whoever runs next makes it again. */
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"
#include "base/file.h"

struct fli_pack {
    fli_pack *next;
    const char *id;
    const fl_kernel *kernel;
    fl_call call;  // in[1] is the weight
    fl_buffer *bytes;
    uint64_t epoch;  // it was made in; 0: never
};

struct fl_packs {
    fli_pack *first;
    uint64_t epoch;
};

fl_packs *fl_packs_new(void) {
    fl_packs *p = fl_alloc(sizeof *p);
    if (p) *p = (fl_packs){.epoch = 1};
    return p;
}

void fl_packs_free(fl_packs *p) {
    if (!p) return;
    while (p->first) {
        fli_pack *e = p->first;
        p->first = e->next;
        fl_buffer_unref(e->bytes);
        fl_dealloc(e);
    }
    fl_dealloc(p);
}

void fl_packs_changed(fl_packs *p) {
    p->epoch++;
}

size_t fl_packs_bytes(const fl_packs *p) {
    size_t bytes = 0;
    for (const fli_pack *e = p->first; e; e = e->next) bytes += fl_buffer_bytes(e->bytes);
    return bytes;
}

uint64_t fli_packs_epoch(const fl_packs *p) {
    return p->epoch;
}

const void *fli_pack_data(const fli_pack *e) {
    return fl_buffer_data(e->bytes);
}

static bool is_for(const fli_pack *e, const char *id, const fl_tensor *w) {
    const fl_tensor *own = &e->call.in[1];
    return own->data == w->data && own->dtype == w->dtype && fl_tensor_same_shape(own, w) &&
           strcmp(e->id, id) == 0;
}

fl_status fli_packs_get(fli_pack **out, fl_packs *packs, const fl_kernel *k, const fl_call *c,
                        fl_err *err) {
    const char *id = k->pack_id(c);
    for (fli_pack *e = packs->first; e; e = e->next) {
        if (!is_for(e, id, &c->in[1])) continue;
        *out = e;
        return FL_OK;
    }
    fli_pack *e = fl_alloc(sizeof *e);
    if (!e) return fl_fail(err, FL_ERR_NOMEM, "packing weights");
    *e = (fli_pack){.next = packs->first, .id = id, .kernel = k, .call = *c};
    const fl_status s = fl_buffer_new(&e->bytes, k->pack_bytes(c), err);
    if (s != FL_OK) {
        fl_dealloc(e);
        return fl_context(err, s, "packing weights");
    }
    packs->first = e;
    *out = e;
    return FL_OK;
}

static void pack_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const fli_pack *e = ctx;
    e->kernel->pack(&e->call, fl_buffer_data(e->bytes), begin, end);
}

void fli_pack_refresh(fli_pack *e, const fl_packs *packs, fl_pool *pool) {
    if (e->epoch == packs->epoch) return;
    const int64_t n = e->kernel->pack_tasks ? e->kernel->pack_tasks(&e->call) : 1;
    fl_pool_run(pool, n, 0, pack_tasks, e);
    const fl_tensor *w = &e->call.in[1];
    if (fl_tensor_contiguous(w)) fl_map_forget(w->data, fl_tensor_bytes(w));  // the copy is read
    e->epoch = packs->epoch;
}
