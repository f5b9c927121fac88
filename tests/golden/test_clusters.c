/* Real faces with auto and no hint: the cast (40 photographs of 8 people), the cast with all faces
 * of its five group pictures, and the people of View 1 with five photographs or more. The rates
 * come from the model's own calibration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cluster.h"
#include "engine/engine.h"
#include "engine/match.h"
#include "tests/golden/golden.h"

enum { ROWS_MAX = 1024, D = 128, PHOTOS_MIN = 5, PEOPLE_OF_CAST = 8 };

struct faces {
    size_t n;
    float x[ROWS_MAX * D];
    uint32_t person[ROWS_MAX], photo[ROWS_MAX];
    uint32_t people, photos;
};

static void add_photo(struct faces *f, struct engine *e, const char *path, enum face_select select,
                      uint32_t person)
{
    const struct analyse_options o = {.select = select, .embedding = true};
    struct buf b = test_read(path);
    struct analysis a = {0};
    struct err_info err = ERR_INFO_INIT;

    if (engine_analyse(e, b.data, b.len, &o, &a, &err)) fail_msg("%s: %s", path, err.message);
    for (size_t i = 0; i < (size_t)a.n; i++) {
        assert_int_equal(a.faces[i].dim, D);
        assert_true(f->n < ROWS_MAX);
        memcpy(f->x + f->n * D, a.faces[i].embedding, D * sizeof(float));
        f->person[f->n] = person;
        f->photo[f->n++] = f->photos;
    }
    f->photos++;
    analysis_release(&a);
    buf_release(&b);
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* Main faces of every folder with so many photographs. */
static void add_folders(struct faces *f, struct engine *e, const char *root)
{
    struct dirent **folder;
    const int folders = scandir(root, &folder, not_hidden, alphasort);

    for (int i = 0; i < folders; i++) {
        char path[512];
        struct dirent **photo;
        snprintf(path, sizeof path, "%s/%s", root, folder[i]->d_name);
        const int photos = scandir(path, &photo, not_hidden, alphasort);
        for (int j = 0; j < photos; j++) {
            char file[1024];
            snprintf(file, sizeof file, "%s/%s", path, photo[j]->d_name);
            if (photos >= PHOTOS_MIN) add_photo(f, e, file, FACE_MAIN, f->people);
            free(photo[j]);
        }
        if (photos >= PHOTOS_MIN) f->people++;
        if (photos >= 0) free(photo);
        free(folder[i]);
    }
    free(folder);
}

static struct engine *open_engine(void)
{
    const struct engine_options o = {.models_dir = test_models_dir(), .threads = 0};
    struct engine *e = NULL;
    struct err_info err = ERR_INFO_INIT;

    if (engine_open(&e, &o, &err)) fail_msg("%s", err.message);
    return e;
}

static struct cluster_result *cluster(const struct faces *f, const uint32_t *apart)
{
    struct cluster_rate rates[CLUSTER_RATES];
    struct cluster_options o = CLUSTER_OPTIONS_INIT;
    struct cluster_result *r = NULL;
    struct calibration *c;
    struct err_info err = ERR_INFO_INIT;
    struct buf text = test_read("deploy/models/dlib-resnet.calibration.json");
    char *json = strndup((const char *)text.data, text.len);

    if (calibration_parse(&c, json, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < CLUSTER_RATES; i++) {
        float cut;
        if (calibration_cut(c, cluster_rates[i], &cut, &err)) continue; /* not supported */
        rates[o.n_rates++] = (struct cluster_rate){cluster_rates[i], cut};
    }
    assert_true(o.n_rates >= CLUSTER_RATES - 1);
    o.rates = rates;
    o.constraints.apart = apart;
    if (cluster_run(&r, f->x, f->n, D, &o, &err)) fail_msg("%s", err.message);
    calibration_free(c);
    free(json);
    buf_release(&text);
    for (int i = 0; i < r->n_parameters; i++)
        printf("  %s = %s: %s\n", r->parameters[i].name, r->parameters[i].value,
               r->parameters[i].why);
    return r;
}

static double score(const char *name, const struct faces *f)
{
    struct cluster_result *r = cluster(f, NULL);
    struct cluster_truth t;
    struct err_info err;

    assert_int_equal(cluster_truth_scores(&t, r->labels, f->person, f->n, &err), ERR_OK);
    printf("%s: %zu faces of %zu people: %d clusters, %zu outliers, B-cubed F %.4f (precision "
           "%.4f, recall %.4f), ARI %.4f\n",
           name, t.rows, t.people, r->clusters, r->outliers, t.bcubed_f, t.bcubed_precision,
           t.bcubed_recall, t.ari);
    cluster_result_free(r);
    return t.bcubed_f;
}

/* Whom of the cast a row is most like, by the mean over that person's own photographs. */
static uint32_t most_like(const struct faces *f, size_t cast, size_t row)
{
    double sum[PEOPLE_OF_CAST] = {0};
    uint32_t best = 0;

    for (size_t i = 0; i < cast; i++)
        sum[f->person[i]] += (double)match_similarity(f->x + i * D, f->x + row * D, D);
    for (uint32_t p = 1; p < PEOPLE_OF_CAST; p++) best = sum[p] > sum[best] ? p : best;
    return best;
}

static void test_cast_and_group_pictures(void **state)
{
    (void)state;
    if (!test_have_models() || !test_have_shared()) skip();
    struct faces *f = calloc(1, sizeof *f);
    struct engine *e = open_engine();

    assert_non_null(f);
    add_folders(f, e, FACES "/cast");
    assert_int_equal(f->people, PEOPLE_OF_CAST);
    assert_int_equal(f->n, 40);
    assert_true(score("cast", f) >= 0.95);
    const size_t cast = f->n;
    for (int i = 1; i <= 5; i++) {
        char path[256];
        snprintf(path, sizeof path, FACES "/cast/bbt%d.jpg", i);
        add_photo(f, e, path, FACE_ALL, CLUSTER_NO_GROUP);
    }
    assert_true(f->n >= cast + 22);
    struct cluster_result *r = cluster(f, f->photo);
    assert_int_equal(r->clusters, PEOPLE_OF_CAST);
    assert_int_equal(r->outliers, 0);
    for (size_t i = 0; i < cast; i++) {
        for (size_t j = cast; j < f->n; j++) {
            const bool one = f->person[i] == most_like(f, cast, j);
            if ((r->labels[i] == r->labels[j]) != one)
                fail_msg("face %zu of the group pictures and photograph %zu of the cast", j - cast,
                         i);
        }
    }
    cluster_result_free(r);
    engine_close(e);
    free(f);
}

static void test_view1(void **state)
{
    (void)state;
    if (!test_have_models() || !test_have_shared()) skip();
    if (!THOROUGH) {
        printf("472 photographs take too long in this build");
        skip();
    }
    struct faces *f = calloc(1, sizeof *f);
    struct engine *e = open_engine();

    assert_non_null(f);
    add_folders(f, e, FACES "/lfw-view1");
    assert_int_equal(f->people, 81);
    assert_true(score("View 1, five photographs or more", f) >= 0.97);
    engine_close(e);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cast_and_group_pictures),
                                       cmocka_unit_test(test_view1)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
