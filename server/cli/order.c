#include "server/cli/order.h"

#include <stdlib.h>
#include <string.h>

#include "server/cli/cli.h"

enum { PICTURE_MAX_BYTES = 64 << 20, CLASSES_MAX = 1 << 20 };

static bool parse_expect(struct order_check *out, const char *text)
{
    char *end;
    const long class = strtol(text, &end, 10);
    if (end == text || *end != '=' || class < 0 || class > CLASSES_MAX) return false;
    text = end + 1;
    *out = (struct order_check){.class = (int)class, .probability = strtod(text, &end)};
    return end != text && !*end && out->probability > 0 && out->probability <= 1;
}

enum err order_load(struct order_picture *out, const struct order_options *o, struct err_info *err)
{
    struct order_picture p = {.bytes = BUF_INIT(PICTURE_MAX_BYTES)};
    enum err rc = buf_read_file(&p.bytes, o->picture, err);

    if (rc) {
        buf_release(&p.bytes);
        return rc;
    }
    if (o->expect ? !parse_expect(&p.check, o->expect)
                  : !engine_order_known(&p.check, p.bytes.data, p.bytes.len)) {
        buf_release(&p.bytes);
        return o->expect ? err_set(err, ERR_INVALID,
                                   "--expect is \"%.60s\"; it takes a class, counted from 0, and "
                                   "its probability, as in 8=0.52",
                                   o->expect)
                         : err_set(err, ERR_INVALID,
                                   "%.200s: not one of the pictures whose class is known (ajb.jpg, "
                                   "rm.jpg); say which class it is to get and how probable, as in "
                                   "--expect 8=0.52",
                                   o->picture);
    }
    *out = p;
    return ERR_OK;
}

/* The model as it is now. */
static enum err update(json_t *answer, const char *models_dir, const char *name,
                       struct err_info *err)
{
    struct model_info *list;
    size_t n;
    enum err rc = engine_model_list(&list, &n, models_dir, err);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) != 0) continue;
        json_object_set_new(answer, "note", json_string(list[i].note));
        json_object_set_new(answer, "sha256", json_string(list[i].sha256));
    }
    engine_model_list_free(list, n);
    return ERR_OK;
}

enum err order_run(json_t *answer, const struct order_picture *p, const struct order_options *o,
                   const char *models_dir, struct err_info *err)
{
    const char *name = json_string_value(json_object_get(answer, "name"));
    struct order_result r;
    enum err rc = engine_check_order(&r, models_dir, name, cli_last_part(NULL, o->picture),
                                     p->bytes.data, p->bytes.len, &p->check, err);
    if (rc) return rc;
    json_object_set_new(answer, "check",
                        json_pack("{s:b, s:s?, s:i, s:f, s:f, s:f}", "decided", r.decided, "planes",
                                  !r.decided       ? NULL
                                  : r.bgr_is_right ? "bgr"
                                                   : "rgb",
                                  "class", p->check.class, "expected", p->check.probability, "rgb",
                                  r.rgb, "bgr", r.bgr));
    return update(answer, models_dir, name, err);
}
