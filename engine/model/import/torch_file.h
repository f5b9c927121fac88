/* A file that torch.save wrote, read as a list of named tensors (a state dict): both containers,
 * the zip of torch >= 1.6 and the legacy one (facts/default-models.md section 2,
 * facts/models.md 3.6). No topology here. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_TORCH_FILE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_TORCH_FILE_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TORCH_MAX_DIMS = 6, TORCH_TENSORS_MAX = 4096, TORCH_NAME_BYTES = 128 };

struct torch_tensor {
    char name[TORCH_NAME_BYTES];
    bool is_float32; /* else an integer type (counters and the like): nothing but its name is of use
                      */
    int ndim;
    size_t dims[TORCH_MAX_DIMS], strides[TORCH_MAX_DIMS]; /* strides in elements, any order */
    size_t count, offset;                                 /* elements */
    const uint8_t *storage;                               /* float32, little-endian, unaligned */
};

struct torch_file {
    struct torch_tensor *tensors; /* in the arena; names are unique */
    size_t n;
};

/* Every view has been checked to lie inside its storage. data is borrowed as long as the result.
 * ERR_MODEL: where and what; floating point of other widths than 32 bits is refused by name. */
NODISCARD enum err torch_read(struct torch_file *out, const uint8_t *data, size_t len,
                              struct arena *a, struct err_info *err);

/* NULL: none. */
const struct torch_tensor *torch_find(const struct torch_file *f, const char *name);

/* The tensor's values row-major (last dimension fastest), in the arena. NULL: no memory. */
float *torch_values(const struct torch_tensor *t, struct arena *a);

#endif
