/* grammar_states - all parses of a text at once, and what each byte makes of them.
 *
 * A parse is (place in the code, stack); a stack is a number, that of the pair (place to return to,
 * stack below). Equal stacks have equal numbers, so equal parses are equal pairs. A state is a set
 * of parses that wait for a byte, in order; equal states have equal numbers too, and a table holds
 * the transitions already asked for. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "infer/grammar_code.h"

enum {
    MAX_PARSES = 1 << 13,  // of one text
    MAX_STATES = 1 << 17,
    MAX_STACKS = 1 << 18,
    MAX_POOL = 1 << 22,
    MANY_STATES = 1 << 13,  // more than these are forgotten between tokens
    MANY_STACKS = 1 << 16,
};

/* --- pairs ------------------------------------------------------------------------------------ */

static uint32_t pair_hash(int32_t a, int32_t b) {
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

/* The slot of a pair, or the free one where it would be. */
static int32_t pair_slot(const fli_pairs *p, int32_t a, int32_t b) {
    int32_t at = (int32_t)(pair_hash(a, b) & (uint32_t)(p->n_slots - 1));
    while (p->slot[at] >= 0 && (p->pair[p->slot[at]][0] != a || p->pair[p->slot[at]][1] != b)) {
        at = (at + 1) & (p->n_slots - 1);
    }
    return at;
}

static bool pairs_grow(fli_pairs *p) {
    int32_t cap = p->cap ? 2 * p->cap : 64;
    int32_t(*pair)[2] = fl_alloc((size_t)cap * sizeof *pair);
    int32_t *slot = fl_alloc(2 * (size_t)cap * sizeof *slot);
    if (!pair || !slot) {
        fl_dealloc(pair);
        fl_dealloc(slot);
        return false;
    }
    if (p->n) memcpy(pair, p->pair, (size_t)p->n * sizeof *pair);
    fl_dealloc(p->pair);
    fl_dealloc(p->slot);
    *p = (fli_pairs){.pair = pair, .n = p->n, .cap = cap, .slot = slot, .n_slots = 2 * cap};
    memset(slot, -1, 2 * (size_t)cap * sizeof *slot);
    for (int32_t i = 0; i < p->n; i++) slot[pair_slot(p, pair[i][0], pair[i][1])] = i;
    return true;
}

int32_t fli_pairs_add(fli_pairs *p, int32_t a, int32_t b) {
    if (p->n == p->cap && !pairs_grow(p)) return -1;
    int32_t at = pair_slot(p, a, b);
    if (p->slot[at] < 0) {
        p->pair[p->n][0] = a;
        p->pair[p->n][1] = b;
        p->slot[at] = p->n++;
    }
    return p->slot[at];
}

/* The last come first: what a pair had to pass to its slot is still there when it is looked for. */
void fli_pairs_forget(fli_pairs *p) {
    while (p->n > 0) {
        int32_t at = pair_slot(p, p->pair[p->n - 1][0], p->pair[p->n - 1][1]);
        p->slot[at] = -1;
        p->n--;
    }
}

void fli_pairs_clear(fli_pairs *p) {
    fl_dealloc(p->pair);
    fl_dealloc(p->slot);
    *p = (fli_pairs){0};
}

/* --- states ----------------------------------------------------------------------------------- */

typedef struct {
    int32_t first, n;  // of its parses, in the pool
    bool ends;         // one parse has reached the end of root
} state;

struct fli_states {
    const fl_grammar *g;
    int32_t n_kept;      // stacks, when last trimmed
    fli_pairs stacks;    // 0 is the empty one
    fli_pairs seen;      // parses being collected, those that wait for no byte included
    int32_t (*wait)[2];  // those of `seen` that wait for a byte
    int32_t cap_wait;
    int32_t (*pool)[2];
    int32_t n_pool, cap_pool;
    state *states;
    int32_t *table;  // n_states x n_classes; -1: not asked for yet
    int32_t *slot;   // hash table of states, -1 is free
    int32_t n_states, cap_states;
};

bool fli_states_ends(const fli_states *s, int32_t at) {
    return s->states[at].ends;
}

const int32_t *fli_states_table(const fli_states *s) {
    return s->table;
}

static fl_status fail_memory(fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "the states of a grammar");
}

