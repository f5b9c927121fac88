/* Chips against dlib's: where they lie, and their bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/golden.h"

enum { CHIP_BYTES = CHIP_SIDE * CHIP_SIDE * 3 };

/* The tolerance of the goldens: the same bytes, or one level in fewer than 0.1 % of them. A chip
 * that is only known by its hash must have it. */
static bool same_chip(const char *name, const uint8_t *chip, const char *sha,
                      const struct image *want)
{
    char hex[65];
    int off = 0;
    sha256_hex(hex, chip, CHIP_BYTES);
    if (!strcmp(hex, sha)) return true;
    if (!want) {
        printf("%s: another sha256\n", name);
        return false;
    }
    for (int i = 0; i < CHIP_BYTES; i++) {
        int d = abs(chip[i] - want->rgb[i]);
        if (d > 1) {
            printf("%s: byte %d is %d, golden %d\n", name, i, chip[i], want->rgb[i]);
            return false;
        }
        off += d;
    }
    printf("%s: %d bytes are off by one\n", name, off);
    return off < CHIP_BYTES / 1000;
}

static void test_pattern_chips(void **state)
{
    (void)state;
    json_t *g = golden_load(), *entry;
    struct image pattern = IMAGE_INIT;
    bool ok = true;
    size_t i;

    golden_pattern(&pattern, 640, 480);
    json_array_foreach(json_object_get(g, "pattern_chips"), i, entry)
    {
        struct chip_place p;
        struct image want = IMAGE_INIT;
        struct err_info err;
        uint8_t chip[CHIP_BYTES];
        char path[512], name[64];
        snprintf(name, sizeof name, "pattern chip %zu", i);
        for (size_t k = 0; k < 4; k++)
            p.rect[k] = json_number_value(json_array_get(json_object_get(entry, "rect"), k));
        p.angle = number(entry, "angle");
        snprintf(path, sizeof path, "%s/%s", GOLDENS,
                 json_string_value(json_object_get(entry, "png")));
        assert_true(read_picture(&want, path));
        assert_int_equal(chip_extract(chip, CHIP_SIDE, &pattern, &p, &err), ERR_OK);
        ok &= same_chip(name, chip, json_string_value(json_object_get(entry, "sha256")), &want);
        image_release(&want);
    }
    assert_int_equal(i, 4);
    image_release(&pattern);
    json_decref(g);
    assert_true(ok);
}

static bool check_face(const char *name, const struct image *im, const json_t *face)
{
    struct chip_place p;
    struct err_info err;
    uint8_t chip[CHIP_BYTES];
    int p5[5][2];
    bool ok = true;

    int_points(p5, json_object_get(face, "p5"));
    assert_int_equal(chip_place_from_points(&p, p5, 0.25, CHIP_SIDE, &err), ERR_OK);
    for (size_t k = 0; k < 4; k++) {
        double want = json_number_value(json_array_get(json_object_get(face, "chip_rect"), k));
        if (fabs(p.rect[k] - want) > 1e-6) {
            printf("%s: side %zu at %.9f, golden %.9f\n", name, k, p.rect[k], want);
            ok = false;
        }
    }
    if (fabs(p.angle - number(face, "chip_angle")) > 1e-6) {
        printf("%s: angle %.9f, golden %.9f\n", name, p.angle, number(face, "chip_angle"));
        ok = false;
    }
    if (!im) return ok;
    assert_int_equal(chip_extract(chip, CHIP_SIDE, im, &p, &err), ERR_OK);
    return ok &
           same_chip(name, chip, json_string_value(json_object_get(face, "chip_sha256")), NULL);
}

static void test_faces(void **state)
{
    (void)state;
    json_t *g = golden_load(), *picture, *face;
    int faces = 0, wrong = 0;
    size_t i, k;

    json_array_foreach(json_object_get(g, "pictures"), i, picture)
    {
        struct image im = IMAGE_INIT;
        bool have = golden_picture(&im, picture);
        json_array_foreach(json_object_get(picture, "faces"), k, face)
        {
            char name[256];
            snprintf(name, sizeof name, "%s face %zu",
                     json_string_value(json_object_get(picture, "path")), k);
            wrong += !check_face(name, have ? &im : NULL, face);
            faces++;
        }
        image_release(&im);
    }
    json_decref(g);
    assert_int_equal(faces, 84);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_chips),
        cmocka_unit_test(test_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
