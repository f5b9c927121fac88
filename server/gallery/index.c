/* A collection's search index: read whole, or brought up to date. */
#include "server/gallery/gallery_internal.h"

#include <stdlib.h>
#include <string.h>

/* Vectors that are applied in one go. */
enum { LOAD_AT_ONCE = 50000, FOLLOW_AT_ONCE = 1000 };
static const size_t PENDING_MAX_BYTES = 64u << 20;

void gallery__index_release(struct gallery_index *x)
{
    if (!x || atomic_fetch_sub(&x->holders, 1) > 1) return;
    match_index_free(x->rows);
    free(x);
}

/* Changes that wait to be applied; their vectors are copies, because the store's live only for one
 * call. */
struct pending {
    struct match_index *rows;
    struct match_change *change;
    float *vectors; /* [most][dim] */
    size_t n, most;
    size_t used; /* vectors that were ever written */
    int dim;
};

/* Leaves no vector behind: some are of people who are erased meanwhile. */
static void pending_release(struct pending *p)
{
    if (p->vectors) explicit_bzero(p->vectors, p->used * (size_t)p->dim * sizeof *p->vectors);
    free(p->change);
    free(p->vectors);
    *p = (struct pending){0};
}

/* On an error there is nothing to release. */
static enum err pending_init(struct pending *p, struct match_index *rows, int dim, size_t most,
                             struct err_info *err)
{
    size_t fit = PENDING_MAX_BYTES / ((size_t)dim * sizeof(float));
    most = most < fit ? most : fit;
    *p = (struct pending){.rows = rows, .dim = dim, .most = most};
    p->change = calloc(most, sizeof *p->change);
    p->vectors = calloc(most * (size_t)dim, sizeof *p->vectors);
    if (p->change && p->vectors) return ERR_OK;
    pending_release(p);
    return err_set(err, ERR_NOMEM, "no memory for %zu changes of a search index", most);
}

static enum err pending_apply(struct pending *p, struct err_info *err)
{
    enum err rc = p->n ? match_index_apply(p->rows, p->change, p->n, err) : ERR_OK;
    p->n = 0;
    return rc;
}

static enum err pending_add(struct pending *p, enum match_change_kind kind, int64_t example,
                            int64_t identity, const float *vector, struct err_info *err)
{
    enum err rc;
    if (p->n == p->most && (rc = pending_apply(p, err))) return rc;
    float *copy = NULL;
    if (kind == MATCH_PUT) {
        copy = p->vectors + p->n * (size_t)p->dim;
        memcpy(copy, vector, (size_t)p->dim * sizeof *copy);
        if (p->used <= p->n) p->used = p->n + 1;
    }
    p->change[p->n++] = (struct match_change){kind, example, identity, copy};
    return ERR_OK;
}

static enum err take_vector(void *self, int64_t example, int64_t identity, const float *embedding,
                            struct err_info *err)
{
    return pending_add(self, MATCH_PUT, example, identity, embedding, err);
}

/* The example as it is now, whatever happened to it in between: an example that is gone is removed,
 * one that is there is put where it belongs, so that a change seen twice does no harm. */
static enum err take_change(void *self, int64_t seq, enum store_change op, int64_t example,
                            int64_t identity, const float *embedding, struct err_info *err)
{
    (void)seq;
    enum match_change_kind kind = !embedding          ? MATCH_REMOVE
                                  : op == STORE_MOVED ? MATCH_MOVE
                                                      : MATCH_PUT;
    return pending_add(self, kind, example, identity, embedding, err);
}

enum err gallery__index_load(struct gallery_index **out, struct store_tx *tx,
                             const struct store_collection *is, struct err_info *err)
{
    struct pending p = {0};
    struct gallery_index *x = calloc(1, sizeof *x);
    if (!x) return err_set(err, ERR_NOMEM, "no memory for a search index");
    atomic_init(&x->holders, 1);
    x->seq = is->seq;
    enum err rc = match_index_new(&x->rows, is->dim, strcmp(is->rule, "centroid") == 0, err);
    if (!rc) rc = pending_init(&p, x->rows, is->dim, LOAD_AT_ONCE, err);
    if (!rc) rc = store_vectors(tx, is->row, is->dim, take_vector, &p, err);
    if (!rc) rc = pending_apply(&p, err);
    pending_release(&p);
    if (rc) {
        gallery__index_release(x);
        return rc;
    }
    *out = x;
    return ERR_OK;
}

enum err gallery__index_follow(struct gallery_index *x, struct store_tx *tx,
                               const struct store_collection *is, struct err_info *err)
{
    /* mostly one change: no more room than that is made for each write */
    const int64_t behind = is->seq - x->seq;
    const size_t most = behind > 0 && behind < FOLLOW_AT_ONCE ? (size_t)behind : FOLLOW_AT_ONCE;
    struct pending p;
    enum err rc = pending_init(&p, x->rows, is->dim, most, err);
    if (rc) return rc;
    rc = store_changes(tx, is->row, x->seq, is->dim, take_change, &p, err);
    if (!rc) rc = pending_apply(&p, err);
    if (!rc) x->seq = is->seq;
    pending_release(&p);
    return rc;
}
