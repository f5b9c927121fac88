/* The portable backend: convolutions as im2col and sgemm, dense layers as sgemv, on OpenBLAS; the
 * other ops by the plain loops. Planes throughout.
 *
 * OpenBLAS takes other paths for other sizes and other numbers of threads, so a product's size here
 * depends on the layer alone, never on the batch or the threads: COLUMNS pixels of one image,
 * OUTPUTS outputs of one row. The pool shares the pieces, and OpenBLAS runs each on one thread: it
 * asks OpenMP how many the calling thread may use (also to choose between two sgemm kernels that
 * round differently), so each thread says 1 for the time of the call.
 *
 * OpenBLAS 0.3.21 takes Zen 4 and later for Haswell: half the speed. Only OPENBLAS_CORETYPE in the
 * environment before the library is loaded can say otherwise (SKYLAKEX, COOPERLAKE), so a program
 * cannot do it for itself; tests/bench/bench_nn.c prints what the library chose. */
#include "engine/nn/nn_internal.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>

enum { COLUMNS = 512, OUTPUTS = 512 };

struct job {
    struct nn__call c;
    float *scratch; /* one piece of im2col a thread */
    size_t scratch_floats;
    int pieces; /* a row */
};

/* c[m][n] += a[m][k] b[k][n], with rows of c ldc apart. */
static void product(float *c, int ldc, const float *a, const float *b, int m, int n, int k)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, k, b, n, 1, c, ldc);
    omp_set_num_threads(threads);
}

static int depth(const struct nn__call *c)
{
    return c->in_shape[0].c / c->op->groups * c->op->kernel[0] * c->op->kernel[1];
}

/* col[channel, ky, kx][pixel] for the pixels first .. first + count - 1 of one image and group. */
static void im2col(float *col, const struct nn__call *c, const float *x, int first, int count)
{
    const struct nn_op *op = c->op;
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    for (int i = 0; i < is.c / op->groups; i++)
        for (int ky = 0; ky < op->kernel[0]; ky++)
            for (int kx = 0; kx < op->kernel[1]; kx++, col += count) {
                int oy = first / os.w, ox = first % os.w;
                for (int p = 0; p < count; p++) {
                    int y = oy * op->stride[0] - op->pad[0] + ky * op->dilation;
                    int xx = ox * op->stride[1] - op->pad[1] + kx * op->dilation;
                    bool there = y >= 0 && y < is.h && xx >= 0 && xx < is.w;
                    col[p] = there ? x[((size_t)i * is.h + y) * is.w + xx] : 0;
                    if (++ox == os.w) ox = 0, oy++;
                }
            }
}

static void conv_piece(void *arg, int chunk, int thread)
{
    const struct job *j = arg;
    const struct nn__call *c = &j->c;
    const struct nn_op *op = c->op;
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    int group = chunk / j->pieces % op->groups, n = chunk / j->pieces / op->groups;
    int pixels = os.h * os.w, first = chunk % j->pieces * COLUMNS, k = depth(c);
    int count = pixels - first < COLUMNS ? pixels - first : COLUMNS;
    int icg = is.c / op->groups, ocg = os.c / op->groups;
    float *col = j->scratch + (size_t)thread * j->scratch_floats;
    const float *x = c->in[0] + ((size_t)n * is.c + (size_t)group * icg) * is.h * is.w;
    float *y = c->out + ((size_t)n * os.c + (size_t)group * ocg) * pixels + first;
    im2col(col, c, x, first, count);
    for (int o = 0; o < ocg; o++)
        for (int p = 0; p < count; p++)
            y[(size_t)o * pixels + p] = op->b ? op->b[group * ocg + o] : 0;
    product(y, pixels, op->w + (size_t)group * ocg * k, col, ocg, count, k);
}

static void dense_piece(void *arg, int chunk, int thread)
{
    const struct job *j = arg;
    const struct nn_op *op = j->c.op;
    struct nn_shape is = j->c.in_shape[0];
    int n = chunk / j->pieces, first = chunk % j->pieces * OUTPUTS, in = is.c * is.h * is.w;
    int count = op->out - first < OUTPUTS ? op->out - first : OUTPUTS;
    float *y = j->c.out + (size_t)n * op->out + first;
    (void)thread;
    for (int o = 0; o < count; o++) y[o] = op->b ? op->b[first + o] : 0;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    cblas_sgemv(CblasRowMajor, CblasNoTrans, count, in, 1, op->w + (size_t)first * in, in,
                j->c.in[0] + (size_t)n * in, 1, 1, y, 1);
    omp_set_num_threads(threads);
}

static void run_conv(struct nn_plan *p, const struct nn__step *s)
{
    struct job j = {.scratch = (float *)p->scratch};
    nn__call_of(&j.c, p, s);
    j.scratch_floats = (size_t)depth(&j.c) * COLUMNS;
    j.pieces = (j.c.out_shape.h * j.c.out_shape.w + COLUMNS - 1) / COLUMNS;
    pool_run(p->pool, conv_piece, &j, p->rows * j.c.op->groups * j.pieces);
}

static void run_dense(struct nn_plan *p, const struct nn__step *s)
{
    struct job j = {.scratch = NULL};
    nn__call_of(&j.c, p, s);
    j.pieces = (j.c.op->out + OUTPUTS - 1) / OUTPUTS;
    pool_run(p->pool, dense_piece, &j, p->rows * j.pieces);
}

static void run_plain(struct nn_plan *p, const struct nn__step *s)
{
    struct nn__call c;
    nn__call_of(&c, p, s);
    nn__ref_run(&c);
}

enum err nn__blas_lower(struct nn_plan *p, struct err_info *err)
{
    /* 2: built with OpenMP. The pthread build's own threads would fight ours for the cores. */
    if (openblas_get_parallel() == 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "OpenBLAS here is the pthread build, the OpenMP build is expected (Debian "
                       "package libopenblas0-openmp)");
    for (int i = 0; i < p->net->graph->n_ops; i++) {
        const struct nn_op *op = &p->net->graph->ops[i];
        struct nn__step s = nn__step_of(p, i);
        s.run = run_plain;
        s.kernel = "plain";
        if (op->kind == NN_DENSE) {
            s.run = run_dense;
            s.kernel = "sgemv";
        } else if (op->kind == NN_CONV2D) {
            size_t k = op->w_count / (size_t)op->out;
            s.run = run_conv;
            s.kernel = "im2col+sgemm";
            s.scratch = sizeof(float) * k * COLUMNS * (size_t)p->threads;
        }
        enum err rc = nn__plan_step(p, &s, err);
        if (rc) return rc;
    }
    return ERR_OK;
}
