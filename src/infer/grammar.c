/* grammar - a compiled grammar: what it must keep to, and how it looks.
 *
 * One search finds what can be reached from the beginning of each rule without reading a byte. A
 * call of a rule that may be empty goes on behind it; a call of one that is not known to be empty
 * waits for it, and is taken up when its RETURN is reached. So each instruction is passed once. The
 * calls that were passed are the rules that a rule may begin with; where these go in a circle, a
 * parse would never end. */
#include "infer/grammar.h"

#include <string.h>

#include "base/alloc.h"
#include "infer/grammar_code.h"

void fl_grammar_free(fl_grammar *g) {
    if (!g) return;
    for (int32_t i = 0; i < g->n_rules; i++) fl_dealloc(g->rules[i].name);
    fl_dealloc(g->rules);
    fl_dealloc(g->order);
    fl_dealloc(g->sets);
    fl_dealloc(g->code);
    fl_dealloc(g);
}

/* --- what begins a rule ----------------------------------------------------------------------- */

typedef struct {
    fl_grammar *g;
    int32_t *owner;    // rule that an instruction was reached from, -1: none; n_code
    int32_t *waiting;  // next call that waits for the same rule, -1: none; n_code
    int32_t *first;    // call that waits for a rule, -1: none; n_rules
    bool *empty;       // n_rules
    int32_t *todo;     // instructions to look at, n_code
    int32_t n_todo;
} search;

static void search_reach(search *s, int32_t pc, int32_t rule) {
    if (s->owner[pc] >= 0) return;
    s->owner[pc] = rule;
    s->todo[s->n_todo++] = pc;
}

static void search_call(search *s, int32_t pc, bool returns) {
    int32_t rule = s->g->code[pc].arg;
    if (!s->empty[rule]) {
        s->waiting[pc] = s->first[rule];
        s->first[rule] = pc;
    } else if (returns) {
        search_reach(s, pc + 1, s->owner[pc]);
    }
}

static void search_empty(search *s, int32_t rule) {
    if (s->empty[rule]) return;
    s->empty[rule] = true;
    for (int32_t pc = s->first[rule]; pc >= 0; pc = s->waiting[pc]) {
        search_reach(s, pc + 1, s->owner[pc]);
    }
}

static void search_step(search *s, int32_t pc) {
    const fli_instruction *i = &s->g->code[pc];
    switch (i->op) {
    case FLI_SET: break;
    case FLI_SPLIT:
        search_reach(s, pc + 1, s->owner[pc]);
        search_reach(s, pc + i->arg, s->owner[pc]);
        break;
    case FLI_JUMP: search_reach(s, pc + i->arg, s->owner[pc]); break;
    case FLI_CALL:
    case FLI_TAIL: search_call(s, pc, i->op == FLI_CALL); break;
    case FLI_RETURN: search_empty(s, s->owner[pc]); break;
    }
}

static void search_all(search *s) {
    for (int32_t i = 0; i < s->g->n_code; i++) s->owner[i] = s->waiting[i] = -1;
    for (int32_t i = 0; i < s->g->n_rules; i++) {
        s->first[i] = -1;
        s->empty[i] = false;
    }
    for (int32_t i = 0; i < s->g->n_rules; i++) {
        search_reach(s, s->g->rules[i].entry, i);
        while (s->n_todo) search_step(s, s->todo[--s->n_todo]);
    }
}

/* Every rule that is left (its count is not 0) has one left that begins with it: going from one to
 * the next ends in the circle. */
static fl_status fail_circle(search *s, fl_err *err) {
    const fl_grammar *g = s->g;
    int32_t *count = s->first, *before = s->waiting, rule = 0;
    for (int32_t pc = 0; pc < g->n_code; pc++) {
        bool begins = s->owner[pc] >= 0 && g->code[pc].op == FLI_CALL;
        if (begins && count[s->owner[pc]]) before[g->code[pc].arg] = s->owner[pc];
    }
    while (!count[rule]) rule++;
    for (int32_t i = 0; i < g->n_rules; i++) rule = before[rule];
    return fl_fail(err, FL_ERR_ARG,
                   "rule %.80s may begin with itself: left recursion has no end; let it end "
                   "with itself, or use * or +",
                   g->rules[rule].name);
}

/* Take away rules that no rule begins with, until none is left or a circle is. Counts are in
 * `first`. */
static fl_status check_circles(search *s, fl_err *err) {
    const fl_grammar *g = s->g;
    int32_t *count = s->first, left = g->n_rules, n = 0;
    for (int32_t i = 0; i < g->n_rules; i++) count[i] = 0;
    for (int32_t pc = 0; pc < g->n_code; pc++) {
        if (s->owner[pc] >= 0 && g->code[pc].op == FLI_CALL) count[g->code[pc].arg]++;
    }
    for (int32_t i = 0; i < g->n_rules; i++) {
        if (!count[i]) s->todo[n++] = i;
    }
    while (n) {
        int32_t rule = s->todo[--n];
        left--;
        for (int32_t pc = g->rules[rule].entry; pc < g->n_code; pc++) {
            if (s->owner[pc] == rule && g->code[pc].op == FLI_CALL && !--count[g->code[pc].arg]) {
                s->todo[n++] = g->code[pc].arg;
            }
            if (g->code[pc].op == FLI_RETURN) break;
        }
    }
    return left ? fail_circle(s, err) : FL_OK;
}

