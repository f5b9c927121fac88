#include "server/api/faces_in.h"

#include "engine/base/mem.h"
#include "server/api/api.h"
#include "server/api/body.h"

#include <math.h>
#include <string.h>

enum { OPTION_MAX_BYTES = 200, TOP_MOST = 100 };
static const double MIN_SIZE_LEAST = 12, MIN_SIZE_MOST = 4096; /* pixels; 12 is P-Net's window */

enum option {
    DRY_RUN,
    EXPLAIN,
    FACE,
    FMR,
    FORCE,
    FPIR,
    IDENTITY,
    INCLUDE,
    MIN_SIZE,
    MODEL,
    PRECROPPED,
    RETRY,
    TAG,
    TOP,
    OPTIONS
};
static const struct {
    const char *name;
    enum { TEXT, NUMBER, YES_NO } kind; /* in JSON */
} options[OPTIONS] = {
    [DRY_RUN] = {"dry_run", YES_NO},
    [EXPLAIN] = {"explain", YES_NO},
    [FACE] = {"face", TEXT},
    [FMR] = {"fmr", NUMBER},
    [FORCE] = {"force", YES_NO},
    [FPIR] = {"fpir", NUMBER},
    [IDENTITY] = {"identity", TEXT},
    [INCLUDE] = {"include", TEXT},
    [MIN_SIZE] = {"min_size", NUMBER},
    [MODEL] = {"model", TEXT},
    [PRECROPPED] = {"precropped", YES_NO},
    [RETRY] = {"retry", YES_NO},
    [TAG] = {"tag", TEXT},
    [TOP] = {"top", NUMBER},
};

/* The options as they were given; NULL: not. */
struct texts {
    const char *of[OPTIONS];
};

/* OPTIONS: none of that name. */
static enum option option_named(const char *name)
{
    int i = 0;
    while (i < OPTIONS && strcmp(options[i].name, name) != 0) i++;
    return (enum option)i;
}

