#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/eval.h"

void eval_rows_release(struct eval_rows *r)
{
    free(r->x);
    free(r->person);
    free(r->group);
    free(r->picture);
}

/* Which half of a split a person belongs to: a bit of the name's hash (FNV-1a, 64 bits), so that it
 * is the same everywhere and does not depend on who else is there. People under two names go
 * together. */
static int half_of(const char *name, int split)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 1099511628211u;
    return (int)(h >> (40 + split) & 1);
}

enum err eval_rows_take(struct eval_rows *r, const struct eval_set *set,
                        const struct eval_exclude *x, int split, int half, struct err_info *err)
{
    const size_t dim = (size_t)set->dim, n = set->names.n;
    bool *seen AUTO_FREE = calloc(set->people.n + 1, sizeof *seen);

    *r = (struct eval_rows){mem_aligned(n * dim, sizeof *r->x),
                            calloc(n + 1, sizeof *r->person),
                            calloc(n + 1, sizeof *r->group),
                            calloc(n + 1, sizeof *r->picture),
                            0,
                            0};
    if (!r->x || !r->person || !r->group || !r->picture || !seen) {
        eval_rows_release(r);
        return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", n);
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t person = set->images[i].person, group = x->group ? x->group[person] : person;
        if (!set->images[i].found || (x->left_out && x->left_out[i])) continue;
        if (split >= 0 && half_of(set->people.name[group], split) != half) continue;
        memcpy(r->x + r->n * dim, set->x + i * dim, dim * sizeof *r->x);
        r->person[r->n] = person;
        r->group[r->n] = group;
        r->picture[r->n++] = (uint32_t)i;
        r->people += !seen[person];
        seen[person] = true;
    }
    return ERR_OK;
}

enum err eval_rows_halve(struct eval_rows half[2], const struct eval_set *set,
                         const struct eval_exclude *x, int split, struct err_info *err)
{
    enum err rc = eval_rows_take(&half[0], set, x, split, 0, err);

    if (rc) return rc;
    rc = eval_rows_take(&half[1], set, x, split, 1, err);
    if (rc) eval_rows_release(&half[0]);
    return rc;
}
