#include "engine/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/train/set.h"

enum {
    MAPPING_MAX_BYTES = 1 << 16,
    CHECKED_AT_LEAST = 20, /* glyphs, for a word about their orientation */
    INK = 64,              /* of 255: what counts for a glyph's box */
    CODE_MAX = 0x10ffff
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool train_is_transposed(enum train_orientation o, const char *path)
{
    return o == TRAIN_TRANSPOSED ||
           (o == TRAIN_BY_NAME && strncasecmp(base_name(path), "emnist", 6) == 0);
}

void train_transpose(uint8_t *glyph)
{
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < y; x++) {
            const uint8_t v = glyph[y * TRAIN_SIDE + x];
            glyph[y * TRAIN_SIDE + x] = glyph[x * TRAIN_SIDE + y];
            glyph[x * TRAIN_SIDE + y] = v;
        }
}

void train_set_release(struct train_set *s)
{
    if (!s) return;
    free(s->pixels);
    free(s->labels);
    *s = TRAIN_SET_INIT;
}

/* Room for n more glyphs. */
static enum err grow(struct train_set *s, size_t n, struct err_info *err)
{
    if (n > TRAIN_MAX_GLYPHS - s->n)
        return err_set(err, ERR_TOO_LARGE, "a set of %zu glyphs, the limit is %d", s->n + n,
                       (int)TRAIN_MAX_GLYPHS);
    uint8_t *pixels = realloc(s->pixels, (s->n + n) * TRAIN_PIXELS + 1);
    if (pixels) s->pixels = pixels;
    uint8_t *labels = pixels ? realloc(s->labels, s->n + n + 1) : NULL;
    if (labels) s->labels = labels;
    return labels ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for %zu glyphs", s->n + n);
}

/* --- labels to characters --- */

/* A class's characters; the ten digits, or the letters from 1. */
static void default_codes(struct train_set *s, const char *images)
{
    if (strstr(base_name(images), "letters")) {
        s->n_classes = 27;
        for (int i = 0; i < 26; i++) {
            s->codes[i + 1][0] = (uint32_t)('A' + i);
            s->codes[i + 1][1] = (uint32_t)('a' + i);
        }
        return;
    }
    s->n_classes = 10;
    for (int i = 0; i < 10; i++) s->codes[i][0] = (uint32_t)('0' + i);
}

/* `label code [code | character]`: a lone character repeats the code (its digits have one sign, a
 * code has two or more). */
static enum err map_line(struct train_set *s, const char *line, int number, struct err_info *err)
{
    unsigned label, code;
    char third[16] = "";
    const int got = sscanf(line, "%u %u %15s", &label, &code, third);
    if (got < 2 || label >= TRAIN_MAX_CLASSES || !code || code > CODE_MAX)
        return err_set(err, ERR_INVALID,
                       "line %d is \"%.40s\", expected `label code [code]` with labels below %d",
                       number, line, (int)TRAIN_MAX_CLASSES);
    if (s->codes[label][0])
        return err_set(err, ERR_INVALID, "line %d: label %u is there twice", number, label);
    s->codes[label][0] = code;
    if (strlen(third) > 1 && strspn(third, "0123456789") == strlen(third)) {
        const unsigned long second = strtoul(third, NULL, 10);
        if (second > CODE_MAX)
            return err_set(err, ERR_INVALID, "line %d: %s is no character's code", number, third);
        s->codes[label][1] = (uint32_t)second;
    }
    if ((int)label >= s->n_classes) s->n_classes = (int)label + 1;
    return ERR_OK;
}

static enum err read_mapping(struct train_set *s, const char *path, struct err_info *err)
{
    AUTO_BUF struct buf text = BUF_INIT(MAPPING_MAX_BYTES);
    char *save = NULL;
    int number = 1;
    enum err rc = buf_read_file(&text, path, err);
    if (rc) return rc;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), number++) {
        if (!line[strspn(line, " \t\r")]) continue;
        if ((rc = map_line(s, line, number, err))) return err_prefix(err, "%s", path);
    }
    if (!s->n_classes) return err_set(err, ERR_INVALID, "%s has no line", path);
    return ERR_OK;
}

static bool has_class(const struct train_set *s, int label)
{
    return label < s->n_classes && s->codes[label][0];
}

/* --- IDX pairs --- */

static enum err check_pair(const struct train_idx *images, const struct train_idx *labels,
                           const struct train_source *s, struct err_info *err)
{
    if (images->type != TRAIN_U8 || images->ndim != 3 || images->dims[1] != TRAIN_SIDE ||
        images->dims[2] != TRAIN_SIDE)
        return err_set(err, ERR_INVALID,
                       "%s holds no pictures of %d x %d bytes: byte 2 says another type or number "
                       "of dimensions, or byte 8 another size",
                       s->images, (int)TRAIN_SIDE, (int)TRAIN_SIDE);
    if (labels->type != TRAIN_U8 || labels->ndim != 1)
        return err_set(err, ERR_INVALID, "%s holds no labels: byte 2 does not say 0x0801",
                       s->labels);
    if (images->dims[0] != labels->dims[0])
        return err_set(err, ERR_INVALID, "%s has %zu pictures, %s has %zu labels (byte 4 of each)",
                       s->images, images->dims[0], s->labels, labels->dims[0]);
    return ERR_OK;
}

/* Characters fit a square box, and most are taller than wide: MNIST's mean height is 19.9 pixels
 * and mean width 14.9; in transposed files it is the other way round. */