static fl_status check_beginnings(fl_grammar *g, fl_err *err) {
    size_t n = (size_t)(g->n_code > g->n_rules ? g->n_code : g->n_rules);
    search s = {.g = g,
                .owner = fl_alloc(n * sizeof *s.owner),
                .waiting = fl_alloc(n * sizeof *s.waiting),
                .first = fl_alloc(n * sizeof *s.first),
                .empty = fl_alloc(n * sizeof *s.empty),
                .todo = fl_alloc(n * sizeof *s.todo)};
    fl_status st = FL_OK;
    if (!s.owner || !s.waiting || !s.first || !s.empty || !s.todo) {
        st = fl_fail(err, FL_ERR_NOMEM, "a grammar of %d instructions", g->n_code);
    } else {
        search_all(&s);
        st = check_circles(&s, err);
    }
    fl_dealloc(s.owner);
    fl_dealloc(s.waiting);
    fl_dealloc(s.first);
    fl_dealloc(s.empty);
    fl_dealloc(s.todo);
    return st;
}

/* --- finishing -------------------------------------------------------------------------------- */

static fl_status check_defined(fl_grammar *g, fl_err *err) {
    g->root = -1;
    for (int32_t i = 0; i < g->n_rules; i++) {
        if (g->rules[i].entry < 0) {
            return fl_fail(err, FL_ERR_ARG, "rule %.80s is used but not defined", g->rules[i].name);
        }
        if (strcmp(g->rules[i].name, "root") == 0) g->root = i;
    }
    if (g->root >= 0) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "the grammar has no rule root, which is where it begins");
}

/* A call that only RETURN follows needs no place to return to: lists that call themselves last stay
 * flat. */
static void mark_tails(fl_grammar *g) {
    for (int32_t pc = 0; pc < g->n_code; pc++) {
        if (g->code[pc].op != FLI_CALL) continue;
        int32_t next = pc + 1;
        while (g->code[next].op == FLI_JUMP && g->code[next].arg > 0) next += g->code[next].arg;
        if (g->code[next].op == FLI_RETURN) g->code[pc].op = FLI_TAIL;
    }
}

/* Each set cuts every class in two. */
static void make_classes(fl_grammar *g) {
    memset(g->byte_class, 0, sizeof g->byte_class);
    g->n_classes = 1;
    for (int32_t s = 0; s < g->n_sets && g->n_classes < 256; s++) {
        int32_t named[256][2];
        int32_t n = 0;
        memset(named, -1, sizeof named);
        for (int b = 0; b < 256; b++) {
            int32_t *name = &named[g->byte_class[b]][fli_set_has(&g->sets[s], (uint8_t)b)];
            if (*name < 0) *name = n++;
            g->byte_class[b] = (uint8_t)*name;
        }
        g->n_classes = n;
    }
    for (int b = 255; b >= 0; b--) g->class_byte[g->byte_class[b]] = (uint8_t)b;
}

fl_status fli_grammar_finish(fl_grammar *g, fl_err *err) {
    FL_TRY(check_defined(g, err));
    FL_TRY(check_beginnings(g, err));
    mark_tails(g);
    make_classes(g);
    return FL_OK;
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_byte(fl_text *out, int b) {
    if (b > ' ' && b < 127 && b != '-' && b != '\\') fl_text_printf(out, "%c", b);
    else fl_text_printf(out, "\\x%02X", (unsigned)b);
}

static void print_set(fl_text *out, const fli_set *s) {
    for (int b = 0; b < 256; b++) {
        if (!fli_set_has(s, (uint8_t)b)) continue;
        int last = b;
        while (last < 255 && fli_set_has(s, (uint8_t)(last + 1))) last++;
        print_byte(out, b);
        if (last > b) {
            fl_text_puts(out, "-");
            print_byte(out, last);
        }
        b = last;
    }
}

void fl_grammar_print(const fl_grammar *g, fl_text *out) {
    static const char *const name[] = {"set", "split", "jump", "call", "tail", "return"};
    for (int32_t pc = 0; pc < g->n_code; pc++) {
        const fli_instruction *i = &g->code[pc];
        for (int32_t r = 0; r < g->n_rules; r++) {
            if (g->rules[r].entry == pc) fl_text_printf(out, "%s:\n", g->rules[r].name);
        }
        fl_text_printf(out, "%6d  %s ", pc, name[i->op]);
        if (i->op == FLI_SET) print_set(out, &g->sets[i->arg]);
        if (i->op == FLI_SPLIT || i->op == FLI_JUMP) fl_text_printf(out, "%d", pc + i->arg);
        if (i->op == FLI_CALL || i->op == FLI_TAIL) fl_text_puts(out, g->rules[i->arg].name);
        fl_text_puts(out, "\n");
    }
}
