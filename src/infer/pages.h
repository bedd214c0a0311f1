/* pages.h - the memory of keys and values: pages of FLI_PAGE tokens, counted, shared by texts that
 * begin alike.
 *
 *     fli_pages p;
 *     fli_pages_init(&p, model, FL_BF16, most, &err);
 *     fli_page_list text = {0};
 *     fli_pages_hold(&p, &text, 0, 100, &err);    // room for tokens [0, 100), to be written
 *     fli_pages_trim(&p, &text, 40);              // those from 40 on are forgotten
 *
 * A block is the keys or the values of one layer, (pages, FLI_PAGE, heads, size); a page is the
 * same rows of every block, so a text is one list of pages whatever the number of layers. Page 0
 * belongs to nobody: rows of a step that only fill it up are written there.
 *
 * Why pages and not a block per text: texts differ in length by orders of magnitude and end at any
 * time, and those that share a beginning (a system prompt) need it once. Why FLI_PAGE = 64:
 * attention reads runs of 16 rows, a page of one block is some 24 KiB in small models, and half a
 * page, lost at the end of each text, is little.
 *
 * There are few pages at first and twice as many whenever they run out, up to `most`; then the
 * memory moves, which `moved` counts. */
#ifndef FL_INFER_PAGES_H
#define FL_INFER_PAGES_H

#include "model/model.h"

enum { FLI_PAGE = 64 };

typedef struct {
    fl_cache_shape shape;
    fl_dtype dtype;
    int64_t n_blocks;  // keys of every layer, then values, where there are any
    int64_t n, most;   // pages there are, and may become; page 0 counts
    int32_t *refs;     // of each page; 0: free
    int32_t *unused;   // the free ones, n_unused of them
    int64_t n_unused;
    fl_buffer *bytes;
    uint64_t moved;
} fli_pages;

/* The pages of a text, in order. The zero value is an empty one. */
typedef struct {
    int32_t *page;
    int64_t n, room;
} fli_page_list;

FL_MUST_USE fl_status fli_pages_init(fli_pages *p, const fl_model *m, fl_dtype dtype, int64_t most,
                                     fl_err *err);
void fli_pages_clear(fli_pages *p);

fl_tensor fli_pages_block(const fli_pages *p, int64_t i);  // (n, FLI_PAGE, heads, size)
size_t fli_page_bytes(const fli_pages *p);                 // of all blocks
size_t fli_pages_row_bytes(const fli_pages *p);            // of a token in one block
void *fli_pages_row(const fli_pages *p, int64_t block, const fli_page_list *l, int64_t token);

/* Pages for tokens [0, to), of which [from, to) may be written: shared ones are copied. On failure
 * the list holds what it held. */
FL_MUST_USE fl_status fli_pages_hold(fli_pages *p, fli_page_list *l, int64_t from, int64_t to,
                                     fl_err *err);
void fli_pages_trim(fli_pages *p, fli_page_list *l, int64_t tokens);  // keep those of [0, tokens)

/* `l`, which is empty, gets the pages of the first n tokens of `from`, to read. */
FL_MUST_USE fl_status fli_pages_share(fli_pages *p, fli_page_list *l, const fli_page_list *from,
                                      int64_t tokens, fl_err *err);
void fli_pages_free(fli_pages *p, fli_page_list *l);

static inline int64_t fli_pages_for(int64_t tokens) {
    return (tokens + FLI_PAGE - 1) / FLI_PAGE;
}

#endif
