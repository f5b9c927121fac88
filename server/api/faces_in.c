#include "server/api/faces_in.h"

#include "engine/base/mem.h"
#include "server/api/api.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { OPTION_MAX_BYTES = 200, TOP_MOST = 100 };
static const double MIN_SIZE_LEAST = 12, MIN_SIZE_MOST = 4096; /* pixels; 12 is P-Net's window */

/* The options as they were given; NULL: not. */
struct texts {
    const char *face, *fmr, *include, *min_size, *model, *precropped, *retry, *top;
};

static const char **text_of(struct texts *t, const char *name)
{
    const struct {
        const char *name, **at;
    } table[] = {
        {"face", &t->face},       {"fmr", &t->fmr},
        {"include", &t->include}, {"min_size", &t->min_size},
        {"model", &t->model},     {"retry", &t->retry},
        {"top", &t->top},         {"precropped", &t->precropped},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (!strcmp(table[i].name, name)) return table[i].at;
    return NULL;
}

static bool listed(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

static int image_index(const struct faces_spec *spec, const char *name)
{
    for (int i = 0; spec->image[i]; i++)
        if (!strcmp(spec->image[i], name)) return i;
    return -1;
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
    const char **at = text_of(t, name);
    if (*at)
        return err_set(err, ERR_INVALID, "%s is given both in the query and in the body", name);
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
        int image = image_index(spec, p->name);
        if (image >= 0) {
            in->image[image].data = p->data;
            in->image[image].len = p->len;
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

static enum err decode(struct faces_in *in, int i, const char *name, const char *text, size_t len,
                       struct reply *rp, struct err_info *err)
{
    struct buf *b = &in->image[i].decoded;
    /* White space and a data: prefix only make the text longer; the decoder checks the real size
     * against the cap. */
    enum err rc = buf_add_unbase64(b, text, len, err);
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
    const bool number = !strcmp(name, "fmr") || !strcmp(name, "min_size") || !strcmp(name, "top"),
               boolean = !strcmp(name, "retry") || !strcmp(name, "precropped");
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
                          struct request *rq, struct reply *rp, struct err_info *err)
{
    json_error_t why;
    const char *key;
    json_t *value;
    enum err rc = ERR_OK;

    json_auto_t *root =
        json_loadb((const char *)rq->body, rq->body_len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(err, ERR_BAD_JSON, "the body is not JSON: line %d, column %d: %s", why.line,
                       why.column, why.text);
    if (!json_is_object(root)) return err_set(err, ERR_INVALID, "the JSON body is not an object");
    json_object_foreach(root, key, value)
    {
        const int image = image_index(spec, key);
        if (image < 0 && !listed(spec->option, key))
            return unknown_field(spec, "JSON field", key, err);
        if (image >= 0 && !json_is_string(value))
            rc = err_set(err, ERR_INVALID, "JSON field \"%s\" is not a string", key);
        else if (image >= 0)
            /* by the spec's name: the reply keeps it, and the JSON goes */
            rc = decode(in, image, spec->image[image], json_string_value(value),
                        json_string_length(value), rp, err);
        else
            rc = json_option(t, key, value, rq, err);
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

static enum err parse_bool(bool *out, const char *name, const char *text, struct err_info *err)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0
               ? ERR_OK
               : err_set(err, ERR_INVALID, "%s is \"%.40s\"; it takes true or false", name, text);
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

static enum err parse_options(struct faces_in *in, const struct texts *t, struct err_info *err)
{
    enum err rc;

    if (t->face && !face_select_parse(&in->options.select, t->face))
        return err_set(err, ERR_INVALID, "face is \"%.40s\"; it takes main, largest, single or all",
                       t->face);
    if (t->fmr) {
        if ((rc = parse_number(&in->fmr, "fmr", t->fmr, err))) return rc;
        if (!(in->fmr > 0 && in->fmr < 1))
            return err_set(err, ERR_INVALID, "fmr is %g, it must lie between 0 and 1", in->fmr);
    }
    if (t->min_size) {
        double v = 0;
        if ((rc = parse_number(&v, "min_size", t->min_size, err))) return rc;
        if (!(v >= MIN_SIZE_LEAST && v <= MIN_SIZE_MOST))
            return err_set(err, ERR_INVALID, "min_size is %g pixels, it must lie between %g and %g",
                           v, MIN_SIZE_LEAST, MIN_SIZE_MOST);
        in->options.min_size = (float)v;
    }
    if (t->retry) {
        bool yes;
        if ((rc = parse_bool(&yes, "retry", t->retry, err))) return rc;
        in->options.no_retry = !yes;
    }
    if (t->precropped &&
        (rc = parse_bool(&in->options.precropped, "precropped", t->precropped, err)))
        return rc;
    if (t->top) {
        double v = 0;
        if ((rc = parse_number(&v, "top", t->top, err))) return rc;
        if (!(v >= 1 && v <= TOP_MOST && v == floor(v)))
            return err_set(err, ERR_INVALID, "top is %g, it must be a whole number from 1 to %d", v,
                           TOP_MOST);
        in->options.classes = (int)v;
    }
    in->options.model = t->model;
    return t->include ? parse_include(&in->options, t->include, err) : ERR_OK;
}

static enum err check_images(const struct faces_in *in, const struct faces_spec *spec,
                             const struct request *rq, struct reply *rp, struct err_info *err)
{
    for (int i = 0; spec->image[i]; i++) {
        const char *name = spec->image[i];
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

enum err faces_in_parse(struct faces_in *out, const struct faces_spec *spec, struct request *rq,
                        struct reply *rp, struct err_info *err)
{
    struct faces_in in = {.options = {.select = spec->face, .classes = spec->classes}};
    struct texts t = {0};
    enum err rc;

    for (int i = 0; i < 2; i++) in.image[i].decoded = BUF_INIT(IMAGE_MAX_BYTES);
    rc = from_query(&t, spec, rq, err);
    if (!rc)
        rc = rq->body_kind == BODY_JSON ? from_json(&in, &t, spec, rq, rp, err)
                                        : from_form(&in, &t, spec, rq, err);
    if (!rc) rc = parse_options(&in, &t, err);
    if (!rc) rc = check_images(&in, spec, rq, rp, err);
    if (rc) {
        faces_in_release(&in);
        return rc;
    }
    *out = in;
    return ERR_OK;
}

void faces_in_release(struct faces_in *in)
{
    for (int i = 0; i < 2; i++) buf_release(&in->image[i].decoded);
}

void faces_in_took(struct request *rq, const struct timings *t)
{
    rq->ms[STAGE_DECODE] += t->decode;
    rq->ms[STAGE_DETECT] += t->detect;
    rq->ms[STAGE_ALIGN] += t->align;
    rq->ms[STAGE_EMBED] += t->embed;
}
