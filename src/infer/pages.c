/* pages - the memory of keys and values: pages of FLI_PAGE tokens, counted, shared by texts that
 * begin alike.
 *
 *   bytes:  block 0: page 0, page 1, ..   block 1: page 0, page 1, ..   ..
 */
#include "infer/pages.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { FIRST = 5 };  // pages at first: 256 tokens, and nobody's

size_t fli_pages_row_bytes(const fli_pages *p) {
    return fl_dtype_row_bytes(p->dtype, p->shape.heads * p->shape.size);
}

static size_t one_page(const fli_pages *p) {
    return FLI_PAGE * fli_pages_row_bytes(p);
}

size_t fli_page_bytes(const fli_pages *p) {
    return one_page(p) * (size_t)p->n_blocks;
}

static char *page_at(const fli_pages *p, int64_t block, int64_t page) {
    return (char *)fl_buffer_data(p->bytes) + (size_t)(block * p->n + page) * one_page(p);
}

void *fli_pages_row(const fli_pages *p, int64_t block, const fli_page_list *l, int64_t token) {
    return page_at(p, block, l->page[token / FLI_PAGE]) +
           (size_t)(token % FLI_PAGE) * fli_pages_row_bytes(p);
}

fl_tensor fli_pages_block(const fli_pages *p, int64_t i) {
    return fl_tensor_of(page_at(p, i, 0), p->dtype, 4,
                        (int64_t[]){p->n, FLI_PAGE, p->shape.heads, p->shape.size});
}

/* Room for n pages; what is there moves. */
static fl_status grow(fli_pages *p, int64_t n, fl_err *err) {
    const fli_pages old = *p;
    fl_buffer *bytes = NULL;
    int32_t *refs = fl_alloc((size_t)n * sizeof *refs),
            *unused = fl_alloc((size_t)n * sizeof *refs);
    fl_status st = refs && unused ? fl_buffer_new(&bytes, (size_t)n * fli_page_bytes(p), err)
                                  : fl_fail(err, FL_ERR_NOMEM, "%lld pages", (long long)n);
    if (st != FL_OK) {
        fl_dealloc(refs);
        fl_dealloc(unused);
        return st;
    }
    *p = (fli_pages){.shape = old.shape,
                     .dtype = old.dtype,
                     .n_blocks = old.n_blocks,
                     .n = n,
                     .most = old.most,
                     .refs = refs,
                     .unused = unused,
                     .bytes = bytes,
                     .moved = old.moved + 1};
    for (int64_t i = 0; i < p->n_blocks && old.n; i++)
        memcpy(page_at(p, i, 0), page_at(&old, i, 0), (size_t)old.n * one_page(p));
    memset(refs, 0, (size_t)n * sizeof *refs);
    if (old.n) memcpy(refs, old.refs, (size_t)old.n * sizeof *refs);
    refs[0] = 1;
    for (int64_t i = n - 1; i > 0; i--)
        if (!refs[i]) unused[p->n_unused++] = (int32_t)i;
    fl_dealloc(old.refs);
    fl_dealloc(old.unused);
    fl_buffer_unref(old.bytes);
    return FL_OK;
}

fl_status fli_pages_init(fli_pages *p, const fl_model *m, fl_dtype dtype, int64_t most,
                         fl_err *err) {
    const fl_cache_shape shape = fl_config_cache(&m->config);
    *p = (fli_pages){.shape = shape,
                     .dtype = dtype,
                     .n_blocks = (shape.values ? 2 : 1) * m->config.num_hidden_layers,
                     .most = most};
    return grow(p, most < FIRST ? most : FIRST, err);
}

void fli_pages_clear(fli_pages *p) {
    fl_dealloc(p->refs);
    fl_dealloc(p->unused);
    fl_buffer_unref(p->bytes);
    *p = (fli_pages){0};
}

/* ---- one page ---- */

static fl_status page_take(fli_pages *p, int32_t *out, fl_err *err) {
    if (!p->n_unused) {
        if (p->n == p->most) {
            return fl_fail(err, FL_ERR_NOMEM, "the cache holds %lld tokens, and all are in use",
                           (long long)(p->most - 1) * FLI_PAGE);
        }
        FL_TRY(grow(p, 2 * p->n < p->most ? 2 * p->n : p->most, err));
    }
    *out = p->unused[--p->n_unused];
    p->refs[*out] = 1;
    // A hidden row counts nothing, but nothing times what is not a number is not nothing.
    for (int64_t i = 0; i < p->n_blocks; i++) memset(page_at(p, i, *out), 0, one_page(p));
    return FL_OK;
}

static void page_drop(fli_pages *p, int32_t page) {
    FL_ASSERT(p->refs[page] > 0);
    if (--p->refs[page] == 0) p->unused[p->n_unused++] = page;
}

/* The page alone, with the rows it has. */
static fl_status page_own(fli_pages *p, int32_t *page, fl_err *err) {
    int32_t own;
    if (p->refs[*page] == 1) return FL_OK;
    FL_TRY(page_take(p, &own, err));
    for (int64_t i = 0; i < p->n_blocks; i++)
        memcpy(page_at(p, i, own), page_at(p, i, *page), one_page(p));
    page_drop(p, *page);
    *page = own;
    return FL_OK;
}

/* ---- lists ---- */

static fl_status list_reserve(fli_page_list *l, int64_t n, fl_err *err) {
    if (n <= l->room) return FL_OK;
    int64_t room = l->room ? 2 * l->room : 4;
    while (room < n) room *= 2;
    int32_t *more = fl_alloc((size_t)room * sizeof *more);
    if (!more) return fl_fail(err, FL_ERR_NOMEM, "a list of %lld pages", (long long)room);
    if (l->n) memcpy(more, l->page, (size_t)l->n * sizeof *more);
    fl_dealloc(l->page);
    l->page = more;
    l->room = room;
    return FL_OK;
}

fl_status fli_pages_hold(fli_pages *p, fli_page_list *l, int64_t from, int64_t to, fl_err *err) {
    const int64_t n = fli_pages_for(to), before = l->n;
    FL_TRY(list_reserve(l, n, err));
    fl_status st = FL_OK;
    for (int64_t i = from / FLI_PAGE; i < l->n && i < n && st == FL_OK; i++)
        st = page_own(p, &l->page[i], err);
    while (l->n < n && st == FL_OK) {
        st = page_take(p, &l->page[l->n], err);
        l->n += st == FL_OK;
    }
    if (st != FL_OK) fli_pages_trim(p, l, before * FLI_PAGE);
    return st;
}

void fli_pages_trim(fli_pages *p, fli_page_list *l, int64_t tokens) {
    while (l->n > fli_pages_for(tokens)) page_drop(p, l->page[--l->n]);
}

fl_status fli_pages_share(fli_pages *p, fli_page_list *l, const fli_page_list *from, int64_t tokens,
                          fl_err *err) {
    const int64_t n = fli_pages_for(tokens);
    FL_ASSERT(!l->n && n <= from->n);
    FL_TRY(list_reserve(l, n, err));
    for (; l->n < n; l->n++) {
        l->page[l->n] = from->page[l->n];
        p->refs[l->page[l->n]]++;
    }
    return FL_OK;
}

void fli_pages_free(fli_pages *p, fli_page_list *l) {
    fli_pages_trim(p, l, 0);
    fl_dealloc(l->page);
    *l = (fli_page_list){0};
}
