/* scheduler - many prompts continued by one model, several at a time.
 *
 * A request waits in a queue, then has a slot: first its prompt is read, piece by piece, then it
 * decodes until it is finished. What it did with its last logits is done at once, because the next
 * step overwrites them: a slot between steps has a token to be read, or part of a prompt. */
#include "infer/scheduler.h"

#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "infer/pages.h"
#include "infer/writing.h"

enum { PARALLEL = 8, CHUNK = 512 };

typedef struct job {
    struct job *next;  // in the queue
    fl_request request;
    fli_writing w;
    fl_sequence *text;
    int64_t need;     // tokens it may come to keep
    int32_t pending;  // picked and not read; -1: the prompt comes first
    uint64_t number;  // in order of arrival
    double begun, read;
    int32_t id[];  // the prompt
} job;

struct fl_scheduler {
    fl_group *g;
    fl_scheduler_opts o;
    job *first, **last;                // waiting
    job *slot[FL_GROUP_ROWS];          // NULL: free; o.parallel of them
    fl_sequence *kept[FL_GROUP_ROWS];  // prompts of texts that ended, the oldest first
    int64_t n_kept;
    uint64_t n_added;
};

/* ---- making and freeing ---- */

fl_status fl_scheduler_new(fl_scheduler **out, fl_group *g, const fl_scheduler_opts *o,
                           fl_err *err) {
    fl_scheduler_opts opts = *o;
    if (!opts.parallel) opts.parallel = PARALLEL;
    if (!opts.keep) opts.keep = opts.parallel;
    if (opts.parallel < 1 || opts.parallel > FL_GROUP_ROWS || opts.keep > FL_GROUP_ROWS) {
        return fl_fail(err, FL_ERR_ARG, "%lld texts at once; want 1 to %d",
                       (long long)opts.parallel, FL_GROUP_ROWS);
    }
    fl_scheduler *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a scheduler");
    *s = (fl_scheduler){.g = g, .o = opts};
    s->last = &s->first;
    *out = s;
    return FL_OK;
}

static void job_free(job *j) {
    fli_writing_clear(&j->w);
    fl_sequence_free(j->text);
    fl_dealloc(j);
}

static void kept_drop(fl_scheduler *s) {
    fl_sequence_free(s->kept[0]);
    memmove(s->kept, s->kept + 1, (size_t)--s->n_kept * sizeof *s->kept);
}

void fl_scheduler_free(fl_scheduler *s) {
    if (!s) return;
    for (job *j = s->first, *next; j; j = next) {
        next = j->next;
        job_free(j);
    }
    for (int64_t i = 0; i < s->o.parallel; i++)
        if (s->slot[i]) job_free(s->slot[i]);
    while (s->n_kept) kept_drop(s);
    fl_dealloc(s);
}

fl_status fl_scheduler_add(fl_scheduler *s, const fl_request *r, fl_err *err) {
    if (r->opts->draft || r->opts->lookup)
        return fl_fail(err, FL_ERR_ARG, "proposals ahead are for one text at a time");
    job *j = fl_alloc(sizeof *j + (size_t)r->n * sizeof *j->id);
    if (!j) return fl_fail(err, FL_ERR_NOMEM, "a request of %lld tokens", (long long)r->n);
    *j = (job){.request = *r, .pending = -1, .number = s->n_added++};
    memcpy(j->id, r->id, (size_t)r->n * sizeof *j->id);
    *s->last = j;
    s->last = &j->next;
    return FL_OK;
}

/* ---- an end ---- */

/* Keep what was read of the prompt, for others that begin with it. */
static void keep_prompt(fl_scheduler *s, job *j) {
    const int64_t length = fl_sequence_length(j->text), n = j->request.n;
    if (s->o.keep < 1 || j->w.r.n_shifts || !length) return;
    fl_sequence_rewind(j->text, length < n ? length : n);
    if (s->n_kept == s->o.keep) kept_drop(s);
    s->kept[s->n_kept++] = j->text;
    j->text = NULL;
}

