#include "server/api/names.h"

#include "engine/base/mem.h"
#include "server/api/gallery_json.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_CHARS = 24 };

static const char *row_text(char out[ROW_CHARS], int64_t row)
{
    snprintf(out, ROW_CHARS, "%lld", (long long)row);
    return out;
}

enum err names_init(struct names *n, struct err_info *err)
{
    *n = (struct names){json_object(), json_object()};
    if (n->identities && n->examples) return ERR_OK;
    names_release(n);
    return err_set(err, ERR_NOMEM, "no memory for names");
}

void names_release(struct names *n)
{
    json_decref(n->identities);
    json_decref(n->examples);
    *n = (struct names){NULL, NULL};
}

enum err names_want(struct names *n, int64_t identity, int64_t example, struct err_info *err)
{
    char text[ROW_CHARS];
    if (json_object_set_new(n->identities, row_text(text, identity), json_null()) ||
        json_object_set_new(n->examples, row_text(text, example), json_null()))
        return err_set(err, ERR_NOMEM, "no memory for names");
    return ERR_OK;
}

static enum err take_identity(void *self, const struct store_identity *i, struct err_info *err)
{
    char text[ROW_CHARS];
    return json_object_set_new(self, row_text(text, i->row), identity_short_json(i))
               ? err_set(err, ERR_NOMEM, "no memory for names")
               : ERR_OK;
}

static enum err take_example(void *self, const struct store_example *e, struct err_info *err)
{
    char text[ROW_CHARS];
    return json_object_set_new(self, row_text(text, e->row), json_string(e->id))
               ? err_set(err, ERR_NOMEM, "no memory for names")
               : ERR_OK;
}

/* The keys of an object as numbers; *rows is the caller's. */
static enum err rows_of(int64_t **rows, size_t *n, const json_t *object, struct err_info *err)
{
    const char *key;
    json_t *value;

    *n = 0;
    *rows = calloc(json_object_size(object) + 1, sizeof **rows);
    if (!*rows) return err_set(err, ERR_NOMEM, "no memory for names");
    json_object_foreach((json_t *)object, key, value)(*rows)[(*n)++] = strtoll(key, NULL, 10);
    return ERR_OK;
}

static enum err read_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct names *names = arg;
    AUTO_FREE int64_t *identities = NULL, *examples = NULL;
    size_t n = 0;
    enum err rc = rows_of(&identities, &n, names->identities, err);

    if (!rc) rc = store_identity_get_rows(tx, identities, n, take_identity, names->identities, err);
    if (!rc) rc = rows_of(&examples, &n, names->examples, err);
    if (!rc) rc = store_example_get_rows(tx, examples, n, take_example, names->examples, err);
    return rc;
}

enum err names_read(struct names *n, struct store *s, struct err_info *err)
{
    return store_read(s, read_job, n, err);
}

static json_t *find(const json_t *object, int64_t row)
{
    char text[ROW_CHARS];
    json_t *v = json_object_get(object, row_text(text, row));
    return json_is_null(v) ? NULL : v;
}

json_t *names_identity(const struct names *n, int64_t row)
{
    return find(n->identities, row);
}

json_t *names_example(const struct names *n, int64_t row)
{
    return find(n->examples, row);
}

json_t *names_scores_json(const struct names *n, const struct match_row *rows, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        json_t *id = names_example(n, rows[i].example);
        if (id)
            json_array_append_new(list, json_pack("{s:O, s:o}", "example", id, "similarity",
                                                  similarity_json(rows[i].similarity)));
    }
    return list;
}
