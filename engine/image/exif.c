/* EXIF: the one tag that changes pixels, Orientation (0x0112) of IFD0. A reader of our own instead
 * of a library: everything else in the block (maker notes, thumbnails, GPS) is foreign data that we
 * would parse only to throw away. The block is a TIFF file (TIFF 6.0 section 2): byte order, 42,
 * offset of IFD0, there a count and 12-byte entries {tag, type, count, value}. */
#include "engine/image/image.h"

#include <stdbool.h>
#include <string.h>

enum {
    TIFF_HEADER_BYTES = 8,
    TIFF_ENTRY_BYTES = 12,
    TIFF_BYTE = 1,
    TIFF_SHORT = 3,
    TIFF_LONG = 4,
    TAG_ORIENTATION = 0x0112,
};

static unsigned get16(const uint8_t *p, bool big)
{
    return big ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static uint32_t get32(const uint8_t *p, bool big)
{
    return big ? (uint32_t)get16(p, big) << 16 | get16(p + 2, big)
               : (uint32_t)get16(p + 2, big) << 16 | get16(p, big);
}

int exif_orientation(const uint8_t *data, size_t len)
{
    if (len >= 6 && !memcmp(data, "Exif\0\0", 6)) {
        data += 6;
        len -= 6;
    }
    if (len < TIFF_HEADER_BYTES) return 1;
    bool big = !memcmp(data, "MM\0*", 4);
    if (!big && memcmp(data, "II*\0", 4) != 0) return 1;
    uint32_t ifd = get32(data + 4, big);
    if (ifd > len || len - ifd < 2) return 1;
    unsigned entries = get16(data + ifd, big);
    const uint8_t *e = data + ifd + 2;
    size_t room = (len - ifd - 2) / TIFF_ENTRY_BYTES;

    for (size_t i = 0; i < entries && i < room; i++, e += TIFF_ENTRY_BYTES) {
        if (get16(e, big) != TAG_ORIENTATION) continue;
        /* The standard says SHORT; some writers use BYTE or LONG. Values are left-aligned in the 4
         * bytes. */
        unsigned type = get16(e + 2, big);
        uint32_t v = type == TIFF_SHORT  ? get16(e + 8, big)
                     : type == TIFF_LONG ? get32(e + 8, big)
                     : type == TIFF_BYTE ? e[8]
                                         : 0;
        return get32(e + 4, big) == 1 && v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
