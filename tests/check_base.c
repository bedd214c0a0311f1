/* check_base - the ground floor: random numbers, text, threads, hashing. Files are in check_file,
 * JSON and YAML in check_json. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/thread.h"
#include "check.h"

/* ---- rng ---- */

/* Random123 1.14, tests/kat_vectors, philox4x32 10. */
static void check_nearest(void) {
    static const char *const words[] = {"train", "generate", "batch-size", "lr", NULL};
    static const char *const typed[][2] = {{"tarin", "train"},
                                           {"gen", "generate"},
                                           {"batch_size", "batch-size"},
                                           {"bacth-sze", "batch-size"},
                                           {"quantize", NULL},
                                           {"", NULL}};
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        const char *near = fl_nearest(typed[i][0], words), *expected = typed[i][1];
        CHECK(near == expected || (near && expected && strcmp(near, expected) == 0));
    }
}

static void check_philox(void) {
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t want[4];
    } kat[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t got[4];
        fl_philox(kat[i].seed, kat[i].stream, kat[i].counter, got);
        CHECKF(memcmp(got, kat[i].want, sizeof got) == 0, "vector %zu", i);
    }
}

static void check_draws(void) {
    enum { N = 100000 };
    fl_rng r = {.seed = 1, .stream = fl_rng_stream("test")};
    double sum = 0, squares = 0, thirds = 0, least = 1, most = 0;
    for (int i = 0; i < N; i++) {
        double v = fl_rng_normal(&r), u = fl_rng_double(&r), f = (double)fl_rng_float(&r);
        sum += v;
        squares += v * v;
        thirds += (double)(fl_rng_below(&r, 3) == 2);
        least = fmin(least, fmin(u, f));
        most = fmax(most, fmax(u, f));
    }
    CHECKF(fabs(sum / N) < 0.015, "mean %g", sum / N);
    CHECKF(fabs(squares / N - 1) < 0.02, "variance %g", squares / N);
    CHECKF(fabs(thirds / N - 1.0 / 3) < 0.01, "share %g", thirds / N);
    CHECK(least >= 0 && most < 1 && least < 1e-3 && most > 0.999);

    fl_rng a = r, b = r;  // the three numbers are the whole state
    CHECK(fl_rng_u64(&a) == fl_rng_u64(&b) && fl_rng_normal(&a) == fl_rng_normal(&b));
    CHECK(fl_rng_below(&a, 1) == 0);
    CHECK(fl_rng_stream("init") != fl_rng_stream("data"));
}

static void check_shuffle(void) {
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 1000, 65536, 100003};
    static uint8_t seen[100003];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t n = sizes[k], fixed = 0;
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t j = fl_shuffle_index(7, 0, n, i);
            CHECKF(j < n && !seen[j], "n %llu i %llu", (unsigned long long)n,
                   (unsigned long long)i);
            if (j < n) seen[j] = 1;
            fixed += j == i;
        }
        if (n >= 1000)
            CHECKF(fixed < 20, "%llu of %llu stay", (unsigned long long)fixed,
                   (unsigned long long)n);
    }
    uint64_t same = 0;
    for (uint64_t i = 0; i < 1000; i++)
        same += fl_shuffle_index(7, 0, 1000, i) == fl_shuffle_index(7, 1, 1000, i);
    CHECKF(same < 20, "epochs share %llu", (unsigned long long)same);
    CHECK(fl_shuffle_index(1, 0, UINT64_MAX, UINT64_MAX - 1) < UINT64_MAX);
}

/* ---- text ---- */

