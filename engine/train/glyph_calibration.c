/* How alike two glyphs are, of one character and of two: pairs of glyphs that were held out, the
 * first of each character as the sources have them. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/train/glyphs.h"
#include "engine/train/set.h"

enum {
    EACH = 100,    /* glyphs of a character at most: MNIST's digits are a hundred times as many as
                      other characters, whose pairs are to count too */
    TAIL = 1 << 16 /* most similar pairs of two characters that are kept one by one */
};
static const double LEAST_FMR = 1e-2;

/* Rows of the held-out glyphs that are compared. */
struct chosen {
    float *x;
    uint32_t *character, *shape;
    size_t n;
    int characters;
};

static void chosen_release(struct chosen *c)
{
    free(c->x);
    free(c->character);
    free(c->shape);
}

/* The first of the classes that look alike stands for all of them. */
static uint32_t shape_of(const struct train_set *s, int label)
{
    int first = 0;
    while (first < label && !train_look_alike(s, first, label)) first++;
    return (uint32_t)first;
}

static enum err choose(struct chosen *c, const struct train_glyphs *t, struct err_info *err)
{
    const struct train_set *s = &t->data.held;
    const size_t d = (size_t)t->dim;
    size_t counts[TRAIN_MAX_CLASSES] = {0};
    *c = (struct chosen){.x = mem_aligned(s->n * d, sizeof *c->x),
                         .character = calloc(s->n + 1, sizeof *c->character),
                         .shape = calloc(s->n + 1, sizeof *c->shape)};
    if (!c->x || !c->character || !c->shape)
        return err_set(err, ERR_NOMEM, "no memory to compare %zu glyphs", s->n);
    for (size_t i = 0; i < s->n; i++) {
        const int label = s->labels[i];
        if (counts[label]++ >= EACH) continue;
        memcpy(c->x + c->n * d, t->held_x + i * d, d * sizeof *c->x);
        c->character[c->n] = (uint32_t)label;
        c->shape[c->n++] = shape_of(s, label);
    }
    for (int i = 0; i < TRAIN_MAX_CLASSES; i++) c->characters += counts[i] > 0;
    return ERR_OK;
}

enum err train_glyphs_calibration(char **json, const struct train_glyphs *t,
                                  const struct calibration_origin *origin, struct err_info *err)
{
    struct calibration_origin o = *origin;
    struct match_pairs *pairs = NULL;
    struct roc *roc = NULL;
    struct roc_point least;
    struct chosen c;
    enum err rc = choose(&c, t, err);
    if (!rc) rc = match_pairs_new(&pairs, c.x, c.n, t->dim, c.character, c.shape, TAIL, 0, err);
    if (!rc) rc = roc_new_pairs(&roc, pairs, err);
    if (!rc) {
        roc_at_fmr(roc, LEAST_FMR, &least);
        if (!least.supported)
            rc = err_set(err, ERR_FMR_UNSUPPORTED,
                         "%zu held-out glyphs of %d characters are too few to support an FMR of %g",
                         c.n, c.characters, LEAST_FMR);
    }
    o.people = (size_t)c.characters;
    o.images = c.n;
    if (!rc) rc = roc_calibration_json(json, roc, &o, err);
    roc_free(roc);
    match_pairs_free(pairs);
    chosen_release(&c);
    return rc;
}