static fl_status fail_parses(fl_err *err) {
    return fl_fail(err, FL_ERR_ARG,
                   "the grammar is too ambiguous, or nested too deep: more than %d ways to read "
                   "the text so far",
                   MAX_PARSES);
}

static uint32_t state_hash(const int32_t (*parse)[2], int32_t n, bool ends) {
    return (uint32_t)fl_hash64(parse, (size_t)n * sizeof *parse) + ends;
}

/* The slot of this set of parses, or the free one where it would be. */
static int32_t state_slot(const fli_states *s, const int32_t (*parse)[2], int32_t n, bool ends) {
    int32_t mask = 2 * s->cap_states - 1;
    for (int32_t at = (int32_t)(state_hash(parse, n, ends) & (uint32_t)mask);;
         at = (at + 1) & mask) {
        if (s->slot[at] < 0) return at;
        const state *o = &s->states[s->slot[at]];
        if (o->n != n || o->ends != ends) continue;
        if (!n || memcmp(s->pool + o->first, parse, (size_t)n * sizeof *parse) == 0) return at;
    }
}

static const int32_t (*parses_of(const fli_states *s, int32_t at))[2] {
    return (const int32_t(*)[2])(s->pool + s->states[at].first);
}

static fl_status states_grow(fli_states *s, fl_err *err) {
    if (s->n_states < s->cap_states) return FL_OK;
    if (s->n_states == MAX_STATES) return fail_parses(err);
    int32_t cap = s->cap_states ? 2 * s->cap_states : 64, width = s->g->n_classes;
    state *states = fl_alloc((size_t)cap * sizeof *states);
    int32_t *table = fl_alloc((size_t)cap * (size_t)width * sizeof *table);
    int32_t *slot = fl_alloc(2 * (size_t)cap * sizeof *slot);
    if (!states || !table || !slot) {
        fl_dealloc(states);
        fl_dealloc(table);
        fl_dealloc(slot);
        return fail_memory(err);
    }
    if (s->n_states) {
        memcpy(states, s->states, (size_t)s->n_states * sizeof *states);
        memcpy(table, s->table, (size_t)s->n_states * (size_t)width * sizeof *table);
    }
    fl_dealloc(s->states);
    fl_dealloc(s->table);
    fl_dealloc(s->slot);
    s->states = states;
    s->table = table;
    s->slot = slot;
    s->cap_states = cap;
    memset(slot, -1, 2 * (size_t)cap * sizeof *slot);
    for (int32_t i = 0; i < s->n_states; i++) {
        slot[state_slot(s, parses_of(s, i), states[i].n, states[i].ends)] = i;
    }
    return FL_OK;
}

static fl_status pool_grow(fli_states *s, int32_t more, fl_err *err) {
    if (s->n_pool + more <= s->cap_pool) return FL_OK;
    if (more > MAX_POOL - s->n_pool) return fail_parses(err);
    int32_t cap = s->cap_pool ? s->cap_pool : 256;
    while (cap < s->n_pool + more) cap *= 2;
    int32_t(*pool)[2] = fl_alloc((size_t)cap * sizeof *pool);
    if (!pool) return fail_memory(err);
    if (s->n_pool) memcpy(pool, s->pool, (size_t)s->n_pool * sizeof *pool);
    fl_dealloc(s->pool);
    s->pool = pool;
    s->cap_pool = cap;
    return FL_OK;
}

/* --- following parses to where they wait for a byte
 * -------------------------------------------- */

static int32_t pass_jumps(const fl_grammar *g, int32_t pc) {
    while (g->code[pc].op == FLI_JUMP) pc += g->code[pc].arg;
    return pc;
}

static fl_status see(fli_states *s, int32_t pc, int32_t stack, fl_err *err) {
    if (stack < 0 || fli_pairs_add(&s->seen, pass_jumps(s->g, pc), stack) < 0)
        return fail_memory(err);
    return s->seen.n <= MAX_PARSES && s->stacks.n < MAX_STACKS ? FL_OK : fail_parses(err);
}

