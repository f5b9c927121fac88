#include "server/cli/glyphs.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "server/assets.h"
#include "server/cli/fetch.h"

enum {
    PNG_MAX_BYTES = 1 << 24,
    MODEL_MAX_BYTES = 1 << 22 /* of a glyph model; the bundled one is under 1 MB */
};

static const struct asset *bundled(void)
{
    for (const struct asset *a = assets; a->path; a++)
        if (strcmp(a->path, "deploy/models/" GLYPHS_MODEL ".safetensors") == 0) return a;
    return NULL;
}

/* Under another name first, so that no reader sees half of it. */
static enum err write_whole(const char *path, const struct asset *a, struct err_info *err)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    const int fd = mkstemp(temporary);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    errno = 0;
    bool ok = f && fwrite(a->text, 1, a->len, f) == a->len && fflush(f) == 0;
    int why = errno;
    if (f && fclose(f)) ok = false;
    if (ok && rename(temporary, path) == 0) return ERR_OK;
    if (!why) why = errno;
    if (fd >= 0) unlink(temporary);
    return err_set(err, err_of_write(why), "cannot write %.200s: %s", path, strerror(why));
}

/* SHA-256 of the files that earlier versions carried: they are replaced, a person's own of this
 * name is not. */
static const char *const EARLIER[] = {
    "1fb7e6b7e3137dc5d16ff79ce2b3639ceaef91f51a867edd782d289a8068c6f6",
    "a78098d35574ea980e38b4802724469e8fc28166e9d92c1f38ee00637ae80504",
    "4cdb7900736ffebdf842ebc482eb9fe3cdeecb392acfa3b7571809d52c2bca4c",
};

/* Whether there is a file that is not ours to replace. */
static bool stays(const char *path)
{
    AUTO_BUF struct buf file = BUF_INIT(MODEL_MAX_BYTES);
    char hex[65];
    if (access(path, F_OK)) return false;
    if (buf_read_file(&file, path, NULL)) return true;
    hex_sha256(hex, file.data, file.len);
    for (size_t i = 0; i < ARRAY_LEN(EARLIER); i++)
        if (strcmp(hex, EARLIER[i]) == 0) return false;
    return true;
}

enum err glyphs_install(const char *dir, struct err_info *err)
{
    const struct asset *a = bundled();
    char path[4160];
    enum err rc;
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, GLYPHS_MODEL);
    if (!a || stays(path)) return ERR_OK;
    if ((rc = fetch_make_folder(dir, err))) return rc;
    return write_whole(path, a, err);
}

enum err glyphs_open(struct train_reader **out, const char *dir, const char *name,
                     struct err_info *err)
{
    const enum err rc = strcmp(name, GLYPHS_MODEL) == 0 ? glyphs_install(dir, err) : ERR_OK;
    return rc ? rc : train_reader_open(out, dir, name, err);
}

const char *glyphs_utf8(char out[5], uint32_t c)
{
    int n = 0;
    if (c < 0x80) {
        out[n++] = (char)c;
    } else if (c < 0x800) {
        out[n++] = (char)(0xc0 | c >> 6);
        out[n++] = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        out[n++] = (char)(0xe0 | c >> 12);
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (c & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | c >> 18);
        out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (c & 0x3f));
    }
    out[n] = 0;
    return out;
}

int glyphs_codes(uint32_t *codes, int max, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    int n = 0;
    while (*s) {
        const int more = *s < 0x80 ? 0 : (*s & 0xe0) == 0xc0 ? 1 : (*s & 0xf0) == 0xe0 ? 2 : 3;
        if (n == max || (*s >= 0x80 && *s < 0xc0) || *s >= 0xf8) return -1;
        uint32_t code = more ? *s & (0x3fu >> more) : *s;
        s++;
        for (int i = 0; i < more; i++, s++) {
            if ((*s & 0xc0) != 0x80) return -1;
            code = code << 6 | (*s & 0x3fu);
        }
        codes[n++] = code;
    }
    return n;
}

enum err glyphs_add_uri(struct buf *out, const uint8_t *pixels, int w, int h, struct err_info *err)
{
    AUTO_BUF struct buf png = BUF_INIT(PNG_MAX_BYTES);
    enum err rc;
    if ((rc = train_png(&png, pixels, w, h, err))) return rc;
    if ((rc = buf_puts(out, "data:image/png;base64,", err))) return rc;
    return buf_add_base64(out, png.data, png.len, err);
}
