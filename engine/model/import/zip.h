/* The members of a zip file in memory, as torch writes them: stored, not compressed. Nothing is
 * unpacked to disk. The central directory and the local headers must agree; every member lies
 * inside the file. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ZIP_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ZIP_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"

#include <stddef.h>
#include <stdint.h>

enum { ZIP_MEMBERS_MAX = 20000 };

struct zip_member {
    const char *name; /* name_len bytes of the file, no closing 0 */
    size_t name_len;
    const uint8_t *data;
    size_t len;
};

struct zip {
    struct zip_member *members; /* in the arena, sorted by name */
    size_t n;
};

/* ERR_MODEL: cut short, compressed, encrypted, two members of one name, a member that leaves the
 * file. */
NODISCARD enum err zip_read(struct zip *out, const uint8_t *data, size_t len, struct arena *a,
                            struct err_info *err);

/* NULL: none of that name. */
const struct zip_member *zip_find(const struct zip *z, const char *name, size_t name_len);

#endif
