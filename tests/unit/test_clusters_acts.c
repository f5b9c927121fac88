#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/clusters/clusters.h"

#include <string.h>

enum { N = 8, NONE = 99 };
static const int32_t before[N] = {0, 0, 1, 1, 2, 2, 2, -1};

enum act { SPLIT, MERGE, OUTLIER };
static const struct {
    const char *name;
    enum act act;
    int cluster, named[4]; /* NONE ends */
    enum err want;
    const char *says;
    int32_t after[N];
} rows[] = {
    {"split", SPLIT, 2, {5, 6, NONE}, ERR_OK, "", {0, 0, 1, 1, 2, 3, 3, -1}},
    {"split all", SPLIT, 0, {0, 1, NONE}, ERR_INVALID, "all 2 faces of cluster 0", {0}},
    {"split all, one twice", SPLIT, 0, {0, 1, 0, NONE}, ERR_INVALID, "all 2 faces", {0}},
    {"split none", SPLIT, 0, {NONE}, ERR_INVALID, "empty", {0}},
    {"split what is not in it",
     SPLIT,
     0,
     {2, NONE},
     ERR_INVALID,
     "face 2 is not in cluster 0",
     {0}},
    {"split a face that is not", SPLIT, 0, {8, NONE}, ERR_INVALID, "face 8", {0}},
    {"split a cluster that is not",
     SPLIT,
     3,
     {1, NONE},
     ERR_INVALID,
     "cluster 3: the report's are 0 to 2",
     {0}},
    {"merge", MERGE, 0, {2, 0, NONE}, ERR_OK, "", {0, 0, 1, 1, 0, 0, 0, -1}},
    {"merge: later ones move down", MERGE, 0, {1, 0, NONE}, ERR_OK, "", {0, 0, 0, 0, 1, 1, 1, -1}},
    {"merge all", MERGE, 0, {0, 1, 2, NONE}, ERR_OK, "", {0, 0, 0, 0, 0, 0, 0, -1}},
    {"merge one", MERGE, 0, {1, NONE}, ERR_INVALID, "1 clusters", {0}},
    {"merge twice", MERGE, 0, {1, 1, NONE}, ERR_INVALID, "cluster 1 is named twice", {0}},
    {"merge what is not", MERGE, 0, {1, 7, NONE}, ERR_INVALID, "cluster 7", {0}},
    {"outlier", OUTLIER, 0, {4, NONE}, ERR_OK, "", {0, 0, 1, 1, -1, 2, 2, -1}},
    {"outlier: an empty cluster goes",
     OUTLIER,
     0,
     {2, 3, NONE},
     ERR_OK,
     "",
     {0, 0, -1, -1, 1, 1, 1, -1}},
    {"outlier already", OUTLIER, 0, {7, NONE}, ERR_INVALID, "face 7 is in no cluster", {0}},
    {"outlier that is not",
     OUTLIER,
     0,
     {50, NONE},
     ERR_INVALID,
     "face 50: the report's are 0 to 7",
     {0}},
};

static void acts(void **state)
{
    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct err_info err = ERR_INFO_INIT;
        int32_t labels[N];
        size_t faces[4], n = 0;
        enum err rc;
        memcpy(labels, before, sizeof labels);
        for (; rows[r].named[n] != NONE; n++) faces[n] = (size_t)rows[r].named[n];
        rc = rows[r].act == SPLIT   ? clusters_split(labels, N, rows[r].cluster, faces, n, &err)
             : rows[r].act == MERGE ? clusters_merge(labels, N, rows[r].named, n, &err)
                                    : clusters_outlier(labels, N, faces, n, &err);
        if (rc != rows[r].want || !strstr(err.message, rows[r].says))
            fail_msg("%s: %s \"%s\"", rows[r].name, err_name(rc), err.message);
        const int32_t *want = rc ? before : rows[r].after;
        for (int i = 0; i < N; i++)
            if (labels[i] != want[i])
                fail_msg("%s: face %d is in %d, not %d", rows[r].name, i, labels[i], want[i]);
    }
    assert_int_equal(clusters_count(before, N), 3);
    assert_int_equal(clusters_count(before + 7, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(acts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
