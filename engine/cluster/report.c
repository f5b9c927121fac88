/* The report on a clustering: what each cluster, member and outlier is like. Everything here comes
 * from means: the mean similarity of a row to a cluster is its product with the cluster's mean,
 * that of two clusters the product of their means. */
#include "engine/cluster/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

double cluster__row_similarity(const struct cluster__points *p, size_t i, size_t j)
{
    const float *a = p->x + i * (size_t)p->d, *b = p->x + j * (size_t)p->d;
    double sum = 0;
    for (int k = 0; k < p->d; k++) sum += (double)a[k] * (double)b[k];
    return sum * p->scale[i] * p->scale[j];
}

static double product(const double *a, const double *b, int d)
{
    double sum = 0;
    for (int k = 0; k < d; k++) sum += a[k] * b[k];
    return sum;
}

static const double *mean_of(const struct cluster__means *m, int c)
{
    return m->mean + (size_t)c * (size_t)m->d;
}

/* Mean similarity of a member to the others; 1 where it is the only one. */
static double to_others(const struct cluster__means *m, int c, const double *v)
{
    const double size = (double)m->size[c];
    return size > 1 ? (size * product(v, mean_of(m, c), m->d) - 1) / (size - 1) : 1;
}

struct ranked {
    double similarity;
    uint32_t row;
};

