/* cluster_run: checks, the memory estimate, the algorithm, and what every result has in common. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/density.h"
#include "engine/cluster/method.h"
#include "engine/cluster/neighbours.h"

static const char *const names[CLUSTER_ALGORITHMS] = {
    [CLUSTER_AUTO] = "auto",         [CLUSTER_KMEANS] = "kmeans", [CLUSTER_AVERAGE] = "average",
    [CLUSTER_COMPLETE] = "complete", [CLUSTER_DBSCAN] = "dbscan", [CLUSTER_HDBSCAN] = "hdbscan",
    [CLUSTER_WHISPERS] = "whispers",
};

const char *cluster_algorithm_name(enum cluster_algorithm a)
{
    return (unsigned)a < CLUSTER_ALGORITHMS ? names[a] : NULL;
}

bool cluster_algorithm_parse(enum cluster_algorithm *out, const char *name)
{
    for (int i = 0; i < CLUSTER_ALGORITHMS; i++) {
        if (strcmp(name, names[i])) continue;
        *out = (enum cluster_algorithm)i;
        return true;
    }
    return false;
}

static __attribute__((format(printf, 4, 0))) void note(struct cluster_result *r, const char *name,
                                                       const char *value, const char *why,
                                                       va_list ap)
{
    if (r->n_parameters == CLUSTER_PARAMETERS_MAX) return;
    struct cluster_parameter *p = r->parameters + r->n_parameters++;
    p->name = name;
    snprintf(p->value, sizeof p->value, "%s", value);
    vsnprintf(p->why, sizeof p->why, why, ap);
}

void cluster__note(struct cluster_result *r, const char *name, const char *value, const char *why,
                   ...)
{
    va_list ap;

    va_start(ap, why);
    note(r, name, value, why, ap);
    va_end(ap);
}

void cluster__note_number(struct cluster_result *r, const char *name, double value, int decimals,
                          const char *why, ...)
{
    char text[32];
    va_list ap;

    snprintf(text, sizeof text, "%.*f", decimals, value);
    va_start(ap, why);
    note(r, name, text, why, ap);
    va_end(ap);
}

static bool constrained(const struct cluster_options *o)
{
    return o->constraints.apart || o->constraints.together || o->constraints.n_cannot;
}

static bool is_linkage(enum cluster_algorithm a)
{
    return a == CLUSTER_AUTO || a == CLUSTER_AVERAGE || a == CLUSTER_COMPLETE;
}

static int core_points(const struct cluster_options *o)
{
    return o->min_points ? o->min_points : o->min_cluster_size;
}

/* --- memory --- */

static size_t plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

size_t cluster_memory(size_t n, int d, const struct cluster_options *o)
{
    const size_t rows = cluster__panels_bytes(n, d);
    const bool whole = o->full_tree || isnan(o->cut) || o->k;
    size_t bytes = n * (sizeof(int32_t) + 64), pairs;

    switch (o->algorithm) {
    case CLUSTER_KMEANS: {
        const int k = o->k ? o->k : o->k_max;
        bytes = plus(bytes, cluster__kmeans_bytes(n, d, k, o->cores));
        bytes = plus(bytes, n * (size_t)(2 + (int)log(k > 0 ? k : 1)) * sizeof(float) * 2);
        if (!o->k) bytes = plus(bytes, 3 * rows); /* the search's own points, or references */
        break;
    }
    case CLUSTER_COMPLETE:
    case CLUSTER_WHISPERS:
        bytes = plus(bytes, plus(rows, n * 96));
        bytes = plus(bytes, cluster__sweep_bytes(d, o->cores));
        if (o->algorithm == CLUSTER_COMPLETE && whole) {
            if (!mul_ok(&pairs, n, n)) return SIZE_MAX;
            /* Lists of all pairs, and each block once more while it is dealt out. */
            bytes = plus(bytes, cluster__graph_bytes(n, pairs));
        }
        break;
    case CLUSTER_DBSCAN:
        bytes = plus(bytes, cluster__dbscan_bytes(n, d, o->cores));
        break;
    case CLUSTER_HDBSCAN:
        bytes = plus(bytes, cluster__hdbscan_bytes(n, d, core_points(o), o->cores));
        break;
    default:
        bytes = plus(bytes, cluster__average_bytes(n, d, o->cores));
        if (isnan(o->cut) && !o->k && !o->rates) bytes = plus(bytes, 2 * rows); /* silhouettes */
    }
    if (constrained(o)) bytes = plus(bytes, (n + 2 * o->constraints.n_cannot) * 32);
    return bytes;
}

