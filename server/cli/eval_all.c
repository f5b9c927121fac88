/* --all-pairs: every pair of the pictures of a folder. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/eval.h"

enum { TAIL_PAIRS = 200000, HALF_RATES = 5 };
static const double Z95 = 1.959963984540054;

static json_t *pair_json(const struct eval_set *set, const struct eval_rows *r,
                         const struct match_pair *p)
{
    return json_pack("{s:f, s:s, s:s}", "similarity", (double)p->similarity, "a",
                     set->names.name[r->picture[p->a]], "b", set->names.name[r->picture[p->b]]);
}

/* The first n of a list of pairs, of two people only the first. */
static json_t *some_pairs(const struct eval_set *set, const struct eval_rows *r,
                          const struct match_pair *p, size_t n_pairs, int n)
{
    json_t *list = json_array();
    uint64_t *seen AUTO_FREE = calloc((size_t)n + 1, sizeof *seen);
    int shown = 0;

    for (size_t k = 0; list && seen && k < n_pairs && shown < n; k++) {
        uint64_t a = r->person[p[k].a], b = r->person[p[k].b];
        const uint64_t key = a < b ? a << 32 | b : b << 32 | a;
        int i = 0;
        while (i < shown && seen[i] != key) i++;
        if (i < shown) continue;
        seen[shown++] = key;
        json_array_append_new(list, pair_json(set, r, &p[k]));
    }
    return list;
}

/* Cuts from one half's curve for the rates that it supports. */
static int half_cuts(float cuts[HALF_RATES], double rates[HALF_RATES], const struct roc *r)
{
    int n = 0;

    for (int k = 1; k <= HALF_RATES; k++) {
        struct roc_point p;
        roc_at_fmr(r, pow(10, -k), &p);
        if (!p.supported) break;
        rates[n] = pow(10, -k);
        cuts[n++] = p.threshold;
    }
    return n;
}

/* What came out for a rate, over all splits and both directions. */
struct half_rate {
    double rate, low, high;  /* sums of where it should lie */
    double least, sum, most; /* observed */
    int checks, inside;
};

/* Calibrates on one half, looks at the other. Where the other half's rate should lie: around the
 * stated one, by the standard errors of both halves (people are clusters: match_pairs_rates). */
static enum err one_half(struct half_rate all[HALF_RATES], const struct eval_rows *own,
                         const struct eval_rows *other, int dim, struct err_info *err)
{
    struct match_rate here[HALF_RATES], there[HALF_RATES];
    struct match_pairs *pairs = NULL;
    struct roc *roc = NULL;
    float cuts[HALF_RATES];
    double rates[HALF_RATES];
    int n = 0;
    enum err rc =
        match_pairs_new(&pairs, own->x, own->n, dim, own->person, own->group, TAIL_PAIRS, 0, err);

    if (!rc) rc = roc_new_pairs(&roc, pairs, err);
    if (!rc) n = half_cuts(cuts, rates, roc);
    if (!rc)
        rc = match_pairs_rates(here, cuts, n, own->x, own->n, dim, own->person, own->group, err);
    if (!rc)
        rc = match_pairs_rates(there, cuts, n, other->x, other->n, dim, other->person, other->group,
                               err);
    match_pairs_free(pairs);
    roc_free(roc);
    for (int k = 0; !rc && k < n; k++) {
        const double spread = Z95 * hypot(here[k].log_sd, there[k].log_sd), seen = there[k].fmr;
        const double low = rates[k] * exp(-spread), high = rates[k] * exp(spread);
        struct half_rate *a = &all[k];
        a->rate = rates[k];
        a->low += low;
        a->high += high;
        a->least = a->checks && a->least < seen ? a->least : seen;
        a->most = a->most > seen ? a->most : seen;
        a->sum += seen;
        a->checks++;
        a->inside += seen >= low && seen <= high;
    }
    return rc;
}

