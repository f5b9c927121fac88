#include "tests/fuzz/fuzz_image.h"

static const char signature[8] = {'\x89', 'P', 'N', 'G', '\r', '\n', '\x1a', '\n'};

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Almost every mutation breaks a checksum, and the decoder would see nothing else: so each input is
 * tried as it is, and with the checksums put right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    (void)fuzz_image(signature, sizeof signature, data, len);
    uint8_t *fixed = malloc(len ? len : 1);
    if (!fixed) return 0;
    if (len) memcpy(fixed, data, len);
    for (size_t at = sizeof signature; at <= len && len - at >= 12;) {
        size_t n = (size_t)fixed[at] << 24 | (size_t)fixed[at + 1] << 16 |
                   (size_t)fixed[at + 2] << 8 | fixed[at + 3];
        if (n > len - at - 12) break;
        uint32_t crc = crc32_of(fixed + at + 4, n + 4);
        for (int k = 0; k < 4; k++) fixed[at + 8 + n + (size_t)k] = (uint8_t)(crc >> (24 - 8 * k));
        at += n + 12;
    }
    (void)fuzz_image(signature, sizeof signature, fixed, len);
    free(fixed);
    return 0;
}
