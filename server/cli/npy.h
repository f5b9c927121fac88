/* NumPy's .npy files of float32 [n][dim], version 1.0 (numpy.org/neps/nep-0001-npy-format.html). */
#ifndef VISAVIS_SERVER_CLI_NPY_H
#define VISAVIS_SERVER_CLI_NPY_H

#include "engine/base/err.h"

#include <stddef.h>
#include <stdio.h>

enum { NPY_HEADER_BYTES = 128 };

/* What stands before the floats of such a file. */
void npy_header(char out[NPY_HEADER_BYTES], size_t n, size_t dim);

struct npy {
    size_t n, dim;
    const float *rows; /* [n][dim], mapped; n 0: NULL */
    void *map;
    size_t map_len;
};
/* ERR_NOT_FOUND, ERR_IO; ERR_INVALID: another kind of file or of numbers, or cut short. */
NODISCARD enum err npy_open(struct npy *out, const char *path, struct err_info *err);
void npy_close(struct npy *f);

#endif
