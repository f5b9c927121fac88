/* New faces among clusters that stay as they are, and how far two labellings are apart. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/silhouette.h"

struct assigner {
    int d, clusters;
    double *sum;  /* [clusters][d] of unit rows */
    double *size; /* [clusters] */
    double *row;  /* [d] of the new face */
    const uint32_t *apart;
    const int32_t *labels; /* of the old rows, then of the new ones so far */
    size_t rows;
};

static void take(struct assigner *a, const double *row, int cluster)
{
    for (int k = 0; k < a->d; k++) a->sum[(size_t)cluster * (size_t)a->d + (size_t)k] += row[k];
    a->size[cluster]++;
}

/* Whether a member of the cluster may not be with row i. */
static bool forbidden(const struct assigner *a, size_t i, int cluster)
{
    if (!a->apart || a->apart[i] == CLUSTER_NO_GROUP) return false;
    for (size_t j = 0; j < a->rows; j++) {
        if (a->labels[j] == cluster && a->apart[j] == a->apart[i]) return true;
    }
    return false;
}

/* The nearest cluster that is allowed; -1 where there is none. */
static int nearest(const struct assigner *a, size_t i, float cut, float *similarity)
{
    double best = -2;
    int at = CLUSTER_OUTLIER;

    for (int c = 0; c < a->clusters; c++) {
        const double *sum = a->sum + (size_t)c * (size_t)a->d;
        double s = 0;
        for (int k = 0; k < a->d; k++) s += sum[k] * a->row[k];
        s /= a->size[c];
        if (s <= best || (s >= (double)cut && forbidden(a, i, c))) continue;
        best = s;
        at = c;
    }
    *similarity = at < 0 ? NAN : (float)best;
    return at;
}

static int count_clusters(const int32_t *labels, size_t n)
{
    int32_t most = -1;
    for (size_t i = 0; i < n; i++) most = labels[i] > most ? labels[i] : most;
    return (int)most + 1;
}

static void unit_row(double *out, const float *x, int d, double scale)
{
    for (int k = 0; k < d; k++) out[k] = (double)x[k] * scale;
}

static enum err load(struct assigner *a, const float *x, size_t n, struct err_info *err)
{
    enum err rc;

    for (size_t i = 0; i < n; i++) {
        const float *v = x + i * (size_t)a->d;
        double scale;
        if ((rc = cluster__scales(&scale, v, 1, a->d, err)))
            return err_prefix(err, "old row %zu", i);
        if (a->labels[i] < 0) continue;
        unit_row(a->row, v, a->d, scale);
        take(a, a->row, a->labels[i]);
    }
    for (int c = 0; c < a->clusters; c++) {
        if (!(a->size[c] > 0))
            return err_set(err, ERR_INVALID, "cluster %d of %d has no members", c, a->clusters);
    }
    return ERR_OK;
}

enum err cluster_assign(int32_t *out, float *similarity, const float *new_rows, size_t n_new,
                        const float *x, size_t n, int d, const int32_t *labels, float cut,
                        const uint32_t *apart, struct err_info *err)
{
    const int clusters = count_clusters(labels, n);
    double *sum AUTO_FREE = calloc((size_t)clusters * (size_t)d + 1, sizeof *sum);
    double *size AUTO_FREE = calloc((size_t)clusters + 1, sizeof *size);
    double *row AUTO_FREE = calloc((size_t)d, sizeof *row);
    int32_t *all AUTO_FREE = calloc(n + n_new + 1, sizeof *all);
    struct assigner a = {d, clusters, sum, size, row, apart, all, n};
    enum err rc;

    if (!sum || !size || !row || !all)
        return err_set(err, ERR_NOMEM, "no memory to assign %zu faces", n_new);
    if (n) memcpy(all, labels, n * sizeof *all);
    if ((rc = load(&a, x, n, err))) return rc;
    for (size_t i = 0; i < n_new; i++) {
        const float *v = new_rows + i * (size_t)d;
        double scale;
        float s;
        if ((rc = cluster__scales(&scale, v, 1, d, err))) return err_prefix(err, "new row %zu", i);
        unit_row(row, v, d, scale);
        const int c = nearest(&a, n + i, cut, &s);
        out[i] = c >= 0 && s >= cut ? c : CLUSTER_OUTLIER;
        if (similarity) similarity[i] = s;
        all[n + i] = out[i];
        a.rows++;
        if (out[i] >= 0) take(&a, row, c);
    }
    return ERR_OK;
}

struct overlap {
    int32_t before, after;
    size_t rows;
};

static int by_labels(const void *pa, const void *pb)
{
    const struct overlap *a = pa, *b = pb;
    if (a->before != b->before) return a->before < b->before ? -1 : 1;
    return a->after < b->after ? -1 : a->after > b->after;
}

static int by_rows(const void *pa, const void *pb)
{
    const struct overlap *a = pa, *b = pb;
    if (a->rows != b->rows) return a->rows > b->rows ? -1 : 1;
    return by_labels(pa, pb);
}

enum err cluster_moved(size_t *moved, const int32_t *before, const int32_t *after, size_t n,
                       struct err_info *err)
{
    const size_t old = (size_t)count_clusters(before, n), new = (size_t)count_clusters(after, n);
    struct overlap *o AUTO_FREE = calloc(n + 1, sizeof *o);
    bool *used AUTO_FREE = calloc(old + new + 1, sizeof *used);
    size_t cells = 0, stayed = 0;

    if (!o || !used) return err_set(err, ERR_NOMEM, "no memory to compare %zu labels", n);
    for (size_t i = 0; i < n; i++) {
        o[i] = (struct overlap){before[i] < 0 ? -1 : before[i], after[i] < 0 ? -1 : after[i], 1};
    }
    qsort(o, n, sizeof *o, by_labels);
    for (size_t i = 0; i < n; i++) {
        if (cells && !by_labels(o + cells - 1, o + i))
            o[cells - 1].rows++;
        else
            o[cells++] = o[i];
    }
    qsort(o, cells, sizeof *o, by_rows);
    for (size_t i = 0; i < cells; i++) {
        const bool outliers = o[i].before < 0 && o[i].after < 0;
        if (!outliers && (o[i].before < 0 || o[i].after < 0)) continue;
        if (!outliers) {
            bool *a = used + o[i].before, *b = used + old + (size_t)o[i].after;
            if (*a || *b) continue;
            *a = *b = true;
        }
        stayed += o[i].rows;
    }
    *moved = n - stayed;
    return ERR_OK;
}
