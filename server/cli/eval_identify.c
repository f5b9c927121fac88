/* --identify: one picture of each person in a gallery; who are the others, and the strangers? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/decide.h"
#include "server/cli/eval.h"

enum {
    TAIL_PAIRS = 200000,
    RATES = 2,
    GENUINE_LEAST = 2,
    IMPOSTOR_LEAST = 100, /* ten of them are a rate of 10 %: fewer say nothing */
};
static const double rates[RATES] = {0.01, 0.001}; /* FPIR */

/* What searching gave; persons and groups as in eval_rows. */
struct searched {
    size_t gallery; /* people enrolled */
    float *probe;   /* [n_probe] similarity of the best where that is right, else -1 */
    size_t n_probe, right;
    float *stranger; /* [n_stranger] similarity of the best */
    size_t n_stranger;
};

static void searched_release(struct searched *s)
{
    free(s->probe);
    free(s->stranger);
}

/* What a row is in this experiment. */
enum part { ENROLLED, PROBE, STRANGER, NEITHER };

/* Of people with two pictures or more the first is enrolled. A stranger is alone under his name,
 * and nobody of his group (the same person under another name) is enrolled. */
static enum err divide(enum part *part, const struct eval_rows *r, struct err_info *err)
{
    uint32_t most = 0;
    for (size_t i = 0; i < r->n; i++) {
        most = r->person[i] > most ? r->person[i] : most;
        most = r->group[i] > most ? r->group[i] : most;
    }
    AUTO_FREE uint32_t *pictures = calloc((size_t)most + 1, sizeof *pictures);
    AUTO_FREE bool *enrolled = calloc((size_t)most + 1, sizeof *enrolled);
    AUTO_FREE bool *known = calloc((size_t)most + 1, sizeof *known);
    if (!pictures || !enrolled || !known)
        return err_set(err, ERR_NOMEM, "no memory for %zu pictures", r->n);
    for (size_t i = 0; i < r->n; i++) pictures[r->person[i]]++;
    for (size_t i = 0; i < r->n; i++)
        if (pictures[r->person[i]] > 1) known[r->group[i]] = true;
    for (size_t i = 0; i < r->n; i++) {
        const uint32_t who = r->person[i];
        part[i] = pictures[who] == 1 ? (known[r->group[i]] ? NEITHER : STRANGER)
                  : enrolled[who]    ? PROBE
                                     : ENROLLED;
        enrolled[who] = true;
    }
    return ERR_OK;
}

/* Every row of one part against the gallery. */
static enum err search_one(struct searched *s, struct match_index *index, const struct eval_rows *r,
                           const enum part *part, size_t i, int dim, struct err_info *err)
{
    const struct match_query q = {
        .vectors = r->x + i * (size_t)dim, .n = 1, .top = 1, .rule = MATCH_MAX, .m = 1};
    struct match_candidate best;
    int count = 0;
    enum err rc = match_index_search(index, &q, &best, &count, NULL, NULL, err);

    if (rc || !count) return rc;
    if (part[i] == STRANGER) {
        s->stranger[s->n_stranger++] = (float)best.similarity;
        return ERR_OK;
    }
    const bool right = best.identity == (int64_t)r->person[i] + 1;
    s->right += right;
    s->probe[s->n_probe++] = right ? (float)best.similarity : -1;
    return ERR_OK;
}

static enum err search_all(struct searched *s, const struct eval_rows *r, int dim,
                           struct err_info *err)
{
    AUTO_FREE enum part *part = calloc(r->n + 1, sizeof *part);
    struct match_index *index = NULL;
    enum err rc;

    *s = (struct searched){.probe = calloc(r->n + 1, sizeof *s->probe),
                           .stranger = calloc(r->n + 1, sizeof *s->stranger)};
    if (!part || !s->probe || !s->stranger)
        return err_set(err, ERR_NOMEM, "no memory for %zu pictures", r->n);
    if ((rc = divide(part, r, err)) || (rc = match_index_new(&index, dim, false, err))) return rc;
    for (size_t i = 0; !rc && i < r->n; i++) {
        const struct match_change c = {MATCH_PUT, (int64_t)i + 1, (int64_t)r->person[i] + 1,
                                       r->x + i * (size_t)dim};
        if (part[i] != ENROLLED) continue;
        rc = match_index_apply(index, &c, 1, err);
        s->gallery++;
    }
    for (size_t i = 0; !rc && i < r->n; i++)
        if (part[i] == PROBE || part[i] == STRANGER)
            rc = search_one(s, index, r, part, i, dim, err);
    match_index_free(index);
    return rc;
}

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Misses at the least threshold at which at most fpir of the strangers pass. */
static json_t *at_fpir(const struct searched *s, double fpir)
{
    const size_t allowed = (size_t)floor(fpir * (double)s->n_stranger + 1e-9);
    const float first_out = allowed < s->n_stranger ? s->stranger[allowed] : -1;
    const float threshold = nextafterf(first_out, 2);
    double ci[2];
    size_t missed = 0;

    for (size_t i = 0; i < s->n_probe; i++) missed += s->probe[i] < threshold;
    wilson_interval((double)missed, (double)s->n_probe, ci);
    return json_pack("{s:f, s:f, s:[f, f], s:f, s:b}", "fpir", fpir, "fnir",
                     (double)missed / (double)s->n_probe, "fnir_ci", ci[0], ci[1], "threshold",
                     (double)threshold, "supported", allowed >= 10);
}

/* --- rates stated from one half, seen on the other --- */

struct stated {
    size_t checks, strangers, matched;
    size_t within; /* the stated rate is not below the interval of what was seen */
    size_t guaranteed;
    double worst;
};

