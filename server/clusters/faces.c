/* The faces that are clustered, wherever they come from. */
#include "server/clusters/faces.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum err no_memory(size_t n, struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for %zu faces", n);
}

enum err clusters__faces_init(struct clusters_faces *f, int dim, bool examples,
                              struct err_info *err)
{
    f->dim = dim;
    f->texts = json_array();
    if (examples) f->example = calloc(1, sizeof *f->example);
    return f->texts && (f->example || !examples) ? ERR_OK : no_memory(0, err);
}

/* *array gets room for cap items. */
static bool grow(void *array, size_t cap, size_t item)
{
    void **at = array;
    void *more = reallocarray(*at, cap, item);
    if (more) *at = more;
    return more;
}

enum err clusters__faces_reserve(struct clusters_faces *f, size_t n, struct err_info *err)
{
    size_t row, cap = f->cap ? f->cap : 64;

    if (n <= f->cap) return ERR_OK;
    while (cap < n) cap *= 2;
    if (!mul_ok(&row, (size_t)f->dim, sizeof *f->x) || !grow(&f->x, cap, row) ||
        !grow(&f->face, cap, sizeof *f->face) || !grow(&f->photo, cap, sizeof *f->photo) ||
        !grow(&f->identity, cap, sizeof *f->identity) || !grow(&f->truth, cap, sizeof *f->truth) ||
        (f->example && !grow(&f->example, cap, sizeof *f->example)))
        return no_memory(cap, err);
    f->cap = cap;
    return ERR_OK;
}

enum err clusters__faces_add(struct clusters_faces *f, const float *vector, struct err_info *err)
{
    enum err rc = clusters__faces_reserve(f, f->n + 1, err);

    if (rc) return rc;
    memcpy(f->x + f->n * (size_t)f->dim, vector, (size_t)f->dim * sizeof *f->x);
    f->face[f->n] =
        (struct report_face){.photo = -1, .quality = NAN, .thumbnail = BUF_INIT(1 << 20)};
    f->photo[f->n] = f->identity[f->n] = f->truth[f->n] = CLUSTER_NO_GROUP;
    if (f->example) f->example[f->n] = 0;
    f->n++;
    return ERR_OK;
}

enum err clusters__text(const char **out, struct clusters_faces *f, const char *text,
                        struct err_info *err)
{
    json_t *s;

    *out = NULL;
    if (!text) return ERR_OK;
    if (!(s = json_string(text)) || json_array_append_new(f->texts, s)) return no_memory(f->n, err);
    *out = json_string_value(s);
    return ERR_OK;
}

enum err clusters__copy(char **out, const char *text, struct err_info *err)
{
    free(*out);
    *out = text ? strdup(text) : NULL;
    return *out || !text ? ERR_OK : no_memory(0, err);
}

enum err clusters__number(uint32_t *out, json_t *numbers, const char *key, struct err_info *err)
{
    json_t *n = json_object_get(numbers, key);

    if (!n) {
        n = json_integer((json_int_t)json_object_size(numbers));
        if (json_object_set_new(numbers, key, n)) return no_memory(0, err);
    }
    *out = (uint32_t)json_integer_value(n);
    return ERR_OK;
}

void clusters_faces_release(struct clusters_faces *f)
{
    for (size_t i = 0; i < f->n; i++) buf_release(&f->face[i].thumbnail);
    free(f->x);
    free(f->face);
    free(f->example);
    free(f->photo);
    free(f->identity);
    free(f->truth);
    json_decref(f->texts);
    json_decref(f->skipped);
    free(f->model);
    free(f->precision);
    free(f->recipe);
    free(f->calibration);
    *f = (struct clusters_faces)CLUSTERS_FACES_INIT;
}
