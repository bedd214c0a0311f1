/* check_file - files: nothing already saved is lost, whatever goes wrong while its successor is
 * written. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "check.h"

static char root[FL_PATH_MAX];  // a fresh folder; removed at the end

static const char *in_root(const char *name) {
    static char path[4][FL_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    if (fl_path_join(path[turn], root, name, NULL) != FL_OK) abort();
    return path[turn];
}

static bool holds(const char *path, const char *want) {
    char *got;
    size_t n;
    if (fl_file_read(path, 1 << 20, &got, &n, NULL) != FL_OK) return false;
    bool same = n == strlen(want) && memcmp(got, want, n) == 0;
    fl_dealloc(got);
    return same;
}

static size_t entries(const char *path) {
    char **names;
    size_t n;
    if (fl_dir_list(path, &names, &n, NULL) != FL_OK) return (size_t)-1;
    fl_dealloc(names);
    return n;
}

static void check_paths(void) {
    char out[FL_PATH_MAX], longest[FL_PATH_MAX + 10];
    fl_err err = {0};
    CHECK(fl_path_join(out, "a/b", "c", &err) == FL_OK && strcmp(out, "a/b/c") == 0);
    CHECK(fl_path_join(out, "a/", "c", &err) == FL_OK && strcmp(out, "a/c") == 0);
    CHECK(fl_path_join(out, "", "c", &err) == FL_OK && strcmp(out, "c") == 0);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK(fl_path_join(out, longest, "c", &err) == FL_ERR_ARG);
    CHECK(strcmp(fl_path_base("a/b.txt"), "b.txt") == 0 && strcmp(fl_path_base("b"), "b") == 0);
    CHECK(fl_path_has_suffix("x.json", ".json") && !fl_path_has_suffix("json", ".json"));
}

static void check_reading(void) {
    fl_err err = {0};
    char *text = NULL;
    size_t n;
    fl_map m;
    const char *file = in_root("read"), *empty = in_root("empty");
    CHECK(fl_file_write(file, "hello", 5, &err) == FL_OK &&
          fl_file_write(empty, NULL, 0, &err) == FL_OK);
    CHECK(holds(file, "hello") && holds(empty, "") && fl_path_bytes(file) == 5);
    CHECK(fl_file_read(file, 4, &text, &n, &err) == FL_ERR_FORMAT && strstr(err.msg, "at most 4"));
    CHECK(fl_file_read(in_root("absent"), 4, &text, &n, &err) == FL_ERR_IO &&
          strstr(err.msg, "No such file"));
    CHECK(fl_file_read(root, 4, &text, &n, &err) == FL_ERR_IO && strstr(err.msg, "a directory"));
    CHECK(!text);
    CHECK(fl_map_open(&m, file, &err) == FL_OK && m.bytes == 5 && memcmp(m.data, "hello", 5) == 0);
    fl_map_close(&m);
    CHECK(fl_map_open(&m, empty, &err) == FL_OK && m.bytes == 0 && m.data);
    fl_map_close(&m);
    CHECK(fl_map_open(&m, in_root("absent"), &err) == FL_ERR_IO);
    CHECK(fl_path_bytes(in_root("absent")) == -1 && !fl_path_exists(in_root("absent")) &&
          fl_path_is_dir(root));
}

/* Bytes of a mapping come back from the file; others, which would not, are left alone. */
static void check_forgetting(void) {
    enum { BYTES = 1 << 20 };
    static char text[BYTES], own[BYTES];
    const char *file = in_root("forget");
    fl_map m;
    for (int i = 0; i < BYTES; i++) own[i] = text[i] = (char)(i % 251);
    CHECK(fl_file_write(file, text, BYTES, NULL) == FL_OK);
    CHECK(fl_map_open(&m, file, NULL) == FL_OK && memcmp(m.data, text, BYTES) == 0);
    fl_map_forget(m.data + 1, BYTES - 2);
    CHECK(memcmp(m.data, text, BYTES) == 0);
    fl_map_forget(own, BYTES);
    fl_map_forget(m.data, BYTES + 1);  // not all of it is the mapping's
    fl_map_forget(NULL, 0);
    CHECK(memcmp(own, text, BYTES) == 0 && memcmp(m.data, text, BYTES) == 0);
    const uint8_t *gone = m.data;
    fl_map_close(&m);
    fl_map_forget(gone, BYTES);
}

