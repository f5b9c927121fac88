#include "engine/cluster/constraints.h"

#include <stdlib.h>

#include "engine/base/mem.h"

struct tagged {
    uint32_t number, row;
};

static int by_number(const void *pa, const void *pb)
{
    const struct tagged *a = pa, *b = pb;
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static int by_row(const void *pa, const void *pb)
{
    const struct tagged *a = pa, *b = pb;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The rows that have a group, sorted by it; groups of one are left out. Returns how many. */
static size_t tag(struct tagged *out, const uint32_t *group, size_t n)
{
    size_t m = 0, kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (group[i] != CLUSTER_NO_GROUP) out[m++] = (struct tagged){group[i], (uint32_t)i};
    }
    if (!m) return 0;
    qsort(out, m, sizeof *out, by_number);
    for (size_t i = 0, j; i < m; i = j) {
        for (j = i + 1; j < m && out[j].number == out[i].number; j++) continue;
        for (size_t k = i; j - i > 1 && k < j; k++) out[kept++] = out[k];
    }
    return kept;
}

/* Must groups: each row learns the first of its group. */
static enum err lead(struct cluster__constraints *c, const uint32_t *together, struct err_info *err)
{
    struct tagged *t AUTO_FREE = calloc(c->n + 1, sizeof *t);

    c->leader = calloc(c->n + 1, sizeof *c->leader);
    if (!t || !c->leader)
        return err_set(err, ERR_NOMEM, "no memory for the constraints of %zu rows", c->n);
    for (size_t i = 0; i < c->n; i++) c->leader[i] = (uint32_t)i;
    const size_t m = tag(t, together, c->n);
    for (size_t i = 0; i < m; i++) {
        const bool first = i == 0 || t[i].number != t[i - 1].number;
        c->leader[t[i].row] = first ? t[i].row : c->leader[t[i - 1].row];
        c->together += first;
    }
    return ERR_OK;
}

/* Numbers 0.. for the groups, then one for each pair. */
static void count(struct cluster__constraints *c, struct tagged *t, size_t m)
{
    for (size_t i = 0, j; i < m; i = j) {
        for (j = i + 1; j < m && t[j].number == t[i].number; j++) continue;
        c->apart_pairs += (j - i) * (j - i - 1) / 2;
        for (size_t a = i; c->leader && a < j; a++) {
            for (size_t b = a + 1; b < j; b++)
                c->conflicts += c->leader[t[a].row] == c->leader[t[b].row];
        }
    }
}

static enum err keep_apart(struct cluster__constraints *c, const struct cluster_constraints *from,
                           struct err_info *err)
{
    const size_t room = c->n + 2 * from->n_cannot + 1;
    struct tagged *t AUTO_FREE = calloc(room, sizeof *t);
    size_t m = 0;
    uint32_t number = 0;

    c->start = calloc(c->n + 1, sizeof *c->start);
    c->number = calloc(room, sizeof *c->number);
    if (!t || !c->start || !c->number)
        return err_set(err, ERR_NOMEM, "no memory for the constraints of %zu rows", c->n);
    if (from->apart) m = tag(t, from->apart, c->n);
    for (size_t i = 0, j; i < m; i = j, number++) {
        const uint32_t group = t[i].number;
        for (j = i; j < m && t[j].number == group; j++) t[j].number = number;
    }
    for (size_t i = 0; i < from->n_cannot; i++, number++) {
        const uint32_t a = from->cannot[i][0], b = from->cannot[i][1];
        if (a >= c->n || b >= c->n || a == b)
            return err_set(err, ERR_INVALID, "pair %zu to be kept apart is (%u, %u) of %zu rows", i,
                           a, b, c->n);
        t[m++] = (struct tagged){number, a};
        t[m++] = (struct tagged){number, b};
    }
    count(c, t, m);
    if (m) qsort(t, m, sizeof *t, by_row);
    for (size_t i = 0, at = 0; i <= c->n; i++) {
        c->start[i] = at;
        for (; at < m && t[at].row == i; at++) c->number[at] = t[at].number;
    }
    return ERR_OK;
}

enum err cluster__constraints_init(struct cluster__constraints *c,
                                   const struct cluster_constraints *from, size_t n,
                                   struct err_info *err)
{
    enum err rc = ERR_OK;

    *c = (struct cluster__constraints){.n = n};
    if (from->together) rc = lead(c, from->together, err);
    if (!rc && (from->apart || from->n_cannot)) rc = keep_apart(c, from, err);
    if (rc) cluster__constraints_release(c);
    return rc;
}

void cluster__constraints_release(struct cluster__constraints *c)
{
    free(c->start);
    free(c->number);
    free(c->leader);
    *c = (struct cluster__constraints)CLUSTER__CONSTRAINTS_INIT;
}

struct cluster__numbers cluster__numbers_of(const struct cluster__constraints *c, size_t row)
{
    if (!c->start) return (struct cluster__numbers){NULL, 0};
    return (struct cluster__numbers){c->number + c->start[row], c->start[row + 1] - c->start[row]};
}

bool cluster__numbers_meet(struct cluster__numbers a, struct cluster__numbers b)
{
    for (size_t i = 0, j = 0; i < a.n && j < b.n;) {
        if (a.at[i] == b.at[j]) return true;
        if (a.at[i] < b.at[j])
            i++;
        else
            j++;
    }
    return false;
}
