/* What stays of a clustering when its labels are changed by hand, as JSON for the store. */
#include "engine/base/mem.h"
#include "server/clusters/run_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* NAN is null. */
static json_t *real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static double real_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int64_t int_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* --- keeping --- */

static json_t *merges_json(const struct cluster_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->n_merges; i++) {
        const struct cluster_merge *m = &r->merges[i];
        if (!json_array_append_new(list, json_pack("[I,I,f,I]", (json_int_t)m->a, (json_int_t)m->b,
                                                   (double)m->distance, (json_int_t)m->size)))
            continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static json_t *tried_json(const struct cluster_result *r)
{
    json_t *list = json_array();
    for (int i = 0; list && i < r->n_tried; i++)
        json_array_append_new(list, json_pack("[i,o,o]", r->tried[i].k, real(r->tried[i].score),
                                              real(r->tried[i].spread)));
    return list;
}

static json_t *parameters_json(const struct cluster_result *r)
{
    json_t *list = json_array();
    for (int i = 0; list && i < r->n_parameters; i++)
        json_array_append_new(list, json_pack("[s,s,s]", r->parameters[i].name,
                                              r->parameters[i].value, r->parameters[i].why));
    return list;
}

static json_t *probability_json(const struct cluster_result *r)
{
    json_t *list = r->probability ? json_array() : json_null();
    for (size_t i = 0; r->probability && list && i < r->n; i++)
        json_array_append_new(list, json_real((double)r->probability[i]));
    return list;
}

static json_t *result_json(const struct cluster_result *r)
{
    return json_pack(
        "{s:i, s:o, s:f, s:f, s:i, s:I, s:{s:b, s:I, s:I, s:I}, s:o, s:o, s:o, s:o}", "algorithm",
        (int)r->algorithm, "cut", real((double)r->cut), "cut_fmr", r->cut_fmr, "inertia",
        r->inertia, "rounds", r->rounds, "memory", (json_int_t)r->memory, "constraints", "ignored",
        r->constraints.ignored, "apart_pairs", (json_int_t)r->constraints.apart_pairs, "together",
        (json_int_t)r->constraints.together, "conflicts", (json_int_t)r->constraints.conflicts,
        "merges", merges_json(r), "tried", tried_json(r), "parameters", parameters_json(r),
        "probability", probability_json(r));
}

json_t *clusters__basis(const struct cluster_result *r, const struct cluster_report *report,
                        const struct clusters__reporting *how, const struct clusters_about *about,
                        const json_t *asked)
{
    json_t *reporting =
        json_pack("{s:b, s:o, s:I, s:f, s:i, s:s?}", "cannot_link", how->cannot_link, "possible",
                  real(how->possible), "seed", (json_int_t)how->seed, "layout_perplexity",
                  report->layout_perplexity, "layout_rounds", report->layout_rounds, "calibration",
                  how->calibration);
    json_t *of = json_pack("{s:s, s:s?, s:I}", "title", about->title, "collection",
                           about->collection, "created_ms", (json_int_t)about->created_ms);
    json_t *copy = asked ? json_deep_copy(asked) : json_object();
    return json_pack("{s:o, s:o, s:o, s:o}", "result", result_json(r), "report", reporting, "about",
                     of, "asked", copy);
}

/* --- reading it back --- */

/* Merges are numbered after the faces, so that more faces move them up. */
static bool read_merges(struct cluster_result *r, const json_t *list, size_t n_old)
{
    const size_t n = json_array_size(list), more = r->n - n_old;

    if (!n) return true;
    if (!(r->merges = calloc(n, sizeof *r->merges))) return false;
    for (; r->n_merges < n; r->n_merges++) {
        const json_t *m = json_array_get(list, r->n_merges);
        size_t at[2];
        for (size_t k = 0; k < 2; k++) {
            at[k] = (size_t)json_integer_value(json_array_get(m, k));
            if (at[k] >= n_old) at[k] += more;
        }
        r->merges[r->n_merges] = (struct cluster_merge){
            .a = (uint32_t)at[0],
            .b = (uint32_t)at[1],
            .distance = (float)json_number_value(json_array_get(m, 2)),
            .size = (uint32_t)json_integer_value(json_array_get(m, 3)),
        };
    }
    return true;
}

static bool read_tried(struct cluster_result *r, const json_t *list)
{
    const size_t n = json_array_size(list);

    if (n && !(r->tried = calloc(n, sizeof *r->tried))) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *t = json_array_get(list, i), *score = json_array_get(t, 1);
        r->tried[r->n_tried++] = (struct cluster_tried){
            .k = (int)json_integer_value(json_array_get(t, 0)),
            .score = json_is_number(score) ? json_number_value(score) : NAN,
            .spread = json_number_value(json_array_get(t, 2)),
        };
    }
    return true;
}

