/* Protocol buffers' wire format (protobuf.dev/programming-guides/encoding) over bytes in memory:
 * the fields of one message, one after the other. Nothing is copied; a caller skips a field by not
 * looking at it. For Caffe's and ONNX's files, whose field numbers are in facts/models.md 3.3 and
 * in onnx.proto. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_WIRE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_WIRE_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A message being read. The first error stays in rc, and ends the message. */
struct wire {
    const uint8_t *at, *end;
    struct err_info *err;
    enum err rc;
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;      /* a varint, or the 8 or 4 bytes as an integer */
    const uint8_t *data; /* WIRE_BYTES: borrowed */
    size_t len;
};

struct wire wire_of(const uint8_t *data, size_t len, struct err_info *err);
/* The message in a field; it lies in f's bytes. */
struct wire wire_message(const struct wire_field *f, struct err_info *err);

/* The next field. false: the message ends here, or w->rc says what is wrong: a varint of more than
 * 10 bytes, a length that runs past the message, a field 0, a wire type that is none. Groups (3 and
 * 4), which no file of ours has, are refused. */
bool wire_next(struct wire *w, struct wire_field *f);
/* One more varint: packed integers. false: the end, or w->rc. */
bool wire_varint(struct wire *w, uint64_t *value);

/* Whether f has this number, and the type that goes with it. Another type is an error in w->rc. */
bool wire_is(struct wire *w, const struct wire_field *f, uint32_t number, enum wire_type type);

/* The text in a field, fit for a message: what is not printable ASCII becomes '?'; cut to size - 1
 * bytes. */
void wire_text(char *out, size_t size, const struct wire_field *f);

/* All values of a repeated float (bytes 4) or double (bytes 8) field of the message in f, packed or
 * not: borrowed where they lie together, else copied to the arena. Nothing of that number: len 0.
 */
NODISCARD enum err wire_floats(const uint8_t **data, size_t *len, const struct wire_field *message,
                               uint32_t number, size_t bytes, struct arena *a,
                               struct err_info *err);

#endif
