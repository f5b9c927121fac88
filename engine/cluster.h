/* Which of these faces belong together. Plain arrays in and out: rows x float[n][d] of unit length
 * (the embedding of face i is x + i d), labels out. No I/O, no clock, no globals.
 *
 * Similarity is the cosine a.b, distance 1 - a.b, in [0, 2]; rows need not be of exactly unit
 * length, every figure of the report divides by the length. Any thread; a call returns when all is
 * done, and cuts its work into parts that options->cores runs. The same rows, options and
 * instruction set give the same bytes, whatever the number of threads.
 *
 * What is not finite, or has no length, is ERR_INVALID and names the row. Every call that may run
 * long says beforehand how much memory it wants: over memory_max it is ERR_TOO_LARGE with the
 * estimate, before anything is computed. A tell() that answers false ends it with ERR_CANCELLED. */
#ifndef VISAVIS_ENGINE_CLUSTER_H
#define VISAVIS_ENGINE_CLUSTER_H

#include "engine/base/cores.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLUSTER_OUTLIER = -1 };
static const uint32_t CLUSTER_NO_GROUP = UINT32_MAX;

enum cluster_algorithm {
    CLUSTER_AUTO,   /* average linkage to a cut that the calibration and the number of clusters give
                     */
    CLUSTER_KMEANS, /* Lloyd 1982, seeded by k-means++ (Arthur & Vassilvitskii 2007) */
    CLUSTER_AVERAGE,  /* agglomerative, average linkage (UPGMA; Sokal & Michener 1958) */
    CLUSTER_COMPLETE, /* agglomerative, complete linkage */
    CLUSTER_DBSCAN,   /* Ester, Kriegel, Sander & Xu 1996 */
    CLUSTER_HDBSCAN,  /* Campello, Moulavi & Sander 2013; excess of mass */
    CLUSTER_WHISPERS, /* Chinese Whispers, Biemann 2006, on the graph of pairs at or above the cut
                       */
    CLUSTER_ALGORITHMS
};
/* "auto", "kmeans", "average", "complete", "dbscan", "hdbscan", "whispers". Static; NULL out of
 * range. parse: false when there is none of that name. */
const char *cluster_algorithm_name(enum cluster_algorithm a);
bool cluster_algorithm_parse(enum cluster_algorithm *out, const char *name);

enum cluster_metric {
    CLUSTER_COSINE,    /* k-means: spherical (Dhillon & Modha 2001), centres of unit length */
    CLUSTER_EUCLIDEAN, /* k-means only; rows of any length */
};

enum cluster_k_by { CLUSTER_BY_SILHOUETTE, CLUSTER_BY_GAP }; /* Rousseeuw 1987; Tibshirani 2001 */

struct cluster_progress {
    void *self;
    /* phase: a static name ("neighbours", "merging"); done of total. Called on the caller's thread,
     * between parts of some tens of milliseconds. false: stop. */
    bool (*tell)(void *self, const char *phase, size_t done, size_t total);
};

/* What may and may not be together. Honoured by the linkages and by auto; elsewhere ignored, and
 * the result says so. Contradictions (two rows of one must group that cannot be together): must
 * wins, and conflicts counts them. */
struct cluster_constraints {
    const uint32_t *apart; /* [n] or NULL: rows of one number (a photograph) are not put together;
                              CLUSTER_NO_GROUP: free */
    const uint32_t *together;    /* [n] or NULL: rows of one number (an identity) stay together */
    const uint32_t (*cannot)[2]; /* [n_cannot] pairs of rows, besides */
    size_t n_cannot;
};

struct cluster_rate {
    double fmr;       /* of pairs of strangers, this share ... */
    float similarity; /* ... is at least this alike */
};
/* The false-match rates that auto chooses from, strictest first; ask the calibration for each cut
 * and leave out what it does not support. */
