/* check_mix - which format a mix gives each tensor, against llama.cpp (tests/peers/mix_goldens.py
 * made the goldens and says how they are written).
 *
 * Caught by it: a rule in the wrong layer, a third counted from the wrong end, the head forgotten
 * where it is tied, rows that are no whole blocks, eight experts treated as sixty. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "compress/mix.h"

enum { TENSORS_MAX = 24, LINE = 1024 };

typedef struct {
    char name[64];
    int rank;
    int64_t dim[3];
} shape;

/* The model whose lines are being read. */
typedef struct {
    char name[64];
    fl_mix_facts facts;
    shape tensor[TENSORS_MAX];
    bool said[TENSORS_MAX];  // of the mix at hand: it had a line of its own
    int n;
} model;

static struct { char name[16], plain[16]; } mixes[32];
static int n_mixes, n_choices;

static void read_model(const char *line, model *m) {
    int layers, heads, kv, experts, tied, importance;
    *m = (model){0};
    CHECK(sscanf(line, "model %63s layers=%d heads=%d kv_heads=%d experts=%d tied=%d importance=%d",
                 m->name, &layers, &heads, &kv, &experts, &tied, &importance) == 7);
    m->facts = (fl_mix_facts){layers, heads, kv, experts, tied != 0, importance != 0};
}

static int read_shape(const char *line, shape *s) {
    long long d[3];
    const int n = sscanf(line, "%*s %63s %lld %lld %lld", s->name, &d[0], &d[1], &d[2]);
    s->rank = n - 1;
    for (int i = 0; i < s->rank; i++) s->dim[i] = d[i];
    return s->rank;
}

static void add_tensor(const char *line, model *m) {
    shape *s = &m->tensor[m->n];
    if (m->n == TENSORS_MAX || read_shape(line, s) < 1) {
        CHECKF(false, "%s: %s", m->name, line);
        return;
    }
    m->n++;
}

static void check_kept(const char *line, const model *m) {
    shape s;
    CHECK(read_shape(line, &s) >= 1);
    CHECKF(!fl_mix_quantizes(s.name, s.rank), "%s: %s", m->name, s.name);
}

static void check_choice(const model *m, const char *mix, const shape *s, int layer,
                         const char *want) {
    char name[80];
    const char *number = strstr(s->name, "%d");
    if (number)
        snprintf(name, sizeof name, "%.*s%d%s", (int)(number - s->name), s->name, layer,
                 number + 2);
    else snprintf(name, sizeof name, "%s", s->name);
    const fl_mix *x = fl_mix_find(mix);
    CHECKF(fl_mix_quantizes(name, s->rank), "%s", name);
    const fl_dtype got = !x ? FL_F64
                            : fl_mix_fitting(fl_mix_choose(x, &m->facts, name, s->rank, s->dim),
                                             s->dim[s->rank - 1]);
    CHECKF(strcmp(fl_dtype_name(got), want) == 0, "%s %s %s: %s, llama.cpp has %s", m->name, mix,
           name, fl_dtype_name(got), want);
    n_choices++;
}

static int64_t layers_of(const model *m, const shape *s) {
    return strstr(s->name, "%d") ? m->facts.layers : 1;
}

/* "q6_k*3 q4_k": layer by layer. */
static void check_runs(const model *m, const char *mix, const shape *s, char *runs) {
    int layer = 0;
    for (char *word = strtok(runs, " \n"); word; word = strtok(NULL, " \n")) {
        char *star = strchr(word, '*');
        int times = 1;
        if (star) {
            CHECK(sscanf(star, "*%d", &times) == 1);
            *star = '\0';
        }
        while (times-- > 0) check_choice(m, mix, s, layer++, word);
    }
    CHECKF(layer == layers_of(m, s), "%s %s %s: %d layers", m->name, mix, s->name, layer);
}

/* Those without a line: `plain` in every layer. */
static void check_rest(const model *m, const char *mix, const char *plain) {
    for (int i = 0; i < m->n; i++)
        for (int layer = 0; !m->said[i] && layer < layers_of(m, &m->tensor[i]); layer++)
            check_choice(m, mix, &m->tensor[i], layer, plain);
}

/* Lines of one mix after the other, in the order of the file's `mix` lines. */
static void end_mixes(model *m, int *at, int to) {
    for (; *at < to; ++*at) {
        check_rest(m, mixes[*at].name, mixes[*at].plain);
        memset(m->said, 0, sizeof m->said);
    }
}

static void read_choices(char *line, model *m, int *at) {
    char mix[16], name[64];
    int rest = 0, i = 0, k = 0;
    CHECKF(sscanf(line, "%15s %63s %n", mix, name, &rest) == 2, "%s", line);
    while (i < n_mixes && strcmp(mixes[i].name, mix) != 0) i++;
    while (k < m->n && strcmp(m->tensor[k].name, name) != 0) k++;
    if (i == n_mixes || k == m->n) {
        CHECKF(false, "%s", line);
        return;
    }
    end_mixes(m, at, i);
    m->said[k] = true;
    check_runs(m, mix, &m->tensor[k], line + rest);
}

static void check_goldens(void) {
    char line[LINE];
    model m = {0};
    int at = 0, n_models = 0;
    FILE *f = fopen(FL_TEST_DATA "/format/mixes.txt", "r");
    CHECK(f);
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "mix ", 4) == 0) {
            CHECK(sscanf(line, "mix %15s %15s", mixes[n_mixes].name, mixes[n_mixes].plain) == 2);
            n_mixes++;
        } else if (strncmp(line, "model ", 6) == 0) {
            end_mixes(&m, &at, n_mixes);
            read_model(line, &m);
            at = 0;
            n_models++;
        } else if (strncmp(line, "tensor ", 7) == 0) {
            add_tensor(line, &m);
        } else if (strncmp(line, "kept ", 5) == 0) {
            check_kept(line, &m);
        } else {
            read_choices(line, &m, &at);
        }
    }
    end_mixes(&m, &at, n_mixes);
    if (f) fclose(f);
    CHECKF(n_models == 12 && n_mixes == 20 && n_choices > 20000, "%d models, %d mixes, %d choices",
           n_models, n_mixes, n_choices);
}

static void check_names(void) {
    CHECK(fl_mix_find("q4_k_m") == fl_mix_find("Q4_K") && fl_mix_find("Q3_K"));
    CHECK(!fl_mix_find("Q4") && !fl_mix_find(""));
    CHECK(fl_mix_file_type(fl_mix_find("Q4_K_M")) == 15);
    for (int i = 0; fl_mix_at(i); i++)
        CHECKF(fl_mix_find(fl_mix_name(fl_mix_at(i))) == fl_mix_at(i), "%d", i);
    CHECK(!fl_mix_quantizes("blk.0.attn_q.bias", 2) && !fl_mix_quantizes("rope_freqs.weight", 1));
    CHECK(!fl_mix_quantizes("position_embd.weight", 2) && !fl_mix_quantizes("weight", 2));
    CHECK(fl_mix_fitting(FL_Q4_K, 512) == FL_Q4_K && fl_mix_fitting(FL_Q4_K, 96) == FL_Q5_0);
    CHECK(fl_mix_fitting(FL_IQ4_XS, 96) == FL_IQ4_NL && fl_mix_fitting(FL_Q8_0, 40) == FL_F16);
}

int main(void) {
    check_goldens();
    check_names();
    return check_report();
}
