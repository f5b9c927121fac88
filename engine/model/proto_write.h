/* Protocol buffers written (wire format: protobuf.dev/programming-guides/encoding). A message holds
 * its small fields in a buffer, and only borrows its large ones, which go straight into the file at
 * the end: lengths are known without a second copy of the weights. */
#ifndef VISAVIS_ENGINE_MODEL_PROTO_WRITE_H
#define VISAVIS_ENGINE_MODEL_PROTO_WRITE_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes that come before byte `at` of the small ones. */
struct proto_piece {
    size_t at, len;
    const void *data; /* borrowed */
};

/* A message being made. The first error stays in rc and makes the calls below do nothing. */
struct proto {
    struct buf small;
    struct proto_piece *pieces; /* in order */
    size_t n_pieces, room;
    size_t borrowed; /* bytes in the pieces */
    enum err rc;
    struct err_info *err;
};

struct proto proto_new(struct err_info *err);
void proto_release(struct proto *p);

/* One field each. */
void proto_int(struct proto *p, uint32_t field, int64_t v);
void proto_float(struct proto *p, uint32_t field, float v);
void proto_text(struct proto *p, uint32_t field, const char *s);
void proto_bytes(struct proto *p, uint32_t field, const void *data, size_t len);
/* data must stay until proto_save. */
void proto_borrow(struct proto *p, uint32_t field, const void *data, size_t len);
/* inner as a field of p; its error becomes p's. Releases it. */
void proto_message(struct proto *p, uint32_t field, struct proto *inner);
/* The fields of more behind those of p, as of one message. Releases it. */
void proto_append(struct proto *p, struct proto *more);

/* Bytes of the whole message. */
size_t proto_len(const struct proto *p);
/* Writes it to a file; path is for messages. ERR_STORAGE_FULL, ERR_IO; p->rc. */
NODISCARD enum err proto_save(const struct proto *p, int fd, const char *path,
                              struct err_info *err);

#endif
