/* What the routes work on: opened once by `visavis serve`, shared by every thread. */
#ifndef VISAVIS_SERVER_API_APP_H
#define VISAVIS_SERVER_API_APP_H

#include "engine/engine.h"
#include "engine/match.h"
#include "server/api/keyring.h"
#include "server/http/http.h"
#include "server/gallery/gallery.h"
#include "server/store/store.h"
#include "server/store/secrets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct jobs;
struct job_kind;

struct app {
    struct engine *engine;
    struct store *store;
    struct gallery *gallery; /* what the search needs of the store, in memory */
    struct http *http;       /* NULL before it serves */
    bool loopback;     /* listens on a loopback address: open to local clients without a key */
    bool require_key;  /* a key is wanted even there */
    atomic_bool ready; /* a real inference has succeeded */
    struct keyring keyring;
    pthread_mutex_t reload;                 /* of app_keys_reload and keys_version */
    uint64_t keys_version;                  /* the store's when the keyring was read */
    uint8_t cursor_key[STORE_SECRET_BYTES]; /* cursor.h */
    atomic_bool scrub_due;
    unsigned ticks;            /* the housekeeper's */
    struct jobs *jobs;         /* NULL before app_start_jobs */
    size_t cluster_memory_max; /* bytes that one clustering may take; 0: no bound */
};

/* Opens store and engine, and proves the engine on a picture. data_dir is made where it is missing.
 */
NODISCARD enum err app_open(struct app *app, const char *data_dir,
                            const struct engine_options *engine, struct err_info *err);
void app_close(struct app *app);

/* Needs the store; kinds is borrowed, a NULL name ends it, and each run() gets app. Errors of
 * jobs_open. */
NODISCARD enum err app_start_jobs(struct app *app, const char *data_dir,
                                  const struct job_kind *kinds, struct err_info *err);

/* Reads the keyring again where the database has changed. */
NODISCARD enum err app_keys_reload(struct app *app, struct err_info *err);
/* The same; logs what goes wrong. */
void app_keys_follow(struct app *app);
/* The search indexes follow the store; logs what goes wrong. */
void app_gallery_follow(struct app *app);
/* After an erasure: takes its bytes out of the write-ahead log, at once or, while a reader holds
 * the log, with the next tick; and removes the files of jobs that went with it. */
void app_scrub(struct app *app);
/* --- housekeeping.c --- */
/* Once a second: follows what other processes have changed (keys, collections), erases what is over
 * its time to live, and finishes scrubbing. Logs what goes wrong. */
void app_tick(struct app *app);
size_t app_valid_keys(struct app *app);

/* Runs every network once on a built-in picture. */
NODISCARD enum err app_warm_up(struct app *app, struct err_info *err);

/* http_options.authorize. On a loopback address a request without a key is allowed when its Host
 * and Origin are loopback too (otherwise any web page could reach it through the browser) and no
 * proxy forwarded it, and may do everything; every other request needs a key with the right that
 * the route wants (neither ROUTE_READ nor ROUTE_WRITE: admin), but for ROUTE_OPEN. A key of one
 * collection is good for the routes below it, by its id or name, and for ROUTE_STATELESS; the name
 * in rq->param is then replaced by the id, because another collection may get the name meanwhile.
 * ERR_UNAUTHORIZED, ERR_FORBIDDEN, ERR_RATE. */
NODISCARD enum err app_authorize(struct app *app, struct request *rq, struct reply *rp,
                                 const struct route *route, struct err_info *err);

#endif
