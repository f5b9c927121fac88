/* The .npy files of db import: bytes -> n, dim and the rows, every one of which is read. */
#include "server/cli/npy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[40];
    struct npy f;
    double sum = 0;
    int fd = memfd_create("npy", 0);

    if (fd < 0) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, len) == (ssize_t)len && !npy_open(&f, path, NULL)) {
        for (size_t i = 0; i < f.n * f.dim; i++) sum += (double)f.rows[i];
        if (f.map_len < f.n * f.dim * sizeof(float) || !f.dim) abort();
        npy_close(&f);
    }
    close(fd);
    volatile double used = sum; /* so that the reading is not optimised away */
    (void)used;
    return 0;
}
