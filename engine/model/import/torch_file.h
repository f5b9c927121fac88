/* A file that torch.save wrote, read as a list of named tensors (a state dict): both containers,
 * the zip of torch >= 1.6 and the legacy one (facts/default-models.md section 2,
 * facts/models.md 3.6). No topology here. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_TORCH_FILE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_TORCH_FILE_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"
#include "engine/model/import/view.h"

#include <stddef.h>
#include <stdint.h>

enum { TORCH_TENSORS_MAX = 4096 };

struct torch_file {
    struct view *tensors; /* in the arena; names are unique */
    size_t n;
};

/* Tensors of integers (counters and the like) are left out. data is borrowed as long as the result.
 * ERR_MODEL: where and what; floating point of 16 bits is refused by name. */
NODISCARD enum err torch_read(struct torch_file *out, const uint8_t *data, size_t len,
                              struct arena *a, struct err_info *err);

/* NULL: none. */
const struct view *torch_find(const struct torch_file *f, const char *name);

#endif
