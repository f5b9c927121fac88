#include "server/api/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"

enum { PAIRS_MAX = 10000 }; /* 100 faces in each picture; more make an answer that nobody reads */

/* Two faces compared. */
struct pairing {
    int i, j;
    float similarity;
};

struct cut {
    float value;
    double fmr; /* the rate that chose it */
    const char *source;
};

static enum err find_cut(struct cut *cut, const struct decide_model *m,
                         const struct calibration *cal, double fmr, struct err_info *err)
{
    struct calibration_info info;

    enum err rc = decide_calibrated(cal, m, err);

    if (rc) return rc;
    calibration_info(cal, &info);
    cut->source = info.source;
    cut->fmr = fmr;
    if (fmr == 0)
        cut->fmr = info.min_fmr > COMPARE_DEFAULT_FMR ? info.min_fmr : COMPARE_DEFAULT_FMR;
    return calibration_cut(cal, cut->fmr, &cut->value, err);
}

static enum err check_faces(const struct analysis *a, const char *which, struct err_info *err)
{
    if (a->n < 1) return err_set(err, ERR_NO_FACE, "%s: no face was found", which);
    for (int i = 0; i < a->n; i++) {
        if (!a->faces[i].embedding || a->faces[i].dim != a->faces[0].dim)
            return err_set(err, ERR_INTERNAL, "%s: face %d has no embedding", which, i);
    }
    return ERR_OK;
}

/* A face without its embedding: an answer about a comparison does not repeat what /v1/embed gives.
 */
static json_t *bare_face(const struct analysis *a, int i)
{
    struct face f = a->faces[i];
    f.embedding = NULL;
    return face_json(&f, a->width, a->height);
}

