/* packs.c - weights in the layouts kernels want, made once and again after the weights changed.
 *
 * A copy is found by the memory of the weight and the name of the layout. `epoch` counts changes; a
 * copy is stale when it was made in an earlier one, and whoever runs next makes it again: before it
 * runs, or where the kernel can do without (pack_later), one by one before later runs. A model is
 * then ready as soon as its file is, and the memory of the copies, which costs more time than their
 * bytes, comes while it works.
 *
 * Small copies lie side by side in slabs, because only large memory comes in huge pages, and in the
 * order of the steps that asked for them, so that who reads one runs into the next. */
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/progress.h"

struct fli_pack {
    fli_pack *next;
    const char *id;
    const fl_kernel *kernel;
    fl_call call;  // in[1] is the weight
    size_t n_bytes;
    void *data;  // in `owner`; NULL: not begun
    fl_buffer *owner;
    uint64_t epoch;  // it was made in; 0: never
    int64_t n_done;  // tasks of making it
};

struct fl_packs {
    fli_pack *first;
    fl_buffer *slab;  // that small copies are taken from, and how much of it is
    size_t slab_used;
    uint64_t epoch;
    bool lock;
    double owed;       // seconds
    uint64_t version;  // counts what programs have to look at: copies that became stale or ready
};

fl_packs *fl_packs_new(void) {
    fl_packs *p = fl_alloc(sizeof *p);
    if (p) *p = (fl_packs){.epoch = 1, .version = 1};
    return p;
}

void fl_packs_free(fl_packs *p) {
    if (!p) return;
    while (p->first) {
        fli_pack *e = p->first;
        p->first = e->next;
        fl_buffer_unref(e->owner);
        fl_dealloc(e);
    }
    fl_buffer_unref(p->slab);
    fl_dealloc(p);
}

void fl_packs_changed(fl_packs *p) {
    p->epoch++;
    p->version++;
}

void fl_packs_lock(fl_packs *p) {
    p->lock = true;
}

size_t fl_packs_bytes(const fl_packs *p) {
    size_t bytes = 0;
    for (const fli_pack *e = p->first; e; e = e->next) bytes += e->n_bytes;
    return bytes;
}

uint64_t fli_packs_version(const fl_packs *p) {
    return p->version;
}

static bool is_for(const fli_pack *e, const char *id, const fl_tensor *w) {
    const fl_tensor *own = &e->call.in[1];
    return own->data == w->data && own->dtype == w->dtype && fl_tensor_same_shape(own, w) &&
           strcmp(e->id, id) == 0;
}

static fl_status take_memory(fl_packs *p, fli_pack *e, fl_err *err) {
    enum { LINE = 64, SLAB = 16 << 20, SMALL = 2 << 20 };
    const size_t bytes = (e->n_bytes + LINE - 1) / LINE * LINE;
    fl_buffer *own = NULL;
    if (bytes >= SMALL) {
        FL_TRY(fl_buffer_new(&own, bytes, err));
        e->owner = own, e->data = fl_buffer_data(own);
        return FL_OK;
    }
    if (!p->slab || bytes > fl_buffer_bytes(p->slab) - p->slab_used) {
        FL_TRY(fl_buffer_new(&own, SLAB, err));
        fl_buffer_unref(p->slab);
        p->slab = own, p->slab_used = 0;
    }
    e->owner = fl_buffer_ref(p->slab), e->data = (char *)fl_buffer_data(p->slab) + p->slab_used;
    p->slab_used += bytes;
    return FL_OK;
}

fl_status fli_packs_get(fli_pack **out, fl_packs *packs, const fl_kernel *k, const fl_call *c,
                        fl_err *err) {
    const char *id = k->pack_id(c);
    fli_pack **end = &packs->first;
    for (; *end; end = &(*end)->next) {
        if (!is_for(*end, id, &c->in[1])) continue;
        *out = *end;
        return FL_OK;
    }
    fli_pack *e = fl_alloc(sizeof *e);
    if (!e) return fl_fail(err, FL_ERR_NOMEM, "packing weights");
    *e = (fli_pack){.id = id, .kernel = k, .call = *c};
    e->n_bytes = k->pack_bytes(c);
    const fl_status s = k->pack_later ? FL_OK : take_memory(packs, e, err);
    if (s != FL_OK) {
        fl_dealloc(e);
        return fl_context(err, s, "packing weights");
    }
    *end = e;
    *out = e;
    return FL_OK;
}

static void pack_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const fli_pack *e = ctx;
    e->kernel->pack(&e->call, e->data, e->n_done + begin, e->n_done + end);
}

static bool is_ready(const fl_packs *packs, const fli_pack *e) {
    return e->epoch == packs->epoch;
}

static int64_t n_tasks(const fli_pack *e) {
    return e->kernel->pack_tasks ? e->kernel->pack_tasks(&e->call) : 1;
}

/* What is copied of a file goes as the copy grows, for a large one would else be in memory twice. A
 * run between two parts would bring it in again: what is begun is finished. */
static void make(fl_packs *packs, fli_pack *e, fl_pool *pool) {
    enum { AT_ONCE = 4 << 20 };  // bytes
    const fl_tensor *w = &e->call.in[1];
    const int64_t all = n_tasks(e), some = all / (int64_t)(e->n_bytes / AT_ONCE + 1) + 1;
    for (e->n_done = 0; e->n_done < all;) {
        const int64_t n = some < all - e->n_done ? some : all - e->n_done;
        fl_pool_run(pool, n, 0, pack_tasks, e);
        e->n_done += n;
        const double share = (double)e->n_done / (double)all;
        if (fl_tensor_contiguous(w))
            fl_map_forget(w->data, (size_t)(share * (double)fl_tensor_bytes(w)));
    }
    if (packs->lock) fl_memory_lock(e->data, e->n_bytes);
    e->epoch = packs->epoch;
    packs->version++;
}

const void *fli_pack_ready(fli_pack *e, fl_packs *packs, fl_pool *pool) {
    if (!is_ready(packs, e)) {
        if (e->kernel->pack_later) return NULL;
        make(packs, e, pool);
    }
    return e->data;
}

void fl_packs_work(fl_packs *packs, fl_pool *pool, double seconds) {
    const double end = fl_now() + seconds;
    for (fli_pack *e = packs->first; e; e = e->next) {
        if (!e->kernel->pack_later || is_ready(packs, e)) continue;
        if (fl_now() >= end) return;
        if (!e->data && take_memory(packs, e, NULL) != FL_OK) continue;
        make(packs, e, pool);
    }
}

void fli_packs_owe(fl_packs *packs, double run_seconds) {
    static const double SHARE = 0.5;
    packs->owed = SHARE * run_seconds;
}

void fli_packs_pay(fl_packs *packs, fl_pool *pool) {
    fl_packs_work(packs, pool, packs->owed);
    packs->owed = 0;
}
