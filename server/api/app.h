/* What the routes work on: opened once by `visavis serve`, shared by every thread. */
#ifndef VISAVIS_SERVER_API_APP_H
#define VISAVIS_SERVER_API_APP_H

#include "engine/engine.h"
#include "engine/match.h"
#include "server/http/http.h"
#include "server/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct jobs;
struct job_kind;

struct app {
    struct engine *engine;
    struct store *store;
    struct jobs *jobs; /* NULL before app_start_jobs */
    struct http *http; /* NULL before it serves */
    bool loopback;     /* listens on a loopback address: open to local clients without a key */
    bool require_key;  /* a key is wanted even there */
    atomic_bool ready; /* a real inference has succeeded */
    pthread_rwlock_t keys_lock;
    struct store_key *keys; /* a copy of the store's: MHD threads must not wait for the disk */
    size_t n_keys;
    uint64_t keys_version;
    double jobs_expired; /* clock_seconds() of the last look; the housekeeper's */
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

/* Once a second: a key that another process made or revoked takes effect; jobs expire. Logs what
 * goes wrong. */
void app_tick(struct app *app);
/* The keys alone. */
void app_keys_follow(struct app *app);
NODISCARD enum err app_keys_reload(struct app *app, struct err_info *err);
size_t app_valid_keys(struct app *app);

/* Runs every network once on a built-in picture. */
NODISCARD enum err app_warm_up(struct app *app, struct err_info *err);

/* http_options.authorize. On a loopback address a request without a key is allowed when its Host
 * and Origin are loopback too (otherwise any web page could reach it through the browser) and no
 * proxy forwarded it; every other request needs a key, but for ROUTE_OPEN. ERR_UNAUTHORIZED,
 * ERR_FORBIDDEN. */
NODISCARD enum err app_authorize(struct app *app, const struct request *rq,
                                 const struct route *route, struct err_info *err);

#endif