static void job_end(fl_scheduler *s, job **slot, fl_status status, fl_err *why) {
    job *j = *slot;
    *slot = NULL;
    if (status == FL_OK) status = fli_writing_end(&j->w, why);
    j->w.r.generate_seconds = fl_now() - j->read;
    if (j->text) keep_prompt(s, j);
    if (j->request.done)
        j->request.done(j->request.ctx, status == FL_OK ? &j->w.r : NULL, status, why);
    job_free(j);
}

/* ---- a beginning ---- */

/* Room for the text in the end, and for a step's padding meanwhile. */
static int64_t tokens_needed(const fl_scheduler *s, const job *j) {
    const int64_t context = fl_group_context(s->g), more = j->request.opts->max_tokens;
    const int64_t n = more && more < context - j->request.n ? j->request.n + more : context;
    return fli_pages_for(n) * FLI_PAGE + CHUNK;
}

/* Tokens that those being written may still take. */
static int64_t tokens_promised(const fl_scheduler *s) {
    int64_t sum = 0;
    for (int64_t i = 0; i < s->o.parallel; i++) {
        const job *j = s->slot[i];
        if (j) sum += j->need - fli_pages_for(fl_sequence_length(j->text)) * FLI_PAGE;
    }
    return sum;
}

/* Whether the request at the head of the queue may begin; prompts that are kept give way. */
static bool is_room(fl_scheduler *s, const job *j) {
    while (fl_group_tokens_free(s->g) - tokens_promised(s) < tokens_needed(s, j)) {
        if (!s->n_kept) return false;
        kept_drop(s);
    }
    return true;
}

static fl_status job_begin(fl_scheduler *s, job *j, fl_err *err) {
    j->begun = j->read = fl_now();
    FL_TRY(fli_generate_check_prompt(j->request.n, fl_group_context(s->g), err));
    FL_TRY(fli_writing_init(&j->w, fl_group_model(s->g), j->request.opts, err));
    FL_TRY(fli_writing_prompt(&j->w, j->id, j->request.n, err));
    j->need = tokens_needed(s, j);
    return fl_sequence_new(&j->text, s->g, err);
}

static int64_t n_active(const fl_scheduler *s) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->o.parallel; i++) n += s->slot[i] != NULL;
    return n;
}

static void admit(fl_scheduler *s) {
    for (int64_t i = 0; i < s->o.parallel && s->first; i++) {
        fl_err why = {0};
        job *j = s->first;
        if (s->slot[i]) continue;
        const bool room = is_room(s, j);
        if (!room && n_active(s)) return;
        s->first = j->next;
        if (!s->first) s->last = &s->first;
        s->slot[i] = j;
        fl_status st = room
                           ? job_begin(s, j, &why)
                           : fl_fail(&why, FL_ERR_NOMEM,
                                     "%lld tokens may be kept for this text; the cache holds fewer",
                                     (long long)tokens_needed(s, j));
        if (st != FL_OK) job_end(s, &s->slot[i], st, &why);
    }
}

/* ---- prompts ---- */

/* The text that has read most of what this prompt begins with. */
typedef struct {
    const fl_sequence *text;
    int64_t n;
} donor;

static void donor_try(donor *best, const job *j, const fl_sequence *text, int64_t read) {
    const int32_t *id = fl_sequence_tokens(text);
    const int64_t most = read < j->request.n - 1 ? read : j->request.n - 1;
    int64_t n = 0;
    while (n < most && id[n] == j->id[n]) n++;
    if (n > best->n) *best = (donor){text, n};
}