static bool read_probability(struct cluster_result *r, const json_t *list)
{
    if (!json_is_array(list)) return true;
    if (!(r->probability = calloc(r->n, sizeof *r->probability))) return false;
    for (size_t i = 0; i < r->n; i++)
        r->probability[i] = (float)json_number_value(json_array_get(list, i));
    return true;
}

static void copy_text(char *out, size_t size, const json_t *text)
{
    const char *s = json_string_value(text);
    const size_t n = s ? strnlen(s, size - 1) : 0;
    if (n) memcpy(out, s, n);
    out[n] = 0;
}

static void read_parameters(struct cluster_result *r, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < CLUSTER_PARAMETERS_MAX; i++) {
        const json_t *p = json_array_get(list, i);
        struct cluster_parameter *to = &r->parameters[r->n_parameters++];
        to->name = json_string_value(json_array_get(p, 0));
        copy_text(to->value, sizeof to->value, json_array_get(p, 1));
        copy_text(to->why, sizeof to->why, json_array_get(p, 2));
    }
}

enum err clusters__result_of(struct cluster_result **out, const json_t *basis, size_t n,
                             size_t n_old, struct err_info *err)
{
    const json_t *o = json_object_get(basis, "result"), *c = json_object_get(o, "constraints");
    struct cluster_result *r;

    if (!json_is_object(o) || !json_is_object(c))
        return err_set(err, ERR_INTERNAL, "the basis of a report is damaged");
    if (!(r = calloc(1, sizeof *r)) || !(r->labels = calloc(n + 1, sizeof *r->labels))) goto fail;
    r->n = n;
    for (size_t i = 0; i < n; i++) r->labels[i] = CLUSTER_OUTLIER;
    r->algorithm = (enum cluster_algorithm)int_of(o, "algorithm");
    r->cut = (float)real_of(o, "cut");
    r->cut_fmr = real_of(o, "cut_fmr");
    r->inertia = real_of(o, "inertia");
    r->rounds = (int)int_of(o, "rounds");
    r->memory = (size_t)int_of(o, "memory");
    r->constraints.ignored = json_is_true(json_object_get(c, "ignored"));
    r->constraints.apart_pairs = (size_t)int_of(c, "apart_pairs");
    r->constraints.together = (size_t)int_of(c, "together");
    r->constraints.conflicts = (size_t)int_of(c, "conflicts");
    read_parameters(r, json_object_get(o, "parameters"));
    if (!read_merges(r, json_object_get(o, "merges"), n_old) ||
        !read_tried(r, json_object_get(o, "tried")) ||
        !read_probability(r, json_object_get(o, "probability")))
        goto fail;
    *out = r;
    return ERR_OK;
fail:
    cluster_result_free(r);
    return err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", n);
}

void clusters__reporting_of(struct clusters__reporting *how, struct clusters_about *about,
                            const json_t *basis)
{
    const json_t *r = json_object_get(basis, "report"), *a = json_object_get(basis, "about");

    *how = (struct clusters__reporting){
        .cannot_link = json_is_true(json_object_get(r, "cannot_link")),
        .layout = CLUSTER_LAYOUT_NONE,
        .possible = real_of(r, "possible"),
        .seed = (uint64_t)int_of(r, "seed"),
        .calibration = json_string_value(json_object_get(r, "calibration")),
    };
    *about = (struct clusters_about){
        .title = json_string_value(json_object_get(a, "title")),
        .collection = json_string_value(json_object_get(a, "collection")),
        .created_ms = int_of(a, "created_ms"),
    };
}

void clusters__layout_of(struct cluster_report *r, const json_t *basis)
{
    const json_t *o = json_object_get(basis, "report");
    r->layout_perplexity = real_of(o, "layout_perplexity");
    r->layout_rounds = (int)int_of(o, "layout_rounds");
}

const json_t *clusters_asked(const json_t *basis)
{
    return json_object_get(basis, "asked");
}
