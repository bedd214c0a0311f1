/* check_packs - packed copies of weights: made once, where nothing else lies, in whole lines of
 * memory; and made again, all of them, when weights have changed.
 *
 * More small copies than a slab holds, large ones between them, each filled from end to end with a
 * number of its own.
 *
 * Tried and caught: a copy that begins where the last one did, or in its last line; a slab whose
 * room is not looked at, that a new one does not begin, that is given back with copies in it. */
#include <stdint.h>
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"
#include "check.h"

enum { N = 60, LARGE = 3 << 20 };

static uint8_t weight[N];  // their addresses tell them apart
static int n_packed;

/* Sizes up to 2 MiB that are no whole lines; every seventh copy is large. */
static size_t copy_bytes(int i) {
    return i % 7 == 3 ? LARGE : (size_t)(1 + i * 37 % 41 * 40000);
}

static int number_of(const fl_call *c) {
    return (int)((const uint8_t *)c->in[1].data - weight);
}

static const char *layout(const fl_call *c) {
    (void)c;
    return "filled";
}

static size_t fill_bytes(const fl_call *c) {
    return copy_bytes(number_of(c));
}

static int64_t fill_tasks(const fl_call *c) {
    (void)c;
    return 2;
}

/* Two halves. */
static void fill(const fl_call *c, void *dst, int64_t begin, int64_t end) {
    const size_t n = copy_bytes(number_of(c)), half = n / 2;
    const size_t from = begin ? half : 0, to = end == 2 ? n : half;
    memset((char *)dst + from, weight[number_of(c)], to - from);
    n_packed++;
}

static const fl_kernel before = {.pack_id = layout,
                                 .pack_bytes = fill_bytes,
                                 .pack_tasks = fill_tasks,
                                 .pack = fill},
                       later = {.pack_id = layout,
                                .pack_bytes = fill_bytes,
                                .pack_tasks = fill_tasks,
                                .pack = fill,
                                .pack_later = true};

static bool is_filled(const uint8_t *copy, int i) {
    const size_t n = copy_bytes(i);
    for (size_t k = 0; k < n; k++)
        if (copy[k] != weight[i]) return false;
    return true;
}

static void check_copies(fl_packs *packs, fli_pack *const *pack, fl_pool *pool, const char *when) {
    for (int i = 0; i < N; i++) {
        const uint8_t *copy = fli_pack_ready(pack[i], packs, pool);
        CHECKF(copy && (uintptr_t)copy % 64 == 0 && is_filled(copy, i), "copy %d, %s", i, when);
    }
}

static void check_kernel(const fl_kernel *k, fl_pool *pool) {
    fl_packs *packs = fl_packs_new();
    fli_pack *pack[N] = {NULL}, *same;
    size_t bytes = 0;
    n_packed = 0;
    for (int i = 0; i < N; i++) {
        const fl_tensor w = fl_tensor_of(&weight[i], FL_U8, 1, (int64_t[]){1});
        const fl_call c = {.n_in = 2, .in = {w, w}};
        weight[i] = (uint8_t)(i + 1);
        CHECK(fli_packs_get(&pack[i], packs, k, &c, NULL) == FL_OK);
        CHECK(fli_packs_get(&same, packs, k, &c, NULL) == FL_OK && same == pack[i]);
        bytes += copy_bytes(i);
    }
    CHECK(fl_packs_bytes(packs) == bytes);
    if (k->pack_later) CHECK(!fli_pack_ready(pack[0], packs, pool));
    fl_packs_work(packs, pool, 1e9);
    check_copies(packs, pack, pool, "made");
    const int made = n_packed;
    fl_packs_work(packs, pool, 1e9);
    check_copies(packs, pack, pool, "looked at again");
    CHECKF(n_packed == made, "packed %d times more", n_packed - made);
    for (int i = 0; i < N; i++) weight[i] += 100;
    fl_packs_changed(packs);
    if (k->pack_later) CHECK(!fli_pack_ready(pack[0], packs, pool));
    fl_packs_work(packs, pool, 1e9);
    check_copies(packs, pack, pool, "made again");
    CHECK(n_packed == 2 * made);
    fl_packs_free(packs);
}

int main(void) {
    fl_pool *pool = NULL;
    fl_err err = {0};
    CHECKF(fl_pool_new(&pool, 1, &err) == FL_OK, "%s", err.msg);
    check_kernel(&before, pool);
    check_kernel(&later, pool);
    fl_pool_free(pool);
    return check_report();
}