static int by_centrality(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    if (a->similarity != b->similarity) return a->similarity > b->similarity ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* Members by cluster, the most central first, which is the medoid. */
static enum err rank_members(struct cluster__view *v, double *row, struct err_info *err)
{
    struct cluster_report *r = v->report;
    const size_t placed = r->n - r->n_outliers;
    struct ranked *rank AUTO_FREE = calloc(placed + 1, sizeof *rank);
    size_t *at AUTO_FREE = calloc((size_t)r->n_clusters + 1, sizeof *at);

    if (!rank || !at) return err_set(err, ERR_NOMEM, "no memory for the members of clusters");
    for (int c = 0; c < r->n_clusters; c++) {
        r->first[c + 1] = r->first[c] + v->means->size[c];
        at[c] = r->first[c];
    }
    for (size_t i = 0; i < r->n; i++) {
        const int c = v->labels[i];
        if (c < 0) continue;
        cluster__point(row, v->points, i);
        rank[at[c]++] = (struct ranked){to_others(v->means, c, row), (uint32_t)i};
    }
    for (int c = 0; c < r->n_clusters; c++) {
        const size_t from = r->first[c], size = r->first[c + 1] - from;
        qsort(rank + from, size, sizeof *rank, by_centrality);
        for (size_t i = from; i < from + size; i++) r->members[i] = rank[i].row;
        r->clusters[c].size = size;
        r->clusters[c].medoid = rank[from].row;
        r->clusters[c].least = rank[from + size - 1].similarity;
    }
    return ERR_OK;
}

/* Silhouettes, and what follows from each row's nearest other cluster. */
static enum err weigh_rows(struct cluster__view *v, double *row, struct err_info *err)
{
    struct cluster_report *r = v->report;
    int32_t *other AUTO_FREE = calloc(r->n, sizeof *other);
    double *distance AUTO_FREE = calloc(r->n, sizeof *distance);
    double *each AUTO_FREE = calloc(r->n, sizeof *each);
    double sum = 0;
    size_t o = 0;
    enum err rc;

    if (!other || !distance || !each)
        return err_set(err, ERR_NOMEM, "no memory for %zu silhouettes", r->n);
    if ((rc =
             cluster__nearest_other(other, distance, v->points, v->means, v->labels, &v->job, err)))
        return rc;
    cluster__silhouettes(each, v->points, v->means, v->labels, distance, row);
    for (size_t i = 0; i < r->n; i++) {
        r->silhouette[i] = (float)each[i];
        if (v->labels[i] >= 0) {
            r->clusters[v->labels[i]].silhouette += each[i] / (double)v->means->size[v->labels[i]];
            sum += each[i];
            continue;
        }
        struct cluster_outlier *out = r->outliers + o++;
        *out = (struct cluster_outlier){(uint32_t)i, other[i], 1 - distance[i] / 2, 0, 0};
        if (other[i] < 0) out->similarity = NAN;
    }
    r->silhouette_mean = r->n > r->n_outliers ? sum / (double)(r->n - r->n_outliers) : NAN;
    return ERR_OK;
}

/* The most similar face of each outlier's nearest cluster. */
static void nearest_faces(struct cluster__view *v)
{
    struct cluster_report *r = v->report;

    for (size_t o = 0; o < r->n_outliers; o++) {
        struct cluster_outlier *out = r->outliers + o;
        out->face_similarity = out->nearest < 0 ? NAN : -2;
        if (out->nearest < 0) continue;
        for (size_t m = r->first[out->nearest]; m < r->first[out->nearest + 1]; m++) {
            const double s = cluster__row_similarity(v->points, out->row, r->members[m]);
            if (s > out->face_similarity) {
                out->face_similarity = s;
                out->face = r->members[m];
            }
        }
    }
}

static void weigh_clusters(struct cluster__view *v)
{
    struct cluster_report *r = v->report;
    const struct cluster__means *m = v->means;

    for (int c = 0; c < r->n_clusters; c++) {
        struct cluster_summary *s = r->clusters + c;
        const double size = (double)s->size, *mean = mean_of(m, c);
        s->cohesion = size > 1 ? (size * product(mean, mean, m->d) - 1) / (size - 1) : 1;
        s->nearest = -1;
        s->separation = NAN;
        if (r->n_clusters < 2) s->silhouette = NAN;
    }
}

static enum err allocate(struct cluster_report *r, const int32_t *labels, struct err_info *err)
{
    int32_t most = -1;

    for (size_t i = 0; i < r->n; i++) {
        most = labels[i] > most ? labels[i] : most;
        r->n_outliers += labels[i] < 0;
    }
    r->n_clusters = (int)most + 1;
    r->clusters = calloc((size_t)r->n_clusters + 1, sizeof *r->clusters);
    r->first = calloc((size_t)r->n_clusters + 1, sizeof *r->first);
    r->members = calloc(r->n + 1, sizeof *r->members);
    r->silhouette = calloc(r->n + 1, sizeof *r->silhouette);
    r->outliers = calloc(r->n_outliers + 1, sizeof *r->outliers);
    r->pca = calloc(2 * r->n, sizeof *r->pca);
    if (!r->clusters || !r->first || !r->members || !r->silhouette || !r->outliers || !r->pca)
        return err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", r->n);
    return ERR_OK;
}

static enum err check_labels(const struct cluster__means *m, struct err_info *err)
{
    for (int c = 0; c < m->clusters; c++) {
        if (!m->size[c])
            return err_set(err, ERR_INVALID, "cluster %d of %d has no members", c, m->clusters);
    }
    return ERR_OK;
}

/* Where no cut was used: what the loosest cluster holds together by. */
static float cut_of(const struct cluster__view *v)
{
    double least = 1;

    if (!isnan(v->options->cut)) return v->options->cut;
    for (int c = 0; c < v->report->n_clusters; c++) {
        const double cohesion = v->report->clusters[c].cohesion;
        least = cohesion < least ? cohesion : least;
    }
    return (float)least;
}

static enum err draw(struct cluster__view *v, struct err_info *err)
{
    struct cluster_report *r = v->report;
    const struct cluster_report_options *o = v->options;
    const struct cluster__points *p = v->points;
    float *wide AUTO_FREE = NULL;
    enum err rc;

    const int components = p->d < 2 ? 1 : 2;
    wide = calloc(r->n * 2, sizeof *wide);
    if (!wide) return err_set(err, ERR_NOMEM, "no memory for %zu coordinates", r->n);
    if ((rc = cluster_pca(wide, r->explained, p->x, r->n, p->d, components, o->cores, err)))
        return rc;
    for (size_t i = 0; i < r->n; i++) {
        for (int k = 0; k < components; k++)
            r->pca[2 * i + (size_t)k] = wide[i * (size_t)components + (size_t)k];
    }
    if (o->layout == CLUSTER_LAYOUT_NONE || r->n > o->layout_rows_max || r->n < 4) return ERR_OK;
    r->layout = calloc(2 * r->n, sizeof *r->layout);
    if (!r->layout) return err_set(err, ERR_NOMEM, "no memory for %zu coordinates", r->n);
    return cluster__layout(r->layout, &r->layout_perplexity, &r->layout_rounds, r->pca, &p->panels,
                           o->seed, &v->job, err);
}

static enum err fill(struct cluster__view *v, struct err_info *err)
{
    struct cluster_report *r = v->report;
    const struct cluster_report_options *o = v->options;
    double *row AUTO_FREE = calloc((size_t)v->points->d, sizeof *row);
    enum err rc;

    if (!row) return err_set(err, ERR_NOMEM, "no memory for a row");
    if ((rc = rank_members(v, row, err))) return rc;
    if ((rc = weigh_rows(v, row, err))) return rc;
    nearest_faces(v);
    weigh_clusters(v);
    if ((rc = cluster__report_pairs(v, err))) return rc;
    if ((rc = cluster__report_bridges(v, cut_of(v), err))) return rc;
    if ((rc = draw(v, err))) return rc;
    if (!o->truth) return ERR_OK;
    if ((rc = cluster_truth_scores(&r->truth, v->labels, o->truth, r->n, err))) return rc;
    r->has_truth = r->truth.rows > 0;
    return ERR_OK;
}

size_t cluster_report_memory(size_t n, int d, int clusters, const struct cluster_report_options *o)
{
    const size_t rows = cluster__panels_bytes(n, d), side = n < (size_t)d ? n : (size_t)d;
    const size_t means = (size_t)clusters * ((size_t)d * 12 + 64);
    const bool layout = o->layout != CLUSTER_LAYOUT_NONE && n <= o->layout_rows_max;

    if (rows > SIZE_MAX / 4) return SIZE_MAX;
    return rows + n * 160 + means + 3 * side * side * sizeof(double) +
           cluster__sweep_bytes(d, o->cores) + (layout ? cluster__layout_bytes(n) : 0);
}

static enum err check(const struct cluster_report *r, int d, const struct cluster_report_options *o,
                      struct err_info *err)
{
    const size_t need = cluster_report_memory(r->n, d, r->n_clusters, o);

    if (o->memory_max && need > o->memory_max)
        return err_set(err, ERR_TOO_LARGE,
                       "a report on %zu faces of %d numbers would take %zu MB, the limit is %zu MB",
                       r->n, d, (need >> 20) + 1, o->memory_max >> 20);
    return ERR_OK;
}

enum err cluster_report_new(struct cluster_report **out, const float *x, size_t n, int d,
                            const int32_t *labels, const struct cluster_report_options *options,
                            struct err_info *err)
{
    struct cluster_report *r = calloc(1, sizeof *r);
    struct cluster__points p = {.panels = CLUSTER__PANELS_INIT};
    struct cluster__means m = {0, 0, NULL, NULL, NULL};
    struct cluster__view v = {r, options, &p, &m, labels, {options->cores, &options->progress}};
    enum err rc;

    if (!r) return err_set(err, ERR_NOMEM, "no memory for a report");
    r->n = n;
    if (n < 1 || d < 1 || n >= INT32_MAX) {
        rc = err_set(err, ERR_INVALID, "a report on %zu faces of %d numbers", n, d);
        goto done;
    }
    if ((rc = allocate(r, labels, err))) goto done;
    if ((rc = check(r, d, options, err))) goto done;
    if ((rc = cluster__points_init(&p, x, n, d, CLUSTER_COSINE, err))) goto done;
    if ((rc = cluster__means_init(&m, &p, labels, r->n_clusters, err))) goto done;
    if ((rc = check_labels(&m, err))) goto done;
    rc = fill(&v, err);
done:
    cluster__means_release(&m);
    cluster__points_release(&p);
    if (rc)
        cluster_report_free(r);
    else
        *out = r;
    return rc;
}

void cluster_report_free(struct cluster_report *r)
{
    if (!r) return;
    free(r->clusters);
    free(r->first);
    free(r->members);
    free(r->silhouette);
    free(r->outliers);
    free(r->pairs);
    free(r->bridges);
    free(r->pca);
    free(r->layout);
    free(r);
}
