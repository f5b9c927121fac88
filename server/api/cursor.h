/* Where the next page of a list begins, as an opaque text that the client hands back: next_cursor
 * and ?cursor=. It holds a position and an HMAC-SHA256 (RFC 2104; its first 128 bits) of the
 * position and the list's query under a key of the database, so that one that was changed, made up
 * or taken from another list or other filters is refused and not misread. Pure; any thread. */
#ifndef VISAVIS_SERVER_API_CURSOR_H
#define VISAVIS_SERVER_API_CURSOR_H

#include "server/api/app.h"
#include "server/http/request.h"

enum { CURSOR_CHARS = 32 };
struct cursor {
    char s[CURSOR_CHARS + 1]; /* letters, digits, '-' and '_' */
};

/* after: the position of the last item of this page, greater than 0. The query is the request's
 * path and its parameters but `cursor` and `limit`, in whatever order. */
void cursor_make(struct cursor *out, const struct app *app, const struct request *rq,
                 int64_t after);
/* Of ?cursor=; *after is 0 where it is not given. ERR_INVALID: none that cursor_make made for this
 * query. */
NODISCARD enum err cursor_read(int64_t *after, const struct app *app, const struct request *rq,
                               struct err_info *err);

#endif