static long faults(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt + u.ru_majflt;
}

/* Page faults while all of the bytes are read, after they were forgotten and perhaps wanted. */
static long faults_of(const fl_map *m, bool wanted) {
    volatile uint8_t last = 0;
    fl_map_forget(m->data, m->bytes);
    if (wanted) fl_map_want(m->data, m->bytes);
    const long before = faults();
    for (size_t i = 0; i < m->bytes; i += 1024) last = m->data[i];
    (void)last;
    return faults() - before;
}

/* KiB that are locked. */
static long locked(void) {
    char line[128];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kib < 0 && fgets(line, sizeof line, f)) sscanf(line, "VmLck: %ld", &kib);
    if (f) fclose(f);
    return kib;
}

static void check_wanting(void) {
    enum { BYTES = 8 << 20 };
    const char *file = in_root("wanted");
    static char text[BYTES];
    fl_map m;
    memset(text, 'w', BYTES);
    CHECK(fl_file_write(file, text, BYTES, NULL) == FL_OK && fl_map_open(&m, file, NULL) == FL_OK);
    const long without = faults_of(&m, false), with = faults_of(&m, true);
    CHECKF(with < without, "%ld faults, %ld when wanted", without, with);
    fl_map_want(text, BYTES);  // no mapping's
    fl_map_want(m.data, BYTES + 1);
    fl_map_want(NULL, 0);
    const long before = locked();
    fl_memory_lock(m.data, BYTES);
    const long during = locked();
    fl_map_forget(m.data, BYTES);
    const long after = locked();
    if (before < 0 || during == before) printf("SKIP locking: not allowed here\n");
    else
        CHECKF(during == before + BYTES / 1024 && after == before, "%ld %ld %ld", before, during,
               after);
    CHECK(faults_of(&m, false) > with);  // unlocked, and so forgotten
    CHECK(memcmp(m.data, text, BYTES) == 0);
    fl_map_close(&m);
}

/* A disk that is full after 4 KiB: the kernel says EFBIG where a full disk says ENOSPC. */
static void check_full_disk(void) {
    static char big[1 << 16];
    const char *file = in_root("kept");
    fl_err err = {0};
    CHECK(fl_file_write(file, "old", 3, &err) == FL_OK);
    size_t before = entries(root);

    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    fl_status direct = fl_file_write(file, big, sizeof big, &err);
    fl_outfile *f = NULL;
    fl_status piecewise = fl_outfile_open(&f, file, NULL);
    if (piecewise == FL_OK) {
        for (int i = 0; i < 1 << 16; i++) putc('x', fl_outfile_stream(f));
        piecewise = fl_outfile_commit(f, &err);
    }
    setrlimit(RLIMIT_FSIZE, &old);

    CHECKF(direct == FL_ERR_IO && piecewise == FL_ERR_IO, "%d %d", (int)direct, (int)piecewise);
    CHECKF(strstr(err.msg, "kept"), "%s", err.msg);
    CHECK(holds(file, "old") && entries(root) == before);
}

/* Root may write everywhere, so root looks at this as somebody else. */
static void check_unwritable(void) {
    const uid_t nobody = 65534;
    fl_err err = {0};
    const char *dir = in_root("sealed"), *file = in_root("sealed/kept");
    CHECK(fl_dir_make(dir, &err) == FL_OK && fl_file_write(file, "old", 3, &err) == FL_OK);
    CHECK(fl_file_write(in_root("nowhere/file"), "x", 1, &err) == FL_ERR_IO);
    CHECK(fl_file_write(dir, "x", 1, &err) == FL_ERR_IO &&
          fl_file_write("/dev/null", "x", 1, &err) == FL_ERR_IO);

    bool root_user = geteuid() == 0;
    CHECK(chmod(dir, 0555) == 0 && chmod(root, 0755) == 0);
    if (root_user) CHECK(seteuid(nobody) == 0);
    CHECKF(fl_file_write(file, "new", 3, &err) == FL_ERR_IO && strstr(err.msg, "Permission denied"),
           "%s", err.msg);
    CHECK(fl_dir_make(in_root("sealed/inner"), &err) == FL_ERR_IO);
    CHECK(fl_link_replace(file, "elsewhere", &err) == FL_ERR_IO);
    if (root_user) CHECK(seteuid(0) == 0);
    CHECK(chmod(dir, 0700) == 0 && holds(file, "old") && entries(dir) == 1);
}

