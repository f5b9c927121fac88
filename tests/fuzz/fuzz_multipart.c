/* The multipart parser on foreign bytes: the first line is the Content-Type, the rest the body, fed
 * in pieces whose size its first byte gives. Nothing but a clean part list or an error may come of
 * it. */
#include "server/http/multipart.h"
#include "tests/unit/mhd_call.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
    const char *body;
    size_t len, step;
};

static void parse(struct MHD_Connection *connection, void *self)
{
    const struct input *in = self;
    struct request rq = {0};
    struct err_info err = ERR_INFO_INIT;
    struct multipart *m = NULL;

    rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    enum err rc = multipart_new(&m, connection, &rq, "/tmp", &err);
    for (size_t at = 0; !rc && at < in->len; at += in->step)
        rc = multipart_feed(m, in->body + at, in->len - at < in->step ? in->len - at : in->step,
                            &err);
    if (!rc) rc = multipart_finish(m, &err);
    assert(!rc || *err.message);
    size_t total = 0;
    for (int i = 0; !rc && i < rq.n_parts; i++) {
        assert(*rq.part[i].name && rq.part[i].data);
        for (size_t k = 0; k < rq.part[i].len; k++) total += rq.part[i].data[k] != 0; /* readable */
    }
    assert(total <= in->len);
    multipart_free(m);
    arena_release(&rq.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char type[300];
    const uint8_t *newline = len > 1 ? memchr(data + 1, '\n', len - 1) : NULL;
    size_t n = newline ? (size_t)(newline - data - 1) : 0;

    if (!newline || n >= sizeof type) return 0;
    memcpy(type, data + 1, n);
    type[n] = 0;
    if (strlen(type) != n || strpbrk(type, "\r\n")) return 0; /* would be no header */
    struct input in = {(const char *)newline + 1, len - n - 2, (size_t)data[0] + 1};
    mhd_call(type, parse, &in);
    return 0;
}
