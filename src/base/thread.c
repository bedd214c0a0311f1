/* thread - a pool of workers that wake quickly.
 *
 * A training step is thousands of short jobs, so handing one out must cost less than a microsecond
 * or two. The caller publishes a job and raises `generation`. A worker watches that counter,
 * spinning for some microseconds (the next job is usually that near) and then sleeping.
 *
 * Each worker has a share of the tasks and takes it from its beginning on, half of what is left at
 * a time: it walks over memory from one end to the other, and seldom asks. Who has none left takes
 * half of what another has not begun, from its end, so that all end together (Blumofe and
 * Leiserson, "Scheduling multithreaded computations by work stealing", 1999).
 *
 * A worker joins a job by raising `active` and then looking at `open`; the caller ends one by
 * lowering `open` and then waiting for `active` to be zero. Both orders are sequentially
 * consistent, so either the worker sees the job closed and touches nothing, or the caller sees the
 * worker and waits. A worker that wakes too late delays nobody. */
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cpu.h"

enum {
    SPINS = 2000,  // pauses before sleeping: 20 to 80 microseconds
    MAX_WORKERS = 1024,
};

typedef struct {
    _Alignas(64) _Atomic uint64_t share;  // tasks not begun: the first, and the end 32 bits up
    fl_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct fl_pool {
    worker *workers;  // [0] is whoever calls fl_pool_run
    int n, started;
    int spins;  // 0 when there are more workers than cores: spinning would steal from the others

    pthread_mutex_t turn;  // one job at a time, whoever asks

    // The job. Written only while it is closed and nobody is active.
    fl_task task;
    void *ctx;
    int64_t grain;

    _Alignas(64) atomic_uint generation;
    atomic_bool open, quit;
    _Alignas(64) atomic_int active;
    atomic_int sleepers;  // workers in (or on their way into) the wait for a job
    atomic_bool caller_waits;

    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
};

/* Which worker of which pool this thread is now, so that a task may itself call fl_pool_run. */
static _Thread_local const fl_pool *own_pool;
static _Thread_local int own_index;

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- shares ---- */

typedef struct {
    int64_t begin, end;
} range;

static uint64_t packed(range r) {
    return (uint64_t)r.end << 32 | (uint64_t)r.begin;
}

static range unpacked(uint64_t share) {
    return (range){(int64_t)(share & UINT32_MAX), (int64_t)(share >> 32)};
}

/* Of what worker w has not begun: `grain` tasks from the beginning (0: half), or half from the end.
 * Tasks are in one share at a time and never come back, so a share that looks the same is. */
static bool take(worker *w, bool from_end, int64_t grain, range *out) {
    uint64_t share = atomic_load_explicit(&w->share, memory_order_relaxed);
    for (;;) {
        const range r = unpacked(share);
        const int64_t left = r.end - r.begin, half = (left + 1) / 2;
        const int64_t n = from_end || !grain ? half : grain < left ? grain : left;
        if (!left) return false;
        range kept = {r.begin + n, r.end};
        *out = (range){r.begin, r.begin + n};
        if (from_end) {
            kept = (range){r.begin, r.end - n};
            *out = (range){r.end - n, r.end};
        }
        if (atomic_compare_exchange_weak_explicit(&w->share, &share, packed(kept),
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

static void deal(fl_pool *p, int64_t n) {
    for (int i = 0; i < p->n; i++) {
        const range r = {n * i / p->n, n * (i + 1) / p->n};
        atomic_store_explicit(&p->workers[i].share, packed(r), memory_order_relaxed);
    }
}

/* The next tasks of one's own share, which may have been another's. */
static bool next_tasks(fl_pool *p, int index, range *out) {
    worker *own = &p->workers[index];
    if (take(own, false, p->grain, out)) return true;
    for (int i = 1; i < p->n; i++) {
        range r;
        if (!take(&p->workers[(index + i) % p->n], true, 0, &r)) continue;
        atomic_store_explicit(&own->share, packed(r), memory_order_relaxed);
        if (take(own, false, p->grain, out)) return true;
    }
    return false;
}

static void work(fl_pool *p, int index) {
    const fl_pool *outer_pool = own_pool;
    int outer_index = own_index;
    range r;
    own_pool = p;
    own_index = index;
    while (next_tasks(p, index, &r)) p->task(p->ctx, r.begin, r.end, index);
    own_pool = outer_pool;
    own_index = outer_index;
}

/* ---- jobs ---- */

/* Return once `generation` differs from `seen`. */
static unsigned await_job(fl_pool *p, unsigned seen) {
    for (int i = 0; i < p->spins; i++) {
        unsigned now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->generation);
}

static void *worker_main(void *arg) {
    worker *w = arg;
    fl_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load(&p->quit)) return NULL;
        atomic_fetch_add(&p->active, 1);
        if (atomic_load(&p->open)) work(p, w->index);
        if (atomic_fetch_sub(&p->active, 1) == 1 && atomic_load(&p->caller_waits)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->idle);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static void announce(fl_pool *p) {
    atomic_fetch_add(&p->generation, 1);
    if (!atomic_load(&p->sleepers)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void await_idle(fl_pool *p) {
    for (int i = 0; i < p->spins; i++) {
        if (!atomic_load(&p->active)) return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_waits, true);
    while (atomic_load(&p->active)) pthread_cond_wait(&p->idle, &p->lock);
    atomic_store(&p->caller_waits, false);
    pthread_mutex_unlock(&p->lock);
}

void fl_pool_run(fl_pool *p, int64_t n, int64_t grain, fl_task task, void *ctx) {
    FL_ASSERT(n >= 0 && n <= UINT32_MAX && grain >= 0);
    if (n == 0) return;
    if (own_pool == p) {  // from inside one of our own tasks: the others are busy with its siblings
        task(ctx, 0, n, own_index);
        return;
    }
    pthread_mutex_lock(&p->turn);
    p->task = task;
    p->ctx = ctx;
    p->grain = grain;
    deal(p, n);
    const bool shared = p->n > 1 && n > 1;
    if (shared) {
        atomic_store(&p->open, true);
        announce(p);
    }
    work(p, 0);
    if (shared) {
        atomic_store(&p->open, false);
        await_idle(p);
    }
    pthread_mutex_unlock(&p->turn);
}

/* Threads: $FLEDGE_THREADS, or one per core. A value that is not a number is an error, not a
 * default. */
static fl_status pool_size(int asked, int *n, fl_err *err) {
    const char *env = getenv("FLEDGE_THREADS");
    *n = asked ? asked : fl_cpu_get()->cores;
    if (!asked && env && *env) {
        char *end;
        errno = 0;
        long v = strtol(env, &end, 10);
        if (*end || errno || v < 1 || v > MAX_WORKERS)
            return fl_fail(err, FL_ERR_ARG, "FLEDGE_THREADS=%s: expected 1 to %d", env,
                           MAX_WORKERS);
        *n = (int)v;
    }
    if (*n < 1 || *n > MAX_WORKERS)
        return fl_fail(err, FL_ERR_ARG, "%d threads: expected 1 to %d", *n, MAX_WORKERS);
    return FL_OK;
}

/* Workers leave signals to the program's own threads. */
static fl_status start_workers(fl_pool *p, fl_err *err) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = 0;
    for (p->started = 1; p->started < p->n && !failed; p->started += !failed) {
        worker *w = &p->workers[p->started];
        *w = (worker){.pool = p, .index = p->started};
        failed = pthread_create(&w->thread, NULL, worker_main, w);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!failed) return FL_OK;
    return fl_fail(err, FL_ERR_NOMEM, "starting thread %d of %d: %s", p->started + 1, p->n,
                   strerror(failed));
}

fl_status fl_pool_new(fl_pool **out, int n, fl_err *err) {
    FL_TRY(pool_size(n, &n, err));
    fl_pool *p = fl_alloc(sizeof *p);
    worker *workers = fl_alloc((size_t)n * sizeof *workers);
    if (!p || !workers) {
        fl_dealloc(workers);
        fl_dealloc(p);
        return fl_fail(err, FL_ERR_NOMEM, "a pool of %d threads", n);
    }
    memset(p, 0, sizeof *p);
    p->workers = workers;
    p->n = n;
    p->spins = n <= fl_cpu_get()->cores ? SPINS : 0;
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    fl_status s = start_workers(p, err);
    if (s != FL_OK) {
        fl_pool_free(p);
        return s;
    }
    *out = p;
    return FL_OK;
}

void fl_pool_free(fl_pool *p) {
    if (!p) return;
    atomic_store(&p->quit, true);
    announce(p);
    for (int i = 1; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->turn);
    fl_dealloc(p->workers);
    fl_dealloc(p);
}

int fl_pool_size(const fl_pool *p) {
    return p->n;
}

static struct {
    pthread_once_t once;
    fl_pool *pool;
    int size;
} shared_pool = {.once = PTHREAD_ONCE_INIT};

static void shared_pool_free(void) {
    fl_pool_free(shared_pool.pool);
    shared_pool.pool = NULL;
}

/* The pool everything runs on cannot be refused: fewer threads are tried, and one alone always
 * works. */
static void shared_pool_make(void) {
    static worker self;
    static fl_pool alone = {.workers = &self,
                            .n = 1,
                            .started = 1,
                            .turn = PTHREAD_MUTEX_INITIALIZER};
    for (int n = shared_pool.size;; n = 1) {
        if (fl_pool_new(&shared_pool.pool, n, NULL) == FL_OK) {
            atexit(shared_pool_free);
            return;
        }
        if (n == 1) break;
    }
    shared_pool.pool = &alone;
}

fl_pool *fl_pool_default(void) {
    pthread_once(&shared_pool.once, shared_pool_make);
    return shared_pool.pool;
}

void fl_pool_set_default_size(int n) {
    FL_ASSERT(n >= 0);
    shared_pool.size = n;
}
