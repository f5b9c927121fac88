/* A route's handler called from the command line: the same code, and so the same JSON, as over
 * HTTP, on the database of --data. */
#ifndef VISAVIS_SERVER_CLI_CALL_H
#define VISAVIS_SERVER_CLI_CALL_H

#include "server/api/app.h"
#include "server/cli/cli.h"

struct cli_call {
    struct app app;
    struct request rq;
    struct reply rp;
    struct buf *files; /* what rq's parts borrow */
    int n_files;
};

/* Opens store, engine and gallery. data: --data or NULL. On an error nothing is left. */
NODISCARD enum err cli_call_open(struct cli_call *c, const char *data, struct cli_engine *engine,
                                 struct err_info *err);
void cli_call_close(struct cli_call *c);

/* Begins another request; what the last one left goes. */
void cli_call_begin(struct cli_call *c, const char *method);
/* Both strings are borrowed until the next begin. */
void cli_call_param(struct cli_call *c, const char *name, const char *value);
void cli_call_query(struct cli_call *c, const char *name, const char *value);
/* Pictures as parts "image". ERR_TOO_LARGE, ERR_NOT_FOUND, ERR_IO; more than REQUEST_PARTS_MAX:
 * ERR_INVALID. */
NODISCARD enum err cli_call_images(struct cli_call *c, char *const *paths, int n,
                                   struct err_info *err);
/* The text is borrowed. */
void cli_call_json(struct cli_call *c, const char *text);
/* Runs the handler. *answer, unless NULL, is the caller's: what it answered. */
NODISCARD enum err cli_call_run(json_t **answer, struct cli_call *c, route_handler *handler,
                                struct err_info *err);
/* The same, printed as one line; the exit code. What speaks against a request (details) goes to
 * standard error. */
int cli_call_print(struct cli_call *c, route_handler *handler);

#endif
