/* graph_impl.h - how a graph is stored; for the files of this folder.
 *
 * Nodes and values sit in runs that double in length and never move, so a pointer to one stays
 * valid while the graph grows. */
#ifndef FL_GRAPH_IMPL_H
#define FL_GRAPH_IMPL_H

#include "base/arena.h"
#include "graph/graph.h"

enum { FLI_FIRST_RUN = 64, FLI_MAX_RUNS = 20 };  // 64 (2^20 - 1): room for 67 million

typedef struct {
    void *run[FLI_MAX_RUNS];
    int count;
} fli_list;

struct fl_graph {
    fl_arena arena;
    fli_list values, nodes, scopes;  // fl_value_info, fl_node, const char *
    fl_err err;                      // the first failure; builders do nothing after it
    bool in_backward;                // nodes added now belong to the backward pass
};

/* Element i, which exists. */
fl_value_info *fli_value(const fl_graph *g, fl_val v);
fl_node *fli_node(const fl_graph *g, int i);

/* Whether building may go on; a negative handle is a mistake only where a value is needed. */
static inline bool fli_ok(const fl_graph *g) {
    return g->err.code == FL_OK;
}

#endif
