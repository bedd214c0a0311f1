/* buffer.c - counted memory for tensors.
 *
 * Large buffers are mapped at a multiple of 2 MiB and ask for huge pages: fresh 4 KiB pages cost
 * more than the arithmetic that first touches them. Small ones come from the heap. */
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "tensor/tensor.h"

enum { HUGE_PAGE = 2 << 20 };

struct fl_buffer {
    atomic_int refs;
    size_t bytes;
    void *data;
    void *map;  // NULL: data is from the heap
    size_t map_bytes;
};

static void *map_huge(fl_buffer *b, size_t bytes) {
    if (bytes > SIZE_MAX - 2 * (size_t)HUGE_PAGE) return NULL;
    b->map_bytes = bytes + HUGE_PAGE;
    void *p = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    b->map = p;
    unsigned char *data = (unsigned char *)p + (-(uintptr_t)p & (HUGE_PAGE - 1));
#ifdef MADV_HUGEPAGE
    (void)madvise(data, bytes, MADV_HUGEPAGE);  // only speed depends on it
#endif
    return data;
}

static void *from_heap(size_t bytes) {
    void *p = fl_alloc(bytes ? bytes : 1);
    return p ? memset(p, 0, bytes) : NULL;
}

fl_status fl_buffer_new(fl_buffer **out, size_t bytes, fl_err *err) {
    fl_buffer *b = fl_alloc(sizeof *b);
    if (b) {
        *b = (fl_buffer){.bytes = bytes};
        b->data = bytes >= HUGE_PAGE ? map_huge(b, bytes) : from_heap(bytes);
    }
    if (!b || !b->data) {
        fl_dealloc(b);
        return fl_fail(err, FL_ERR_NOMEM, "a buffer of %zu bytes", bytes);
    }
    atomic_init(&b->refs, 1);
    *out = b;
    return FL_OK;
}

fl_buffer *fl_buffer_ref(fl_buffer *b) {
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void fl_buffer_unref(fl_buffer *b) {
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1) return;
    if (b->map) munmap(b->map, b->map_bytes);
    else fl_dealloc(b->data);
    fl_dealloc(b);
}

void *fl_buffer_data(const fl_buffer *b) {
    return b->data;
}

size_t fl_buffer_bytes(const fl_buffer *b) {
    return b->bytes;
}