static bool listed(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

/* Which of the route's pictures a field of this name is; -1: none. */
static int image_index(const struct faces_spec *spec, const char *name)
{
    for (int i = 0; spec->image[i]; i++)
        if (!strcmp(spec->image[i], name)) return i;
    return -1;
}

/* A place for one more picture. */
static enum err next_image(int *at, struct faces_in *in, const struct faces_spec *spec, int image,
                           struct request *rq, struct err_info *err)
{
    const char *name = spec->image[image];
    if (!spec->several) {
        if (in->image[image].name)
            return err_set(err, ERR_INVALID, "form field \"%s\" is given twice", name);
        *at = image;
    } else {
        if (in->n_images == FACES_IN_IMAGES_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than the %d pictures allowed in one call",
                           FACES_IN_IMAGES_MAX);
        *at = in->n_images++;
        if (*at) name = arena_printf(&rq->arena, "%s[%d]", name, *at);
        if (!name) return err_set(err, ERR_NOMEM, "no memory for a picture's name");
    }
    in->image[*at].name = name;
    return ERR_OK;
}

static enum err unknown_field(const struct faces_spec *spec, const char *what, const char *name,
                              struct err_info *err)
{
    const char *all[ARRAY_LEN(spec->image) + ARRAY_LEN(spec->option)];
    char known[200];
    int n = 0;

    for (int i = 0; spec->image[i]; i++) all[n++] = spec->image[i];
    for (int i = 0; spec->option[i]; i++) all[n++] = spec->option[i];
    all[n] = NULL;
    request_list_names(known, sizeof known, all);
    return err_set(err, ERR_INVALID, "unknown %s \"%.64s\"; this route takes %s", what, name,
                   known);
}

static enum err set_text(struct texts *t, const char *name, const char *value, struct err_info *err)
{
    const char **at = &t->of[option_named(name)]; /* it is in the route's list, so there is one */
    if (*at)
        return err_set(err, ERR_INVALID, "%s is given twice, or both in the query and in the body",
                       name);
    *at = value;
    return ERR_OK;
}

static enum err from_query(struct texts *t, const struct faces_spec *spec, const struct request *rq,
                           struct err_info *err)
{
    enum err rc = request_query_only(rq, spec->option, err);
    for (int i = 0; !rc && i < rq->n_query; i++)
        rc = set_text(t, rq->query[i].key, rq->query[i].value, err);
    return rc;
}

static enum err from_form(struct faces_in *in, struct texts *t, const struct faces_spec *spec,
                          struct request *rq, struct err_info *err)
{
    enum err rc = ERR_OK;

    for (int i = 0; !rc && i < rq->n_parts; i++) {
        const struct part *p = &rq->part[i];
        int image = image_index(spec, p->name), at = 0;
        if (image >= 0) {
            rc = next_image(&at, in, spec, image, rq, err);
            if (rc) return rc;
            in->image[at].data = p->data;
            in->image[at].len = p->len;
        } else if (!listed(spec->option, p->name)) {
            rc = unknown_field(spec, "form field", p->name, err);
        } else if (p->len > OPTION_MAX_BYTES) {
            rc = err_set(err, ERR_INVALID, "form field \"%s\" has %zu bytes, the limit is %d",
                         p->name, p->len, OPTION_MAX_BYTES);
        } else {
            char *text = arena_copy(&rq->arena, (const char *)p->data, p->len);
            if (!text) return err_set(err, ERR_NOMEM, "no memory for a form field");
            if (strlen(text) != p->len)
                return err_set(err, ERR_INVALID, "form field \"%s\" has a NUL byte in it", p->name);
            rc = set_text(t, p->name, text, err);
        }
    }
    return rc;
}

static enum err decode(struct faces_in *in, const struct faces_spec *spec, int image,
                       const char *key, const json_t *value, struct request *rq, struct reply *rp,
                       struct err_info *err)
{
    int i = 0;
    if (!json_is_string(value))
        return err_set(err, ERR_INVALID, "JSON field \"%s\" is not a string", key);
    enum err rc = next_image(&i, in, spec, image, rq, err);
    if (rc) return rc;
    const char *name = in->image[i].name;
    struct buf *b = &in->image[i].decoded;
    *b = BUF_INIT(IMAGE_MAX_BYTES);
    /* White space and a data: prefix only make the text longer; the decoder checks the real size
     * against the cap. */
    rc = buf_add_unbase64(b, json_string_value(value), json_string_length(value), err);
    if (rc == ERR_TOO_LARGE)
        err_set(err, rc, "the picture has more than the %d bytes allowed", IMAGE_MAX_BYTES);
    if (rc) {
        reply_detail(rp, "image", name);
        return err_prefix(err, "%s", name);
    }
    in->image[i].data = b->len ? b->data : (const uint8_t *)"";
    in->image[i].len = b->len;
    return ERR_OK;
}

/* An option's value as it would stand in a form. */
static enum err json_option(struct texts *t, const char *name, const json_t *value,
                            struct request *rq, struct err_info *err)
{
    const enum option o = option_named(name);
    const bool number = options[o].kind == NUMBER, boolean = options[o].kind == YES_NO;
    const char *text = NULL;

    if (number && json_is_number(value))
        text = arena_printf(&rq->arena, "%.17g", json_number_value(value));
    else if (boolean && json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    else if (!number && !boolean && json_is_string(value))
        text = arena_copy(&rq->arena, json_string_value(value), json_string_length(value));
    else
        return err_set(err, ERR_INVALID, "JSON field \"%s\" is not %s", name,
                       number    ? "a number"
                       : boolean ? "true or false"
                                 : "a string");
    if (!text) return err_set(err, ERR_NOMEM, "no memory for an option");
    return set_text(t, name, text, err);
}

static enum err from_json(struct faces_in *in, struct texts *t, const struct faces_spec *spec,
                          json_t *body, struct request *rq, struct reply *rp, struct err_info *err)
{
    const char *key;
    json_t *value;
    enum err rc = ERR_OK;

    json_object_foreach(body, key, value)
    {
        const int image = image_index(spec, key);
        if (image < 0 && !listed(spec->option, key))
            return unknown_field(spec, "JSON field", key, err);
        if (image >= 0 && spec->several && json_is_array(value)) {
            size_t i;
            const json_t *one;
            json_array_foreach(value, i, one)
            {
                if ((rc = decode(in, spec, image, key, one, rq, rp, err))) return rc;
            }
        } else {
            rc = image >= 0 ? decode(in, spec, image, key, value, rq, rp, err)
                            : json_option(t, key, value, rq, err);
        }
        if (rc) return rc;
    }
    return ERR_OK;
}

static enum err parse_number(double *out, const char *name, const char *text, struct err_info *err)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v))
        return err_set(err, ERR_INVALID, "%s is \"%.40s\", which is not a number", name, text);
    *out = v;
    return ERR_OK;
}

