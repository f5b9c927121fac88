#include "engine/cluster/dots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

/* Multiply-adds between two calls of tell: some tens of milliseconds of one core. */
static const double GROUP_COST = 2e9;

const struct cluster__kernels *cluster__kernels_at(int i)
{
#if defined(__x86_64__)
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (avx512 && i-- == 0) return &cluster__kernels_avx512;
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && i-- == 0) return &cluster__kernels_avx2;
#endif
    return i == 0 ? &cluster__kernels_base : NULL;
}

/* VISAVIS_NN_SIMD=base|avx2|avx512 asks for a lesser set, as it does for networks. */
const struct cluster__kernels *cluster__kernels(void)
{
    const char *want = getenv("VISAVIS_NN_SIMD");
    const struct cluster__kernels *k;

    for (int i = 0; want && (k = cluster__kernels_at(i)); i++) {
        if (!strcmp(k->name, want)) return k;
    }
    return cluster__kernels_at(0);
}

static size_t panels_of(size_t n)
{
    return (n + DOTS_WIDTH - 1) / DOTS_WIDTH;
}

size_t cluster__panels_bytes(size_t n, int d)
{
    size_t rows, bytes;
    if (!mul_ok(&rows, panels_of(n), (size_t)d * DOTS_WIDTH) ||
        !mul_ok(&bytes, rows, sizeof(float)))
        return SIZE_MAX;
    return bytes;
}

enum err cluster__panels_init(struct cluster__panels *p, size_t n, int d, struct err_info *err)
{
    const size_t bytes = cluster__panels_bytes(n, d);
    float *data = mem_aligned(bytes, 1);

    if (!data) return err_set(err, ERR_NOMEM, "no memory for %zu rows of %d numbers", n, d);
    memset(data, 0, bytes);
    *p = (struct cluster__panels){data, n, d};
    return ERR_OK;
}

void cluster__panels_release(struct cluster__panels *p)
{
    free(p->data);
    *p = (struct cluster__panels)CLUSTER__PANELS_INIT;
}

static float *row_at(const struct cluster__panels *p, size_t i)
{
    return p->data + i / DOTS_WIDTH * DOTS_WIDTH * (size_t)p->d + i % DOTS_WIDTH;
}

void cluster__panels_set(struct cluster__panels *p, size_t i, const float *v, double scale)
{
    float *to = row_at(p, i);
    for (int k = 0; k < p->d; k++) to[(size_t)k * DOTS_WIDTH] = (float)((double)v[k] * scale);
}

void cluster__panels_get(float *v, const struct cluster__panels *p, size_t i)
{
    const float *from = row_at(p, i);
    for (int k = 0; k < p->d; k++) v[k] = from[(size_t)k * DOTS_WIDTH];
}

static double square(const float *v, int d)
{
    double sum = 0;
    for (int k = 0; k < d; k++) sum += (double)v[k] * (double)v[k];
    return sum;
}

enum err cluster__scales(double *scale, const float *x, size_t n, int d, struct err_info *err)
{
    for (size_t i = 0; i < n; i++) {
        const double sum = square(x + i * (size_t)d, d);
        if (!isfinite(sum))
            return err_set(err, ERR_INVALID, "row %zu has numbers that are not finite", i);
        if (!(sum > 0)) return err_set(err, ERR_INVALID, "row %zu is all zeros", i);
        scale[i] = 1 / sqrt(sum);
    }
    return ERR_OK;
}

enum err cluster__panels_fill(struct cluster__panels *p, const float *x, size_t n, int d, bool unit,
                              struct err_info *err)
{
    struct cluster__panels q = CLUSTER__PANELS_INIT;
    enum err rc;

    if ((rc = cluster__panels_init(&q, n, d, err))) return rc;
    for (size_t i = 0; i < n && !rc; i++) {
        const float *v = x + i * (size_t)d;
        double scale = 1;
        if (unit)
            rc = cluster__scales(&scale, v, 1, d, err);
        else if (!isfinite(square(v, d)))
            rc = ERR_INVALID;
        if (rc)
            rc = err_set(err, ERR_INVALID, "row %zu %s", i,
                         isfinite(square(v, d)) ? "is all zeros"
                                                : "has numbers that are not finite");
        else
            cluster__panels_set(&q, i, v, scale);
    }
    if (rc)
        cluster__panels_release(&q);
    else
        *p = q;
    return rc;
}

enum err cluster__tell(const struct cluster__job *job, const char *phase, size_t done, size_t total,
                       struct err_info *err)
{
    const struct cluster_progress *p = job->progress;

    if (!p || !p->tell || p->tell(p->self, phase, done, total)) return ERR_OK;
    return err_set(err, ERR_CANCELLED, "cancelled while %s, %zu of %zu done", phase, done, total);
}

struct shifted {
    cores_part *part;
    void *arg;
    int first;
};

static void run_shifted(void *arg, int i, int thread)
{
    const struct shifted *s = arg;
    s->part(s->arg, s->first + i, thread);
}