enum { CLUSTER_RATES = 17 };
extern const double cluster_rates[CLUSTER_RATES]; /* 1e-6 ... 1e-2, four a decade */

struct cluster_options {
    enum cluster_algorithm algorithm;
    enum cluster_metric metric;
    /* Least similarity at which two are taken for one person. Linkages: clusters are merged while
     * their (mean, least) similarity is at least this; DBSCAN: eps = 1 - cut; whispers: edges;
     * auto: instead of rates. NAN: not given. */
    float cut;
    /* auto: cuts of the model's calibration, strictest first (see cluster_rates); the one used
     * depends on how many clusters there are (auto.c). NULL, and no cut and no k: k is searched. */
    const struct cluster_rate *rates;
    int n_rates;
    /* k-means, linkages: number of clusters, 1..n; 0: not given. Linkages: instead of a cut. */
    int k;
    /* k-means and auto without k and without cut: searched in k_min..k_max by k_by. */
    int k_min, k_max;
    enum cluster_k_by k_by;
    const float *centres; /* k-means: [k][d] to start from; NULL: k-means++ */
    int restarts;         /* k-means++ starts; the one of least inertia is kept */
    int rounds;           /* k-means, whispers: at most so many */
    int min_points;       /* DBSCAN: rows within eps, itself included, that make a core point;
                             HDBSCAN: min_samples, itself included, 0: as min_cluster_size */
    int min_cluster_size; /* HDBSCAN: >= 2 */
    int min_size;   /* linkages, whispers, auto: smaller clusters are outliers; 0: auto 2, else 1 */
    bool full_tree; /* linkages: merges go on past the cut, to one cluster where they may */
    uint64_t seed;
    struct cluster_constraints constraints;
    size_t memory_max; /* bytes that the call may take besides its arguments; 0: no bound */
    const struct cores *cores;
    struct cluster_progress progress; /* tell NULL: none */
};
#define CLUSTER_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .algorithm = CLUSTER_AUTO, .cut = __builtin_nanf(""), .k_min = 2, .k_max = 20,             \
        .restarts = 10, .rounds = 300, .min_points = 5, .min_cluster_size = 5                      \
    }

/* One merge of the dendrogram, in scipy's numbering: below n a row, else n + index of an earlier
 * merge; a < b. Sorted by distance. */
struct cluster_merge {
    uint32_t a, b;
    float distance; /* 1 - the (mean, least) similarity; a must-link is 0, 2 is as far as it goes */
    uint32_t size;  /* rows under it */
};

/* A parameter that was used, and why: {"cut", "0.9412", "similarity at FMR 2.1e-4 ..."} */
struct cluster_parameter {
    const char *name; /* static */
    char value[32];
    char why[200]; /* one sentence */
};
enum { CLUSTER_PARAMETERS_MAX = 12 };

struct cluster_tried { /* of a search for k */
    int k;
    double score;  /* mean silhouette, or the gap */
    double spread; /* the gap's s_k; 0 */
};

struct cluster_result {
    size_t n;
    int32_t *labels; /* [n] cluster, or CLUSTER_OUTLIER */
    int clusters;    /* numbered by size, greatest first, then by first member */
    size_t outliers;
    enum cluster_algorithm algorithm;
    float cut;                    /* similarity; NAN where the algorithm has none */
    double cut_fmr;               /* auto with rates: the rate of that cut; else 0 */
    struct cluster_merge *merges; /* [n_merges]; linkages: to the cut or, full_tree, to the end */
    size_t n_merges;              /* n - 1 for a whole tree; less: a forest */
    float *centres;               /* [clusters][d] k-means in order of labels; else NULL */
    double inertia;               /* k-means: sum of squared distances to the centre; cosine: sum of
                                     2 (1 - cosine) */
    int rounds;                   /* k-means, whispers: that it took */
    float *probability;           /* [n] HDBSCAN's membership strength, else NULL */
    struct cluster_tried *tried;  /* [n_tried] */
    int n_tried;
    struct {
        bool ignored;       /* there were some, and this algorithm does not know them */
        size_t apart_pairs; /* pairs of rows that may not be together */
        size_t together;    /* groups of two or more that must */
        size_t conflicts;   /* pairs that may not and must */
    } constraints;
    struct cluster_parameter parameters[CLUSTER_PARAMETERS_MAX];
    int n_parameters;
    size_t memory; /* the estimate it ran under, bytes */
};

