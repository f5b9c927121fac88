/* What has to be done now and then, on the HTTP edge's housekeeper thread. */
#include "server/api/app.h"

#include "engine/base/log.h"
#include "server/jobs/jobs.h"
#include "server/store/audit.h"
#include "server/store/undo.h"

#include <time.h>

enum {
    EXPIRE_EVERY_TICKS = 60, /* about a minute */
    EXPIRE_AT_ONCE = 500,    /* examples in one transaction: writers wait for it */
    EXPIRE_ROUNDS = 20,      /* then the next minute goes on */
};

static void log_failure(const char *what, const struct err_info *err)
{
    char escaped[ERR_MESSAGE_BYTES * 2];
    log_line(LOG_ERROR, what, "\"detail\":\"%s\"",
             log_escape(escaped, sizeof escaped, err->message));
}

void app_gallery_follow(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    if (app->gallery && gallery_follow(app->gallery, &err))
        log_failure("the search indexes cannot follow the database", &err);
}

void app_scrub(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    enum err rc = store_scrub(app->store, &err);

    atomic_store(&app->scrub_due, rc == ERR_BUSY);
    if (rc && rc != ERR_BUSY) log_failure("the write-ahead log cannot be emptied", &err);
    if (app->jobs && jobs_files_follow(app->jobs, &err))
        log_failure("files of erased jobs cannot be removed", &err);
}

struct expiry {
    struct store_receipt erased;
    bool more;
};

static enum err expire_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct expiry *e = arg;
    const struct store_audit entry = {.who = "retention",
                                      .action = "example.expire",
                                      .collection = "",
                                      .target = "",
                                      .request = ""};
    enum err rc;

    *e = (struct expiry){.more = false};
    if ((rc = store_erase_expired(&e->erased, &e->more, tx, EXPIRE_AT_ONCE, err))) return rc;
    return e->erased.examples ? store_audit_add(tx, &entry, err) : ERR_OK;
}

static void expire(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    struct expiry e = {.more = true};
    int64_t erased = 0, reports = 0;

    for (int i = 0; i < EXPIRE_ROUNDS && e.more; i++) {
        if (store_write(app->store, expire_job, &e, &err)) {
            log_failure("what is over its time to live cannot be erased", &err);
            break;
        }
        erased += e.erased.examples;
        reports += e.erased.reports;
    }
    if (erased) app_gallery_follow(app);
    if (erased || reports) app_scrub(app);
    if (!erased) return;
    log_line(LOG_INFO, "erased what was over its time to live", "\"examples\":%lld",
             (long long)erased);
}

static void expire_jobs(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    if (app->jobs && jobs_expire(app->jobs, (int64_t)time(NULL) * 1000, &err))
        log_failure("finished jobs cannot be removed", &err);
}

void app_tick(struct app *app)
{
    app_keys_follow(app);
    app_gallery_follow(app);
    if (atomic_load(&app->scrub_due)) app_scrub(app);
    if (app->ticks++ % EXPIRE_EVERY_TICKS) return;
    expire(app);
    expire_jobs(app);
}
