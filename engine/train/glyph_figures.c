/* What a trained glyph embedder can do, on glyphs that it was not trained with. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

#include "engine/train/glyphs.h"
#include "engine/train/set.h"

enum { NEAREST = 5, GAMES = 10000, LARGE = 5000 /* training glyphs, for a figure by neighbours */ };

static void add_figure(struct train_glyphs *t, const char *set, const char *what, double value,
                       size_t n)
{
    if (t->n_figures == TRAIN_MAX_FIGURES) return;
    struct train_figure *f = &t->figures[t->n_figures++];
    snprintf(f->name, sizeof f->name, "%.40s.%.40s", set, what);
    f->value = value;
    f->n = n;
}

/* The nearest of refs for glyphs first..first+n-1 of held, only among classes that `known` has. */
static enum err read_held(uint8_t *read, struct train_glyphs *t, size_t first, size_t n,
                          const struct train_refs *refs, const bool *known,
                          const struct cores *cores, struct err_info *err)
{
    const size_t d = (size_t)t->dim;
    AUTO_FREE float *x = mem_aligned(refs->n * d, sizeof *x);
    AUTO_FREE uint8_t *labels = malloc(refs->n + 1);
    size_t kept = 0;
    if (!x || !labels) return err_set(err, ERR_NOMEM, "no memory for %zu references", refs->n);
    for (size_t i = 0; i < refs->n; i++) {
        if (!known[refs->labels[i]]) continue;
        memcpy(x + kept * d, refs->x + i * d, d * sizeof *x);
        labels[kept++] = refs->labels[i];
    }
    return train_nearest(read, t->held_x + first * d, n, x, labels, kept, t->dim, 1, cores, err);
}

static void add_accuracies(struct train_glyphs *t, const char *set, const char *how,
                           const uint8_t *labels, const uint8_t *read, size_t n, bool letters)
{
    char what[40];
    add_figure(t, set, how, train_accuracy(labels, read, n, &t->data.held, NULL), n);
    if (!letters) return;
    snprintf(what, sizeof what, "%.12s_case_merged", how);
    add_figure(t, set, what, train_accuracy(labels, read, n, &t->data.held, train_same_letter), n);
    snprintf(what, sizeof what, "%.12s_lookalikes_merged", how);
    add_figure(t, set, what, train_accuracy(labels, read, n, &t->data.held, train_look_alike), n);
}

/* Figures of one source: its held glyphs are first..first+held, its training glyphs train_first...
 */
static enum err measure_source(struct train_glyphs *t, const struct train_source_info *s,
                               size_t train_first, size_t first,
                               const struct train_refs *prototypes,
                               const struct train_refs *examples, const struct cores *cores,
                               struct err_info *err)
{
    const uint8_t *labels = t->data.held.labels + first;
    const size_t d = (size_t)t->dim;
    AUTO_FREE uint8_t *read = malloc(s->held + 1);
    bool known[TRAIN_MAX_CLASSES] = {false}, letters = false;
    enum err rc;
    if (!read) return err_set(err, ERR_NOMEM, "no memory for %zu answers", s->held);
    for (size_t i = 0; i < s->held; i++) {
        known[labels[i]] = true;
        letters |= t->data.held.codes[labels[i]][0] >= 'A';
    }
    if (s->train >= LARGE) {
        rc = train_nearest(read, t->held_x + first * d, s->held, t->train_x + train_first * d,
                           t->data.train.labels + train_first, s->train, t->dim, NEAREST, cores,
                           err);
        if (rc) return rc;
        add_accuracies(t, s->name, "nearest5", labels, read, s->held, letters);
    }
    if ((rc = read_held(read, t, first, s->held, prototypes, known, cores, err))) return rc;
    add_accuracies(t, s->name, "prototypes", labels, read, s->held, letters);
    if ((rc = read_held(read, t, first, s->held, examples, known, cores, err))) return rc;
    add_accuracies(t, s->name, "examples", labels, read, s->held, letters);
    return ERR_OK;
}

static enum err embed_all(struct train_glyphs *t, const struct cores *cores, struct err_info *err)
{
    const struct train_set *train = &t->data.train, *held = &t->data.held;
    const size_t d = (size_t)t->dim, prototypes = (size_t)t->data.n_sources * TRAIN_MAX_CLASSES;
    size_t first = 0;
    enum err rc;
    t->train_x = mem_aligned(train->n * d, sizeof *t->train_x);
    t->held_x = mem_aligned(held->n * d, sizeof *t->held_x);
    t->prototypes.x = calloc(prototypes * d, sizeof *t->prototypes.x);
    t->prototypes.labels = malloc(prototypes);
    t->read = malloc(held->n + 1);
    t->lead = calloc(held->n + 1, sizeof *t->lead);
    t->scatter = calloc(held->n + 1, sizeof *t->scatter);
    if (!t->train_x || !t->held_x || !t->prototypes.x || !t->prototypes.labels || !t->read ||
        !t->lead || !t->scatter)
        return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", train->n + held->n);
    if ((rc = train_embed(t->train_x, &t->graph, train->pixels, train->n, cores, err))) return rc;
    if ((rc = train_embed(t->held_x, &t->graph, held->pixels, held->n, cores, err))) return rc;
    /* Of each source by itself: a character's mean over two ways of writing or of cutting out is
     * far from both. */
    for (int i = 0; i < t->data.n_sources; i++) {
        const size_t n = t->data.sources[i].train;
        train_add_means(&t->prototypes, t->train_x + first * d, train->labels + first, n, t->dim);
        first += n;
    }
    return train_scatter(t->scatter, t->held_x, held->n, t->dim, err);
}