static json_t *bare_faces(const struct analysis *a)
{
    json_t *list = json_array();

    for (int i = 0; list && i < a->n; i++) {
        if (json_array_append_new(list, bare_face(a, i))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *number(double v)
{
    return json_real(round(v * 1e7) / 1e7);
}

/* similarity .. threshold of one comparison, the keys that the whole answer and each of its pairs
 * share. */
static json_t *verdict(const struct pairing *p, const struct cut *cut,
                       const struct calibration *cal)
{
    const bool match = p->similarity >= cut->value;

    return json_pack(
        "{s:s, s:o, s:o, s:f, s:f}", "decision", match ? "match" : "no_match", "similarity",
        number(p->similarity), "distance", number(1 - (double)p->similarity), "probability",
        calibration_probability(cal, p->similarity), "fmr", calibration_fmr(cal, p->similarity));
}

static int most_similar_first(const void *pa, const void *pb)
{
    const struct pairing *a = pa, *b = pb;
    if (a->similarity != b->similarity) return a->similarity < b->similarity ? 1 : -1;
    return a->i != b->i ? a->i - b->i : a->j - b->j;
}

/* Adds "pairs", "matches" and "unmatched". p: every pair, most similar first. */
static bool add_matrix(json_t *root, const struct pairing *p, size_t n, const struct analysis *a,
                       const struct analysis *b, const struct cut *cut,
                       const struct calibration *cal)
{
    bool *used_a AUTO_FREE = calloc((size_t)a->n, sizeof *used_a);
    bool *used_b AUTO_FREE = calloc((size_t)b->n, sizeof *used_b);
    json_t *pairs = json_array(), *matches = json_array(), *left = json_array(),
           *right = json_array();
    bool ok = used_a && used_b && pairs && matches && left && right;

    for (size_t k = 0; ok && k < n; k++) {
        json_t *v = verdict(&p[k], cut, cal);
        ok = v && !json_object_set_new(v, "pair", json_pack("[i, i]", p[k].i, p[k].j));
        ok = !json_array_append_new(pairs, v) && ok;
        if (p[k].similarity < cut->value || used_a[p[k].i] || used_b[p[k].j]) continue;
        used_a[p[k].i] = used_b[p[k].j] = true;
        ok = ok && !json_array_append_new(matches, json_pack("[i, i]", p[k].i, p[k].j));
    }
    for (int i = 0; ok && i < a->n; i++)
        if (!used_a[i]) ok = !json_array_append_new(left, json_integer(i));
    for (int j = 0; ok && j < b->n; j++)
        if (!used_b[j]) ok = !json_array_append_new(right, json_integer(j));
    /* "o" takes the references, also where it fails */
    json_t *more = json_pack("{s:o, s:o, s:[o, o]}", "pairs", pairs, "matches", matches,
                             "unmatched", left, right);
    ok = ok && more && !json_object_update(root, more);
    json_decref(more);
    return ok;
}

static json_t *both_took(const struct timings *x, const struct timings *y)
{
    const struct timings sum = {x->decode + y->decode, x->detect + y->detect, x->align + y->align,
                                x->embed + y->embed, x->total + y->total};
    return timings_json(&sum);
}

static json_t *answer(const struct decide_model *m, const struct calibration *cal,
                      const struct analysis *a, const struct analysis *b, bool all,
                      const struct cut *cut, const struct pairing *p, size_t n)
{
    json_t *root = json_pack("{s:b}", "verified", p[0].similarity >= cut->value);
    json_t *best = verdict(&p[0], cut, cal);
    json_t *rest =
        json_pack("{s:s, s:{s:f, s:f, s:s}, s:s, s:s?, s:[o, o], s:[i, i], s:o}", "metric",
                  "cosine", "threshold", "value", (double)cut->value, "fmr", cut->fmr, "source",
                  cut->source, "model", m->name, "precision", m->precision, "faces",
                  all ? bare_faces(a) : bare_face(a, 0), all ? bare_faces(b) : bare_face(b, 0),
                  "pair", p[0].i, p[0].j, "took_ms", both_took(&a->took, &b->took));
    bool ok =
        root && best && rest && !json_object_update(root, best) && !json_object_update(root, rest);

    json_decref(best);
    json_decref(rest);
    ok = ok && (!all || add_matrix(root, p, n, a, b, cut, cal));
    if (ok) return root;
    json_decref(root);
    return NULL;
}

enum err compare_faces(json_t **out, const struct decide_model *m, const struct calibration *cal,
                       const struct analysis *a, const struct analysis *b,
                       const struct compare_options *o, struct err_info *err)
{
    const bool all = o->select == FACE_ALL;
    struct cut cut;
    enum err rc;

    if ((rc = check_faces(a, "image1", err)) || (rc = check_faces(b, "image2", err))) return rc;
    if ((rc = find_cut(&cut, m, cal, o->fmr, err))) return rc;
    const size_t na = all ? (size_t)a->n : 1, nb = all ? (size_t)b->n : 1;
    if (na * nb > PAIRS_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "the pictures have %zu and %zu faces, at most %d pairs are compared", na, nb,
                       PAIRS_MAX);
    struct pairing *p AUTO_FREE = malloc(na * nb * sizeof *p);
    if (!p) return err_set(err, ERR_NOMEM, "no memory for %zu pairs of faces", na * nb);
    for (size_t i = 0; i < na; i++) {
        for (size_t j = 0; j < nb; j++) {
            const struct face *fa = &a->faces[i], *fb = &b->faces[j];
            if (fa->dim != fb->dim)
                return err_set(err, ERR_INTERNAL, "embeddings of %d and %d numbers", fa->dim,
                               fb->dim);
            p[i * nb + j] = (struct pairing){
                (int)i, (int)j, match_similarity(fa->embedding, fb->embedding, fa->dim)};
        }
    }
    qsort(p, na * nb, sizeof *p, most_similar_first);
    *out = answer(m, cal, a, b, all, &cut, p, na * nb);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the answer");
}

enum err compare_answer(json_t **out, const struct analysis *a, const struct analysis *b,
                        const struct compare_options *o, struct err_info *err)
{
    const struct decide_model m = {a->model, a->precision, a->recipe, a->detector};
    struct calibration *cal = NULL;
    enum err rc = a->calibration ? calibration_parse(&cal, a->calibration, err) : ERR_OK;

    if (rc) return err_prefix(err, "the calibration of %s", a->model);
    rc = compare_faces(out, &m, cal, a, b, o, err);
    calibration_free(cal);
    return rc;
}
