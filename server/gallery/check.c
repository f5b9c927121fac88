/* Is what the search sees what the store has? */
#include "server/gallery/gallery_internal.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    struct gallery *g;
    struct gallery_checked *out;
    gallery_finding_each *each;
    void *self;
    struct store_tx *tx;
};

/* One collection: the index's rows, and how far the store's have come beside them. */
struct compared {
    struct match_row *rows;
    float *vectors; /* [n][dim] */
    size_t n, at;
    int dim;
    int64_t wrong, example; /* how many differ; the first of them */
};

static enum err compare_row(void *self, int64_t example, int64_t identity, const float *embedding,
                            struct err_info *err)
{
    struct compared *c = self;
    const size_t d = (size_t)c->dim, i = c->at++;
    (void)err;
    const bool same = i < c->n && c->rows[i].example == example &&
                      c->rows[i].identity == identity &&
                      memcmp(c->vectors + i * d, embedding, d * sizeof *embedding) == 0;
    if (!same && !c->wrong++) c->example = example;
    return ERR_OK;
}

static enum err compare_all(struct check *k, const struct gallery_collection *held,
                            const struct store_collection *is, struct err_info *err)
{
    struct compared c = {.dim = is->dim};
    char says[160] = "";
    enum err rc = match_index_rows(held->index->rows, &c.rows, &c.vectors, &c.n, err);

    if (!rc) rc = store_vectors(k->tx, is->row, is->dim, compare_row, &c, err);
    k->out->examples += (int64_t)c.at;
    if (c.n != c.at)
        snprintf(says, sizeof says, "the search index has %zu examples, the collection %zu", c.n,
                 c.at);
    else if (c.wrong)
        snprintf(says, sizeof says,
                 "%lld of %zu examples are not in the search index as they are, first of row %lld",
                 (long long)c.wrong, c.n, (long long)c.example);
    free(c.rows);
    free(c.vectors);
    if (rc || !*says) return rc;
    k->out->findings++;
    return k->each(k->self, is->id, says, err);
}

static enum err check_collection(void *self, const struct store_collection *is,
                                 struct err_info *err)
{
    struct check *k = self;
    AUTO_GALLERY struct gallery_collection *held = NULL;
    enum err rc = gallery_hold(&held, k->g, is->id, err);

    k->out->collections++;
    return rc ? rc : compare_all(k, held, is, err);
}

static enum err check_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct check *k = arg;
    k->tx = tx;
    return store_collection_list(tx, check_collection, k, err);
}

enum err gallery_check(struct gallery_checked *out, struct gallery *g, gallery_finding_each *each,
                       void *self, struct err_info *err)
{
    struct check k = {.g = g, .out = out, .each = each, .self = self};
    *out = (struct gallery_checked){0};
    return gallery__follow(g, check_job, &k, err);
}