static enum err parse_include(struct analyse_options *o, const char *text, struct err_info *err)
{
    const struct {
        const char *name;
        bool *flag;
    } table[] = {
        {"landmarks68", &o->landmarks68},
        {"mask", &o->mask},
        {"mask_png", &o->mask_png},
        {"chip", &o->chip_png},
    };
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ","), i = 0;
        while (i < ARRAY_LEN(table) &&
               (strlen(table[i].name) != n || strncmp(table[i].name, p, n) != 0))
            i++;
        if (i == ARRAY_LEN(table))
            return err_set(err, ERR_INVALID,
                           "include has \"%.*s\"; it takes landmarks68, mask, mask_png and chip, "
                           "separated by commas",
                           (int)(n < 40 ? n : 40), p);
        *table[i].flag = true;
        p += n;
        if (!*p) return ERR_OK;
    }
}

static enum err parse_rate(double *out, enum option o, const struct texts *t, struct err_info *err)
{
    const char *name = options[o].name, *text = t->of[o];
    enum err rc = text ? parse_number(out, name, text, err) : ERR_OK;
    if (!rc && text && !(*out > 0 && *out < 1))
        return err_set(err, ERR_INVALID, "%s is %g, it must lie between 0 and 1", name, *out);
    return rc;
}

static enum err parse_yes(bool *out, enum option o, const struct texts *t, struct err_info *err)
{
    const char *name = options[o].name, *text = t->of[o];
    if (!text) return ERR_OK;
    *out = !strcmp(text, "true");
    if (!*out && strcmp(text, "false") != 0)
        return err_set(err, ERR_INVALID, "%s is \"%.40s\"; it takes true or false", name, text);
    return ERR_OK;
}

static enum err parse_options(struct faces_in *in, const struct texts *t, struct err_info *err)
{
    bool retry = true;
    enum err rc;

    if (t->of[FACE] && !face_select_parse(&in->options.select, t->of[FACE]))
        return err_set(err, ERR_INVALID, "face is \"%.40s\"; it takes main, largest, single or all",
                       t->of[FACE]);
    if ((rc = parse_rate(&in->fmr, FMR, t, err)) || (rc = parse_rate(&in->fpir, FPIR, t, err)) ||
        (rc = parse_yes(&retry, RETRY, t, err)) ||
        (rc = parse_yes(&in->explain, EXPLAIN, t, err)) ||
        (rc = parse_yes(&in->force, FORCE, t, err)) ||
        (rc = parse_yes(&in->dry_run, DRY_RUN, t, err)) ||
        (rc = parse_yes(&in->options.precropped, PRECROPPED, t, err)))
        return rc;
    in->options.no_retry = !retry;
    in->identity = t->of[IDENTITY];
    in->tag = t->of[TAG];
    if (t->of[MIN_SIZE]) {
        double v = 0;
        if ((rc = parse_number(&v, "min_size", t->of[MIN_SIZE], err))) return rc;
        if (!(v >= MIN_SIZE_LEAST && v <= MIN_SIZE_MOST))
            return err_set(err, ERR_INVALID, "min_size is %g pixels, it must lie between %g and %g",
                           v, MIN_SIZE_LEAST, MIN_SIZE_MOST);
        in->options.min_size = (float)v;
    }
    if (t->of[TOP]) {
        double v = 0;
        if ((rc = parse_number(&v, "top", t->of[TOP], err))) return rc;
        if (!(v >= 1 && v <= TOP_MOST && v == floor(v)))
            return err_set(err, ERR_INVALID, "top is %g, it must be a whole number from 1 to %d", v,
                           TOP_MOST);
        in->top = (int)v;
    }
    in->options.model = t->of[MODEL];
    return t->of[INCLUDE] ? parse_include(&in->options, t->of[INCLUDE], err) : ERR_OK;
}