enum err cluster__parts(const struct cluster__job *job, const char *phase, cores_part *part,
                        void *arg, size_t n, double cost, struct err_info *err)
{
    const double threads = cores_threads(job->cores);
    double group = GROUP_COST * threads / (cost > 1 ? cost : 1);
    enum err rc;

    if (group < threads) group = threads;
    for (size_t at = 0; at < n;) {
        const size_t left = n - at, some = group < (double)left ? (size_t)group : left;
        struct shifted s = {part, arg, (int)at};
        cores_run(job->cores, run_shifted, &s, (int)some);
        at += some;
        if ((rc = cluster__tell(job, phase, at, n, err))) return rc;
    }
    return ERR_OK;
}

struct sweep_run {
    const struct cluster__sweep *w;
    const struct cluster__kernels *kernels;
    float *scratch; /* per thread: a block of rows, a tile */
    size_t scratch_floats;
};

static size_t scratch_floats(int d)
{
    return (size_t)DOTS_ROWS * (size_t)d + (size_t)DOTS_ROWS * DOTS_COLS;
}

size_t cluster__sweep_bytes(int d, const struct cores *cores)
{
    return scratch_floats(d) * sizeof(float) * (size_t)cores_threads(cores);
}

/* s: rows of a with columns col..col+cols of right; col starts a panel. */
static void tile_of(float *s, const struct cluster__kernels *kernels, const float *a, int rows,
                    const struct cluster__panels *right, size_t col, int cols)
{
    const int d = right->d;

    for (int c = 0; c < cols; c += DOTS_WIDTH) {
        const float *panel = row_at(right, col + (size_t)c);
        for (int k = 0; k < d; k += DOTS_RUN) {
            const int length = d - k < DOTS_RUN ? d - k : DOTS_RUN;
            kernels->dots(s + c, a + k, d, rows, panel + (size_t)k * DOTS_WIDTH, length, k > 0);
        }
    }
}

static void sweep_part(void *arg, int i, int thread)
{
    const struct sweep_run *run = arg;
    const struct cluster__sweep *w = run->w;
    const int d = w->right->d;
    const size_t first = (size_t)i * DOTS_ROWS, left = w->n_rows - first;
    const int rows = left < DOTS_ROWS ? (int)left : DOTS_ROWS;
    float *a = run->scratch + (size_t)thread * run->scratch_floats;
    float *s = a + (size_t)DOTS_ROWS * (size_t)d;

    for (int r = 0; r < rows; r++) {
        const size_t at = first + (size_t)r;
        cluster__panels_get(a + (size_t)r * (size_t)d, w->left, w->rows ? w->rows[at] : at);
    }
    for (size_t col = 0; col < w->right->n; col += DOTS_COLS) {
        const size_t rest = w->right->n - col;
        const int cols = rest < DOTS_COLS ? (int)rest : DOTS_COLS;
        tile_of(s, run->kernels, a, rows, w->right, col, cols);
        w->tile(w->self, &(struct cluster__tile){first, col, rows, cols, thread, s});
    }
    if (w->done) w->done(w->self, first, rows, thread);
}

enum err cluster__sweep(const struct cluster__sweep *w, const struct cluster__job *job,
                        const char *phase, struct err_info *err)
{
    const size_t parts = (w->n_rows + DOTS_ROWS - 1) / DOTS_ROWS;
    struct sweep_run run = {w, cluster__kernels(), NULL, scratch_floats(w->right->d)};
    float *scratch AUTO_FREE =
        mem_aligned(run.scratch_floats * (size_t)cores_threads(job->cores), sizeof *scratch);

    if (!scratch) return err_set(err, ERR_NOMEM, "no memory for a tile of products");
    run.scratch = scratch;
    return cluster__parts(job, phase, sweep_part, &run, parts,
                          (double)DOTS_ROWS * (double)w->right->n * w->right->d, err);
}

struct few {
    float *out;
    const float *a;
    int rows;
    const struct cluster__panels *p;
    const struct cluster__kernels *kernels;
    float *scratch; /* per thread: a tile */
};

enum { FEW_COLUMNS = 16 * DOTS_COLS }; /* of one part */

static void few_part(void *arg, int i, int thread)
{
    const struct few *f = arg;
    const size_t from = (size_t)i * FEW_COLUMNS, n = f->p->n;
    const size_t to = n - from < FEW_COLUMNS ? n : from + FEW_COLUMNS;
    float *s = f->scratch + (size_t)thread * DOTS_ROWS * DOTS_COLS;

    for (size_t col = from; col < to; col += DOTS_COLS) {
        const int cols = to - col < DOTS_COLS ? (int)(to - col) : DOTS_COLS;
        tile_of(s, f->kernels, f->a, f->rows, f->p, col, cols);
        for (int r = 0; r < f->rows; r++)
            memcpy(f->out + (size_t)r * n + col, s + (size_t)r * DOTS_COLS,
                   (size_t)cols * sizeof *s);
    }
}

enum err cluster__dots_few(float *out, const float *a, int rows, const struct cluster__panels *p,
                           const struct cluster__job *job, const char *phase, struct err_info *err)
{
    float *scratch AUTO_FREE = mem_aligned(
        (size_t)DOTS_ROWS * DOTS_COLS * (size_t)cores_threads(job->cores), sizeof *scratch);
    struct few f = {out, a, rows, p, cluster__kernels(), scratch};

    if (!scratch) return err_set(err, ERR_NOMEM, "no memory for a tile of products");
    return cluster__parts(job, phase, few_part, &f, (p->n + FEW_COLUMNS - 1) / FEW_COLUMNS,
                          (double)rows * FEW_COLUMNS * p->d, err);
}
