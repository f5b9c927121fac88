#include "server/api/api.h"

#include "server/api/access_json.h"
#include "server/api/cursor.h"

#include <string.h>

static const char *const parameters[] = {"cursor", "limit", "order", NULL};

struct page {
    int64_t from, last;
    int limit, n;
    bool newest_first, more;
    json_t *items;
};

static enum err add(void *self, const struct store_audit *a, struct err_info *err)
{
    struct page *p = self;

    if (p->n == p->limit) {
        p->more = true;
        return ERR_OK;
    }
    p->n++;
    p->last = a->seq;
    if (json_array_append_new(p->items, audit_json(a)))
        return err_set(err, ERR_NOMEM, "no memory for the audit log");
    return ERR_OK;
}

static enum err read_page(struct store_tx *tx, void *self, struct err_info *err)
{
    struct page *p = self;
    return store_audit_list(tx, p->from, p->newest_first, p->limit + 1, add, p, err);
}

/* GET /v1/audit: who did what, when. */
enum err api_audit(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    const char *order = request_query(rq, "order");
    struct page p = {.newest_first = !order || !strcmp(order, "newest")};
    struct cursor next;
    enum err rc;

    if ((rc = request_query_only(rq, parameters, err)) || (rc = cursor_limit(&p.limit, rq, err)) ||
        (rc = cursor_read(&p.from, app, rq, err)))
        return rc;
    if (!p.newest_first && strcmp(order, "oldest") != 0)
        return err_set(err, ERR_INVALID, "order is \"%.40s\"; it takes newest or oldest", order);
    if (!(p.items = json_array())) return err_set(err, ERR_NOMEM, "no memory for the audit log");
    if ((rc = store_read(app->store, read_page, &p, err))) {
        json_decref(p.items);
        return rc;
    }
    if (p.more) cursor_make(&next, app, rq, p.last);
    return reply_json(
        rp, 200, json_pack("{s:o, s:s?}", "items", p.items, "next_cursor", p.more ? next.s : NULL),
        err);
}
