/* Characters beside the examples that are most like them, as a page, a drawing or a picture. */
#ifndef VISAVIS_SERVER_CLI_RECOGNISE_DRAW_H
#define VISAVIS_SERVER_CLI_RECOGNISE_DRAW_H

#include "engine/train.h"

/* What was read so far. Examples' pixels are borrowed from the reader. */
struct sheet_row {
    char *file;
    uint8_t pixels[TRAIN_PIXELS];
    struct train_reading reading;
};
struct sheet {
    struct sheet_row *rows;
    size_t n;
};

/* .html, .svg, .png by the name's end; -1: none of them. */
int sheet_kind(const char *path);
NODISCARD enum err sheet_add(struct sheet *s, const char *file, const struct train_glyph *glyphs,
                             const struct train_reading *readings, size_t n, struct err_info *err);
/* ERR_TOO_LARGE: more rows than a picture may have lines; ERR_IO. */
NODISCARD enum err sheet_write(const struct sheet *s, const char *path, struct err_info *err);
void sheet_release(struct sheet *s);

#endif
