/* image_decode: recognises the format by its first bytes, never by a name, and says by name what it
 * does not take. */
#include "engine/image/image.h"

#include <stdbool.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/image/image_internal.h"

enum { TEXT_LOOK_BYTES = 512 };

static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static bool begins(const uint8_t *data, size_t len, size_t at, const char *s, size_t n)
{
    return len >= at && len - at >= n && !memcmp(data + at, s, n);
}

/* Formats that people send by mistake: offset and bytes of the signature. The longer first where
 * one begins another. */
static const struct {
    size_t at, n;
    const char *bytes, *name;
} foreign[] = {
    {0, 4, "GIF8", "a GIF"},
    {0, 4, "II*\0", "a TIFF"},
    {0, 4, "MM\0*", "a TIFF"},
    {0, 4, "II+\0", "a BigTIFF"},
    {0, 4, "MM\0+", "a BigTIFF"},
    {4, 8, "ftypavif", "an AVIF"},
    {4, 8, "ftypavis", "an AVIF"},
    {4, 8, "ftypheic", "a HEIC"},
    {4, 8, "ftypheix", "a HEIC"},
    {4, 8, "ftyphevc", "a HEIC"},
    {4, 8, "ftyphevx", "a HEIC"},
    {4, 8, "ftypmif1", "a HEIF"},
    {4, 8, "ftypmsf1", "a HEIF"},
    {4, 8, "ftypcrx ", "a CR3 raw photo"},
    {4, 4, "ftyp", "a video (MP4 or QuickTime)"},
    {0, 2, "BM", "a BMP"},
    {0, 4, "%PDF", "a PDF"},
    {0, 4, "8BPS", "a Photoshop file"},
    {0, 12, "\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"},
    {0, 4, "\xff\x4f\xff\x51", "a JPEG 2000"},
    {0, 12, "\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"},
    {0, 2, "\xff\x0a", "a JPEG XL"},
    {0, 4, "\0\0\1\0", "an icon (ICO)"},
    {0, 4, "\0\0\2\0", "a cursor (CUR)"},
    {8, 4, "AVI ", "a video (AVI)"},
    {0, 4, "\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"},
    {0, 4, "PK\3\4", "a ZIP archive"},
    {0, 2, "\x1f\x8b", "a gzip file"},
    {0, 4, "<svg", "an SVG"},
    {0, 5, "<?xml", "an XML or SVG file"},
    {0, 14, "<!DOCTYPE html", "an HTML page"},
    {0, 5, "<html", "an HTML page"},
    {0, 11, "data:image/", "a data: URL (send the decoded bytes)"},
};

static bool looks_like_text(const uint8_t *data, size_t len)
{
    size_t n = len < TEXT_LOOK_BYTES ? len : TEXT_LOOK_BYTES;
    for (size_t i = 0; i < n; i++)
        if ((data[i] < ' ' && data[i] != '\n' && data[i] != '\r' && data[i] != '\t') ||
            data[i] == 0x7f)
            return false;
    return true;
}

static enum err refuse(const uint8_t *data, size_t len, struct err_info *err)
{
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        if (begins(data, len, foreign[i].at, foreign[i].bytes, foreign[i].n))
            return err_set(err, ERR_UNSUPPORTED_IMAGE, "this is %s; send JPEG, PNG or WebP",
                           foreign[i].name);
    if (looks_like_text(data, len))
        return err_set(err, ERR_UNSUPPORTED_IMAGE,
                       "this is text, not a picture; send JPEG, PNG or WebP");
    return err_set(err, ERR_UNSUPPORTED_IMAGE,
                   "this is not a picture that can be read (%zu bytes of unknown format); send "
                   "JPEG, PNG or WebP",
                   len);
}

/* The data are all there is of a signature that goes on, e.g. an upload that broke off at once. */
static bool is_part_of(const uint8_t *data, size_t len, const void *signature, size_t n)
{
    return len < n && !memcmp(data, signature, len);
}

enum err image_decode(struct image *out, const uint8_t *data, size_t len, struct err_info *err)
{
    enum err (*decode)(struct image *, int *, const uint8_t *, size_t, struct err_info *) = NULL;

    if (!len) return err_set(err, ERR_BAD_IMAGE, "the picture is empty (0 bytes)");
    if (begins(data, len, 0, "\xff\xd8\xff", 3))
        decode = image__decode_jpeg;
    else if (begins(data, len, 0, (const char *)png_signature, sizeof png_signature))
        decode = image__decode_png;
    else if (begins(data, len, 0, "RIFF", 4) && begins(data, len, 8, "WEBP", 4))
        decode = image__decode_webp;
    else if (is_part_of(data, len, "\xff\xd8\xff", 3) ||
             is_part_of(data, len, png_signature, sizeof png_signature) ||
             (begins(data, len, 0, "RIFF", 4) && len < 12))
        return err_set(err, ERR_BAD_IMAGE, "the picture is cut short after %zu bytes", len);
    else if (begins(data, len, 0, "\x89PNG", 4))
        return err_set(err, ERR_BAD_IMAGE,
                       "PNG signature is damaged (was the file sent in text mode?)");
    else
        return refuse(data, len, err);

    struct image im = IMAGE_INIT;
    int orientation = 1;
    enum err rc = decode(&im, &orientation, data, len, err);
    if (!rc) rc = image_orient(&im, orientation, err);
    if (rc) {
        image_release(&im);
        return rc;
    }
    *out = im;
    return ERR_OK;
}
