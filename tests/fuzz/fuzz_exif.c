#include "engine/image/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int orientation = exif_orientation(data, len);
    if (orientation < 1 || orientation > 8) abort();
    return 0;
}
