#include "engine/train/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

/* Below this a plain distance has no useful direction: two embeddings of one picture. */
static const double LEAST_DISTANCE = 1e-6;

static const char *const MININGS[TRAIN_MINING_COUNT] = {
    [TRAIN_MINE_RANDOM] = "random",
    [TRAIN_MINE_SEMI_HARD] = "semi-hard",
    [TRAIN_MINE_BATCH_HARD] = "batch-hard",
    [TRAIN_MINE_SEMI_RANDOM] = "semi-random",
};

enum err train_mining_parse(enum train_mining *m, const char *name, struct err_info *err)
{
    if (!name) return ERR_OK;
    for (int i = 0; i < TRAIN_MINING_COUNT; i++)
        if (strcmp(name, MININGS[i]) == 0) {
            *m = (enum train_mining)i;
            return ERR_OK;
        }
    return err_set(err, ERR_INVALID,
                   "mining \"%.32s\": there is random, semi-hard, batch-hard, semi-random", name);
}

bool train_mining_plain(enum train_mining m)
{
    return m == TRAIN_MINE_BATCH_HARD;
}

enum err train_triplets_init(struct train_triplets *t, int rows, const struct train_ops *ops,
                             struct err_info *err)
{
    const size_t all = (size_t)rows * (size_t)rows;
    *t = (struct train_triplets){.rows = rows, .room = all};
    t->gram = mem_aligned(all, ops->size);
    t->distance = mem_aligned(all, sizeof *t->distance);
    t->list = mem_aligned(all, sizeof *t->list);
    if (t->gram && t->distance && t->list) return ERR_OK;
    train_triplets_release(t);
    return err_set(err, ERR_NOMEM, "no memory for the triplets of %d rows", rows);
}

void train_triplets_release(struct train_triplets *t)
{
    free(t->gram);
    free(t->distance);
    free(t->list);
    *t = (struct train_triplets){0};
}

static void measure(struct train_triplets *t, const void *x, int n, int d,
                    const struct train_ops *ops)
{
    const size_t rows = (size_t)n;
    ops->gram(t->gram, x, rows, d);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            const size_t at[3] = {i * rows + i, j * rows + j, i * rows + j};
            double g[3];
            for (int k = 0; k < 3; k++)
                g[k] = ops->size == sizeof(double) ? ((double *)t->gram)[at[k]]
                                                   : (double)((float *)t->gram)[at[k]];
            t->distance[i * rows + j] = fmax(0, g[0] + g[1] - 2 * g[2]);
        }
}

struct miner {
    struct train_triplets *t;
    const uint32_t *labels, *kin;
    int n;
    double margin;
    struct train_random *r;
};

static double apart(const struct miner *m, int i, int j)
{
    return m->t->distance[(size_t)i * (size_t)m->n + (size_t)j];
}

static void add(const struct miner *m, int a, int p, int n)
{
    m->t->tried++;
    if (p < 0 || n < 0 || m->t->n == m->t->room) return;
    m->t->list[m->t->n++] = (struct train_triplet){(uint16_t)a, (uint16_t)p, (uint16_t)n};
}

/* A row of the batch, uniformly among those that `fits` takes; -1: none. One pass, so that it
 * costs the same for any share of fitting rows (reservoir of one). */
typedef bool fits_fn(const struct miner *m, int a, int p, int row);

static int pick(const struct miner *m, int a, int p, fits_fn *fits)
{
    int chosen = -1;
    size_t seen = 0;
    for (int i = 0; i < m->n; i++)
        if (fits(m, a, p, i) && train_below(m->r, ++seen) == 0) chosen = i;
    return chosen;
}

static bool is_positive(const struct miner *m, int a, int p, int row)
{
    (void)p;
    return row != a && m->labels[row] == m->labels[a];
}

static bool is_negative(const struct miner *m, int a, int p, int row)
{
    (void)p;
    return m->kin[row] != m->kin[a];
}

static bool violates(const struct miner *m, int a, int p, int row)
{
    return is_negative(m, a, p, row) && apart(m, a, row) < apart(m, a, p) + m->margin;
}

static void mine_hardest(const struct miner *m, int a)
{
    int p = -1, n = -1;
    for (int i = 0; i < m->n; i++) {
        if (is_positive(m, a, 0, i) && (p < 0 || apart(m, a, i) > apart(m, a, p))) p = i;
        if (is_negative(m, a, 0, i) && (n < 0 || apart(m, a, i) < apart(m, a, n))) n = i;
    }
    add(m, a, p, n);
}

static int semi_hard(const struct miner *m, int a, int p)
{
    const double from = apart(m, a, p);
    int n = -1, farthest = -1;
    for (int i = 0; i < m->n; i++) {
        if (!is_negative(m, a, p, i)) continue;
        const double d = apart(m, a, i);
        if (farthest < 0 || d > apart(m, a, farthest)) farthest = i;
        if (d > from && d < from + m->margin && (n < 0 || d < apart(m, a, n))) n = i;
    }
    return n < 0 ? farthest : n;
}

static void mine_pairs(const struct miner *m, int a, enum train_mining mining)
{
    for (int p = 0; p < m->n; p++) {
        if (!is_positive(m, a, 0, p)) continue;
        add(m, a, p, mining == TRAIN_MINE_SEMI_HARD ? semi_hard(m, a, p) : pick(m, a, p, violates));
    }
}

void train_triplets_mine(struct train_triplets *t, const void *x, const uint32_t *labels,
                         const uint32_t *kin, int n, int d, enum train_mining mining, double margin,
                         struct train_random *r, const struct train_ops *ops)
{
    const struct miner m = {t, labels, kin, n, margin, r};
    measure(t, x, n, d, ops);
    t->n = t->tried = 0;
    for (int a = 0; a < n; a++) {
        if (mining == TRAIN_MINE_BATCH_HARD)
            mine_hardest(&m, a);
        else if (mining == TRAIN_MINE_RANDOM)
            add(&m, a, pick(&m, a, 0, is_positive), pick(&m, a, 0, is_negative));
        else
            mine_pairs(&m, a, mining);
    }
}

double train_triplets_loss(struct train_triplets *t, void *dx, const void *x, int n, int d,
                           bool plain, double margin, const struct train_ops *ops)
{
    const double weight = t->n ? 1 / (double)t->n : 0;
    double loss = 0;
    t->violating = 0;
    memset(dx, 0, (size_t)n * (size_t)d * ops->size);
    for (size_t i = 0; i < t->n; i++) {
        const struct train_triplet *k = &t->list[i];
        double near = t->distance[(size_t)k->a * (size_t)n + k->p],
               far = t->distance[(size_t)k->a * (size_t)n + k->n], near_slope = 2, far_slope = 2;
        if (plain) { /* d|v|/dv = v / |v| */
            near = sqrt(near);
            far = sqrt(far);
            near_slope = 1 / fmax(near, LEAST_DISTANCE);
            far_slope = 1 / fmax(far, LEAST_DISTANCE);
        }
        const double over = near + margin - far;
        if (over <= 0) continue;
        t->violating++;
        loss += weight * over;
        ops->add_difference(dx, x, weight * near_slope, k->a, k->a, k->p, d);
        ops->add_difference(dx, x, weight * near_slope, k->p, k->p, k->a, d);
        ops->add_difference(dx, x, weight * far_slope, k->a, k->n, k->a, d);
        ops->add_difference(dx, x, weight * far_slope, k->n, k->a, k->n, d);
    }
    return loss;
}
