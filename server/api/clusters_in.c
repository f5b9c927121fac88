#include "server/api/clusters_in.h"

#include "engine/base/mem.h"
#include "server/api/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { K_MOST = 1000000, WORD_MAX = 20, SEED_MOST = INT32_MAX };

enum type { TEXT, NUMBER, WHOLE, YES_NO };
#define OPTIONS(X)                                                                                 \
    X(algorithm, TEXT)                                                                             \
    X(metric, TEXT)                                                                                \
    X(k, WHOLE)                                                                                    \
    X(k_min, WHOLE)                                                                                \
    X(k_max, WHOLE)                                                                                \
    X(k_by, TEXT)                                                                                  \
    X(cut, NUMBER)                                                                                 \
    X(eps, NUMBER)                                                                                 \
    X(fmr, NUMBER)                                                                                 \
    X(min_size, WHOLE)                                                                             \
    X(min_points, WHOLE)                                                                           \
    X(restarts, WHOLE)                                                                             \
    X(seed, WHOLE)                                                                                 \
    X(cannot_link, YES_NO)                                                                         \
    X(must_link, YES_NO)                                                                           \
    X(layout, TEXT)                                                                                \
    X(title, TEXT)                                                                                 \
    X(job, YES_NO)                                                                                 \
    X(face, TEXT)                                                                                  \
    X(model, TEXT)                                                                                 \
    X(precropped, YES_NO)                                                                          \
    X(collection, TEXT)                                                                            \
    X(tag, TEXT)                                                                                   \
    X(unassigned, YES_NO)
#define NAME(name, type) #name,
#define TYPE(name, type) type,
const char *const clusters_in_names[] = {OPTIONS(NAME) NULL};
static const enum type types[] = {OPTIONS(TYPE)};

static json_t *value_of(enum type type, const char *text)
{
    char *end = NULL;

    if (type == TEXT) return json_string(text);
    if (type == YES_NO)
        return !strcmp(text, "true") ? json_true() : !strcmp(text, "false") ? json_false() : NULL;
    if (!*text) return NULL;
    if (type == WHOLE) {
        const long long v = strtoll(text, &end, 10);
        return *end ? NULL : json_integer(v);
    }
    const double v = strtod(text, &end);
    return *end || !isfinite(v) ? NULL : json_real(v);
}

enum err clusters_in_set(json_t *asked, const char *name, const char *text, struct err_info *err)
{
    static const char *const wanted[] = {[TEXT] = "a text",
                                         [NUMBER] = "a number",
                                         [WHOLE] = "a whole number",
                                         [YES_NO] = "true or false"};
    size_t i = 0;

    while (clusters_in_names[i] && strcmp(clusters_in_names[i], name) != 0) i++;
    if (!clusters_in_names[i])
        return err_set(err, ERR_INVALID, "\"%.64s\" is no option of a clustering", name);
    if (json_object_get(asked, name))
        return err_set(err, ERR_INVALID, "%s is given twice, or both in the query and in the body",
                       name);
    json_t *value = value_of(types[i], text);
    if (!value)
        return err_set(err, ERR_INVALID, "%s is \"%.40s\", it takes %s", name, text,
                       wanted[types[i]]);
    return json_object_set_new(asked, name, value)
               ? err_set(err, ERR_NOMEM, "no memory for options")
               : ERR_OK;
}

/* One of the words; *out is untouched where it is not given. */
static enum err word(int *out, const json_t *asked, const char *name, const char *const *words,
                     struct err_info *err)
{
    const char *text = NULL;
    char known[120];
    enum err rc = body_text(&text, asked, name, WORD_MAX, err);

    if (rc || !text) return rc;
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], text)) {
            *out = i;
            return ERR_OK;
        }
    request_list_names(known, sizeof known, words);
    return err_set(err, ERR_INVALID, "%s is \"%.20s\"; it takes %s", name, text, known);
}

static enum err parse_words(struct clusters_options *o, const json_t *asked, struct err_info *err)
{
    static const char *const metrics[] = {"cosine", "euclidean", NULL};
    static const char *const searches[] = {"silhouette", "gap", NULL};
    static const char *const layouts[] = {"none", "tsne", NULL};
    const char *faces[] = {"main", "largest", "single", "all", NULL};
    const char *algorithms[CLUSTER_ALGORITHMS + 1] = {NULL};
    int algorithm = CLUSTER_AUTO, metric = CLUSTER_COSINE, k_by = CLUSTER_BY_SILHOUETTE,
        layout = CLUSTER_LAYOUT_TSNE, face = (int)o->face;
    enum err rc;

    for (int i = 0; i < CLUSTER_ALGORITHMS; i++)
        algorithms[i] = cluster_algorithm_name((enum cluster_algorithm)i);
    if ((rc = word(&algorithm, asked, "algorithm", algorithms, err)) ||
        (rc = word(&metric, asked, "metric", metrics, err)) ||
        (rc = word(&k_by, asked, "k_by", searches, err)) ||
        (rc = word(&layout, asked, "layout", layouts, err)) ||
        (rc = word(&face, asked, "face", faces, err)))
        return rc;
    o->run.algorithm = (enum cluster_algorithm)algorithm;
    o->run.metric = (enum cluster_metric)metric;
    o->run.k_by = (enum cluster_k_by)k_by;
    o->layout = (enum cluster_layout)layout;
    o->face = (enum face_select)face;
    return ERR_OK;
}

