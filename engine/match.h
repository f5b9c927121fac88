/* Comparing embeddings: similarity, and what it means. Plain arrays in and out; pure; any thread.
 */
#ifndef VISAVIS_ENGINE_MATCH_H
#define VISAVIS_ENGINE_MATCH_H

#include "engine/base/cores.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Cosine a.b of two unit vectors of d floats, in [-1, 1] (clamped). Distance is 1 - similarity. */
float match_similarity(const float *a, const float *b, int d);

/* Divides v by its length. false when it is zero or not finite (v untouched). */
bool match_normalize(float *v, int d);

/* A calibration: how often strangers, and the same person, reach a similarity. Measured by `visavis
 * eval`, kept as JSON in the model file (format in calibration.c), belongs to one recipe. */
struct calibration;

NODISCARD enum err calibration_parse(struct calibration **out, const char *json,
                                     struct err_info *err);
void calibration_free(struct calibration *c);

struct calibration_info {
    const char *source; /* "lfw-view1-all-pairs" */
    const char *recipe; /* hash of the recipe it was measured with */
    double impostor_pairs, genuine_pairs;
    double min_fmr; /* 10 / impostor_pairs: the smallest rate the data supports */
};
void calibration_info(const struct calibration *c, struct calibration_info *out);

/* The cut: the least similarity at which at most fmr of the impostor pairs lie at or above. fmr in
 * (0,1). ERR_INVALID out of range; ERR_FMR_UNSUPPORTED: fewer than 10 impostor pairs beyond it,
 * saying what it can support. */
NODISCARD enum err calibration_cut(const struct calibration *c, double fmr, float *cut,
                                   struct err_info *err);
/* Estimated FMR at a similarity, never below min_fmr / 10. */
double calibration_fmr(const struct calibration *c, float similarity);
/* Probability that it is one person, with equal priors, in (0,1), never decreasing in similarity.
 */
double calibration_probability(const struct calibration *c, float similarity);

/* --- measuring (roc.c) --- */
struct roc;
/* genuine and impostor similarities (any order; copied). At least one of each, finite. */
NODISCARD enum err roc_new(struct roc **out, const float *genuine, size_t n_genuine,
                           const float *impostor, size_t n_impostor, struct err_info *err);
void roc_free(struct roc *r);
double roc_eer(const struct roc *r);
/* Similarity with the best accuracy (mean of TAR and TNR weighted by counts); *accuracy at it. The
 * middle of the widest best gap. */
float roc_best_threshold(const struct roc *r, double *accuracy);
double roc_accuracy_at(const struct roc *r, float threshold);
struct roc_point {
    double fmr, tar; /* observed */
    double ci[2];    /* 95 % Wilson interval of tar */
    float threshold;
    bool supported; /* at least 10 impostor pairs at or above the threshold would be allowed: fmr *
                       n >= 10 */
};
/* TAR at the least threshold whose observed FMR is <= fmr. */
void roc_at_fmr(const struct roc *r, double fmr, struct roc_point *out);
/* FMR and TAR at a threshold: of the impostor and of the genuine pairs, how many lie at or above
 * it. */
double roc_fmr(const struct roc *r, float threshold);
double roc_tar(const struct roc *r, float threshold);

/* --- every pair of a set (pairs.c) --- */
enum { MATCH_PAIRS_BINS = 1 << 16 }; /* of the similarity's range [-1, 1] */
struct match_pair {
    float similarity;
    uint32_t a, b; /* rows, a < b */
};
struct match_pairs {
    struct match_pair *genuine; /* all pairs of one person, least similar first */
    size_t n_genuine;
    struct match_pair *tail; /* the most similar impostor pairs, most similar first */
    size_t n_tail;
    uint64_t n_impostor; /* counted, the tail included */
    uint64_t *histogram; /* [MATCH_PAIRS_BINS] of the impostor pairs that are not in the tail */
};
/* Compares each row of x [n][d] (unit length) with each other, in blocks, in memory that does not
 * grow with the pairs. person [n]: who a row is. group [n] or NULL: rows of one group but two
 * persons are left out (one person under two names). tail_max: how many of the most similar
 * impostor pairs are kept. threads: of OpenMP, 0 all it has; a server's worker has 1.
 * ERR_INVALID: fewer than 2 rows; ERR_NOMEM. */
NODISCARD enum err match_pairs_new(struct match_pairs **out, const float *x, size_t n, int d,
                                   const uint32_t *person, const uint32_t *group, size_t tail_max,
                                   int threads, struct err_info *err);
void match_pairs_free(struct match_pairs *p);
/* At each of n_cuts similarities: how many impostor pairs reach it, and how sure that rate is.
 * Pairs that share a person are not independent, so the interval is the dyadic-robust one (Aronow,
 * Samii & Assenova 2015), wider than Wilson's. Arguments as above; out: [n_cuts]. */
struct match_rate {
    uint64_t reached, pairs;
    double fmr;
    double log_sd; /* standard error of log(fmr); 0 where no pair reached it */
    double ci[2];  /* 95 %, on the logarithm of the rate; [0, 1] where no pair reached it */
};
NODISCARD enum err match_pairs_rates(struct match_rate *out, const float *cuts, int n_cuts,
                                     const float *x, size_t n, int d, const uint32_t *person,
                                     const uint32_t *group, struct err_info *err);
/* The curve of all these pairs: exact in the tail, elsewhere each pair counts at the upper edge of
 * its bin (3e-5 wide), so that no FMR is understated. */
NODISCARD enum err roc_new_pairs(struct roc **out, const struct match_pairs *p,
                                 struct err_info *err);

/* Calibration JSON from the curve (malloc'd text, caller's). command: what made it, without this
 * machine's paths. */