static enum err check_images(const struct faces_in *in, const struct faces_spec *spec,
                             const struct request *rq, struct reply *rp, struct err_info *err)
{
    for (int i = 0; i < in->n_images || (i == 0 && spec->several); i++) {
        const char *name = in->image[i].name ? in->image[i].name : spec->image[i];
        enum err rc = ERR_OK;
        if (!in->image[i].data)
            rc = err_set(err, ERR_INVALID, "%s is missing: %s", name,
                         rq->body_kind == BODY_JSON
                             ? "send the picture in base64 as a JSON field of that name"
                             : "send the picture as a form field of that name");
        else if (!in->image[i].len)
            rc = err_set(err, ERR_INVALID, "%s is empty", name);
        else if (in->image[i].len > IMAGE_MAX_BYTES)
            rc = err_set(err, ERR_TOO_LARGE, "%s has %zu bytes, the limit is %d", name,
                         in->image[i].len, IMAGE_MAX_BYTES);
        if (rc) {
            reply_detail(rp, "image", name);
            return rc;
        }
    }
    return ERR_OK;
}

enum err faces_in_parse_body(struct faces_in *out, const struct faces_spec *spec, json_t *body,
                             struct request *rq, struct reply *rp, struct err_info *err)
{
    json_auto_t *own = NULL;
    struct faces_in in = {.options = {.select = spec->face}, .top = spec->top};
    struct texts t = {0};
    enum err rc;

    while (!spec->several && spec->image[in.n_images]) in.n_images++;
    rc = from_query(&t, spec, rq, err);
    if (!rc && rq->body_kind == BODY_JSON) {
        if (!body && !(rc = body_load(&own, rq, err))) body = own;
        if (!rc) rc = from_json(&in, &t, spec, body, rq, rp, err);
    } else if (!rc) {
        rc = from_form(&in, &t, spec, rq, err);
    }
    if (!rc) rc = parse_options(&in, &t, err);
    if (!rc) rc = check_images(&in, spec, rq, rp, err);
    if (rc) {
        faces_in_release(&in);
        return rc;
    }
    *out = in;
    return ERR_OK;
}

enum err faces_in_parse(struct faces_in *out, const struct faces_spec *spec, struct request *rq,
                        struct reply *rp, struct err_info *err)
{
    return faces_in_parse_body(out, spec, NULL, rq, rp, err);
}

void faces_in_release(struct faces_in *in)
{
    for (int i = 0; i < in->n_images; i++) buf_release(&in->image[i].decoded);
}

enum err faces_in_analyse(struct analysis *a, struct engine *e, const struct faces_in *in, int i,
                          struct request *rq, struct reply *rp, struct err_info *err)
{
    enum err rc = engine_analyse(e, in->image[i].data, in->image[i].len, &in->options, a, err);
    if (rc == ERR_NOT_FOUND) /* of the optional landmarks model: not of the route, so not 404 */
        return err_set(
            err, ERR_CONFLICT,
            "landmarks68 needs the optional model dlib-68point, which is not installed here");
    if (rc == ERR_NO_FACE || rc == ERR_MANY_FACES || rc == ERR_BAD_IMAGE ||
        rc == ERR_UNSUPPORTED_IMAGE || rc == ERR_TOO_LARGE || rc == ERR_NO_EMBEDDING) {
        reply_detail(rp, "image", in->image[i].name);
        return err_prefix(err, "%s", in->image[i].name);
    }
    if (rc) return rc;
    rq->ms[STAGE_DECODE] += a->took.decode;
    rq->ms[STAGE_DETECT] += a->took.detect;
    rq->ms[STAGE_ALIGN] += a->took.align;
    rq->ms[STAGE_EMBED] += a->took.embed;
    return ERR_OK;
}
