/* The last step before the embedder: bytes of a chip -> float planes in the network's channel
 * order. */
#include "engine/face/face.h"

#include <stddef.h>

static void grey_input(float *out, const uint8_t *chip, const struct model_input *in, bool mirror)
{
    const size_t w = (size_t)in->w;
    for (size_t y = 0; y < (size_t)in->h; y++, chip += 3 * w)
        for (size_t x = 0; x < w; x++) {
            const uint8_t *p = chip + 3 * (mirror ? w - 1 - x : x);
            *out++ = ((float)(p[0] + p[1] + p[2]) / 3 - in->mean[0]) * in->scale[0];
        }
}

void embed_input(float *out, const uint8_t *chip, const struct model_input *in, bool mirror)
{
    size_t w = (size_t)in->w, h = (size_t)in->h;

    if (in->grey) {
        grey_input(out, chip, in, mirror);
        return;
    }
    for (int c = 0; c < 3; c++) {
        const uint8_t *from = chip + (in->bgr ? 2 - c : c);
        float value[256];
        for (int v = 0; v < 256; v++) value[v] = ((float)v - in->mean[c]) * in->scale[c];
        for (size_t y = 0; y < h; y++, from += 3 * w)
            for (size_t x = 0; x < w; x++) *out++ = value[from[3 * (mirror ? w - 1 - x : x)]];
    }
}
