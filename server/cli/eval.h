/* Inside `visavis eval`: a set of labelled pictures, pairs of them, what comes out, and the report.
 */
#ifndef VISAVIS_SERVER_CLI_EVAL_H
#define VISAVIS_SERVER_CLI_EVAL_H

#include "engine/base/err.h"
#include "engine/engine.h"
#include "engine/match.h"
#include "server/cli/cli.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- eval_set.c: pictures and whose they are --- */
struct eval_names { /* strings numbered in the order they came; a hash table beside them */
    char **name;
    size_t n, cap;
    uint32_t *slot; /* index + 1, or 0 */
    size_t slots;   /* a power of two */
};
/* The number of a name, added where it is new. false: no memory. */
bool eval_names_add(struct eval_names *s, const char *name, uint32_t *index);
/* false: it is not there. */
bool eval_names_find(const struct eval_names *s, const char *name, uint32_t *index);
void eval_names_release(struct eval_names *s);

struct eval_image {
    char *path;      /* NULL until it is known */
    uint32_t person; /* index into people */
    bool found;      /* a face was; else it is lost */
    float box[4];
};
struct eval_set {
    struct eval_names people;
    struct eval_names names;   /* pictures: "Abdullah_Gul_0013" */
    struct eval_image *images; /* [names.n] */
    size_t cap;
    int dim;
    float *x; /* [names.n][dim]; zeros where the picture is lost */
};
NODISCARD enum err eval_set_add(struct eval_set *s, const char *person, const char *name,
                                uint32_t *index, struct err_info *err);
void eval_set_release(struct eval_set *s);
/* Finds each picture's file: dir/person/name.jpg (.jpeg .png .webp). ERR_NOT_FOUND names the first
 * that is missing. */
NODISCARD enum err eval_set_locate(struct eval_set *s, const char *dir, struct err_info *err);
/* Every picture of dir, a folder a person, in alphabetical order. */
NODISCARD enum err eval_set_scan(struct eval_set *s, const char *dir, struct err_info *err);
/* Computes box and embedding of each, each file read once. A picture without a face, or one that
 * cannot be decoded, is lost; a file that cannot be read is an error. */
NODISCARD enum err eval_set_embed(struct eval_set *s, struct engine *e, enum face_select select,
                                  int workers, struct err_info *err);
size_t eval_set_lost(const struct eval_set *s);

/* --- eval_pairs.c: LFW's pairs files --- */
struct eval_pair {
    uint32_t a, b; /* pictures of the set */
    bool same;
    int fold;
};
struct eval_pairs {
    int folds; /* 1: the file is not divided */
    size_t n;
    struct eval_pair *pairs;
};
/* text: the file. First line `N` (one fold) or `folds N`; then for each fold N lines `name i j`
 * (the same person) and N lines `name1 i name2 j`, separated by tabs, or blanks where there is no
 * tab; picture `name_%04d`. Pictures are added to set. ERR_INVALID with the line. */
NODISCARD enum err eval_pairs_parse(struct eval_pairs *out, struct eval_set *set, const char *text,
                                    struct err_info *err);
void eval_pairs_release(struct eval_pairs *p);

/* --- eval_exclude.c: labels that are known to be wrong --- */
struct eval_exclude {
    uint32_t *group;        /* [people]: people of one group are one person, or not told apart */
    bool *left_out;         /* [pictures] */
    size_t names, pictures; /* lines that applied */
};
/* text: lines `name1 name2` (one person under two names), `name i` (that picture shows someone
 * else), `name` (all pictures of it are left out); # begins a comment. Names that the set does not
 * have are passed over. ERR_INVALID with the line. */
NODISCARD enum err eval_exclude_parse(struct eval_exclude *out, const struct eval_set *set,
                                      const char *text, struct err_info *err);
void eval_exclude_release(struct eval_exclude *x);

/* --- eval_measure.c --- */
struct eval_scores {
    float *similarity; /* [pairs]; -1 where the pair is lost */
    bool *lost;
    size_t n_lost;
    struct roc *roc; /* lost genuine pairs count as misses, lost impostor pairs are left out */
};
NODISCARD enum err eval_score(struct eval_scores *out, const struct eval_set *set,
                              const struct eval_pairs *p, struct err_info *err);