/* ERR_FMR_UNSUPPORTED: there are too few pairs to state any rate. */
static enum err calibrate(struct calibration **out, const struct eval_rows *r, int dim,
                          struct err_info *err)
{
    const struct calibration_origin origin = {"half",    "half", "half", "visavis eval --identify",
                                              r->people, r->n};
    struct match_pairs *pairs = NULL;
    struct roc *roc = NULL;
    char *json = NULL;
    enum err rc = r->n < 2 ? ERR_FMR_UNSUPPORTED
                           : match_pairs_new(&pairs, r->x, r->n, dim, r->person, r->group,
                                             TAIL_PAIRS, 0, err);

    if (!rc && (pairs->n_genuine < GENUINE_LEAST || pairs->n_impostor < IMPOSTOR_LEAST))
        rc = ERR_FMR_UNSUPPORTED;
    if (!rc) rc = roc_new_pairs(&roc, pairs, err);
    if (!rc) rc = roc_calibration_json(&json, roc, &origin, err);
    if (!rc) rc = calibration_parse(out, json, err);
    match_pairs_free(pairs);
    roc_free(roc);
    free(json);
    return rc;
}

static enum err look(struct stated all[RATES], const struct eval_rows *own,
                     const struct eval_rows *other, int dim, struct err_info *err)
{
    struct calibration *cal = NULL;
    struct searched s = {0};
    enum err rc = calibrate(&cal, own, dim, err);

    if (!rc) rc = search_all(&s, other, dim, err);
    for (int k = 0; !rc && k < RATES; k++) {
        struct stated *a = &all[k];
        struct decide_cuts cuts;
        double ci[2];
        size_t matched = 0;
        if ((rc = decide_cuts(&cuts, cal, rates[k], s.gallery, true, err))) break;
        for (size_t i = 0; i < s.n_stranger; i++)
            matched += decide(&cuts, (double)s.stranger[i]) == DECISION_MATCH;
        const double seen = s.n_stranger ? (double)matched / (double)s.n_stranger : 0;
        wilson_interval((double)matched, (double)s.n_stranger, ci);
        a->checks++;
        a->strangers += s.n_stranger;
        a->matched += matched;
        a->within += ci[0] <= rates[k];
        a->guaranteed += cuts.guaranteed;
        a->worst = seen > a->worst ? seen : a->worst;
    }
    calibration_free(cal);
    searched_release(&s);
    return rc;
}

static enum err look_both_ways(struct stated all[RATES], const struct eval_set *set,
                               const struct eval_exclude *x, int split, struct err_info *err)
{
    struct eval_rows half[2];
    enum err rc = eval_rows_halve(half, set, x, split, err);

    if (rc) return rc;
    for (int i = 0; !rc && i < 2; i++) {
        rc = look(all, &half[i], &half[1 - i], set->dim, err);
        if (rc == ERR_FMR_UNSUPPORTED) rc = ERR_OK; /* a half too small is no check */
    }
    eval_rows_release(&half[0]);
    eval_rows_release(&half[1]);
    return rc;
}

static enum err stated_rates(json_t **out, const struct eval_set *set, const struct eval_exclude *x,
                             struct err_info *err)
{
    struct stated all[RATES] = {0};
    enum err rc = ERR_OK;

    for (int split = 0; !rc && split < EVAL_SPLITS; split++)
        rc = look_both_ways(all, set, x, split, err);
    if (rc) return rc;
    *out = json_array();
    for (int k = 0; *out && k < RATES; k++) {
        const struct stated *a = &all[k];
        json_array_append_new(
            *out, json_pack("{s:f, s:f, s:f, s:I, s:I, s:I}", "fpir", rates[k], "observed_mean",
                            a->strangers ? (double)a->matched / (double)a->strangers : 0,
                            "observed_most", a->worst, "checks", (json_int_t)a->checks, "within",
                            (json_int_t)a->within, "guaranteed", (json_int_t)a->guaranteed));
    }
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the answer");
}

enum err eval_identify(json_t **out, const struct eval_set *set, const struct eval_exclude *x,
                       struct err_info *err)
{
    struct eval_rows r;
    struct searched s = {0};
    json_t *stated = NULL, *at = json_array();
    double ci[2];
    enum err rc = eval_rows_take(&r, set, x, -1, 0, err);

    if (rc) {
        json_decref(at);
        return rc;
    }
    rc = search_all(&s, &r, set->dim, err);
    if (!rc && (!s.n_probe || !s.n_stranger))
        rc = err_set(err, ERR_INVALID,
                     "--identify needs people with two pictures and people with one: there are "
                     "%zu further pictures and %zu strangers",
                     s.n_probe, s.n_stranger);
    if (!rc) rc = stated_rates(&stated, set, x, err);
    if (!rc) {
        qsort(s.stranger, s.n_stranger, sizeof *s.stranger, falling);
        for (int k = 0; at && k < RATES; k++) json_array_append_new(at, at_fpir(&s, rates[k]));
        wilson_interval((double)s.right, (double)s.n_probe, ci);
        *out = json_pack("{s:I, s:I, s:I, s:f, s:[f, f], s:O, s:o}", "gallery",
                         (json_int_t)s.gallery, "probes", (json_int_t)s.n_probe, "strangers",
                         (json_int_t)s.n_stranger, "rank1", (double)s.right / (double)s.n_probe,
                         "rank1_ci", ci[0], ci[1], "at", at, "stated", stated);
        if (!*out) rc = err_set(err, ERR_NOMEM, "no memory for the answer");
    }
    json_decref(at);
    searched_release(&s);
    eval_rows_release(&r);
    return rc;
}