static bool has(const json_t *asked, const char *name)
{
    return json_object_get(asked, name) != NULL;
}

static enum err parse_k(struct clusters_options *o, const json_t *asked, struct err_info *err)
{
    struct cluster_options *run = &o->run;
    enum err rc;

    if ((rc = body_int(&run->k, asked, "k", 1, K_MOST, err)) ||
        (rc = body_int(&run->k_min, asked, "k_min", 1, K_MOST, err)) ||
        (rc = body_int(&run->k_max, asked, "k_max", 1, K_MOST, err)))
        return rc;
    o->search_k = has(asked, "k_min") || has(asked, "k_max") || has(asked, "k_by");
    if (run->k && o->search_k)
        return err_set(err, ERR_INVALID, "k is given, and a range of it to be searched");
    if (run->k_min > run->k_max)
        return err_set(err, ERR_INVALID, "k_min is %d, k_max is %d", run->k_min, run->k_max);
    return ERR_OK;
}

/* Each says how alike two must be, or how many clusters there are: one of them is enough. */
static enum err parse_cut(struct clusters_options *o, const json_t *asked, struct err_info *err)
{
    static const char *const names[] = {"k", "cut", "eps", "fmr"};
    double cut = NAN, eps = NAN;
    const char *first = NULL;
    enum err rc;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!has(asked, names[i])) continue;
        if (first) return err_set(err, ERR_INVALID, "give %s or %s, not both", first, names[i]);
        first = names[i];
    }
    if ((rc = body_double(&cut, asked, "cut", -1, 1, err)) ||
        (rc = body_double(&eps, asked, "eps", 0, 2, err)) ||
        (rc = body_double(&o->fmr, asked, "fmr", 1e-12, 1 - 1e-12, err)))
        return rc;
    if (!isnan(eps)) cut = 1 - eps;
    o->run.cut = (float)cut;
    if (o->search_k && first)
        return err_set(err, ERR_INVALID, "%s is given, and a range of k to be searched", first);
    return ERR_OK;
}

static enum err parse_sizes(struct clusters_options *o, const json_t *asked, struct err_info *err)
{
    struct cluster_options *run = &o->run;
    const bool hdbscan = run->algorithm == CLUSTER_HDBSCAN;
    int size = 0, seed = 0, points = hdbscan ? 0 : run->min_points;
    enum err rc;

    if ((rc = body_int(&size, asked, "min_size", hdbscan ? 2 : 1, K_MOST, err)) ||
        (rc = body_int(&points, asked, "min_points", 1, K_MOST, err)) ||
        (rc = body_int(&run->restarts, asked, "restarts", 1, 100, err)) ||
        (rc = body_int(&seed, asked, "seed", 0, SEED_MOST, err)))
        return rc;
    if (hdbscan && size) run->min_cluster_size = size;
    if (!hdbscan) run->min_size = size;
    run->min_points = points;
    run->seed = (uint64_t)seed;
    return ERR_OK;
}

static enum err parse_what(struct clusters_in *in, const json_t *asked, struct err_info *err)
{
    static const char *const of_photos[] = {"face", "model", "precropped"};
    static const char *const of_collections[] = {"tag", "unassigned", "must_link"};
    enum err rc;

    if ((rc = body_text(&in->collection, asked, "collection", STORE_NAME_MAX, err)) ||
        (rc = body_text(&in->tag, asked, "tag", STORE_TAG_MAX, err)) ||
        (rc = body_bool(&in->unassigned, asked, "unassigned", err)) ||
        (rc = body_text(&in->title, asked, "title", STORE_NAME_MAX, err)) ||
        (rc = body_bool(&in->job, asked, "job", err)) ||
        (rc = body_text(&in->options.model, asked, "model", STORE_NAME_MAX, err)) ||
        (rc = body_bool(&in->options.precropped, asked, "precropped", err)) ||
        (rc = body_bool(&in->options.cannot_link, asked, "cannot_link", err)) ||
        (rc = body_bool(&in->options.must_link, asked, "must_link", err)))
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(of_photos); i++) {
        const char *name = in->collection ? of_photos[i] : of_collections[i];
        if (in->collection && !strcmp(name, "model")) continue; /* may be said, and must agree */
        if (has(asked, name))
            return err_set(err, ERR_INVALID, "%s is not for %s", name,
                           in->collection ? "the examples of a collection" : "photographs");
    }
    if (in->tag && in->unassigned)
        return err_set(err, ERR_INVALID, "tag and unassigned: who has a tag is not unassigned");
    return ERR_OK;
}

enum err clusters_in_parse(struct clusters_in *out, const json_t *asked, struct err_info *err)
{
    struct clusters_in in = {.options = CLUSTERS_OPTIONS_INIT};
    enum err rc;

    if ((rc = parse_words(&in.options, asked, err)) || (rc = parse_k(&in.options, asked, err)) ||
        (rc = parse_cut(&in.options, asked, err)) || (rc = parse_sizes(&in.options, asked, err)) ||
        (rc = parse_what(&in, asked, err)))
        return rc;
    in.options.asked = asked;
    *out = in;
    return ERR_OK;
}
