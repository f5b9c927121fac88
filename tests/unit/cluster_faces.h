/* Faces for tests of clustering: five people, and a calibration that tells them apart. Header only.
 */
#ifndef VISAVIS_TESTS_UNIT_CLUSTER_FACES_H
#define VISAVIS_TESTS_UNIT_CLUSTER_FACES_H

#include "engine/match.h"
#include "server/clusters/faces.h"

#include <stdlib.h>

enum { DIM = 16, PEOPLE = 5, EACH = 6, N = PEOPLE * EACH };
static const char RECIPE[] = "recipe";

/* A small generator, so that the test is the same everywhere. */
static inline double chance(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 33) / (double)(1u << 31) * 2 - 1;
}

/* Faces of five people, close to five directions; `more` of the first beside. */
static inline struct clusters_faces make_faces(size_t more, bool examples, const char *calibration)
{
    struct clusters_faces f = CLUSTERS_FACES_INIT;
    struct err_info err = ERR_INFO_INIT;
    uint64_t seed = 5;
    double centre[PEOPLE][DIM];
    enum err rc = clusters__faces_init(&f, DIM, examples, &err);

    for (int p = 0; p < PEOPLE; p++)
        for (int k = 0; k < DIM; k++) centre[p][k] = chance(&seed);
    for (size_t i = 0; !rc && i < N + more; i++) {
        float v[DIM];
        const int p = i < N ? (int)i % PEOPLE : 0;
        for (int k = 0; k < DIM; k++) v[k] = (float)(centre[p][k] + 0.1 * chance(&seed));
        assert_true(match_normalize(v, DIM));
        rc = clusters__faces_add(&f, v, &err);
        if (rc) break;
        f.truth[i] = (uint32_t)p;
        f.photo[i] = (uint32_t)i;
        f.face[i].photo = (int)i;
        f.face[i].truth = "x";
        if (examples) f.example[i] = (int64_t)i + 1;
    }
    if (!rc) rc = clusters__copy(&f.model, "fake", &err);
    if (!rc) rc = clusters__copy(&f.precision, "f32", &err);
    if (!rc) rc = clusters__copy(&f.recipe, RECIPE, &err);
    if (!rc) rc = clusters__copy(&f.calibration, calibration, &err);
    if (rc) fail_msg("%s", err.message);
    return f;
}

/* Strangers between -0.5 and 0.5, the same person between 0.7 and 1; free(). */
static inline char *make_calibration(const char *recipe)
{
    enum { GENUINE = 1000, IMPOSTOR = 20000 };
    float *genuine = calloc(GENUINE, sizeof *genuine),
          *impostor = calloc(IMPOSTOR, sizeof *impostor);
    const struct calibration_origin origin = {"test", recipe, "fake", "test", 10, 100};
    struct err_info err = ERR_INFO_INIT;
    struct roc *roc = NULL;
    char *json = NULL;

    assert_true(genuine && impostor);
    for (int i = 0; i < GENUINE; i++) genuine[i] = 0.7f + 0.3f * (float)i / GENUINE;
    for (int i = 0; i < IMPOSTOR; i++) impostor[i] = (float)i / IMPOSTOR - 0.5f;
    if (roc_new(&roc, genuine, GENUINE, impostor, IMPOSTOR, &err) ||
        roc_calibration_json(&json, roc, &origin, &err))
        fail_msg("%s", err.message);
    roc_free(roc);
    free(genuine);
    free(impostor);
    return json;
}

#endif
