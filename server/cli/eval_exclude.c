/* The list of labels that are known to be wrong (format in eval.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/eval.h"

enum { WORDS_MAX = 3, NAME_MAX_BYTES = 200 };

void eval_exclude_release(struct eval_exclude *x)
{
    free(x->group);
    free(x->left_out);
    *x = (struct eval_exclude){0};
}

/* Two groups become one; people are few, lines fewer. */
static void join(struct eval_exclude *x, size_t people, uint32_t a, uint32_t b)
{
    const uint32_t from = x->group[a], to = x->group[b];
    for (size_t i = 0; i < people; i++)
        if (x->group[i] == from) x->group[i] = to;
}

static void leave_out(struct eval_exclude *x, size_t picture)
{
    x->pictures += !x->left_out[picture];
    x->left_out[picture] = true;
}

static enum err take_line(struct eval_exclude *x, const struct eval_set *set, char *text,
                          size_t line, struct err_info *err)
{
    char *words[WORDS_MAX], *rest = NULL, *end;
    uint32_t a, b, picture;
    int n = 0;

    text[strcspn(text, "#")] = 0;
    for (char *w = strtok_r(text, " \t\r", &rest); w; w = strtok_r(NULL, " \t\r", &rest)) {
        if (n == WORDS_MAX - 1 || strlen(w) > NAME_MAX_BYTES)
            return err_set(err, ERR_INVALID, "line %zu: `name1 name2`, `name i` or `name`", line);
        words[n++] = w;
    }
    if (!n || !eval_names_find(&set->people, words[0], &a)) return ERR_OK;
    if (n == 1) {
        for (size_t i = 0; i < set->names.n; i++)
            if (set->images[i].person == a) leave_out(x, i);
        return ERR_OK;
    }
    const long i = strtol(words[1], &end, 10);
    if (!*end) {
        char name[NAME_MAX_BYTES + 32];
        snprintf(name, sizeof name, "%s_%04ld", words[0], i);
        if (eval_names_find(&set->names, name, &picture)) leave_out(x, picture);
    } else if (eval_names_find(&set->people, words[1], &b)) {
        x->names++;
        join(x, set->people.n, a, b);
    }
    return ERR_OK;
}

enum err eval_exclude_parse(struct eval_exclude *out, const struct eval_set *set, const char *text,
                            struct err_info *err)
{
    struct eval_exclude x = {.group = calloc(set->people.n + 1, sizeof *x.group),
                             .left_out = calloc(set->names.n + 1, sizeof *x.left_out)};
    char *copy = strdup(text), *rest = copy, *line;
    enum err rc = ERR_OK;

    if (!x.group || !x.left_out || !copy)
        rc = err_set(err, ERR_NOMEM, "no memory for an exclusion list");
    for (size_t i = 0; !rc && i < set->people.n; i++) x.group[i] = (uint32_t)i;
    for (size_t n = 1; !rc && (line = strsep(&rest, "\n")); n++)
        rc = take_line(&x, set, line, n, err);
    free(copy);
    if (rc)
        eval_exclude_release(&x);
    else
        *out = x;
    return rc;
}
