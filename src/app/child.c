/* child - a piece of work in a process of its own. */
#include "app/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/progress.h"

enum { MOST = 1 << 20 };

/* The answer, or on failure the message. */
static void child_main(app_child_work work, void *ctx, int fd) {
    fl_err err = {0};
    if (work(ctx, fd, &err) == FL_OK) _exit(EXIT_SUCCESS);
    if (write(fd, err.msg, strlen(err.msg)) < 0) _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

static void read_all(int fd, char *out) {
    size_t n = 0;
    for (ssize_t got; n < MOST; n += (size_t)got) {
        got = read(fd, out + n, MOST - n);
        if (got < 0 && errno == EINTR) got = 0;
        else if (got <= 0) break;
    }
    out[n] = '\0';
}

static fl_status outcome(const app_child *c, int status, fl_err *err) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return FL_OK;
    if (WIFSIGNALED(status))
        return fl_fail(err, FL_ERR_IO, "a process was ended by signal %d", WTERMSIG(status));
    return fl_fail(err, FL_ERR_IO, "%.400s", *c->text ? c->text : "a process failed");
}

fl_status app_child_run(app_child *out, app_child_work work, void *ctx, fl_err *err) {
    int ends[2], status = 0;
    app_child c = {.text = fl_alloc(MOST + 1)};
    if (!c.text) return fl_fail(err, FL_ERR_NOMEM, "a process");
    if (pipe(ends) != 0) {
        app_child_clear(&c);
        return fl_fail(err, FL_ERR_IO, "a pipe: %s", strerror(errno));
    }
    const double start = fl_now();
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child_main(work, ctx, ends[1]);
    }
    close(ends[1]);
    struct rusage used = {0};
    if (pid > 0) {
        read_all(ends[0], c.text);
        while (wait4(pid, &status, 0, &used) < 0 && errno == EINTR) continue;
    }
    close(ends[0]);
    c.seconds = fl_now() - start;
    c.peak_bytes = (double)used.ru_maxrss * 1024;
    const fl_status s = pid < 0 ? fl_fail(err, FL_ERR_IO, "a process: %s", strerror(errno))
                                : outcome(&c, status, err);
    if (s == FL_OK) *out = c;
    else app_child_clear(&c);
    return s;
}

void app_child_clear(app_child *c) {
    fl_dealloc(c->text);
    *c = (app_child){0};
}
