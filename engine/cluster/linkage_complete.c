/* Complete linkage under a cut. Two clusters can only be merged when all their pairs are at or
 * above it, so the graph of those pairs holds all that is ever needed: the neighbours of a merged
 * cluster are what both had in common, each with the lesser similarity. Lists only get shorter.
 *
 * The nearest-neighbour chain (Benzecri 1982, Murtagh 1983) finds the merges; complete linkage is
 * reducible, so that their order does not matter. */
#include "engine/cluster/linkage.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/neighbours.h"

/* Clusters are nodes: 0..n-1 rows, n + i merge i. A list is sorted by node; entries of nodes that
 * are no more are skipped, and dropped when there is no room: each merge that adds an entry to a
 * list has killed two of it, so a list never needs more room than it had. */
struct node {
    struct cluster__edge *list;
    uint32_t n, room, size;
    bool alive;
};

struct complete {
    size_t n, next; /* next: the number of the next node */
    struct node *node;
    uint32_t *chain;
    struct cluster__merges *merges;
    const struct cluster__constraints *constraints;
};

static bool forbidden(const struct complete *c, uint32_t a, uint32_t b)
{
    const uint32_t *leader = c->constraints->leader;
    if (leader && leader[a] == leader[b]) return false;
    return cluster__numbers_meet(cluster__numbers_of(c->constraints, a),
                                 cluster__numbers_of(c->constraints, b));
}

static void drop_dead(struct complete *c, struct node *x)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (c->node[x->list[i].row].alive) x->list[kept++] = x->list[i];
    }
    x->n = kept;
}

static void add(struct complete *c, struct node *x, struct cluster__edge e)
{
    if (x->n == x->room) drop_dead(c, x);
    x->list[x->n++] = e;
}

/* a and b become one node, which takes over a's list. */
static void merge(struct complete *c, uint32_t a, uint32_t b, float similarity)
{
    const uint32_t made = (uint32_t)c->next++;
    struct node *p = c->node + a, *q = c->node + b, *r = c->node + made;
    uint32_t kept = 0;

    drop_dead(c, p);
    drop_dead(c, q);
    p->alive = q->alive = false;
    for (uint32_t i = 0, j = 0; i < p->n && j < q->n;) {
        const struct cluster__edge e = p->list[i], f = q->list[j];
        if (e.row == f.row) {
            const float least = e.similarity < f.similarity ? e.similarity : f.similarity;
            p->list[kept++] = (struct cluster__edge){e.row, least};
        }
        i += e.row <= f.row;
        j += f.row <= e.row;
    }
    *r = (struct node){p->list, kept, p->room, p->size + q->size, true};
    for (uint32_t i = 0; i < kept; i++) {
        const struct cluster__edge e = r->list[i];
        add(c, c->node + e.row, (struct cluster__edge){made, e.similarity});
    }
    const float distance = similarity > 1 ? 0 : 1 - similarity;
    c->merges->at[c->merges->n++] = (struct cluster_merge){a, b, distance, r->size};
}

/* The most similar neighbour; the chain's last node before others, then the first node. */
static bool nearest(struct complete *c, uint32_t i, uint32_t before, struct cluster__edge *out)
{
    struct node *x = c->node + i;
    bool found = false;

    drop_dead(c, x);
    for (uint32_t k = 0; k < x->n; k++) {
        const struct cluster__edge e = x->list[k];
        if (!found || e.similarity > out->similarity ||
            (e.similarity == out->similarity && e.row == before)) {
            *out = e;
            found = true;
        }
    }
    return found;
}

static enum err follow_chains(struct complete *c, const struct cluster__job *job,
                              struct err_info *err)
{
    size_t length = 0, from = 0;
    enum err rc;

    while (from < c->next) {
        struct cluster__edge e;
        if (length == 0) {
            if (!c->node[from].alive) {
                from++;
                continue;
            }
            c->chain[length++] = (uint32_t)from;
        }
        const uint32_t tip = c->chain[length - 1];
        const uint32_t before = length > 1 ? c->chain[length - 2] : UINT32_MAX;
        if (!nearest(c, tip, before, &e)) {
            /* Alone from here on: nothing can point to it, so the chain is this node. */
            length = 0;
            from++;
        } else if (e.row == before) {
            merge(c, before, tip, e.similarity);
            length -= 2;
            if (c->merges->n % 1024 == 0 &&
                (rc = cluster__tell(job, "merging", c->merges->n, c->n, err)))
                return rc;
        } else {
            c->chain[length++] = e.row;
        }
    }
    return ERR_OK;
}

static enum err open_lists(struct complete *c, const struct cluster__graph *g, struct err_info *err)
{
    c->node = calloc(2 * c->n, sizeof *c->node);
    c->chain = calloc(2 * c->n, sizeof *c->chain);
    if (!c->node || !c->chain)
        return err_set(err, ERR_NOMEM, "no memory for the linkage of %zu rows", c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        struct node *x = c->node + i;
        *x = (struct node){g->list[i], 0, g->degree[i], 1, true};
        for (uint32_t k = 0; k < g->degree[i]; k++) {
            if (!forbidden(c, i, g->list[i][k].row)) x->list[x->n++] = g->list[i][k];
        }
    }
    return ERR_OK;
}

/* Rows that must be together, whatever is between them. */
static void merge_led(struct complete *c, uint32_t *at)
{
    const uint32_t *leader = c->constraints->leader;

    for (uint32_t i = 0; leader && i < c->n; i++) {
        at[i] = i;
        if (leader[i] == i) continue;
        merge(c, at[leader[i]], i, 1);
        at[leader[i]] = (uint32_t)(c->next - 1);
    }
}

enum err cluster__complete(struct cluster__merges *out, const float *x, size_t n, int d,
                           const struct cluster__constraints *constraints, float cut,
                           size_t memory_max, const struct cluster__job *job, struct err_info *err)
{
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    struct cluster__graph *g = NULL;
    struct complete c = {n, n, NULL, NULL, out, constraints};
    uint32_t *at AUTO_FREE = calloc(n, sizeof *at);
    enum err rc;

    if (!at) return err_set(err, ERR_NOMEM, "no memory for the linkage of %zu rows", n);
    if ((rc = cluster__panels_fill(&p, x, n, d, true, err))) goto done;
    if ((rc = cluster__graph_new(&g, &p, cut, memory_max, job, err))) goto done;
    cluster__panels_release(&p);
    if ((rc = open_lists(&c, g, err))) goto done;
    merge_led(&c, at);
    rc = follow_chains(&c, job, err);
done:
    free(c.node);
    free(c.chain);
    cluster__graph_free(g);
    cluster__panels_release(&p);
    return rc;
}