static void check_outfile(void) {
    fl_err err = {0};
    fl_outfile *f = NULL;
    const char *file = in_root("out");
    CHECK(fl_outfile_open(&f, file, &err) == FL_OK);
    fputs("first", fl_outfile_stream(f));
    CHECK(!fl_path_exists(file));
    CHECK(fl_outfile_commit(f, &err) == FL_OK && holds(file, "first"));
    CHECK(fl_outfile_open(&f, file, &err) == FL_OK);
    fputs("second", fl_outfile_stream(f));
    fl_outfile_abort(f);
    fl_outfile_abort(NULL);
    CHECK(holds(file, "first"));
}

static void check_folders(void) {
    fl_err err = {0};
    CHECK(fl_dir_make(in_root("d/e/f"), &err) == FL_OK &&
          fl_dir_make(in_root("d/e/f/"), &err) == FL_OK);
    CHECK(fl_file_write(in_root("d/b"), "", 0, &err) == FL_OK &&
          fl_file_write(in_root("d/a"), "", 0, &err) == FL_OK);
    CHECK(fl_link_replace(in_root("d/link"), "a", &err) == FL_OK);
    CHECK(fl_link_replace(in_root("d/link"), "b", &err) == FL_OK);
    CHECK(fl_link_replace(in_root("d/outside"), root, &err) == FL_OK);
    char target[8] = {0};
    CHECK(readlink(in_root("d/link"), target, sizeof target - 1) == 1 && target[0] == 'b');

    char **names = NULL;
    size_t n = 0;
    CHECK(fl_dir_list(in_root("d"), &names, &n, &err) == FL_OK && n == 5);
    static const char *const want[] = {"a", "b", "e", "link", "outside"};
    for (size_t i = 0; i < n && i < 5; i++) CHECKF(strcmp(names[i], want[i]) == 0, "%s", names[i]);
    fl_dealloc(names);
    CHECK(fl_dir_list(in_root("absent"), &names, &n, &err) == FL_ERR_IO);
    CHECK(fl_dir_make(in_root("d/a/x"), &err) == FL_ERR_IO && fl_dir_make("", &err) == FL_ERR_ARG);

    CHECK(fl_dir_remove(in_root("d"), &err) == FL_OK && !fl_path_exists(in_root("d")));
    CHECK(fl_path_is_dir(root));  // the link to it was not followed
}

static fl_status file_round(fl_err *err) {
    char *text, **names;
    size_t n;
    FL_TRY(fl_file_write(in_root("round"), "text", 4, err));
    FL_TRY(fl_file_read(in_root("round"), 100, &text, &n, err));
    fl_dealloc(text);
    FL_TRY(fl_dir_list(root, &names, &n, err));
    fl_dealloc(names);
    return FL_OK;
}

/* Whichever allocation fails, it is said, and (under the leak checker) nothing is kept. */
static void check_faults(void) {
    size_t before = entries(root);
    for (long n = 1;; n++) {
        fl_alloc_fail_at(n);
        fl_status s = file_round(NULL);
        if (!fl_alloc_fail_at(0)) {
            CHECKF(s == FL_OK && n > 4, "%ld allocations", n - 1);
            return;
        }
        CHECKF(s == FL_ERR_NOMEM, "allocation %ld failed and it said %s", n, fl_status_text(s));
        CHECK(entries(root) <= before + 1);
    }
}

int main(void) {
    snprintf(root, sizeof root, "/tmp/fledge-check-file-XXXXXX");
    if (!mkdtemp(root)) return EXIT_FAILURE;
    check_paths();
    check_reading();
    check_forgetting();
    check_wanting();
    check_full_disk();
    check_unwritable();
    check_outfile();
    check_folders();
    check_faults();
    fl_err err = {0};
    CHECKF(fl_dir_remove(root, &err) == FL_OK, "%s", err.msg);
    return check_report();
}
