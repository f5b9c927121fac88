/* What `recognise` and `eval --glyphs` share. */
#ifndef VISAVIS_SERVER_CLI_GLYPHS_H
#define VISAVIS_SERVER_CLI_GLYPHS_H

#include "engine/base/buf.h"
#include "engine/train.h"

#include <jansson.h>

#define GLYPHS_MODEL "glyphs" /* the model that the binary carries */

/* Opens a glyph model of dir; the bundled one is written there first where it is not. */
NODISCARD enum err glyphs_open(struct train_reader **out, const char *dir, const char *name,
                               struct err_info *err);
/* Writes the bundled model into dir where there is none of its name, or an earlier version's.
 * ERR_OK also where this build has none. */
NODISCARD enum err glyphs_install(const char *dir, struct err_info *err);

/* A character as UTF-8, terminated; "" for 0. Returns out. */
const char *glyphs_utf8(char out[5], uint32_t code);
/* UTF-8 text's characters: codes [max]; returns how many, or -1: not UTF-8, or too many. */
int glyphs_codes(uint32_t *codes, int max, const char *text);

/* "data:image/png;base64,..." of a glyph. */
NODISCARD enum err glyphs_add_uri(struct buf *out, const uint8_t *pixels, int w, int h,
                                  struct err_info *err);

#endif