static void check_utf8(void) {
    static const struct {
        const char *bytes;
        int32_t cp;
        int len;
    } table[] = {
        {"A", 'A', 1},
        {"\xc3\xa9", 0xe9, 2},
        {"\xe2\x82\xac", 0x20ac, 3},
        {"\xf0\x9f\x98\x80", 0x1f600, 4},
        {"\xf4\x8f\xbf\xbf", 0x10ffff, 4},
        {"\xed\x9f\xbf", 0xd7ff, 3},
        {"\xee\x80\x80", 0xe000, 3},
        {"\xc0\x80", -1, 1},          // overlong NUL
        {"\xc1\xbf", -1, 1},          // overlong
        {"\xe0\x9f\xbf", -1, 1},      // overlong
        {"\xf0\x8f\xbf\xbf", -1, 1},  // overlong
        {"\xed\xa0\x80", -1, 1},      // surrogate
        {"\xed\xbf\xbf", -1, 1},      // surrogate
        {"\xf4\x90\x80\x80", -1, 1},  // above U+10FFFF
        {"\xf8\x88\x80\x80", -1, 1},  // five bytes
        {"\xff", -1, 1},
        {"\x80", -1, 1},  // continuation alone
        {"\xe2\x82", -1, 1},
        {"\xe2\x28\xa1", -1, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int len = 0;
        int32_t cp = fl_utf8_decode((const uint8_t *)table[i].bytes, strlen(table[i].bytes), &len);
        CHECKF(cp == table[i].cp && len == table[i].len, "row %zu gave U+%04X, %d bytes", i,
               (unsigned)cp, len);
    }
    for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff) continue;
        char s[4];
        int n = fl_utf8_encode(cp, s), len;
        if (fl_utf8_decode((const uint8_t *)s, (size_t)n, &len) == cp && len == n) continue;
        CHECKF(false, "U+%04X does not return", (unsigned)cp);
    }
}

static void check_utf8_complete(void) {
    static const struct {
        const char *bytes;
        size_t want;
    } table[] = {
        {"", 0},
        {"abc", 3},
        {"ab\xc3", 2},
        {"ab\xc3\xa9", 4},
        {"\xe2\x82", 0},
        {"\xe2\x82\xac", 3},
        {"x\xf0\x9f\x98", 1},
        {"x\xf0\x9f\x98\x80", 5},
        {"\x80\x80\x80\x80", 4},
        {"a\xff", 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t got = fl_utf8_complete((const uint8_t *)table[i].bytes, strlen(table[i].bytes));
        CHECKF(got == table[i].want, "row %zu gave %zu", i, got);
    }
}

static void check_text(void) {
    fl_text t = {0};
    CHECK(strcmp(fl_text_str(&t), "") == 0);
    for (int i = 0; i < 1000; i++) fl_text_printf(&t, "%d,", i);
    CHECK(t.n == 3890 && strlen(t.data) == t.n && fl_text_ok(&t, NULL) == FL_OK);
    fl_alloc_fail_at(1);
    for (int i = 0; i < 1000; i++) fl_text_puts(&t, "more than there is room for");
    fl_err err = {0};
    CHECK(fl_alloc_fail_at(0) && fl_text_ok(&t, &err) == FL_ERR_NOMEM);
    fl_text_clear(&t);
    CHECK(!t.data && fl_text_ok(&t, NULL) == FL_OK);
}

static void check_human(void) {
    static const struct {
        const char *(*print)(double, char *);
        double n;
        const char *want;
    } shown[] = {
        {fl_human_count, 0, "0"},
        {fl_human_count, 999, "999"},
        {fl_human_count, 1000, "1.0k"},
        {fl_human_count, 1234567, "1.2M"},
        {fl_human_count, 123.9e6, "124M"},
        {fl_human_count, 7e9, "7.0B"},
        {fl_human_bytes, 512, "512 B"},
        {fl_human_bytes, 3.4 * 0x1p30, "3.4 GiB"},
        {fl_human_seconds, 2.34, "2.3s"},
        {fl_human_seconds, 125, "2m 05s"},
        {fl_human_seconds, 59.99, "1m 00s"},
        {fl_human_seconds, 3661, "1h 01m"},
        {fl_human_seconds, -1, "?"},
        {fl_human_seconds, 90000, "1d 01h"},
    };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        char out[FL_HUMAN];
        CHECKF(strcmp(shown[i].print(shown[i].n, out), shown[i].want) == 0, "%s, want %s", out,
               shown[i].want);
    }
    static const struct {
        bool (*parse)(double *, const char *);
        const char *text;
        double want;  // negative: refused
    } read[] = {
        {fl_parse_count, "5M", 5e6},
        {fl_parse_count, "1e6", 1e6},
        {fl_parse_count, "4096", 4096},
        {fl_parse_count, "1.5b", 1.5e9},
        {fl_parse_count, "2K", 2000},
        {fl_parse_count, "", -1},
        {fl_parse_count, "M", -1},
        {fl_parse_count, "5Mx", -1},
        {fl_parse_count, "-5", -1},
        {fl_parse_count, "nan", -1},
        {fl_parse_count, "0x10", -1},
        {fl_parse_count, "1e999", -1},
        {fl_parse_seconds, "10m", 600},
        {fl_parse_seconds, "90s", 90},
        {fl_parse_seconds, "1h30m", 5400},
        {fl_parse_seconds, "45", 45},
        {fl_parse_seconds, "1h 5 min", 3900},
        {fl_parse_seconds, "10x", -1},
        {fl_parse_bytes, "2G", 0x1p31},
        {fl_parse_bytes, "512MiB", 0x1p29},
        {fl_parse_bytes, "1.5kB", 1500},
        {fl_parse_bytes, "7 b", 7},
        {fl_parse_bytes, "7 bits", -1},
    };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        double v = -1;
        bool ok = read[i].parse(&v, read[i].text);
        CHECKF(ok == (read[i].want >= 0) && v == read[i].want, "'%s' gave %g", read[i].text, v);
    }
}

