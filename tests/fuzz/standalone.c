/* A main() for the fuzz targets where libFuzzer is not: feeds each file named on the command line
 * to the target once. `make test` replays the corpora this way under gcc's sanitizers. */
#include "engine/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct buf file = BUF_INIT(64u << 20);
        struct err_info err = ERR_INFO_INIT;
        if (buf_read_file(&file, argv[i], &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        /* A block of exactly that size, so that a sanitizer sees the first byte read beyond it. */
        uint8_t *exact = malloc(file.len ? file.len : 1);
        if (!exact) return 1;
        if (file.len) memcpy(exact, file.data, file.len);
        fprintf(stderr, "%s (%zu bytes)\n", argv[i], file.len);
        (void)LLVMFuzzerTestOneInput(exact, file.len);
        free(exact);
        buf_release(&file);
    }
    return 0;
}
