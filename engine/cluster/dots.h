/* Scalar products of many rows with many rows, in tiles, for everything in this folder.
 *
 * Rows are kept as panels of DOTS_WIDTH rows, [panel][d][DOTS_WIDTH], with zeros past the last row.
 * A product is one chain of multiply-adds over the dimensions (in runs of DOTS_RUN that are added
 * up), whatever tile it is computed in: a.b and b.a have the same bits, and no answer depends on
 * threads or on blocks. It does depend on the instruction set (FMA or not). */
#ifndef VISAVIS_ENGINE_CLUSTER_DOTS_H
#define VISAVIS_ENGINE_CLUSTER_DOTS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/cores.h"
#include "engine/base/err.h"
#include "engine/cluster.h"

enum {
    DOTS_WIDTH = 32, /* rows of a panel */
    DOTS_RUN = 512,  /* dimensions of one chain */
    DOTS_ROWS = 128, /* of a tile */
    DOTS_COLS = 256,
};

struct cluster__panels {
    float *data;
    size_t n;
    int d;
};
#define CLUSTER__PANELS_INIT                                                                       \
    {                                                                                              \
        0, 0, 0                                                                                    \
    }

size_t cluster__panels_bytes(size_t n, int d);
/* Room for n rows, zero. */
NODISCARD enum err cluster__panels_init(struct cluster__panels *p, size_t n, int d,
                                        struct err_info *err);
void cluster__panels_release(struct cluster__panels *p);
/* Row i becomes v scale. */
void cluster__panels_set(struct cluster__panels *p, size_t i, const float *v, double scale);
void cluster__panels_get(float *v, const struct cluster__panels *p, size_t i);
/* Filled with x [n][d]; unit: each row divided by its length (ERR_INVALID names a row that has
 * none). Not finite: ERR_INVALID. */
NODISCARD enum err cluster__panels_fill(struct cluster__panels *p, const float *x, size_t n, int d,
                                        bool unit, struct err_info *err);
/* 1 / length of each row, in double; the same errors. */
NODISCARD enum err cluster__scales(double *scale, const float *x, size_t n, int d,
                                   struct err_info *err);

/* s: products of rows first..first+rows of the left side (in the order of its list) with columns
 * col..col+cols, at s[r * DOTS_COLS + c]. The tiles of one row come on one thread, columns rising.
 */
struct cluster__tile {
    size_t first, col;
    int rows, cols, thread;
    const float *s;
};

struct cluster__sweep {
    const struct cluster__panels *left, *right;
    const uint32_t *rows; /* [n_rows] of left, NULL: 0..n_rows-1 */
    size_t n_rows;
    void (*tile)(void *self, const struct cluster__tile *t);
    void (*done)(void *self, size_t first, int rows, int thread); /* NULL, or: all columns are in */
    void *self;
};

/* What every algorithm carries along. */
struct cluster__job {
    const struct cores *cores;
    const struct cluster_progress *progress;
};

size_t cluster__sweep_bytes(int d, const struct cores *cores);
NODISCARD enum err cluster__sweep(const struct cluster__sweep *w, const struct cluster__job *job,
                                  const char *phase, struct err_info *err);

/* out [rows][p->n]: a few rows a [rows][d] (at most DOTS_ROWS) with all of p, cut by p's rows. */
NODISCARD enum err cluster__dots_few(float *out, const float *a, int rows,
                                     const struct cluster__panels *p,
                                     const struct cluster__job *job, const char *phase,
                                     struct err_info *err);

/* Parts 0..n-1 on the job's cores, telling in between: cost is about how many multiply-adds one
 * part takes. ERR_CANCELLED. */
NODISCARD enum err cluster__parts(const struct cluster__job *job, const char *phase,
                                  cores_part *part, void *arg, size_t n, double cost,
                                  struct err_info *err);
/* ERR_CANCELLED when the caller wants no more. */
NODISCARD enum err cluster__tell(const struct cluster__job *job, const char *phase, size_t done,
                                 size_t total, struct err_info *err);

/* The kernels, one table per instruction set. */
struct cluster__kernels {
    const char *name;
    /* s[r * DOTS_COLS + c] (+)= a[r].panel c over run dimensions; a row-major with stride lda. */
    void (*dots)(float *s, const float *a, int lda, int rows, const float *panel, int run,
                 bool add);
    /* The first i >= from with s[i] >= least; n when there is none. */
    int (*at_least)(const float *s, int from, int n, float least);
};
extern const struct cluster__kernels cluster__kernels_base;
#if defined(__x86_64__)
extern const struct cluster__kernels cluster__kernels_avx2, cluster__kernels_avx512;
#endif
/* The best that this CPU has; the i-th, best first, NULL past the last. */
const struct cluster__kernels *cluster__kernels(void);
const struct cluster__kernels *cluster__kernels_at(int i);

#endif
