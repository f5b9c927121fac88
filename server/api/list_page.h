/* One page of a list, the same on every route whose cursor is a position (cursor.h): ?cursor= and
 * ?limit= in, {"items","next_cursor"} out. The store is asked for limit + 1 items: one too many
 * only says that there is a next page. One request's, one thread's. */
#ifndef VISAVIS_SERVER_API_LIST_PAGE_H
#define VISAVIS_SERVER_API_LIST_PAGE_H

#include "server/api/app.h"
#include "server/http/reply.h"
#include "server/http/request.h"

#include <jansson.h>

struct list_page {
    int64_t after; /* the position before its first item; 0: the list's beginning */
    int limit;
    int n;         /* items that came, the one too many among them */
    int64_t last;  /* the position of the last in items */
    json_t *items; /* owned */
};

/* Into *out, which is {0}, and to be released whatever this returns. ERR_INVALID: a cursor of
 * another list or none, a limit that is no whole number from 1 to 1000; ERR_NOMEM. */
NODISCARD enum err list_page_read(struct list_page *out, const struct app *app,
                                  const struct request *rq, struct err_info *err);
/* Takes item, which is at this position. ERR_NOMEM, also where it is NULL (but for the one too
 * many). */
NODISCARD enum err list_page_add(struct list_page *p, int64_t position, json_t *item,
                                 struct err_info *err);
/* The items are still *p's. */
NODISCARD enum err list_page_reply(const struct list_page *p, const struct app *app,
                                   const struct request *rq, struct reply *rp,
                                   struct err_info *err);
void list_page_release(struct list_page *p);

#define AUTO_LIST_PAGE __attribute__((cleanup(list_page_release)))

#endif
