/* Sets from folders: one folder a character, a picture a glyph. */
#include "engine/train/set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/image/image.h"

enum { PICTURE_MAX_BYTES = 1 << 24, CODE_MAX = 0x10ffff };

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void free_entries(struct dirent **list, int n)
{
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
}

/* The character that a folder's name is: itself in UTF-8, or U+ and its code; 0: neither. */
static uint32_t code_of(const char *name)
{
    const uint8_t *s = (const uint8_t *)name;
    const size_t n = strlen(name);
    if (n > 2 && s[0] == 'U' && s[1] == '+') {
        char *end;
        const unsigned long code = strtoul(name + 2, &end, 16);
        return *end || code > CODE_MAX ? 0 : (uint32_t)code;
    }
    if (n == 1 && s[0] < 0x80) return s[0];
    const int more = (s[0] & 0xe0) == 0xc0 ? 1 : (s[0] & 0xf0) == 0xe0 ? 2 : 3;
    if (s[0] < 0xc0 || s[0] >= 0xf8 || n != (size_t)more + 1) return 0;
    uint32_t code = s[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    return code;
}

static enum err read_glyph(uint8_t glyph[TRAIN_PIXELS], const char *path, bool transposed,
                           struct err_info *err)
{
    AUTO_BUF struct buf file = BUF_INIT(PICTURE_MAX_BYTES);
    AUTO_IMAGE struct image im = IMAGE_INIT;
    AUTO_IMAGE struct image sized = IMAGE_INIT;
    const struct image *from = &im;
    enum err rc;

    if ((rc = buf_read_file(&file, path, err))) return rc;
    if ((rc = image_decode(&im, file.data, file.len, err))) return err_prefix(err, "%s", path);
    if (im.w != TRAIN_SIDE || im.h != TRAIN_SIDE) {
        if ((rc = image_resize(&sized, &im, TRAIN_SIDE, TRAIN_SIDE, err))) return rc;
        from = &sized;
    }
    for (int i = 0; i < TRAIN_PIXELS; i++)
        glyph[i] =
            (uint8_t)((from->rgb[3 * i] + from->rgb[3 * i + 1] + from->rgb[3 * i + 2] + 1) / 3);
    if (transposed) train_transpose(glyph);
    return ERR_OK;
}

static enum err read_class(struct train_set *s, const char *dir, int label,
                           enum train_orientation orientation, struct err_info *err)
{
    struct dirent **list;
    char path[4096];
    uint8_t glyph[TRAIN_PIXELS];
    const int n = scandir(dir, &list, not_hidden, by_name);
    enum err rc = ERR_OK;

    if (n < 0) return err_set(err, ERR_IO, "cannot read %s: %s", dir, strerror(errno));
    for (int i = 0; i < n && !rc; i++) {
        if (snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name) >= (int)sizeof path) {
            rc = err_set(err, ERR_INVALID, "%.200s: a name that is too long", dir);
            break;
        }
        rc = read_glyph(glyph, path, train_is_transposed(orientation, path), err);
        if (!rc) rc = train_set_add(s, glyph, label, err);
    }
    free_entries(list, n);
    return rc;
}

enum err train_set_folder(struct train_set *out, const char *dir,
                          enum train_orientation orientation, struct err_info *err)
{
    struct train_set s = TRAIN_SET_INIT;
    struct dirent **list;
    char path[4096];
    const int n = scandir(dir, &list, not_hidden, by_name);
    enum err rc = ERR_OK;

    if (n < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", dir,
                       strerror(errno));
    for (int i = 0; i < n && !rc; i++) {
        const uint32_t code = code_of(list[i]->d_name);
        if (!code || s.n_classes == TRAIN_MAX_CLASSES)
            rc = err_set(err, ERR_INVALID,
                         "%.200s/%.60s: a class's folder is named with its character or U+ and its "
                         "code, and there are at most %d",
                         dir, list[i]->d_name, (int)TRAIN_MAX_CLASSES);
        else if (snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name) >= (int)sizeof path)
            rc = err_set(err, ERR_INVALID, "%.200s: a name that is too long", dir);
        if (rc) break;
        s.codes[s.n_classes][0] = code;
        rc = read_class(&s, path, s.n_classes++, orientation, err);
    }
    free_entries(list, n);
    if (!rc && !s.n) rc = err_set(err, ERR_INVALID, "%.200s holds no pictures", dir);
    if (rc) {
        train_set_release(&s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}
