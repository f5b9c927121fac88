#include "engine/model/proto_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"

enum {
    VARINT = 0,
    LENGTH_DELIMITED = 2,
    FIXED_32 = 5,
    VARINT_BYTES = 10, /* of 64 bits */
    SMALL_BYTES = 64 << 20
};

struct proto proto_new(struct err_info *err)
{
    return (struct proto){.small = BUF_INIT(SMALL_BYTES), .err = err};
}

void proto_release(struct proto *p)
{
    buf_release(&p->small);
    free(p->pieces);
    p->pieces = NULL;
    p->n_pieces = p->room = p->borrowed = 0;
}

size_t proto_len(const struct proto *p)
{
    return p->small.len + p->borrowed;
}

static void add(struct proto *p, const void *data, size_t len)
{
    if (!p->rc) p->rc = buf_add(&p->small, data, len, p->err);
}

static void add_varint(struct proto *p, uint64_t v)
{
    uint8_t bytes[VARINT_BYTES];
    size_t n = 0;
    for (; v > 0x7f; v >>= 7) bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    add(p, bytes, n);
}

static void add_tag(struct proto *p, uint32_t field, uint32_t type)
{
    add_varint(p, (uint64_t)field << 3 | type);
}

void proto_int(struct proto *p, uint32_t field, int64_t v)
{
    add_tag(p, field, VARINT);
    add_varint(p, (uint64_t)v);
}

void proto_float(struct proto *p, uint32_t field, float v)
{
    add_tag(p, field, FIXED_32);
    add(p, &v, sizeof v); /* little-endian, as the files of engine/model are */
}

void proto_bytes(struct proto *p, uint32_t field, const void *data, size_t len)
{
    add_tag(p, field, LENGTH_DELIMITED);
    add_varint(p, len);
    add(p, data, len);
}

void proto_text(struct proto *p, uint32_t field, const char *s)
{
    proto_bytes(p, field, s, strlen(s));
}

/* --- pieces --- */

static void make_room(struct proto *p, size_t more)
{
    size_t need = p->n_pieces + more, room = p->room ? p->room : 4;
    if (p->rc || need <= p->room) return;
    while (room < need) room *= 2;
    struct proto_piece *list = realloc(p->pieces, room * sizeof *list);
    if (!list) {
        p->rc = err_set(p->err, ERR_NOMEM, "no memory for %zu pieces of a file", room);
        return;
    }
    p->pieces = list;
    p->room = room;
}

static void add_piece(struct proto *p, size_t at, const void *data, size_t len)
{
    if (p->rc) return;
    if (__builtin_add_overflow(p->borrowed, len, &p->borrowed)) {
        p->rc = err_set(p->err, ERR_TOO_LARGE, "the weights' sizes overflow");
        return;
    }
    p->pieces[p->n_pieces++] = (struct proto_piece){at, len, data};
}

void proto_borrow(struct proto *p, uint32_t field, const void *data, size_t len)
{
    add_tag(p, field, LENGTH_DELIMITED);
    add_varint(p, len);
    make_room(p, 1);
    add_piece(p, p->small.len, data, len);
}

void proto_append(struct proto *p, struct proto *more)
{
    const size_t start = p->small.len;
    if (!p->rc) p->rc = more->rc;
    add(p, more->small.data, more->small.len);
    make_room(p, more->n_pieces);
    for (size_t i = 0; i < more->n_pieces; i++)
        add_piece(p, start + more->pieces[i].at, more->pieces[i].data, more->pieces[i].len);
    proto_release(more);
}

void proto_message(struct proto *p, uint32_t field, struct proto *inner)
{
    add_tag(p, field, LENGTH_DELIMITED);
    add_varint(p, proto_len(inner));
    proto_append(p, inner);
}

/* --- to a file --- */

static enum err write_all(int fd, const void *data, size_t len, const char *path,
                          struct err_info *err)
{
    const uint8_t *at = data;
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return err_set(err, err_of_write(errno), "cannot write %s: %s", path, strerror(errno));
        at += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err proto_save(const struct proto *p, int fd, const char *path, struct err_info *err)
{
    size_t done = 0;
    enum err rc = p->rc;
    for (size_t i = 0; !rc && i < p->n_pieces; i++) {
        const struct proto_piece *piece = &p->pieces[i];
        rc = write_all(fd, p->small.data + done, piece->at - done, path, err);
        if (!rc) rc = write_all(fd, piece->data, piece->len, path, err);
        done = piece->at;
    }
    return rc ? rc : write_all(fd, p->small.data + done, p->small.len - done, path, err);
}