static enum err check_memory(struct cluster__task *t, struct err_info *err)
{
    const size_t need = cluster_memory(t->n, t->d, t->options), max = t->options->memory_max;

    t->result->memory = need;
    if (need == SIZE_MAX || (max && need > max))
        return err_set(err, ERR_TOO_LARGE,
                       "%s of %zu faces of %d numbers would take %zu MB, the limit is %zu MB",
                       names[t->options->algorithm], t->n, t->d, (need >> 20) + 1, max >> 20);
    return ERR_OK;
}

/* --- options --- */

static enum err check_k(const struct cluster_options *o, size_t n, struct err_info *err)
{
    const bool uses_k = o->algorithm == CLUSTER_KMEANS || is_linkage(o->algorithm);
    const bool given = o->k || (o->algorithm != CLUSTER_KMEANS && (!isnan(o->cut) || o->rates));

    if (!uses_k) return ERR_OK;
    if (o->k < 0 || (size_t)o->k > n)
        return err_set(err, ERR_INVALID, "k is %d, there are %zu faces", o->k, n);
    if (o->centres && !o->k)
        return err_set(err, ERR_INVALID, "centres were given without k, their number");
    if (given) return ERR_OK;
    if (o->k_min < 1 || o->k_max < o->k_min)
        return err_set(err, ERR_INVALID, "k is to be searched from %d to %d", o->k_min, o->k_max);
    if (n < 3)
        return err_set(err, ERR_INVALID,
                       "%zu faces are too few to search k, which takes 3: give k or a cut", n);
    return ERR_OK;
}

static enum err check_algorithm(const struct cluster_options *o, size_t n, struct err_info *err)
{
    const bool needs_cut = o->algorithm == CLUSTER_DBSCAN || o->algorithm == CLUSTER_WHISPERS;

    if ((unsigned)o->algorithm >= CLUSTER_ALGORITHMS)
        return err_set(err, ERR_INVALID, "there is no algorithm %d", (int)o->algorithm);
    if (needs_cut && isnan(o->cut))
        return err_set(err, ERR_INVALID, "%s needs a cut", names[o->algorithm]);
    if (!isnan(o->cut) && !(o->cut >= -1 && o->cut <= 1))
        return err_set(err, ERR_INVALID, "the cut is %g, it is a similarity in [-1, 1]",
                       (double)o->cut);
    if (o->metric == CLUSTER_EUCLIDEAN && o->algorithm != CLUSTER_KMEANS)
        return err_set(err, ERR_INVALID, "%s compares by cosine; only k-means also by Euclid",
                       names[o->algorithm]);
    if (o->algorithm == CLUSTER_KMEANS && (o->restarts < 1 || o->rounds < 1))
        return err_set(err, ERR_INVALID, "k-means with %d starts of %d rounds: 1 at least",
                       o->restarts, o->rounds);
    if (o->algorithm == CLUSTER_WHISPERS && o->rounds < 1)
        return err_set(err, ERR_INVALID, "%d rounds: 1 at least", o->rounds);
    if (o->algorithm == CLUSTER_DBSCAN && o->min_points < 1)
        return err_set(err, ERR_INVALID, "min_points is %d: 1 at least", o->min_points);
    if (o->algorithm == CLUSTER_HDBSCAN && o->min_cluster_size < 2)
        return err_set(err, ERR_INVALID, "min_cluster_size is %d: 2 at least", o->min_cluster_size);
    if (o->algorithm == CLUSTER_HDBSCAN && (core_points(o) < 1 || (size_t)core_points(o) > n))
        return err_set(err, ERR_INVALID, "min_points is %d, there are %zu faces", core_points(o),
                       n);
    return check_k(o, n, err);
}