/* A few training glyphs of each class, kept with the model. */
static enum err choose_examples(struct train_glyphs *t, struct err_info *err)
{
    const struct train_set *s = &t->data.train;
    const size_t d = (size_t)t->dim;
    AUTO_FREE float *x = mem_aligned(s->n * d, sizeof *x);
    AUTO_FREE uint32_t *row = calloc(s->n + 1, sizeof *row);
    uint32_t chosen[GLYPH_EXAMPLES];
    if (!x || !row) return err_set(err, ERR_NOMEM, "no memory to choose examples");
    t->examples.n_classes = s->n_classes;
    memcpy(t->examples.codes, s->codes, sizeof s->codes);
    for (int c = 0; c < s->n_classes; c++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (s->labels[i] != c) continue;
            memcpy(x + n * d, t->train_x + i * d, d * sizeof *x);
            row[n++] = (uint32_t)i;
        }
        const int count = n < GLYPH_EXAMPLES ? (int)n : GLYPH_EXAMPLES;
        enum err rc = count ? train_medoids(chosen, count, x, n, t->dim, err) : ERR_OK;
        for (int i = 0; i < count && !rc; i++)
            rc = train_set_add(&t->examples, s->pixels + row[chosen[i]] * (size_t)TRAIN_PIXELS, c,
                               err);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* Over all classes: what each held glyph is read as, and by how much it errs; and the scale s of
 * p(c) = exp(s cos(c)) / sum that makes the right answers' likelihood greatest. */
static void read_all(struct train_glyphs *t, const bool *known)
{
    static const float SCALES[] = {4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64};
    const struct train_set *held = &t->data.held;
    const float *held_x = t->held_x;
    const size_t d = (size_t)t->dim;
    double gain[ARRAY_LEN(SCALES)] = {0};
    size_t right = 0, best_scale = 0;
    for (size_t i = 0; i < held->n; i++) {
        float similarity[TRAIN_MAX_CLASSES];
        const int best =
            train_nearest_class(similarity, held_x + i * d, &t->prototypes, t->dim, NULL);
        t->read[i] = (uint8_t)best;
        t->lead[i] = similarity[best] - similarity[held->labels[i]];
        right += best == held->labels[i];
        for (size_t k = 0; k < ARRAY_LEN(SCALES); k++) {
            double sum = 0;
            for (int c = 0; c < held->n_classes; c++)
                if (known[c]) sum += exp((double)(SCALES[k] * (similarity[c] - similarity[best])));
            gain[k] -= (double)(SCALES[k] * t->lead[i]) + log(sum);
        }
    }
    for (size_t k = 1; k < ARRAY_LEN(SCALES); k++)
        if (gain[k] > gain[best_scale]) best_scale = k;
    t->confidence[0] = SCALES[best_scale];
    t->confidence[1] = (float)right / (float)held->n;
}

static enum err measure_unseen(struct train_glyphs *t, uint64_t seed, const struct cores *cores,
                               struct err_info *err)
{
    const struct train_set *s = &t->data.unseen;
    AUTO_FREE float *x = mem_aligned(s->n * (size_t)t->dim, sizeof *x);
    static const int WAYS[] = {5, 20};
    enum err rc;
    if (!s->n) return ERR_OK;
    if (!x) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", s->n);
    if ((rc = train_embed(x, &t->graph, s->pixels, s->n, cores, err))) return rc;
    for (size_t i = 0; i < ARRAY_LEN(WAYS); i++) {
        char what[16];
        double accuracy;
        snprintf(what, sizeof what, "%d_way", WAYS[i]);
        rc = train_one_shot(&accuracy, x, s->labels, s->n, t->dim, WAYS[i], GAMES, seed, err);
        if (rc) return rc;
        add_figure(t, "one_shot", what, accuracy, GAMES);
    }
    return ERR_OK;
}

enum err glyph_figures(struct train_glyphs *t, uint64_t seed, const struct cores *cores,
                       struct err_info *err)
{
    const struct train_set *train = &t->data.train;

    bool known[TRAIN_MAX_CLASSES] = {false};
    size_t train_first = 0, first = 0;
    AUTO_FREE float *example_x = NULL;
    enum err rc;

    if ((rc = embed_all(t, cores, err)) || (rc = choose_examples(t, err))) return rc;
    example_x = mem_aligned(t->examples.n * (size_t)t->dim, sizeof *example_x);
    if (!example_x) return err_set(err, ERR_NOMEM, "no memory for the examples");
    if ((rc = train_embed(example_x, &t->graph, t->examples.pixels, t->examples.n, cores, err)))
        return rc;

    for (size_t i = 0; i < train->n; i++) known[train->labels[i]] = true;
    const struct train_refs examples = {example_x, t->examples.labels, t->examples.n};
    for (int i = 0; i < t->data.n_sources; i++) {
        const struct train_source_info *s = &t->data.sources[i];
        if (s->held &&
            (rc = measure_source(t, s, train_first, first, &t->prototypes, &examples, cores, err)))
            return rc;
        train_first += s->train;
        first += s->held;
    }
    read_all(t, known);
    return measure_unseen(t, seed, cores, err);
}
