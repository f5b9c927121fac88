/* LFW's pairs files (format in eval.h). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/eval.h"

enum { WORDS_MAX = 4, PAIRS_MAX = 1 << 24, FOLDS_MAX = 1000, NAME_MAX_BYTES = 200 };

void eval_pairs_release(struct eval_pairs *p)
{
    free(p->pairs);
    *p = (struct eval_pairs){0};
}

/* Cuts a line into words in place; -1 when there are too many. */
static int split(char *line, char *words[WORDS_MAX])
{
    const char *separators = strchr(line, '\t') ? "\t\r" : " \r";
    char *rest = NULL;
    int n = 0;

    for (char *w = strtok_r(line, separators, &rest); w; w = strtok_r(NULL, separators, &rest)) {
        if (n == WORDS_MAX) return -1;
        words[n++] = w;
    }
    return n;
}

static bool number(const char *s, long least, long most, long *out)
{
    char *end;
    *out = strtol(s, &end, 10);
    return end != s && !*end && *out >= least && *out <= most;
}

/* A name becomes part of a path, so it must stay inside the folder. */
static bool safe_name(const char *s)
{
    return *s && *s != '.' && !strchr(s, '/') && strlen(s) <= NAME_MAX_BYTES;
}

static enum err picture(uint32_t *out, struct eval_set *set, const char *person, const char *text,
                        size_t line, struct err_info *err)
{
    char name[NAME_MAX_BYTES + 32];
    long i;

    if (!safe_name(person))
        return err_set(err, ERR_INVALID, "line %zu: \"%.80s\" is no name", line, person);
    if (!number(text, 0, INT_MAX, &i))
        return err_set(err, ERR_INVALID, "line %zu: \"%.80s\" is no number of a picture", line,
                       text);
    snprintf(name, sizeof name, "%s_%04ld", person, i);
    return eval_set_add(set, person, name, out, err);
}

static enum err parse_pair(struct eval_pair *p, struct eval_set *set, char *text, size_t line,
                           struct err_info *err)
{
    char *w[WORDS_MAX];
    const int n = split(text, w);
    enum err rc;

    if (n != 3 && n != 4)
        return err_set(err, ERR_INVALID, "line %zu: a pair is `name i j` or `name1 i name2 j`",
                       line);
    p->same = n == 3;
    if ((rc = picture(&p->a, set, w[0], w[1], line, err))) return rc;
    if ((rc = picture(&p->b, set, w[n == 3 ? 0 : 2], w[n - 1], line, err))) return rc;
    if (p->a == p->b) return err_set(err, ERR_INVALID, "line %zu: the two pictures are one", line);
    if (!p->same && set->images[p->a].person == set->images[p->b].person)
        return err_set(err, ERR_INVALID,
                       "line %zu: the two names of a pair of strangers are the same", line);
    return ERR_OK;
}

static enum err parse_head(struct eval_pairs *p, long *each, char *line, struct err_info *err)
{
    char *w[WORDS_MAX];
    const int n = split(line, w);
    long folds = 1;

    if ((n != 1 && n != 2) || !number(w[n - 1], 1, PAIRS_MAX, each) ||
        (n == 2 && !number(w[0], 1, FOLDS_MAX, &folds)) || folds * *each > PAIRS_MAX / 2)
        return err_set(err, ERR_INVALID,
                       "line 1: a pairs file begins with `pairs` or `folds pairs`");
    p->folds = (int)folds;
    return ERR_OK;
}

/* Each fold must hold as many pairs of either kind as the first line says. */
static enum err check_folds(const struct eval_pairs *p, long each, struct err_info *err)
{
    for (size_t k = 0; k < p->n; k += 2 * (size_t)each) {
        long same = 0;
        for (size_t i = k; i < k + 2 * (size_t)each; i++) same += p->pairs[i].same;
        if (same != each)
            return err_set(err, ERR_INVALID,
                           "fold %d has %ld pairs of one person, the first line says %ld",
                           p->pairs[k].fold + 1, same, each);
    }
    return ERR_OK;
}

enum err eval_pairs_parse(struct eval_pairs *out, struct eval_set *set, const char *text,
                          struct err_info *err)
{
    struct eval_pairs p = {0};
    char *copy = strdup(text), *rest = copy, *line;
    size_t number_of_line = 0, expected = 0;
    long each = 0;
    enum err rc = copy ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a pairs file");

    while (!rc && (line = strsep(&rest, "\n"))) {
        number_of_line++;
        if (!line[strspn(line, " \t\r")]) continue;
        if (!p.pairs) {
            if ((rc = parse_head(&p, &each, line, err))) break;
            expected = 2 * (size_t)each * (size_t)p.folds;
            p.pairs = calloc(expected, sizeof *p.pairs);
            if (!p.pairs) rc = err_set(err, ERR_NOMEM, "no memory for %zu pairs", expected);
        } else if (p.n == expected) {
            rc = err_set(err, ERR_INVALID, "line %zu: more pairs than the first line says (%zu)",
                         number_of_line, expected);
        } else {
            p.pairs[p.n].fold = (int)(p.n / (2 * (size_t)each));
            rc = parse_pair(&p.pairs[p.n], set, line, number_of_line, err);
            p.n++;
        }
    }
    if (!rc && (p.n < expected || !expected))
        rc = err_set(err, ERR_INVALID, "the file ends after %zu of %zu pairs", p.n, expected);
    if (!rc) rc = check_folds(&p, each, err);
    free(copy);
    if (rc)
        eval_pairs_release(&p);
    else
        *out = p;
    return rc;
}
