/* Another program, run to its end: under limits, with its output kept, and stopped when we are. */
#ifndef VISAVIS_SERVER_CLI_PROCESS_H
#define VISAVIS_SERVER_CLI_PROCESS_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <sys/resource.h>

struct process {
    char *const *argv; /* argv[0] is looked up in PATH unless it has a slash; ends with NULL */
    const struct rlimit *limits; /* [n_limits], for resources kinds[i] */
    const int *kinds;
    int n_limits;
    struct buf *out; /* gets its standard output, and standard error where both; NULL: ours */
    bool both;
    void (*tick)(void *self); /* called about five times a second; NULL: not */
    void *self;
};

/* *status: as of waitpid. ERR_NOT_FOUND: no such program; ERR_IO; ERR_TIMEOUT: we were asked to
 * stop (SIGINT, SIGTERM) and stopped it. What it writes beyond out's cap is dropped. Not for more
 * than one thread at a time. */
NODISCARD enum err process_run(int *status, const struct process *p, struct err_info *err);

#endif
