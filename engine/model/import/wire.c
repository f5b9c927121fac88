#include "engine/model/import/wire.h"

#include <string.h>

enum { VARINT_BYTES_MAX = 10, PAYLOAD_BITS = 7, TYPE_BITS = 3, NUMBER_MAX = (1 << 29) - 1 };

struct wire wire_of(const uint8_t *data, size_t len, struct err_info *err)
{
    return (struct wire){.at = data, .end = len ? data + len : data, .err = err};
}

struct wire wire_message(const struct wire_field *f, struct err_info *err)
{
    return wire_of(f->data, f->len, err);
}

static size_t left(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

bool wire_varint(struct wire *w, uint64_t *value)
{
    uint64_t v = 0;
    if (w->rc || w->at == w->end) return false;
    for (int i = 0; i < VARINT_BYTES_MAX; i++) {
        if (w->at == w->end) {
            w->rc = err_set(w->err, ERR_MODEL, "cut short: the message ends inside a varint");
            return false;
        }
        const uint8_t byte = *w->at++;
        v |= (uint64_t)(byte & 0x7f) << (PAYLOAD_BITS * i); /* of the tenth byte 1 bit is left */
        if (byte & 0x80) continue;
        *value = v;
        return true;
    }
    w->rc = err_set(w->err, ERR_MODEL, "malformed varint: more than %d bytes", VARINT_BYTES_MAX);
    return false;
}

static bool fixed(struct wire *w, struct wire_field *f, size_t bytes)
{
    if (left(w) < bytes) {
        w->rc = err_set(w->err, ERR_MODEL, "cut short: field %u has %zu bytes, %zu are left",
                        f->number, bytes, left(w));
        return false;
    }
    memcpy(&f->value, w->at, bytes); /* little-endian, as this machine */
    f->data = w->at;
    f->len = bytes;
    w->at += bytes;
    return true;
}

static bool span(struct wire *w, struct wire_field *f)
{
    uint64_t len;
    if (!wire_varint(w, &len)) {
        if (!w->rc)
            w->rc = err_set(w->err, ERR_MODEL, "cut short: field %u has no length", f->number);
        return false;
    }
    if (len > left(w)) {
        w->rc = err_set(w->err, ERR_MODEL,
                        "a length runs past the end: field %u has %llu bytes, its message has %zu "
                        "left",
                        f->number, (unsigned long long)len, left(w));
        return false;
    }
    f->data = w->at;
    f->len = (size_t)len;
    w->at += len;
    return true;
}

bool wire_next(struct wire *w, struct wire_field *f)
{
    uint64_t tag;
    *f = (struct wire_field){0};
    if (!wire_varint(w, &tag)) return false;
    const unsigned type = (unsigned)tag & ((1u << TYPE_BITS) - 1);
    if (tag >> TYPE_BITS == 0 || tag >> TYPE_BITS > NUMBER_MAX) {
        w->rc = err_set(w->err, ERR_MODEL, "malformed: a field's number is %llu",
                        (unsigned long long)(tag >> TYPE_BITS));
        return false;
    }
    f->number = (uint32_t)(tag >> TYPE_BITS);
    f->type = (enum wire_type)type;
    switch (type) {
    case WIRE_VARINT:
        if (wire_varint(w, &f->value)) return true;
        if (!w->rc)
            w->rc = err_set(w->err, ERR_MODEL, "cut short: field %u has no value", f->number);
        return false;
    case WIRE_64:
        return fixed(w, f, sizeof(uint64_t));
    case WIRE_BYTES:
        return span(w, f);
    case WIRE_32:
        return fixed(w, f, sizeof(uint32_t));
    default:
        w->rc = err_set(w->err, ERR_MODEL, "malformed: field %u has wire type %u", f->number, type);
        return false;
    }
}

bool wire_is(struct wire *w, const struct wire_field *f, uint32_t number, enum wire_type type)
{
    if (f->number != number || w->rc) return false;
    if (f->type == type) return true;
    w->rc = err_set(w->err, ERR_MODEL, "malformed: field %u has wire type %u, expected %u", number,
                    (unsigned)f->type, (unsigned)type);
    return false;
}

void wire_text(char *out, size_t size, const struct wire_field *f)
{
    const size_t n = f->len < size - 1 ? f->len : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(f->data[i] < ' ' || f->data[i] > '~' ? '?' : f->data[i]);
    out[n] = 0;
}

/* The next piece of a repeated number: one value, or a packed run of them. */
static bool next_piece(struct wire *w, struct wire_field *f, uint32_t number, size_t bytes)
{
    const enum wire_type alone = bytes == sizeof(uint64_t) ? WIRE_64 : WIRE_32;
    while (wire_next(w, f)) {
        if (f->number != number) continue;
        if (f->type == alone) return true;
        if (!wire_is(w, f, number, WIRE_BYTES)) return false;
        if (f->len % bytes == 0) return true;
        w->rc =
            err_set(w->err, ERR_MODEL,
                    "packed numbers of %zu bytes: a length of %zu is no multiple", bytes, f->len);
    }
    return false;
}

enum err wire_floats(const uint8_t **data, size_t *len, const struct wire_field *message,
                     uint32_t number, size_t bytes, struct arena *a, struct err_info *err)
{
    struct wire w = wire_message(message, err);
    struct wire_field f;
    size_t total = 0, pieces = 0, at = 0;

    for (*data = NULL; next_piece(&w, &f, number, bytes); pieces++) {
        if (f.len) *data = f.data;
        total += f.len; /* no overflow: they lie side by side in one message */
    }
    *len = total;
    if (w.rc || pieces < 2) return w.rc;
    uint8_t *copy = items_alloc(a, total, 1);
    if (!copy) return err_set(err, ERR_NOMEM, "no memory for %zu bytes of numbers", total);
    for (w = wire_message(message, err); next_piece(&w, &f, number, bytes); at += f.len)
        if (f.len) memcpy(copy + at, f.data, f.len);
    *data = copy;
    return w.rc;
}
