/* The JSON bodies of the picture routes: the first byte chooses the route's fields, the rest is the
 * body. */
#include "server/api/faces_in.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct request rq = {.body_kind = BODY_JSON};
    struct reply rp = REPLY_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct faces_in in;

    if (!len) return 0;
    const struct faces_spec *spec = data[0] & 1 ? &faces_spec_verify : &faces_spec_one;
    rq.body = data + 1;
    rq.body_len = len - 1;
    rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    if (faces_in_parse(&in, spec, &rq, &rp, &err)) {
        assert(*err.message);
        reply_error(&rp, &err, "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C");
        assert(rp.status >= 400 && rp.status < 500);
    } else {
        size_t total = 0;
        for (int i = 0; i < in.n_images; i++)
            for (size_t k = 0; k < in.image[i].len; k++) total += in.image[i].data[k] != 0;
        assert(total <= len && in.fmr >= 0 && in.fmr < 1);
        faces_in_release(&in);
    }
    reply_release(&rp);
    arena_release(&rq.arena);
    return 0;
}