static enum err check_rates(const struct cluster_options *o, struct err_info *err)
{
    if (o->rates && o->n_rates < 1) return err_set(err, ERR_INVALID, "a table of no rates");
    for (int i = 0; o->rates && i < o->n_rates; i++) {
        const struct cluster_rate *r = o->rates + i;
        const bool rising = i == 0 || (r->fmr > r[-1].fmr && r->similarity <= r[-1].similarity);
        if (!(r->fmr > 0 && r->fmr < 1) || !isfinite(r->similarity) || !rising)
            return err_set(err, ERR_INVALID,
                           "rate %d is %g at similarity %g: rates rise, similarities fall", i,
                           r->fmr, (double)r->similarity);
    }
    return ERR_OK;
}

static enum err check(const struct cluster__task *t, struct err_info *err)
{
    enum err rc;

    if (t->n < 1 || t->d < 1 || t->n >= INT32_MAX)
        return err_set(err, ERR_INVALID, "there are %zu faces of %d numbers to cluster", t->n,
                       t->d);
    if ((rc = check_rates(t->options, err))) return rc;
    return check_algorithm(t->options, t->n, err);
}

/* --- the algorithms --- */

static enum err run_density(struct cluster__task *t, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    struct cluster_result *r = t->result;

    if (o->algorithm == CLUSTER_HDBSCAN) {
        cluster__note_number(r, "min_cluster_size", o->min_cluster_size, 0, "as asked");
        cluster__note_number(r, "min_points", core_points(o), 0,
                             o->min_points ? "as asked" : "as min_cluster_size");
        r->probability = calloc(t->n, sizeof *r->probability);
        if (!r->probability) return err_set(err, ERR_NOMEM, "no memory for %zu faces", t->n);
        return cluster__hdbscan(r->labels, r->probability, t->x, t->n, t->d, o->min_cluster_size,
                                core_points(o), &t->job, err);
    }
    r->cut = o->cut;
    cluster__note_number(r, "cut", (double)o->cut, 6, "as given");
    if (o->algorithm == CLUSTER_WHISPERS) {
        const size_t left = o->memory_max ? o->memory_max - r->memory + 1 : 0;
        return cluster__whispers(r->labels, &r->rounds, t->x, t->n, t->d, o->cut, o->rounds,
                                 o->seed, left, &t->job, err);
    }
    cluster__note_number(r, "min_points", o->min_points, 0, "as asked");
    return cluster__dbscan(r->labels, t->x, t->n, t->d, o->cut, o->min_points, &t->job, err);
}

/* --- what all results have in common --- */

struct numbered {
    size_t size;
    uint32_t first;
    int32_t old;
};

