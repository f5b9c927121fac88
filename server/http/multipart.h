/* multipart/form-data as its bytes arrive, on MHD's parser. Runs on an MHD thread; decodes nothing,
 * only cuts and keeps. */
#ifndef VISAVIS_SERVER_HTTP_MULTIPART_H
#define VISAVIS_SERVER_HTTP_MULTIPART_H

#include "engine/base/err.h"
#include "server/http/request.h"

#include <microhttpd.h>

struct multipart;

/* connection: its Content-Type must be multipart/form-data. rq and spool_dir are borrowed until
 * multipart_free. ERR_INVALID: no usable boundary; ERR_NOMEM. */
NODISCARD enum err multipart_new(struct multipart **out, struct MHD_Connection *connection,
                                 struct request *rq, const char *spool_dir, struct err_info *err);
/* ERR_INVALID: not multipart, too many parts, a part without a name or with one that is too long;
 * else spool_add's. */
NODISCARD enum err multipart_feed(struct multipart *m, const char *data, size_t len,
                                  struct err_info *err);
/* The body has ended: rq->part is filled; the bytes live until multipart_free. ERR_INVALID: it was
 * cut short. */
NODISCARD enum err multipart_finish(struct multipart *m, struct err_info *err);
void multipart_free(struct multipart *m);

#endif