/* Bytes that cluster_run would take besides x, at most (complete linkage and whispers under a cut:
 * without the pairs above it, which are counted first and refused then). SIZE_MAX: does not fit. */
size_t cluster_memory(size_t n, int d, const struct cluster_options *options);

/* ERR_INVALID: n 0, k over n, an option out of range or missing; ERR_TOO_LARGE, ERR_CANCELLED,
 * ERR_NOMEM. *out is the caller's: cluster_result_free. */
NODISCARD enum err cluster_run(struct cluster_result **out, const float *x, size_t n, int d,
                               const struct cluster_options *options, struct err_info *err);
void cluster_result_free(struct cluster_result *r);

/* --- the report --- */

struct cluster_summary { /* of one cluster */
    size_t size;
    uint32_t medoid;   /* the member with the greatest mean similarity to the others */
    double cohesion;   /* mean similarity of its pairs; 1 for a single member */
    double least;      /* least similarity of a member to the mean of the others */
    double separation; /* 1 - mean similarity to the nearest other cluster's members; NAN: alone */
    int nearest;       /* that cluster, -1: there is none */
    double silhouette; /* mean over its members; NAN with fewer than two clusters */
};

struct cluster_outlier {
    uint32_t row;
    int nearest;       /* cluster of the greatest mean similarity; -1: there is no cluster */
    double similarity; /* that mean */
    uint32_t face;     /* the most similar face of that cluster */
    double face_similarity;
};

struct cluster_pair {  /* two clusters that may be one person */
    int a, b;          /* a < b */
    double similarity; /* mean over the pairs between them */
    double greatest;   /* of one pair between them (their two most similar faces) */
    uint32_t face_a, face_b;
    bool apart; /* a constraint keeps them apart */
};

struct cluster_bridge { /* a member that chains two groups */
    uint32_t row;
    int cluster;
    size_t sizes[2];   /* the two largest parts that the cluster's graph (pairs at or above the cut)
                          falls into without it; both >= 2 */
    double similarity; /* mean between these two parts */
};

struct cluster_truth { /* outliers count as clusters of one; rows without truth are left out */
    size_t rows, people;
    double purity;
    double bcubed_precision, bcubed_recall, bcubed_f; /* Amigo et al. 2009 */
    double ari;                                       /* Hubert & Arabie 1985 */
    double nmi; /* mutual information over the arithmetic mean of the entropies */
};
/* labels [n] (negative: alone), truth [n] (CLUSTER_NO_GROUP: unknown). No row with truth: all NAN,
 * rows 0. */
NODISCARD enum err cluster_truth_scores(struct cluster_truth *out, const int32_t *labels,
                                        const uint32_t *truth, size_t n, struct err_info *err);

enum cluster_layout {
    CLUSTER_LAYOUT_NONE,
    CLUSTER_LAYOUT_TSNE, /* van der Maaten & Hinton 2008; above 250 rows Barnes-Hut (2014) */
};

