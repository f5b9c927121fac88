/* fork and exec, with a poll loop that reads what the program says and ticks meanwhile. */
#include "server/cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"

enum { TICK_MS = 200, FAILED_TO_START = 127 };

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

/* In the child; tells through report why the program could not be started. */
static void child(const struct process *p, int out, int report)
{
    int why;
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        if (p->both) dup2(out, STDERR_FILENO);
    }
    for (int i = 0; i < p->n_limits; i++)
        setrlimit((__rlimit_resource_t)p->kinds[i], &p->limits[i]);
    execvp(p->argv[0], p->argv);
    why = errno;
    (void)!write(report, &why, sizeof why);
    _exit(FAILED_TO_START);
}

/* Takes what there is to read into out; false at the end. Over the cap it is read and dropped. */
static bool drain(int fd, struct buf *out)
{
    char block[4096];
    ssize_t n = read(fd, block, sizeof block);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    if (n > 0) (void)!buf_add(out, block, (size_t)n, NULL);
    return n > 0;
}

static int wait_for(pid_t pid, int fd, const struct process *p)
{
    int status = 0;
    bool open = fd >= 0, told = false;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, open ? 1 : 0, TICK_MS) > 0) open = drain(fd, p->out);
        if (p->tick) p->tick(p->self);
        if (asked_to_stop && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid || (done < 0 && errno != EINTR)) break;
    }
    /* what it wrote last; not what a grandchild that still has the pipe may write */
    struct pollfd rest = {.fd = fd, .events = POLLIN};
    while (open && poll(&rest, 1, 0) > 0) open = drain(fd, p->out);
    return status;
}

enum err process_run(int *status, const struct process *p, struct err_info *err)
{
    struct sigaction mine = {.sa_handler = on_signal}, old_int, old_term;
    int out[2] = {-1, -1}, report[2] = {-1, -1}, why = 0;
    enum err rc = ERR_OK;

    if (asked_to_stop)
        return err_set(err, ERR_TIMEOUT, "stopped"); /* by the signal that ended the last one */
    if ((p->out && pipe2(out, O_CLOEXEC)) || pipe2(report, O_CLOEXEC)) {
        rc = err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
        goto done;
    }
    fflush(NULL);
    sigemptyset(&mine.sa_mask);
    sigaction(SIGINT, &mine, &old_int);
    sigaction(SIGTERM, &mine, &old_term);
    pid_t pid = fork();
    if (pid == 0) child(p, out[1], report[1]);
    if (pid < 0) {
        rc = err_set(err, ERR_IO, "cannot start %s: %s", p->argv[0], strerror(errno));
    } else {
        close(report[1]);
        if (out[1] >= 0) close(out[1]);
        report[1] = out[1] = -1;
        if (read(report[0], &why, sizeof why) != sizeof why) why = 0;
        *status = wait_for(pid, out[0], p);
        if (why)
            rc = err_set(err, why == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot start %s: %s",
                         p->argv[0], strerror(why));
        else if (asked_to_stop)
            rc = err_set(err, ERR_TIMEOUT, "stopped");
    }
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
done:
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0) close(out[i]);
        if (report[i] >= 0) close(report[i]);
    }
    return rc;
}