static int by_size(const void *pa, const void *pb)
{
    const struct numbered *a = pa, *b = pb;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static enum err reorder_centres(struct cluster__task *t, const struct numbered *c, int kept,
                                struct err_info *err)
{
    const size_t bytes = (size_t)t->d * sizeof(float);
    float *centres = calloc((size_t)kept + 1, bytes);

    if (!centres) return err_set(err, ERR_NOMEM, "no memory for %d centres", kept);
    for (int i = 0; i < kept; i++)
        memcpy(centres + (size_t)i * (size_t)t->d,
               t->result->centres + (size_t)c[i].old * (size_t)t->d, bytes);
    free(t->result->centres);
    t->result->centres = centres;
    return ERR_OK;
}

/* Numbers clusters by size, then by first member; drops empty ones and those under min_size. */
static enum err number(struct cluster__task *t, struct err_info *err)
{
    struct cluster_result *r = t->result;
    const struct cluster_options *o = t->options;
    const int least = o->min_size ? o->min_size : o->algorithm == CLUSTER_AUTO ? 2 : 1;
    const bool drops = is_linkage(o->algorithm) || o->algorithm == CLUSTER_WHISPERS;
    struct numbered *c AUTO_FREE = NULL;
    int32_t *name AUTO_FREE = NULL;
    int32_t most = -1;

    for (size_t i = 0; i < t->n; i++) most = r->labels[i] > most ? r->labels[i] : most;
    c = calloc((size_t)most + 2, sizeof *c);
    name = calloc((size_t)most + 2, sizeof *name);
    if (!c || !name) return err_set(err, ERR_NOMEM, "no memory for %d clusters", most + 1);
    for (int32_t i = 0; i <= most; i++) c[i].old = i;
    for (size_t i = t->n; i-- > 0;) {
        if (r->labels[i] < 0) continue;
        c[r->labels[i]].size++;
        c[r->labels[i]].first = (uint32_t)i;
    }
    qsort(c, (size_t)most + 1, sizeof *c, by_size);
    r->clusters = 0;
    for (int32_t i = 0; i <= most; i++) {
        const bool keep = c[i].size > 0 && (!drops || c[i].size >= (size_t)least);
        name[c[i].old] = keep ? r->clusters++ : CLUSTER_OUTLIER;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (r->labels[i] >= 0) r->labels[i] = name[r->labels[i]];
        r->outliers += r->labels[i] < 0;
    }
    if (drops && least > 1)
        cluster__note_number(r, "min_size", least, 0, "faces in smaller groups are outliers");
    return r->centres ? reorder_centres(t, c, r->clusters, err) : ERR_OK;
}

static enum err take_constraints(struct cluster__task *t, struct err_info *err)
{
    const struct cluster__constraints *c = &t->constraints;
    enum err rc;

    if ((rc = cluster__constraints_init(&t->constraints, &t->options->constraints, t->n, err)))
        return rc;
    t->result->constraints.ignored = constrained(t->options) && !is_linkage(t->options->algorithm);
    t->result->constraints.apart_pairs = c->apart_pairs;
    t->result->constraints.together = c->together;
    t->result->constraints.conflicts = c->conflicts;
    return ERR_OK;
}

enum err cluster_run(struct cluster_result **out, const float *x, size_t n, int d,
                     const struct cluster_options *options, struct err_info *err)
{
    struct cluster_result *r = calloc(1, sizeof *r);
    struct cluster__task t = {
        x, n, d, options, CLUSTER__CONSTRAINTS_INIT, {options->cores, &options->progress}, r};
    enum err rc;

    if (!r) return err_set(err, ERR_NOMEM, "no memory for a clustering");
    r->n = n;
    r->cut = NAN;
    r->algorithm = options->algorithm;
    if ((rc = check(&t, err))) goto done;
    if ((rc = check_memory(&t, err))) goto done;
    r->labels = calloc(n, sizeof *r->labels);
    if (!r->labels) {
        rc = err_set(err, ERR_NOMEM, "no memory for %zu labels", n);
        goto done;
    }
    if ((rc = take_constraints(&t, err))) goto done;
    rc = is_linkage(options->algorithm)         ? cluster__linkage(&t, err)
         : options->algorithm == CLUSTER_KMEANS ? cluster__kmeans(&t, err)
                                                : run_density(&t, err);
    if (!rc) rc = number(&t, err);
done:
    cluster__constraints_release(&t.constraints);
    if (rc)
        cluster_result_free(r);
    else
        *out = r;
    return rc;
}

void cluster_result_free(struct cluster_result *r)
{
    if (!r) return;
    free(r->labels);
    free(r->merges);
    free(r->centres);
    free(r->probability);
    free(r->tried);
    free(r);
}
