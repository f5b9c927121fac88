/* A training's result as a model file: an embedder like any other, with what a reader needs beside
 * it: the classes' characters, prototypes and a few examples. */
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/model/model.h"
#include "engine/train/glyphs.h"
#include "engine/train/reader.h"

/* Of all that it was trained with: what stands for a source file. */
static void digest_sources(char hex[65], const struct glyph_data *d)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    for (int i = 0; i < d->n_sources; i++) {
        sha256_update(&sha, 64, (const uint8_t *)d->sources[i].images_sha256);
        sha256_update(&sha, 64, (const uint8_t *)d->sources[i].labels_sha256);
    }
    sha256_digest(&sha, sizeof digest, digest);
    hex_text(hex, digest, sizeof digest);
}

enum err train_glyphs_save(const struct train_glyphs *t, const struct train_save *s,
                           struct err_info *err)
{
    const struct train_set *e = &t->examples;
    const struct train_refs *p = &t->prototypes;
    const size_t classes = (size_t)e->n_classes, d = (size_t)t->dim;
    AUTO_FREE int32_t *codes = calloc(2 * classes + 1, sizeof *codes);
    char sha256[65];
    if (!codes) return err_set(err, ERR_NOMEM, "no memory to save %zu classes", classes);
    for (size_t i = 0; i < 2 * classes; i++) codes[i] = (int32_t)e->codes[i / 2][i % 2];
    digest_sources(sha256, &t->data);
    const struct st_tensor tensors[] = {
        {READER_PROTOTYPES, ST_F32, 2, {p->n, d}, p->n * d, p->x},
        {READER_CODES, ST_I32, 2, {classes, 2}, 2 * classes, codes},
        {READER_SCALE, ST_F32, 1, {1}, 1, t->confidence},
        {READER_CLASSES, ST_U8, 1, {p->n}, p->n, p->labels},
        {READER_EXAMPLES, ST_U8, 3, {e->n, TRAIN_SIDE, TRAIN_SIDE}, e->n * TRAIN_PIXELS, e->pixels},
        {READER_LABELS, ST_U8, 1, {e->n}, e->n, e->labels},
    };
    const float scale = 1.0f / 255;
    const struct model_draft draft = {
        .name = s->name,
        .role = MODEL_EMBEDDER,
        .input = {.w = TRAIN_SIDE,
                  .h = TRAIN_SIDE,
                  .grey = true,
                  .scale = {scale, scale, scale},
                  .crop = CROP_NONE,
                  .average = "none",
                  .dim = t->dim},
        .graph = &t->graph,
        .tensors = tensors,
        .n_tensors = ARRAY_LEN(tensors),
        .license = s->license,
        .source_file = "visavis train glyphs",
        .source_sha256 = sha256,
        .note = s->note,
        .training = s->about,
    };
    return model_write(s->dir, &draft, err);
}