/* A parse that does not wait for a byte leads to others, which are seen in turn. */
static fl_status step(fli_states *s, int32_t pc, int32_t stack, bool *ends, fl_err *err) {
    const fl_grammar *g = s->g;
    const fli_instruction *i = &g->code[pc];
    switch (i->op) {
    case FLI_SET:
    case FLI_JUMP: break;
    case FLI_SPLIT: FL_TRY(see(s, pc + 1, stack, err)); return see(s, pc + i->arg, stack, err);
    case FLI_CALL:
        stack = fli_pairs_add(&s->stacks, pass_jumps(g, pc + 1), stack);
        return see(s, g->rules[i->arg].entry, stack, err);
    case FLI_TAIL: return see(s, g->rules[i->arg].entry, stack, err);
    case FLI_RETURN:
        if (stack) return see(s, s->stacks.pair[stack][0], s->stacks.pair[stack][1], err);
        *ends = true;
    }
    return FL_OK;
}

static int by_pair(const void *pa, const void *pb) {
    const int32_t *a = pa, *b = pb;
    if (a[0] != b[0]) return a[0] < b[0] ? -1 : 1;
    return (a[1] > b[1]) - (a[1] < b[1]);
}

/* The state of these parses in order, known or new. */
static fl_status state_of(fli_states *s, const int32_t (*parse)[2], int32_t n, bool ends,
                          int32_t *out, fl_err *err) {
    FL_TRY(states_grow(s, err));
    int32_t at = state_slot(s, parse, n, ends);
    if (s->slot[at] < 0) {
        FL_TRY(pool_grow(s, n, err));
        if (n) memcpy(s->pool + s->n_pool, parse, (size_t)n * sizeof *parse);
        s->states[s->n_states] = (state){s->n_pool, n, ends};
        int32_t *row = s->table + (int64_t)s->n_states * s->g->n_classes;
        for (int c = 0; c < s->g->n_classes; c++) row[c] = -1;
        s->n_pool += n;
        s->slot[at] = s->n_states++;
    }
    *out = s->slot[at];
    return FL_OK;
}

static bool wait_grow(fli_states *s) {
    fl_dealloc(s->wait);
    s->cap_wait = s->seen.cap;
    s->wait = fl_alloc((size_t)s->cap_wait * sizeof *s->wait);
    if (!s->wait) s->cap_wait = 0;
    return s->wait;
}

/* The state of what was seen. */
static fl_status state_seen(fli_states *s, int32_t *out, fl_err *err) {
    bool ends = false;
    int32_t n = 0;
    for (int32_t i = 0; i < s->seen.n; i++) {
        FL_TRY(step(s, s->seen.pair[i][0], s->seen.pair[i][1], &ends, err));
    }
    if (s->cap_wait < s->seen.cap && !wait_grow(s)) return fail_memory(err);
    int32_t(*wait)[2] = s->wait;
    for (int32_t i = 0; i < s->seen.n; i++) {
        if (s->g->code[s->seen.pair[i][0]].op != FLI_SET) continue;
        memcpy(wait[n++], s->seen.pair[i], sizeof *wait);
    }
    qsort(wait, (size_t)n, sizeof *wait, by_pair);
    return state_of(s, (const int32_t(*)[2])wait, n, ends, out, err);
}

fl_status fli_states_begin(fli_states *s, int32_t *out, fl_err *err) {
    fli_pairs_forget(&s->seen);
    FL_TRY(see(s, s->g->rules[s->g->root].entry, 0, err));
    return state_seen(s, out, err);
}

fl_status fli_states_next(fli_states *s, int32_t at, int byte_class, int32_t *next, fl_err *err) {
    const state *from = &s->states[at];
    uint8_t byte = s->g->class_byte[byte_class];
    fli_pairs_forget(&s->seen);
    for (int32_t i = from->first; i < from->first + from->n; i++) {
        int32_t pc = s->pool[i][0];
        if (!fli_set_has(&s->g->sets[s->g->code[pc].arg], byte)) continue;
        FL_TRY(see(s, pc + 1, s->pool[i][1], err));
    }
    FL_TRY(state_seen(s, next, err));
    s->table[(int64_t)at * s->g->n_classes + byte_class] = *next;
    return FL_OK;
}

