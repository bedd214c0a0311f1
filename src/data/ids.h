/* ids.h - room in a growable list of tokens. Inside data only. */
#ifndef FL_DATA_IDS_H
#define FL_DATA_IDS_H

#include "token/tokenizer.h"

/* Make room for `n` more ids. */
FL_MUST_USE fl_status fli_ids_reserve(fl_ids *ids, size_t n, fl_err *err);

#endif