/* ---- threads ---- */

enum { TASKS = 5000 };

typedef struct {
    fl_pool *pool;
    atomic_int times[TASKS];  // each task was done
    atomic_int inside[64];    // tasks a worker is in
    atomic_int wrong;
} job;

static void count_task(void *ctx, int64_t begin, int64_t end, int worker) {
    job *j = ctx;
    if (worker < 0 || worker >= fl_pool_size(j->pool) ||
        atomic_fetch_add(&j->inside[worker], 1) != 0)
        atomic_fetch_add(&j->wrong, 1);
    for (int64_t i = begin; i < end; i++) atomic_fetch_add(&j->times[i], 1);
    atomic_fetch_sub(&j->inside[worker], 1);
}

static void nested_task(void *ctx, int64_t begin, int64_t end, int worker) {
    job *j = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        job *inner = fl_alloc(sizeof *inner);
        memset(inner, 0, sizeof *inner);
        inner->pool = j->pool;
        fl_pool_run(j->pool, 10, 1, count_task, inner);
        for (int k = 0; k < 10; k++) atomic_fetch_add(&j->times[i], inner->times[k]);
        fl_dealloc(inner);
    }
}

static void *run_from_outside(void *ctx) {
    job *j = ctx;
    for (int k = 0; k < 200; k++) fl_pool_run(j->pool, 100, 3, count_task, j);
    return NULL;
}

static void check_pool(int n) {
    job *j = fl_alloc(sizeof *j);
    memset(j, 0, sizeof *j);
    fl_err err = {0};
    CHECKF(fl_pool_new(&j->pool, n, &err) == FL_OK, "%s", err.msg);
    CHECK(fl_pool_size(j->pool) == n);

    int jobs = 0;
    for (int64_t grain = 0; grain < 40; grain++, jobs++)
        fl_pool_run(j->pool, TASKS, grain, count_task, j);
    fl_pool_run(j->pool, 0, 1, count_task, j);
    int uneven = 0;
    for (int i = 0; i < TASKS; i++) uneven += j->times[i] != jobs;
    CHECKF(uneven == 0 && !j->wrong, "%d threads: %d tasks not done once a job", n, uneven);

    memset(j->times, 0, sizeof j->times);
    for (int k = 0; k < 20000; k++) fl_pool_run(j->pool, 4, 1, count_task, j);
    CHECK(j->times[0] == 20000 && j->times[3] == 20000 && !j->wrong);

    memset(j->times, 0, sizeof j->times);
    fl_pool_run(j->pool, 50, 1, nested_task, j);
    CHECK(j->times[0] == 10 && j->times[49] == 10);

    memset(j->times, 0, sizeof j->times);
    pthread_t others[3];
    for (int i = 0; i < 3; i++) pthread_create(&others[i], NULL, run_from_outside, j);
    run_from_outside(j);
    for (int i = 0; i < 3; i++) pthread_join(others[i], NULL);
    CHECKF(j->times[0] == 800 && j->times[99] == 800 && !j->wrong, "%d threads", n);

    fl_pool_free(j->pool);
    fl_dealloc(j);
}

