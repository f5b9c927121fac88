/* From similarities to the figures: accuracy and the rates. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "server/cli/eval.h"

void eval_scores_release(struct eval_scores *s)
{
    free(s->similarity);
    free(s->lost);
    roc_free(s->roc);
    *s = (struct eval_scores){0};
}

/* The curve of the pairs whose fold is not `without` (-1: of all). */
static enum err curve(struct roc **out, const struct eval_pairs *p, const struct eval_scores *s,
                      int without, struct err_info *err)
{
    float *v AUTO_FREE = malloc((2 * p->n + 1) * sizeof *v);
    size_t genuine = 0, impostor = 0;

    if (!v) return err_set(err, ERR_NOMEM, "no memory for %zu pairs", p->n);
    for (size_t i = 0; i < p->n; i++) {
        if (p->pairs[i].fold == without) continue;
        if (p->pairs[i].same)
            v[genuine++] = s->similarity[i];
        else if (!s->lost[i])
            v[p->n + impostor++] = s->similarity[i];
    }
    return roc_new(out, v, genuine, v + p->n, impostor, err);
}

enum err eval_score(struct eval_scores *out, const struct eval_set *set, const struct eval_pairs *p,
                    struct err_info *err)
{
    struct eval_scores s = {.similarity = malloc((p->n + 1) * sizeof *s.similarity),
                            .lost = calloc(p->n + 1, sizeof *s.lost)};
    const size_t dim = (size_t)set->dim;
    enum err rc = ERR_OK;

    if (!s.similarity || !s.lost) rc = err_set(err, ERR_NOMEM, "no memory for %zu pairs", p->n);
    for (size_t i = 0; !rc && i < p->n; i++) {
        const struct eval_pair *q = &p->pairs[i];
        s.lost[i] = !set->images[q->a].found || !set->images[q->b].found;
        s.n_lost += s.lost[i];
        s.similarity[i] =
            s.lost[i] ? -1 : match_similarity(set->x + q->a * dim, set->x + q->b * dim, set->dim);
    }
    if (!rc) rc = curve(&s.roc, p, &s, -1, err);
    if (rc)
        eval_scores_release(&s);
    else
        *out = s;
    return rc;
}

/* How many pairs of a fold (-1: of all) are judged right at a threshold. */
static size_t right_at(const struct eval_pairs *p, const struct eval_scores *s, int fold,
                       float threshold, size_t *of)
{
    size_t right = 0;

    *of = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (fold >= 0 && p->pairs[i].fold != fold) continue;
        ++*of;
        right += !s->lost[i] && (s->similarity[i] >= threshold) == p->pairs[i].same;
    }
    return right;
}

static enum err over_folds(struct eval_accuracy *out, const struct eval_pairs *p,
                           const struct eval_scores *s, struct err_info *err)
{
    double sum = 0, squares = 0, thresholds = 0;
    size_t right = 0;

    for (int f = 0; f < p->folds; f++) {
        struct roc *others;
        size_t of;
        const enum err rc = curve(&others, p, s, f, err);
        if (rc) return rc;
        const float t = roc_best_threshold(others, NULL);
        roc_free(others);
        const size_t k = right_at(p, s, f, t, &of);
        const double accuracy = (double)k / (double)of;
        right += k;
        sum += accuracy;
        squares += accuracy * accuracy;
        thresholds += t;
    }
    const double n = p->folds, mean = sum / n, variance = (squares - n * mean * mean) / (n - 1);
    out->accuracy = mean;
    out->sd = variance > 0 ? sqrt(variance) : 0;
    out->threshold = (float)(thresholds / n);
    out->from = "folds";
    wilson_interval((double)right, (double)p->n, out->ci);
    return ERR_OK;
}

enum err eval_accuracy(struct eval_accuracy *out, const struct eval_pairs *p,
                       const struct eval_scores *s, const struct eval_scores *tune,
                       struct err_info *err)
{
    size_t of;

    if (p->folds > 1) return over_folds(out, p, s, err);
    out->threshold = roc_best_threshold(tune ? tune->roc : s->roc, NULL);
    const size_t right = right_at(p, s, -1, out->threshold, &of);
    out->accuracy = (double)right / (double)of;
    out->sd = 0;
    out->from = tune ? "tune" : "pairs";
    wilson_interval((double)right, (double)of, out->ci);
    return ERR_OK;
}

json_t *eval_tar_json(const struct roc *r, int decades)
{
    json_t *all = json_object();

    for (int k = 1; all && k <= decades; k++) {
        struct roc_point p;
        char rate[32];
        snprintf(rate, sizeof rate, "%.*f", k, pow(10, -k));
        roc_at_fmr(r, pow(10, -k), &p);
        if (json_object_set_new(all, rate,
                                json_pack("{s:f, s:[f, f], s:f, s:f, s:b}", "tar", p.tar, "ci",
                                          p.ci[0], p.ci[1], "fmr_observed", p.fmr, "threshold",
                                          (double)p.threshold, "supported", p.supported))) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}
