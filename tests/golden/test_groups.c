/* The labelled group pictures (testing.xml, training.xml: 43 faces): recall, and what is reported
 * beside the labels. The labels are boxes of dlib's kind, square from brows to chin; what is
 * compared is the square that ert_rect makes of a detection, which was fitted to those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/pictures.h"

enum { BOXES_MAX = 64 };

struct labels {
    char file[256];
    int n;
    int box[BOXES_MAX][4]; /* x1 y1 x2 y2 */
};

static double overlap(const int a[4], const int b[4])
{
    double w = fmin(a[2], b[2]) - fmax(a[0], b[0]), h = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    if (w <= 0 || h <= 0) return 0;
    return w * h /
           ((double)(a[2] - a[0]) * (a[3] - a[1]) + (double)(b[2] - b[0]) * (b[3] - b[1]) - w * h);
}

struct tally {
    int labels, hit, reported, beside;
};

static void compare(struct tally *t, const struct labels *l, const struct golden_detector *d)
{
    char path[512];
    struct image im = IMAGE_INIT;
    struct detection *f;
    enum detect_pass pass;
    bool used[BOXES_MAX] = {false};
    int hit = 0;

    if (!l->n) return;
    snprintf(path, sizeof path, "%s/groups/%s", FACES, l->file);
    assert_true(read_picture(&im, path));
    int n = ladder(&f, &pass, d, &im);
    for (int i = 0; i < n; i++) {
        int square[4], best = -1;
        double most = 0.4;
        ert_rect(square, &f[i]);
        for (int k = 0; k < l->n; k++) {
            double o = overlap(square, l->box[k]);
            if (!used[k] && o >= most) most = o, best = k;
        }
        if (best >= 0) {
            used[best] = true;
            hit++;
        } else {
            t->beside++;
            printf("%s: beside the labels: score %.4f, square %d %d %d %d\n", l->file,
                   (double)f[i].score, square[0], square[1], square[2], square[3]);
        }
    }
    for (int k = 0; k < l->n; k++)
        if (!used[k])
            printf("%s: missed %d %d %d %d\n", l->file, l->box[k][0], l->box[k][1], l->box[k][2],
                   l->box[k][3]);
    printf("%s: %d of %d, pass %s\n", l->file, hit, l->n, detect_pass_name(pass));
    t->labels += l->n;
    t->hit += hit;
    t->reported += n;
    free(f);
    image_release(&im);
}

/* dlib's own XML: one tag a line. */
static void read_labels(struct tally *t, const char *xml, const struct golden_detector *d)
{
    struct labels l = {"", 0, {{0}}};
    char line[512];
    FILE *f = fopen(xml, "r");
    if (!f) fail_msg("cannot read %s", xml);
    while (fgets(line, sizeof line, f)) {
        int top, left, w, h;
        const char *at;
        if ((at = strstr(line, "<image file='"))) {
            l.n = 0;
            assert_int_equal(sscanf(at, "<image file='%255[^']'", l.file), 1);
        } else if ((at = strstr(line, "<box "))) {
            assert_int_equal(
                sscanf(at, "<box top='%d' left='%d' width='%d' height='%d'", &top, &left, &w, &h),
                4);
            assert_true(l.n < BOXES_MAX);
            int *b = l.box[l.n++];
            b[0] = left, b[1] = top, b[2] = left + w, b[3] = top + h;
        } else if (strstr(line, "</image>")) {
            compare(t, &l, d);
        }
    }
    fclose(f);
}

static void test_recall(void **state)
{
    (void)state;
    struct golden_detector d;
    struct tally t = {0};

    if (!test_have_shared()) skip();
    golden_detector_open(&d, NN_FAST);
    read_labels(&t, FACES "/groups/testing.xml", &d);
    read_labels(&t, FACES "/groups/training.xml", &d);
    golden_detector_close(&d);
    printf("recall %d of %d (%.1f %%) at IoU 0.4; %d reported, %d beside the labels\n", t.hit,
           t.labels, 100.0 * t.hit / t.labels, t.reported, t.beside);
    assert_int_equal(t.labels, 43);
    assert_true(t.hit >= 0.95 * t.labels);
    assert_true(t.beside <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recall)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