struct cluster_report_options {
    float cut;      /* as in the result; NAN: the least cohesion of a cluster */
    float possible; /* pairs of clusters with at least this mean similarity are listed; NAN: cut */
    const uint32_t *apart; /* [n] or NULL, as in the constraints: told in cluster_pair */
    const uint32_t *truth; /* [n] or NULL; CLUSTER_NO_GROUP: unknown */
    enum cluster_layout layout;
    size_t layout_rows_max; /* no layout above so many rows (it takes minutes) */
    size_t pairs_max, bridges_max;
    uint64_t seed;
    size_t memory_max;
    const struct cores *cores;
    struct cluster_progress progress;
};
#define CLUSTER_REPORT_OPTIONS_INIT                                                                \
    {                                                                                              \
        .cut = __builtin_nanf(""), .possible = __builtin_nanf(""), .layout = CLUSTER_LAYOUT_TSNE,  \
        .layout_rows_max = 5000, .pairs_max = 200, .bridges_max = 200                              \
    }

struct cluster_report {
    size_t n;
    int n_clusters;
    struct cluster_summary *clusters; /* [n_clusters] */
    size_t *first;                    /* [n_clusters + 1] into members */
    uint32_t *members;                /* rows by cluster, in each the most central first */
    float *silhouette;      /* [n] in [-1, 1]; outliers and single members 0; NAN with fewer
                               than two clusters. Over the clusters only: outliers are
                               neither scored nor a cluster */
    double silhouette_mean; /* over the rows in clusters; NAN with fewer than two */
    struct cluster_outlier *outliers;
    size_t n_outliers;
    struct cluster_pair *pairs; /* most similar first, at most pairs_max */
    size_t n_pairs, pairs_found;
    struct cluster_bridge *bridges; /* largest lesser part first */
    size_t n_bridges, bridges_found;
    int bridges_skipped; /* clusters too large to look in (see report_bridges.c) */
    /* 2-D coordinates, [n][2]. */
    float *pca;
    double explained[2]; /* share of the variance */
    float *layout;       /* NULL: none, or too many rows */
    double layout_perplexity;
    int layout_rounds;
    bool has_truth;
    struct cluster_truth truth;
};
size_t cluster_report_memory(size_t n, int d, int clusters,
                             const struct cluster_report_options *options);
/* labels [n]: clusters 0..max without a gap, negative: outlier; any numbering. */
NODISCARD enum err cluster_report_new(struct cluster_report **out, const float *x, size_t n, int d,
                                      const int32_t *labels,
                                      const struct cluster_report_options *options,
                                      struct err_info *err);
void cluster_report_free(struct cluster_report *r);

/* --- parts of it, for themselves --- */

/* Principal components: centred rows on the first `components` (<= d) axes, out
 * [n][components]; explained [components] shares of the variance or NULL. The sign of an axis is
 * such that its coefficient of greatest magnitude is positive. */
NODISCARD enum err cluster_pca(float *out, double *explained, const float *x, size_t n, int d,
                               int components, const struct cores *cores, struct err_info *err);
/* Silhouettes (Rousseeuw 1987) of labels 0..clusters-1, by cosine distance; out double[n], NAN with
 * fewer than two clusters; negative labels are left out and get 0. */
NODISCARD enum err cluster_silhouettes(double *out, const float *x, size_t n, int d,
                                       const int32_t *labels, int clusters,
                                       const struct cores *cores, struct err_info *err);

/* --- new faces --- */

/* Each new row joins the cluster with the greatest mean similarity, where that is at least cut and
 * no constraint forbids it (apart [n + n_new] or NULL: first the old rows, then the new); else it
 * stays an outlier. In order, one after the other: a new face counts for those after it. The old
 * labels are not touched. out [n_new]; similarity [n_new] or NULL: to the nearest cluster. */
NODISCARD enum err cluster_assign(int32_t *out, float *similarity, const float *new_rows,
                                  size_t n_new, const float *x, size_t n, int d,
                                  const int32_t *labels, float cut, const uint32_t *apart,
                                  struct err_info *err);
/* How many rows change their cluster between two labellings: clusters are matched one to one,
 * largest overlap first; a row whose cluster is not matched to its old one has moved. */
NODISCARD enum err cluster_moved(size_t *moved, const int32_t *before, const int32_t *after,
                                 size_t n, struct err_info *err);

#endif