struct calibration_origin {
    const char *source, *recipe, *model, *command;
    size_t people, images;
};
NODISCARD enum err roc_calibration_json(char **out, const struct roc *r,
                                        const struct calibration_origin *o, struct err_info *err);

/* --- exact search (engine/match/index*.c) --- */
/* One collection's examples in memory, searched exactly: every answer is what a plain scan in
 * double precision gives. Similarities are sums of (double)a[i] * b[i] in the order of i, not
 * clamped.
 *
 * One writer at a time (the caller's matter), any number of readers beside it. A reader works on
 * the state that was current when it began, and neither waits for the other longer than it takes to
 * swap a pointer. A vector that was removed or replaced is overwritten with zeros as soon as the
 * readers that began before are done. */
struct match_index;

enum {
    MATCH_DIM_MAX = 8192,
    MATCH_TOP_MAX = 100,  /* candidates a query may ask for */
    MATCH_BATCH_MAX = 32, /* queries that share one pass over the rows; more take several passes */
};

/* centroids: also keep what MATCH_CENTROID needs (one more row for each identity). d 1..
 * MATCH_DIM_MAX, else ERR_INVALID; ERR_NOMEM. */
NODISCARD enum err match_index_new(struct match_index **out, int d, bool centroids,
                                   struct err_info *err);
/* No reader may be left. Overwrites every vector. NULL allowed. */
void match_index_free(struct match_index *x);

enum match_change_kind {
    MATCH_PUT,    /* a new example, or another vector and identity for one that is there */
    MATCH_MOVE,   /* to another identity; nothing where the example is not there */
    MATCH_REMOVE, /* nothing where it is not there */
};
struct match_change {
    enum match_change_kind kind;
    int64_t example;     /* any number but INT64_MIN */
    int64_t identity;    /* PUT, MOVE; 0: belongs to nobody, never a candidate. >= 0 */
    const float *vector; /* PUT: [d], unit length within 1 %; read during the call only */
};
/* Applies n changes in their order, all or none; readers see all or none. Quickest with examples in
 * ascending order and, when there are many, in calls of 50,000 or more. ERR_INVALID (a vector that
 * is not finite or not of unit length, a number out of range); ERR_NOMEM. */
NODISCARD enum err match_index_apply(struct match_index *x, const struct match_change *changes,
                                     size_t n, struct err_info *err);

struct match_index_info {
    int d;
    size_t examples;   /* those of identity 0 included */
    size_t identities; /* with at least one example; 0 does not count */
    size_t bytes;      /* of vectors, their shadow and the tables, about */
};
void match_index_info(struct match_index *x, struct match_index_info *out);

enum match_rule {
    MATCH_MAX,      /* the similarity of an identity is that of its best example */
    MATCH_MEAN_TOP, /* mean of its m best examples, or of all where it has fewer */
    MATCH_CENTROID, /* cosine to its centroid: the examples summed in double in ascending order of
                       their numbers, divided by the length, rounded to float. One example is its
                       own centroid; where the sum has no length, the first example is. */
};
struct match_query {
    const float *vectors; /* [n][d], unit length within 1 % */
    size_t n;
    int top; /* candidates wanted for each, 1..MATCH_TOP_MAX */
    enum match_rule rule;
    int m;                  /* MATCH_MEAN_TOP: 1..MATCH_TOP_MAX */
    const int64_t *allowed; /* identities that may be candidates, ascending; NULL: all */
    size_t n_allowed;
};
struct match_candidate {
    int64_t identity;
    double similarity; /* by the rule */
    int64_t example;   /* its best (of equals the smallest number), and that one's similarity */
    double example_similarity;
    size_t examples; /* how many it has */
};
struct match_cost {
    size_t scanned;  /* rows that each query was compared with: examples, or centroids */
    size_t rescored; /* products taken in double, of all queries together; depends on cores, a
                        little */
    bool exact;      /* true: this index gives no other answers */
};
/* The best candidates of each query: out [n][top], best first, of equals the smaller identity;
 * counts [n] says how many. The passes are cut into parts of a few milliseconds for cores (NULL:
 * this thread); answers do not depend on them. cost: NULL allowed. ERR_INVALID; ERR_NOMEM: a
 * few hundred KB are needed for each thread, whatever the number of rows. */
NODISCARD enum err match_index_search(struct match_index *x, const struct match_query *q,
                                      struct match_candidate *out, int *counts,
                                      struct match_cost *cost, const struct cores *cores,
                                      struct err_info *err);

struct match_row {
    int64_t example, identity;
    double similarity; /* 0 where nothing was compared */
};
/* The most similar examples, those of identity 0 too: out [n][top], counts [n], best first, of
 * equals the smaller number. */
NODISCARD enum err match_index_nearest(struct match_index *x, const float *vectors, size_t n,
                                       int top, struct match_row *out, int *counts,
                                       struct match_cost *cost, const struct cores *cores,
                                       struct err_info *err);
/* Every example of one identity (not 0) with its similarity to vector [d], best first. *out is
 * malloc'd, caller's; NULL and *n 0 where it has none. */
NODISCARD enum err match_index_scores(struct match_index *x, int64_t identity, const float *vector,
                                      struct match_row **out, size_t *n, struct err_info *err);
/* All rows in ascending order of example, and with vectors not NULL their vectors, [n][d]. Both
 * malloc'd, caller's; one state of the index. */
NODISCARD enum err match_index_rows(struct match_index *x, struct match_row **rows, float **vectors,
                                    size_t *n, struct err_info *err);

/* Wilson score interval (Wilson 1927) of k of n at 95 %. */
void wilson_interval(double k, double n, double out[2]);

#endif