/* --- making, freeing, forgetting -------------------------------------------------------------- */

/* Stack 0 is empty and state 0 has no parses. */
static fl_status states_init(fli_states *s, fl_err *err) {
    int32_t none;
    if (fli_pairs_add(&s->stacks, -1, -1) < 0) return fail_memory(err);
    return state_of(s, NULL, 0, false, &none, err);
}

fl_status fli_states_new(fli_states **out, const fl_grammar *g, fl_err *err) {
    fli_states *s = fl_alloc(sizeof *s);
    if (!s) return fail_memory(err);
    *s = (fli_states){.g = g};
    fl_status st = states_init(s, err);
    if (st == FL_OK) *out = s;
    else fli_states_free(s);
    return st;
}

static void states_clear(fli_states *s) {
    fli_pairs_clear(&s->stacks);
    fli_pairs_clear(&s->seen);
    fl_dealloc(s->wait);
    fl_dealloc(s->pool);
    fl_dealloc(s->states);
    fl_dealloc(s->table);
    fl_dealloc(s->slot);
}

void fli_states_free(fli_states *s) {
    if (!s) return;
    states_clear(s);
    fl_dealloc(s);
}

/* The stacks of `from` that the parses of state `at` stand on, into `to`; `renamed` gets their new
 * numbers. A stack has a larger number than the one below it. */
static bool stacks_keep(const fli_states *from, int32_t at, fli_pairs *to, int32_t *renamed) {
    const state *st = &from->states[at];
    memset(renamed, -1, (size_t)from->stacks.n * sizeof *renamed);
    for (int32_t i = st->first; i < st->first + st->n; i++) {
        for (int32_t k = from->pool[i][1]; k > 0 && renamed[k] < 0; k = from->stacks.pair[k][1]) {
            renamed[k] = 0;  // wanted
        }
    }
    renamed[0] = 0;
    for (int32_t k = 1; k < from->stacks.n; k++) {
        if (renamed[k] < 0) continue;
        const int32_t *pair = from->stacks.pair[k];
        renamed[k] = fli_pairs_add(to, pair[0], renamed[pair[1]]);
        if (renamed[k] < 0) return false;
    }
    return true;
}

static fl_status keep(const fli_states *from, int32_t at, fli_states *to, int32_t *out,
                      fl_err *err) {
    const state *st = &from->states[at];
    int32_t *renamed = fl_alloc((size_t)from->stacks.n * sizeof *renamed);
    int32_t(*parse)[2] = fl_alloc((size_t)(st->n + 1) * sizeof *parse);
    fl_status status = fail_memory(err);
    if (renamed && parse && stacks_keep(from, at, &to->stacks, renamed)) {
        for (int32_t i = 0; i < st->n; i++) {
            parse[i][0] = from->pool[st->first + i][0];
            parse[i][1] = renamed[from->pool[st->first + i][1]];
        }
        qsort(parse, (size_t)st->n, sizeof *parse, by_pair);
        status = state_of(to, (const int32_t(*)[2])parse, st->n, st->ends, out, err);
    }
    fl_dealloc(renamed);
    fl_dealloc(parse);
    return status;
}

fl_status fli_states_trim(fli_states *s, int32_t *at, bool *trimmed, fl_err *err) {
    *trimmed = s->n_states > MANY_STATES || s->stacks.n > MANY_STACKS + 2 * s->n_kept;
    if (!*trimmed) return FL_OK;
    fli_states fresh = {.g = s->g};
    int32_t kept = 0;
    fl_status st = states_init(&fresh, err);
    if (st == FL_OK) st = keep(s, *at, &fresh, &kept, err);
    if (st != FL_OK) {
        states_clear(&fresh);
        return st;
    }
    states_clear(s);
    *s = fresh;
    s->n_kept = s->stacks.n;
    *at = kept;
    return FL_OK;
}
