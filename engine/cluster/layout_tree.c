#include "engine/cluster/layout_tree.h"

#include <stdbool.h>
#include <stdlib.h>

enum { DEPTH_MAX = 40, STACK = 4 * DEPTH_MAX };
static const uint32_t NONE = UINT32_MAX;

struct cluster__cell {
    double centre[2], half; /* of the square */
    double sum[2];          /* of the points in it */
    uint32_t count, first;  /* first: row of a leaf */
    uint32_t child;         /* the first of four that lie together; NONE: a leaf */
};

size_t cluster__tree_bytes(void)
{
    return 3 * sizeof(struct cluster__cell);
}

void cluster__tree_release(struct cluster__tree *t)
{
    free(t->cell);
    free(t->next);
    *t = (struct cluster__tree){0};
}

static struct cluster__cell leaf(double x, double y, double half)
{
    return (struct cluster__cell){{x, y}, half, {0, 0}, 0, NONE, NONE};
}

static bool split(struct cluster__tree *t, uint32_t at)
{
    if (t->used + 4 > t->room) {
        const size_t room = 2 * t->room + 64;
        struct cluster__cell *more = realloc(t->cell, room * sizeof *more);
        if (!more) return false;
        t->cell = more;
        t->room = room;
    }
    struct cluster__cell *c = t->cell + at;
    const double quarter = c->half / 2;
    c->child = (uint32_t)t->used;
    for (int k = 0; k < 4; k++)
        t->cell[t->used++] = leaf(c->centre[0] + (k & 1 ? quarter : -quarter),
                                  c->centre[1] + (k & 2 ? quarter : -quarter), quarter);
    return true;
}

static uint32_t child_for(const struct cluster__cell *c, const double *y)
{
    return c->child + (y[0] > c->centre[0]) + 2 * (y[1] > c->centre[1]);
}

static void hold(struct cluster__cell *c, const double *y)
{
    c->sum[0] += y[0];
    c->sum[1] += y[1];
    c->count++;
}

/* A leaf holds one point, or all of one place at the deepest level. */
static bool insert(struct cluster__tree *t, uint32_t row)
{
    const double *y = t->y + 2 * (size_t)row;
    uint32_t at = 0;

    for (int depth = 0;; depth++) {
        struct cluster__cell *c = t->cell + at;
        if (c->child == NONE && c->count > 0 && depth < DEPTH_MAX) {
            const uint32_t moved = c->first;
            if (!split(t, at)) return false;
            c = t->cell + at;
            c->first = NONE;
            struct cluster__cell *to = t->cell + child_for(c, t->y + 2 * (size_t)moved);
            hold(to, t->y + 2 * (size_t)moved);
            to->first = moved;
        }
        hold(c, y);
        if (c->child == NONE) {
            t->next[row] = c->first;
            c->first = row;
            return true;
        }
        at = child_for(c, y);
    }
}

enum err cluster__tree_build(struct cluster__tree *t, const double *y, size_t n,
                             struct err_info *err)
{
    double low[2] = {y[0], y[1]}, high[2] = {y[0], y[1]};

    if (n > t->rows) {
        uint32_t *more = realloc(t->next, n * sizeof *more);
        if (!more) return err_set(err, ERR_NOMEM, "no memory for a tree of %zu points", n);
        t->next = more;
        t->rows = n;
    }
    if (!t->room) {
        t->cell = malloc(2 * n * sizeof *t->cell);
        if (!t->cell) return err_set(err, ERR_NOMEM, "no memory for a tree of %zu points", n);
        t->room = 2 * n;
    }
    for (size_t c = 0; c < 2 * n; c++) {
        low[c % 2] = y[c] < low[c % 2] ? y[c] : low[c % 2];
        high[c % 2] = y[c] > high[c % 2] ? y[c] : high[c % 2];
    }
    const double wide = high[0] - low[0], tall = high[1] - low[1];
    t->y = y;
    t->n = n;
    t->used = 1;
    t->cell[0] = leaf((low[0] + high[0]) / 2, (low[1] + high[1]) / 2,
                      (wide > tall ? wide : tall) / 2 + 1e-12);
    for (uint32_t i = 0; i < n; i++) {
        if (!insert(t, i)) return err_set(err, ERR_NOMEM, "no memory for a tree of %zu points", n);
    }
    return ERR_OK;
}

static void add(double out[3], double dx, double dy, double count)
{
    const double q = 1 / (1 + dx * dx + dy * dy), w = count * q;
    out[0] += w * q * dx;
    out[1] += w * q * dy;
    out[2] += w;
}

void cluster__tree_push(double out[3], const struct cluster__tree *t, uint32_t i, double theta)
{
    const double *y = t->y + 2 * (size_t)i;
    uint32_t stack[STACK];
    int top = 0;

    out[0] = out[1] = out[2] = 0;
    stack[top++] = 0;
    while (top) {
        const struct cluster__cell *c = t->cell + stack[--top];
        if (!c->count) continue;
        if (c->child == NONE) {
            for (uint32_t j = c->first; j != NONE; j = t->next[j]) {
                if (j != i) add(out, y[0] - t->y[2 * (size_t)j], y[1] - t->y[2 * (size_t)j + 1], 1);
            }
            continue;
        }
        const double dx = y[0] - c->sum[0] / c->count, dy = y[1] - c->sum[1] / c->count;
        const double side = 2 * c->half;
        const bool inside = y[0] >= c->centre[0] - c->half && y[0] <= c->centre[0] + c->half &&
                            y[1] >= c->centre[1] - c->half && y[1] <= c->centre[1] + c->half;
        if (!inside && side * side < theta * theta * (dx * dx + dy * dy)) {
            add(out, dx, dy, c->count);
            continue;
        }
        for (uint32_t k = 4; k-- > 0;) stack[top++] = c->child + k;
    }
}
