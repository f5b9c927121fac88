#include "server/api/list_page.h"

#include "server/api/cursor.h"

enum { LIMIT = 100, LIMIT_MAX = 1000 };

enum err list_page_read(struct list_page *out, const struct app *app, const struct request *rq,
                        struct err_info *err)
{
    enum err rc = cursor_read(&out->after, app, rq, err);

    out->limit = LIMIT;
    if (rc || (rc = request_query_int(&out->limit, rq, "limit", 1, LIMIT_MAX, err))) return rc;
    out->items = json_array();
    return out->items ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a list");
}

enum err list_page_add(struct list_page *p, int64_t position, json_t *item, struct err_info *err)
{
    if (p->n++ == p->limit) {
        json_decref(item);
        return ERR_OK;
    }
    p->last = position;
    return json_array_append_new(p->items, item) ? err_set(err, ERR_NOMEM, "no memory for a list")
                                                 : ERR_OK;
}

enum err list_page_reply(const struct list_page *p, const struct app *app, const struct request *rq,
                         struct reply *rp, struct err_info *err)
{
    const bool more = p->n > p->limit;
    struct cursor next;

    if (more) cursor_make(&next, app, rq, p->last);
    return reply_json(
        rp, 200, json_pack("{s:O, s:s?}", "items", p->items, "next_cursor", more ? next.s : NULL),
        err);
}

void list_page_release(struct list_page *p)
{
    json_decref(p->items);
    p->items = NULL;
}
