#include "server/api/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum err body_load(json_t **out, const struct request *rq, struct err_info *err)
{
    json_error_t why;

    json_t *body = json_loadb((const char *)rq->body, rq->body_len, JSON_REJECT_DUPLICATES, &why);
    if (!body)
        return err_set(err, ERR_BAD_JSON, "the body is not JSON: line %d, column %d: %s", why.line,
                       why.column, why.text);
    if (!json_is_object(body)) {
        json_decref(body);
        return err_set(err, ERR_INVALID, "the JSON body is not an object");
    }
    *out = body;
    return ERR_OK;
}

enum err body_only(json_t *body, const char *const *fields, struct err_info *err)
{
    const char *key;
    const json_t *value;

    json_object_foreach(body, key, value)
    {
        size_t i = 0;
        while (fields[i] && strcmp(fields[i], key) != 0) i++;
        if (fields[i]) continue;
        char known[200];
        request_list_names(known, sizeof known, fields);
        return err_set(err, ERR_INVALID, "unknown JSON field \"%.64s\"; this route takes %s", key,
                       known);
    }
    return ERR_OK;
}

enum err body_parse(json_t **out, const struct request *rq, const char *const *fields,
                    struct err_info *err)
{
    json_auto_t *body = NULL;
    enum err rc = body_load(&body, rq, err);

    if (rc || (rc = body_only(body, fields, err))) return rc;
    *out = json_incref(body);
    return ERR_OK;
}

enum err body_check_text(const char *text, size_t bytes, const char *field, size_t most,
                         struct err_info *err)
{
    size_t characters = 0;

    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        /* C0, DEL, and C1 as UTF-8 writes it: 0xc2 0x80..0x9f */
        if (c < 0x20 || c == 0x7f ||
            (c == 0xc2 && i + 1 < bytes && (unsigned char)text[i + 1] < 0xa0))
            return err_set(err, ERR_INVALID, "%s has a control character at byte %zu", field, i);
        characters += (c & 0xc0) != 0x80;
    }
    if (!characters) return err_set(err, ERR_INVALID, "%s is empty", field);
    if (characters > most)
        return err_set(err, ERR_INVALID, "%s has %zu characters, the limit is %zu", field,
                       characters, most);
    return ERR_OK;
}

enum err body_text(const char **out, const json_t *body, const char *field, size_t most,
                   struct err_info *err)
{
    const json_t *v = json_object_get(body, field);
    enum err rc;

    if (!v || json_is_null(v)) return ERR_OK;
    if (!json_is_string(v)) return err_set(err, ERR_INVALID, "%s is not a string", field);
    if ((rc = body_check_text(json_string_value(v), json_string_length(v), field, most, err)))
        return rc;
    *out = json_string_value(v);
    return ERR_OK;
}

enum err body_bool(bool *out, const json_t *body, const char *field, struct err_info *err)
{
    const json_t *v = json_object_get(body, field);

    if (!v) return ERR_OK;
    if (!json_is_boolean(v)) return err_set(err, ERR_INVALID, "%s is not true or false", field);
    *out = json_is_true(v);
    return ERR_OK;
}

enum err body_int(int *out, const json_t *body, const char *field, int least, int most,
                  struct err_info *err)
{
    const json_t *v = json_object_get(body, field);

    if (!v) return ERR_OK;
    if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
        return err_set(err, ERR_INVALID, "%s must be a whole number from %d to %d", field, least,
                       most);
    *out = (int)json_integer_value(v);
    return ERR_OK;
}

enum err body_double(double *out, const json_t *body, const char *field, double least, double most,
                     struct err_info *err)
{
    const json_t *v = json_object_get(body, field);

    if (!v) return ERR_OK;
    if (!json_is_number(v) || !(json_number_value(v) >= least) || !(json_number_value(v) <= most))
        return err_set(err, ERR_INVALID, "%s must be a number from %g to %g", field, least, most);
    *out = json_number_value(v);
    return ERR_OK;
}

enum err body_object_text(char **out, const json_t *body, const char *field, size_t most,
                          struct err_info *err)
{
    const json_t *v = json_object_get(body, field);

    if (!v) return ERR_OK;
    if (!json_is_object(v)) return err_set(err, ERR_INVALID, "%s is not an object", field);
    char *text = json_dumps(v, JSON_COMPACT);
    if (!text) return err_set(err, ERR_NOMEM, "no memory for %s", field);
    if (strlen(text) > most) {
        err_set(err, ERR_TOO_LARGE, "%s has %zu bytes, the limit is %zu", field, strlen(text),
                most);
        free(text);
        return ERR_TOO_LARGE;
    }
    *out = text;
    return ERR_OK;
}
