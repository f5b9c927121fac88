/* What a handler sees of a request: plain data, no MHD type, so that tests call handlers without a
 * socket. A request belongs to one thread at a time: an MHD thread while it comes in, a worker
 * while it is answered. */
#ifndef VISAVIS_SERVER_HTTP_REQUEST_H
#define VISAVIS_SERVER_HTTP_REQUEST_H

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/ulid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_QUERY_MAX = 16, /* parameters after the '?' */
    REQUEST_PARTS_MAX = 64, /* multipart fields */
    REQUEST_PARAMS_MAX = 4, /* {..} in a route's path */
    REQUEST_NAME_MAX_BYTES = 64,
    REQUEST_ARENA_MAX_BYTES = 1024 * 1024,
};

struct pair {
    const char *key, *value;
};

struct part {
    const char *name;
    const uint8_t *data; /* followed by nothing in particular: not a string */
    size_t len;
    const char *filename; /* the client's word for it, any bytes; NULL: none */
};

enum body_kind { BODY_NONE, BODY_MULTIPART, BODY_JSON };

/* Where a request's time went; names in request_stage_name. */
enum stage {
    STAGE_RECV,
    STAGE_QUEUE,
    STAGE_DECODE,
    STAGE_DETECT,
    STAGE_ALIGN,
    STAGE_EMBED,
    STAGE_STORE,
    STAGE_COUNT
};

struct request {
    struct ulid id;
    const char *method, *path;
    const char *host, *origin, *authorization, *api_key; /* headers; NULL: not sent */
    const char *idempotency_key, *if_match;              /* the same */
    const char *last_event_id, *accept;                  /* the same */
    bool forwarded;                                      /* came through a proxy that says so */
    /* From http_options.authorize: the id of the key, "local" without one; and the id of the one
     * collection that this key is for, "": every one. */
    char principal[ULID_CHARS + 1], scope[ULID_CHARS + 1];
    struct pair query[REQUEST_QUERY_MAX];
    int n_query;
    struct pair param[REQUEST_PARAMS_MAX]; /* key is a piece of the route's path: "{c}" gives "c" */
    int n_params;
    enum body_kind body_kind;
    struct part part[REQUEST_PARTS_MAX]; /* BODY_MULTIPART */
    int n_parts;
    const uint8_t *body; /* BODY_JSON: the text */
    size_t body_len;
    double ms[STAGE_COUNT];
    struct arena arena; /* scratch of whoever owns the request; dropped when it is done */
};

/* NULL: not given. The first one where a name comes twice. */
const char *request_query(const struct request *rq, const char *name);
const char *request_param(const struct request *rq, const char *name);

/* ERR_INVALID, naming it: a query parameter that is not in names (NULL at the end), or one given
 * twice. */
NODISCARD enum err request_query_only(const struct request *rq, const char *const *names,
                                      struct err_info *err);

/* A whole number in [least, most]; *out is untouched where it is not given. ERR_INVALID. */
NODISCARD enum err request_query_int(int *out, const struct request *rq, const char *name,
                                     int least, int most, struct err_info *err);

/* "true" or "false"; as above. */
NODISCARD enum err request_query_bool(bool *out, const struct request *rq, const char *name,
                                      struct err_info *err);

/* "a, b and c" of a list that NULL ends, into out; for messages. */
void request_list_names(char *out, size_t size, const char *const *names);

const char *request_stage_name(enum stage s);

#endif