static enum err one_split(struct half_rate all[HALF_RATES], const struct eval_set *set,
                          const struct eval_exclude *x, int split, struct err_info *err)
{
    struct eval_rows half[2];
    enum err rc = eval_rows_halve(half, set, x, split, err);

    if (rc) return rc;
    rc = one_half(all, &half[0], &half[1], set->dim, err);
    if (!rc) rc = one_half(all, &half[1], &half[0], set->dim, err);
    eval_rows_release(&half[0]);
    eval_rows_release(&half[1]);
    return rc;
}

/* One split may put most people of a kind on one side; several tell how good the intervals are. */
static enum err split_half(json_t **out, const struct eval_set *set, const struct eval_exclude *x,
                           struct err_info *err)
{
    struct half_rate all[HALF_RATES] = {0};
    json_t *list = json_array();
    int checks = 0, inside = 0;
    enum err rc = ERR_OK;

    for (int split = 0; !rc && split < EVAL_SPLITS; split++)
        rc = one_split(all, set, x, split, err);
    for (int k = 0; !rc && k < HALF_RATES && all[k].checks; k++) {
        const struct half_rate *a = &all[k];
        checks += a->checks;
        inside += a->inside;
        json_array_append_new(list, json_pack("{s:f, s:i, s:i, s:f, s:f, s:f, s:[f, f]}", "fmr",
                                              a->rate, "checks", a->checks, "inside", a->inside,
                                              "observed_mean", a->sum / a->checks, "observed_least",
                                              a->least, "observed_most", a->most, "expected",
                                              a->low / a->checks, a->high / a->checks));
    }
    *out = json_pack("{s:i, s:i, s:i, s:o}", "splits", EVAL_SPLITS, "checks", checks, "inside",
                     inside, "rates", list);
    if (!rc && !*out) rc = err_set(err, ERR_NOMEM, "no memory for the answer");
    return rc;
}

void eval_all_release(struct eval_all *a)
{
    match_pairs_free(a->pairs);
    roc_free(a->roc);
    free(a->picture);
    json_decref(a->extra);
    *a = (struct eval_all){0};
}

static enum err measure(struct eval_all *a, const struct eval_set *set,
                        const struct eval_exclude *x, const struct eval_all_options *o,
                        struct err_info *err)
{
    struct eval_rows r;
    json_t *halves = NULL;
    enum err rc;

    if ((rc = eval_rows_take(&r, set, x, -1, 0, err))) return rc;
    rc = match_pairs_new(&a->pairs, r.x, r.n, set->dim, r.person, r.group, TAIL_PAIRS, 0, err);
    if (!rc) rc = roc_new_pairs(&a->roc, a->pairs, err);
    if (!rc) {
        a->rows = r.n;
        a->people = r.people;
        a->extra = json_pack("{s:{s:I, s:I}}", "excluded", "names", (json_int_t)x->names,
                             "pictures", (json_int_t)x->pictures);
        if (o->nearest) {
            json_object_set_new(a->extra, "nearest_impostors",
                                some_pairs(set, &r, a->pairs->tail, a->pairs->n_tail, o->nearest));
            json_object_set_new(
                a->extra, "farthest_genuine",
                some_pairs(set, &r, a->pairs->genuine, a->pairs->n_genuine, o->nearest));
        }
        if (o->identify) {
            json_t *identify = NULL;
            rc = eval_identify(&identify, set, x, err);
            if (identify) json_object_set_new(a->extra, "identify", identify);
        }
        if (!rc && o->split_half) rc = split_half(&halves, set, x, err);
        if (halves) json_object_set_new(a->extra, "split_half", halves);
    }
    a->picture = r.picture;
    r.picture = NULL;
    eval_rows_release(&r);
    return rc;
}

enum err eval_all_measure(struct eval_all *out, const struct eval_set *set,
                          const struct eval_all_options *o, struct err_info *err)
{
    struct eval_exclude x = {0};
    struct eval_all a = {0};
    enum err rc = o->exclude ? eval_exclude_parse(&x, set, o->exclude, err) : ERR_OK;

    if (!rc) rc = measure(&a, set, &x, o, err);
    eval_exclude_release(&x);
    if (rc)
        eval_all_release(&a);
    else
        *out = a;
    return rc;
}
