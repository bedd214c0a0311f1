/* cut.h - where a long text may be cut without changing its tokens. Inside data only. */
#ifndef FL_DATA_CUT_H
#define FL_DATA_CUT_H

#include <stddef.h>

/* The length of the first piece of s[0..n), n > 8: at most n, more than n / 2. */
size_t fli_cut(const char *s, size_t n);

#endif