/* Slow enough that a run which did not wait for the others would be seen to return too early. */
static void slow_task(void *ctx, int64_t begin, int64_t end, int worker) {
    job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        nanosleep(&(struct timespec){.tv_nsec = worker ? 3000000 : 500000}, NULL);
        atomic_fetch_add(&j->times[i], 1);
    }
}

static void check_pool_waits(void) {
    job *j = fl_alloc(sizeof *j);
    memset(j, 0, sizeof *j);
    CHECK(fl_pool_new(&j->pool, 3, NULL) == FL_OK);
    int missing = 0;
    for (int k = 1; k <= 20; k++) {
        fl_pool_run(j->pool, 9, 1, slow_task, j);
        for (int i = 0; i < 9; i++) missing += j->times[i] != k;
    }
    CHECKF(missing == 0, "%d tasks were not done when the run returned", missing);
    fl_pool_free(j->pool);
    fl_dealloc(j);
}

static void check_pool_size(void) {
    fl_pool *p = NULL;
    fl_err err = {0};
    setenv("FLEDGE_THREADS", "three", 1);
    CHECK(fl_pool_new(&p, 0, &err) == FL_ERR_ARG && strstr(err.msg, "three"));
    setenv("FLEDGE_THREADS", "3", 1);
    CHECK(fl_pool_new(&p, 0, &err) == FL_OK && fl_pool_size(p) == 3);
    fl_pool_free(p);
    unsetenv("FLEDGE_THREADS");
    CHECK(fl_pool_new(&p, -1, &err) == FL_ERR_ARG);
    CHECK(fl_pool_size(fl_pool_default()) == fl_cpu_get()->cores);
    fl_pool_free(NULL);
}

/* ---- the rest ---- */

static void check_hash(void) {
    // XXH3-128 of "" and of "abc" with seed 0, as xxhsum -H2 prints them.
    static const struct {
        const char *text, *want;
    } table[] = {{"", "99aa06d3014798d86001c324468d497f"},
                 {"abc", "06b05ab6733a618578af5f94892f3950"}};
    for (size_t i = 0; i < 2; i++) {
        char out[FL_HASH_TEXT];
        fl_hash *h = fl_hash_new();
        for (const char *c = table[i].text; *c; c++) fl_hash_update(h, c, 1);
        fl_hash_text(h, out);
        CHECKF(strcmp(out, table[i].want) == 0, "'%s' gave %s", table[i].text, out);
        fl_hash_free(h);
    }
    CHECK(fl_hash64("", 0) == 0x2d06800538d394c2);
}

static char last_message[64];
static void keep_message(void *ctx, fl_log_level level, const char *msg) {
    snprintf(last_message, sizeof last_message, "%s%d %s", (const char *)ctx, (int)level, msg);
}

static void check_log(void) {
    char tag[] = "level ";
    fl_warn("nobody listens %d", 1);
    fl_log_to(keep_message, tag);
    fl_note("%d %s", 7, "notes");
    CHECK(strcmp(last_message, "level 1 7 notes") == 0);
    fl_log_to(NULL, NULL);
}

static int shown, finished;
static void count_show(fl_progress *p, bool end) {
    shown++;
    finished += end && p->done == 10;
}

static void check_progress(void) {
    fl_progress p = {.show = count_show};
    fl_progress_begin(&p, "testing", "steps", 10);
    for (int i = 1; i <= 10; i++) fl_progress_step(&p, i);
    fl_progress_end(&p);
    CHECK(shown == 12 && finished == 1);
    fl_progress_begin(NULL, "", "", 0);
    CHECK(!fl_interrupted());
    fl_interrupt();
    CHECK(fl_interrupted());
    fl_interrupt_reset();
    CHECK(!fl_interrupted());
}

int main(void) {
    check_philox();
    check_draws();
    check_shuffle();
    check_utf8();
    check_utf8_complete();
    check_text();
    check_human();
    check_nearest();
    for (int n = 1; n <= 5; n += 2) check_pool(n);
    check_pool_waits();
    check_pool_size();
    check_hash();
    check_log();
    check_progress();
    CHECK(fl_cpu_get()->cores >= 1 && fl_cpu_get()->name[0]);
    CHECK(!fl_cpu_get()->avx512 || fl_cpu_get()->avx2);
    return check_report();
}