void eval_scores_release(struct eval_scores *s);
struct eval_accuracy {
    double accuracy, sd; /* sd over the folds; 0 where there is one fold */
    double ci[2];        /* 95 % Wilson */
    float threshold;     /* the mean over the folds */
    const char *from;    /* where the threshold was tuned: "folds", "tune", "pairs" */
};
/* Lost pairs count as wrong. Folds: the threshold of each comes from the others. tune: another
 * file's scores, or NULL. */
NODISCARD enum err eval_accuracy(struct eval_accuracy *out, const struct eval_pairs *p,
                                 const struct eval_scores *s, const struct eval_scores *tune,
                                 struct err_info *err);
/* {"0.1":{"tar","ci","fmr_observed","threshold","supported"},..} down to 10^-decades. */
json_t *eval_tar_json(const struct roc *r, int decades);

/* --- eval_rows.c: the pictures that are compared --- */
enum { EVAL_SPLITS = 10 };
struct eval_rows { /* those with a face that are not left out, or of half of the people */
    float *x;      /* [n][dim] */
    uint32_t *person, *group, *picture; /* [n] */
    size_t n, people;
};
/* split -1: everyone; else the half (0 or 1) of one of EVAL_SPLITS ways to halve the people. On an
 * error nothing is left. */
NODISCARD enum err eval_rows_take(struct eval_rows *r, const struct eval_set *set,
                                  const struct eval_exclude *x, int split, int half,
                                  struct err_info *err);
void eval_rows_release(struct eval_rows *r);
/* Both halves of a split; released by the caller, each. On an error nothing is left. */
NODISCARD enum err eval_rows_halve(struct eval_rows half[2], const struct eval_set *set,
                                   const struct eval_exclude *x, int split, struct err_info *err);

/* --- eval_identify.c: --identify --- */
/* Identification (ISO/IEC 19795-1): of each person with two pictures or more the first is enrolled,
 * the others are looked for among all of them, and so is everybody with one picture, as a stranger.
 * *out: {"gallery","probes","strangers","rank1","rank1_ci","at":[{"fpir","fnir","fnir_ci",
 * "threshold","supported"}],"stated":[..]}; stated: on each half of the people, with cuts for a
 * stated FPIR from a calibration on the other half (as identify takes them), how many strangers
 * were matched. */
NODISCARD enum err eval_identify(json_t **out, const struct eval_set *set,
                                 const struct eval_exclude *x, struct err_info *err);

/* --- eval_all.c: --all-pairs --- */
struct eval_all_options {
    const char *exclude; /* text of the exclusion list, or NULL */
    int nearest;
    bool split_half, identify;
};
struct eval_all {
    struct match_pairs *pairs;
    struct roc *roc;
    uint32_t *picture; /* row of the pairs -> picture of the set */
    size_t rows, people;
    json_t
        *extra; /* keys for the answer: nearest_impostors, farthest_genuine, excluded, split_half */
};
NODISCARD enum err eval_all_measure(struct eval_all *out, const struct eval_set *set,
                                    const struct eval_all_options *o, struct err_info *err);
void eval_all_release(struct eval_all *a);

/* --- eval_glyphs.c: --glyphs, all of it; returns the exit code --- */
int eval_glyphs(int argc, char **argv);

/* --- eval_html.c, eval_svg.c: the report --- */
struct eval_shown_pair {
    uint32_t a, b; /* pictures */
    float similarity;
};
struct eval_report {
    const char *title;
    const json_t *answer; /* what was printed */
    const struct roc *roc;
    float threshold;
    const struct eval_set *set;
    const struct eval_shown_pair *false_matches, *misses; /* worst first */
    size_t n_false_matches, n_misses;
};
/* One page that needs nothing else: no script, no network, prints well. */
NODISCARD enum err eval_html(struct buf *out, const struct eval_report *r, struct engine *e,
                             struct err_info *err);
NODISCARD enum err eval_svg_roc(struct buf *out, const struct roc *r, double least_fmr,
                                struct err_info *err);
NODISCARD enum err eval_svg_histogram(struct buf *out, const struct roc *r, float threshold,
                                      struct err_info *err);

#endif
