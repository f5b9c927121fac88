/* Names of a classifier's outputs: read from a text file at import, kept in the model file as a
 * JSON array (visavis.classes). */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"

enum { NAME_MAX_BYTES = 200, CLASSES_MAX = 100000 };

enum err model_classes_from_text(char **json, size_t *n, const char *text, size_t len,
                                 struct err_info *err)
{
    json_auto_t *list = json_array();
    const char *end = text + len;

    if (!list) return err_set(err, ERR_NOMEM, "no memory for names of classes");
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t size = (size_t)((stop ? stop : end) - text);
        const size_t line = json_array_size(list) + 1;
        if (size && text[size - 1] == '\r') size--;
        json_t *name = size <= NAME_MAX_BYTES ? json_stringn(text, size) : NULL;
        if (!size || !name || memchr(text, 0, size)) {
            json_decref(name);
            return err_set(err, ERR_INVALID, "line %zu: expected a name of 1 to %d bytes in UTF-8",
                           line, NAME_MAX_BYTES);
        }
        if (line > CLASSES_MAX || json_array_append_new(list, name))
            return err_set(err, ERR_INVALID, "more than %d names", CLASSES_MAX);
        text = stop ? stop + 1 : end;
    }
    *n = json_array_size(list);
    *json = json_dumps(list, JSON_COMPACT);
    return *json ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for names of classes");
}

enum err model__classes_read(struct model *m, const char *json, struct err_info *err)
{
    json_auto_t *list = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const size_t n = json_array_size(list);

    if (!json) return ERR_OK;
    if (!n || n > CLASSES_MAX)
        return err_set(err, ERR_MODEL, "visavis.classes is no array of 1 to %d names", CLASSES_MAX);
    m->classes = calloc(n, sizeof *m->classes);
    if (!m->classes) return err_set(err, ERR_NOMEM, "no memory for %zu names", n);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s) return err_set(err, ERR_MODEL, "visavis.classes: %zu is no string", i);
        m->n_classes = i + 1;
        if (!(m->classes[i] = strdup(s))) return err_set(err, ERR_NOMEM, "no memory for a name");
    }
    return ERR_OK;
}

void model__classes_release(struct model *m)
{
    for (size_t i = 0; i < m->n_classes; i++) free(m->classes[i]);
    free(m->classes);
}
