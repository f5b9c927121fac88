#include "server/api/api.h"

#include "server/api/access_json.h"
#include "server/api/list_page.h"

#include <string.h>

static const char *const parameters[] = {"cursor", "limit", "order", NULL};

struct listing {
    bool newest_first;
    struct list_page *page;
};

static enum err take_entry(void *self, const struct store_audit *a, struct err_info *err)
{
    return list_page_add(self, a->seq, audit_json(a), err);
}

static enum err list_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct listing *l = arg;
    return store_audit_list(tx, l->page->after, l->newest_first, l->page->limit + 1, take_entry,
                            l->page, err);
}

/* GET /v1/audit: who did what, when. */
enum err api_audit(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    const char *order = request_query(rq, "order");
    AUTO_LIST_PAGE struct list_page page = {0};
    struct listing l = {!order || !strcmp(order, "newest"), &page};
    enum err rc = request_query_only(rq, parameters, err);

    if (rc || (rc = list_page_read(&page, app, rq, err))) return rc;
    if (!l.newest_first && strcmp(order, "oldest") != 0)
        return err_set(err, ERR_INVALID, "order is \"%.40s\"; it takes newest or oldest", order);
    if ((rc = store_read(app->store, list_job, &l, err))) return rc;
    return list_page_reply(&page, app, rq, rp, err);
}