static fl_status beginning_take(fl_scheduler *s, job *j, fl_err *err) {
    donor best = {0};
    for (int64_t i = 0; i < s->n_kept; i++)
        donor_try(&best, j, s->kept[i], fl_sequence_length(s->kept[i]));
    for (int64_t i = 0; i < s->o.parallel; i++) {
        const job *o = s->slot[i];
        if (!o || o == j || o->w.r.n_shifts) continue;
        const int64_t length = fl_sequence_length(o->text);
        donor_try(&best, j, o->text, length < o->request.n ? length : o->request.n);
    }
    if (!best.text) return FL_OK;
    fl_sequence *text;
    FL_TRY(fl_sequence_fork(&text, best.text, best.n, err));
    fl_sequence_free(j->text);
    j->text = text;
    j->w.r.n_reused = best.n;
    return FL_OK;
}

/* What the logits after the last token read mean for this text. */
static void logits_use(fl_scheduler *s, job **slot, const float *logits) {
    fl_err why = {0};
    job *j = *slot;
    const fl_status st = fli_writing_next(&j->w, logits, &j->pending, &why);
    if (st != FL_OK || j->w.finished) job_end(s, slot, st, &why);
}

/* The slot whose prompt is read next: the one that came first. NULL: none waits. */
static job **prompt_next(fl_scheduler *s) {
    job **best = NULL;
    for (int64_t i = 0; i < s->o.parallel; i++) {
        job **j = &s->slot[i];
        if (*j && (*j)->pending < 0 && (!best || (*j)->number < (*best)->number)) best = j;
    }
    return best;
}

static void prompt_step(fl_scheduler *s) {
    fl_err why = {0};
    job **slot = prompt_next(s), *j = slot ? *slot : NULL;
    if (!j) return;
    fl_status st = fl_sequence_length(j->text) ? FL_OK : beginning_take(s, j, &why);
    const int64_t at = fl_sequence_length(j->text), left = j->request.n - at;
    const int64_t n = left < CHUNK ? left : CHUNK;
    if (st == FL_OK) st = fl_sequence_read(j->text, j->id + at, n, &why);
    if (st != FL_OK) {
        job_end(s, slot, st, &why);
    } else if (n == left) {
        j->read = fl_now();
        j->w.r.prompt_seconds = j->read - j->begun;
        logits_use(s, slot, fl_sequence_logits(j->text));
    }
}

/* ---- decoding ---- */

/* A full context is made room in, or is the end. */
static fl_status context_shift(const fl_scheduler *s, job *j, fl_err *err) {
    const fl_generate_opts *o = j->request.opts;
    const int64_t length = fl_sequence_length(j->text), n = j->request.n;
    if (length < fl_group_context(s->g)) return FL_OK;
    const int64_t drop = o->shift ? fli_generate_dropped(o, n, length) : 0;
    if (!drop) {
        fli_writing_finish(&j->w, FL_FINISH_CONTEXT);
        return FL_OK;
    }
    j->w.r.n_shifts++;
    return fl_sequence_shift(j->text, o->keep < 0 ? n : o->keep, drop, err);
}

static fl_status decode_step(fl_scheduler *s, fl_err *err) {
    fl_group_row row[FL_GROUP_ROWS];
    job **slot[FL_GROUP_ROWS];
    int64_t n = 0;
    for (int64_t i = 0; i < s->o.parallel; i++) {
        fl_err why = {0};
        job *j = s->slot[i];
        if (!j || j->pending < 0) continue;
        const fl_status st = context_shift(s, j, &why);
        if (st != FL_OK || j->w.finished) {
            job_end(s, &s->slot[i], st, &why);
            continue;
        }
        row[n] = (fl_group_row){j->text, j->pending};
        slot[n++] = &s->slot[i];
    }
    if (!n) return FL_OK;
    const int64_t V = fl_group_model(s->g)->config.vocab_size;
    const float *logits;
    FL_TRY(fl_group_decode(s->g, row, n, &logits, err));
    for (int64_t i = 0; i < n; i++) logits_use(s, slot[i], logits + i * V);
    return FL_OK;
}

fl_status fl_scheduler_step(fl_scheduler *s, bool *busy, fl_err *err) {
    admit(s);
    FL_TRY(decode_step(s, err));
    prompt_step(s);
    *busy = s->first || n_active(s);
    return FL_OK;
}
