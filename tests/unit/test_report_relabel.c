#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/report/report.h"

static const char REPORT[] =
    "{\"faces\":[{\"name\":\"Amy\",\"truth\":null},{\"name\":null,\"truth\":\"amy\"},"
    "{\"name\":\"Amy\",\"truth\":\"x\"},{\"name\":\"Raj\",\"truth\":null},{\"name\":null,"
    "\"truth\":null}],\"clusters\":[{\"label\":\"old\",\"members\":[0,1,2]},"
    "{\"label\":\"old\",\"members\":[3]},{\"label\":\"old\",\"members\":[4]},"
    "{\"label\":null,\"members\":[0,3]}]}";

static void names_follow_the_faces(void **state)
{
    static const char *const want[] = {"Amy", "Raj", NULL, NULL};
    json_auto_t *report = json_loads(REPORT, 0, NULL);
    struct err_info err = ERR_INFO_INIT;
    (void)state;

    assert_int_equal(report_relabel(report, &err), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        const json_t *c = json_array_get(json_object_get(report, "clusters"), i);
        const char *label = json_string_value(json_object_get(c, "label"));
        if (want[i])
            assert_string_equal(label, want[i]);
        else
            assert_null(label);
    }
    json_array_append_new(
        json_object_get(json_array_get(json_object_get(report, "clusters"), 0), "members"),
        json_integer(5));
    assert_int_equal(report_relabel(report, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_follow_the_faces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