static void check_orientation(char *warning, const struct train_set *s, const char *path,
                              bool transposed)
{
    double height = 0, width = 0;
    warning[0] = 0;
    if (s->n < CHECKED_AT_LEAST) return;
    for (size_t i = 0; i < s->n; i++) {
        const uint8_t *p = s->pixels + i * TRAIN_PIXELS;
        int x0 = TRAIN_SIDE, x1 = -1, y0 = TRAIN_SIDE, y1 = -1;
        for (int y = 0; y < TRAIN_SIDE; y++)
            for (int x = 0; x < TRAIN_SIDE; x++)
                if (p[y * TRAIN_SIDE + x] > INK) {
                    if (x < x0) x0 = x;
                    if (x > x1) x1 = x;
                    if (y < y0) y0 = y;
                    if (y > y1) y1 = y;
                }
        height += y1 < y0 ? 0 : y1 - y0 + 1;
        width += x1 < x0 ? 0 : x1 - x0 + 1;
    }
    if (width <= height) return;
    snprintf(warning, TRAIN_WARNING_BYTES,
             "the characters of %.80s are %.1f pixels wide and %.1f high: it was read as %s, and "
             "seems to be %s (--orientation)",
             base_name(path), width / (double)s->n, height / (double)s->n,
             transposed ? "transposed" : "upright", transposed ? "upright" : "transposed");
}

static enum err fill(struct train_set *set, const struct train_idx *images,
                     const struct train_idx *labels, const struct train_source *s,
                     struct err_info *err)
{
    const bool transposed = train_is_transposed(s->orientation, s->images);
    const uint8_t *label = labels->data;
    enum err rc = grow(set, labels->count, err);
    if (rc) return rc;
    for (size_t i = 0; i < labels->count; i++)
        if (!has_class(set, label[i]))
            return err_set(err, ERR_INVALID,
                           "%s: label %zu (byte %zu) is %d, which no character has", s->labels, i,
                           8 + i, label[i]);
    set->n = labels->count;
    memcpy(set->labels, label, set->n);
    memcpy(set->pixels, images->data, set->n * TRAIN_PIXELS);
    for (size_t i = 0; transposed && i < set->n; i++)
        train_transpose(set->pixels + i * TRAIN_PIXELS);
    return ERR_OK;
}

enum err train_set_read(struct train_set *out, char *warning, const struct train_source *s,
                        struct err_info *err)
{
    struct train_idx images = {0}, labels = {0};
    struct train_set set = TRAIN_SET_INIT;
    enum err rc;

    if ((rc = train_idx_read(&images, s->images, err))) goto done;
    if ((rc = train_idx_read(&labels, s->labels, err))) goto done;
    if ((rc = check_pair(&images, &labels, s, err))) goto done;
    if (s->mapping)
        rc = read_mapping(&set, s->mapping, err);
    else
        default_codes(&set, s->images);
    if (rc || (rc = fill(&set, &images, &labels, s, err))) goto done;
    check_orientation(warning, &set, s->images, train_is_transposed(s->orientation, s->images));
    *out = set;
    set = TRAIN_SET_INIT;
done:
    train_idx_release(&images);
    train_idx_release(&labels);
    train_set_release(&set);
    return rc;
}

/* --- sets together --- */

/* The class that has this character, or -1. */
static int class_of(const struct train_set *s, uint32_t code)
{
    for (int c = 0; c < s->n_classes; c++)
        if (s->codes[c][0] == code || (s->codes[c][1] && s->codes[c][1] == code)) return c;
    return -1;
}

/* What each label of from becomes; adds to's classes. */
static enum err place_classes(int place[TRAIN_MAX_CLASSES], struct train_set *to,
                              const struct train_set *from, int offset, struct err_info *err)
{
    for (int c = 0; c < from->n_classes; c++) {
        if (!from->codes[c][0]) continue;
        int label = offset == TRAIN_SAME_CODES ? class_of(to, from->codes[c][0]) : c + offset;
        if (offset == TRAIN_SAME_CODES && label < 0) label = to->n_classes;
        if (label < 0 || label >= TRAIN_MAX_CLASSES)
            return err_set(err, ERR_INVALID, "label %d with offset %d: labels are 0 to %d", c,
                           offset, (int)TRAIN_MAX_CLASSES - 1);
        if (has_class(to, label) && offset != TRAIN_SAME_CODES &&
            to->codes[label][0] != from->codes[c][0])
            return err_set(err, ERR_INVALID, "label %d would be both U+%04X and U+%04X", label,
                           to->codes[label][0], from->codes[c][0]);
        if (!has_class(to, label)) memcpy(to->codes[label], from->codes[c], sizeof *from->codes);
        if (label >= to->n_classes) to->n_classes = label + 1;
        place[c] = label;
    }
    return ERR_OK;
}

enum err train_set_append(struct train_set *to, const struct train_set *from, int offset,
                          struct err_info *err)
{
    int place[TRAIN_MAX_CLASSES] = {0};
    enum err rc = grow(to, from->n, err);
    if (rc || (rc = place_classes(place, to, from, offset, err))) return rc;
    memcpy(to->pixels + to->n * TRAIN_PIXELS, from->pixels, from->n * TRAIN_PIXELS);
    for (size_t i = 0; i < from->n; i++) to->labels[to->n + i] = (uint8_t)place[from->labels[i]];
    to->n += from->n;
    return ERR_OK;
}

enum err train_set_add(struct train_set *s, const uint8_t *glyph, int label, struct err_info *err)
{
    const bool full = (s->n & (s->n - 1)) == 0; /* the room doubles at each power of two */
    enum err rc = full ? grow(s, s->n ? s->n : 1, err) : ERR_OK;
    if (rc) return rc;
    memcpy(s->pixels + s->n * TRAIN_PIXELS, glyph, TRAIN_PIXELS);
    s->labels[s->n++] = (uint8_t)label;
    return ERR_OK;
}
