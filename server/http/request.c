#include "server/http/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_RECV] = "recv",     [STAGE_QUEUE] = "queue", [STAGE_DECODE] = "decode",
    [STAGE_DETECT] = "detect", [STAGE_ALIGN] = "align", [STAGE_EMBED] = "embed",
    [STAGE_STORE] = "store",
};

const char *request_stage_name(enum stage s)
{
    return stage_names[s];
}

static const char *find(const struct pair *pairs, int n, const char *key)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(pairs[i].key, key)) return pairs[i].value;
    return NULL;
}

const char *request_query(const struct request *rq, const char *name)
{
    return find(rq->query, rq->n_query, name);
}

const char *request_param(const struct request *rq, const char *name)
{
    return find(rq->param, rq->n_params, name);
}

void request_list_names(char *out, size_t size, const char *const *names)
{
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; names[i] && n < size; i++) {
        const char *before = !i ? "" : names[i + 1] ? ", " : " and ";
        n += (size_t)snprintf(out + n, size - n, "%s%s", before, names[i]);
    }
}

enum err request_query_only(const struct request *rq, const char *const *names,
                            struct err_info *err)
{
    char known[200];

    for (int i = 0; i < rq->n_query; i++) {
        const char *key = rq->query[i].key;
        int k = 0;
        while (names[k] && strcmp(names[k], key) != 0) k++;
        if (!names[k]) {
            request_list_names(known, sizeof known, names);
            return err_set(err, ERR_INVALID,
                           "unknown query parameter \"%.64s\"; this route takes %s", key,
                           *known ? known : "none");
        }
        for (int j = 0; j < i; j++)
            if (!strcmp(rq->query[j].key, key))
                return err_set(err, ERR_INVALID, "query parameter \"%.64s\" is given twice", key);
    }
    return ERR_OK;
}

enum err request_query_int(int *out, const struct request *rq, const char *name, int least,
                           int most, struct err_info *err)
{
    const char *text = request_query(rq, name);
    char *end;

    if (!text) return ERR_OK;
    errno = 0;
    const long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < least || v > most)
        return err_set(err, ERR_INVALID, "%s is \"%.40s\", it must be a whole number from %d to %d",
                       name, text, least, most);
    *out = (int)v;
    return ERR_OK;
}

enum err request_query_bool(bool *out, const struct request *rq, const char *name,
                            struct err_info *err)
{
    const char *text = request_query(rq, name);

    if (!text) return ERR_OK;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return err_set(err, ERR_INVALID, "%s is \"%.40s\"; it takes true or false", name, text);
    *out = !strcmp(text, "true");
    return ERR_OK;
}
