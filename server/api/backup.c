#include "server/api/api.h"

#include "server/store/audit.h"
#include "server/store/backup.h"

static const char *const no_parameters[] = {NULL};

static enum err note(struct store_tx *tx, void *self, struct err_info *err)
{
    const struct request *rq = self;
    const struct store_audit entry = {.who = rq->principal,
                                      .action = "db.backup",
                                      .collection = "",
                                      .target = "",
                                      .request = rq->id.s};
    return store_audit_add(tx, &entry, err);
}

/* POST /v1/admin/backup: the whole database as one file. */
enum err api_backup(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    int fd;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = store_write(app->store, note, rq, err)) ||
        (rc = store_backup_fd(&fd, app->store, err)))
        return rc;
    reply_header(rp, "Content-Disposition", "attachment; filename=\"visavis.db\"");
    return reply_file(rp, 200, "application/vnd.sqlite3", fd, err);
}
