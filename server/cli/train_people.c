#include "server/cli/train_people.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/store/collections.h"
#include "server/store/examples.h"

enum { PAGE = 1000, FIRST_ROWS = 1024 };

void train_people_release(struct train_people *p)
{
    free(p->x);
    free(p->person);
    *p = (struct train_people){0};
}

void train_halves_release(struct train_halves *h)
{
    train_people_release(&h->train);
    train_people_release(&h->held);
}

/* FNV-1a, 64 bits, and the finish of splitmix64 (Vigna 2015), without which names that differ in
 * their last letter lie close together. */
bool train_people_held(const char *name, double share)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 1099511628211u;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
    h ^= h >> 31;
    return (double)(h >> 11) * 0x1p-53 < share;
}

/* Rows while they come: people numbered as their names come. */
struct collecting {
    struct train_halves *out;
    struct eval_names names;
    bool *seen; /* [seen_room]: of each name, whether it has a row */
    size_t seen_room, room[2];
    double held_out;
    /* of a collection */
    struct store_tx *tx;
    const char *collection, *recipe;
    int64_t row, after;
    int dim, on_page;
};

static bool grow(struct train_people *p, size_t *room)
{
    if (p->n < *room) return true;
    const size_t next = *room ? 2 * *room : FIRST_ROWS;
    size_t count;
    if (!mul_ok(&count, next, (size_t)p->dim * sizeof *p->x)) return false;
    float *x = realloc(p->x, count);
    if (!x) return false;
    p->x = x;
    uint32_t *person = realloc(p->person, next * sizeof *person);
    if (!person) return false;
    p->person = person;
    *room = next;
    return true;
}

static bool first_of(struct collecting *c, uint32_t who, bool *first)
{
    if (who >= c->seen_room) {
        const size_t next = c->seen_room ? 2 * c->seen_room : FIRST_ROWS;
        bool *seen = realloc(c->seen, next * sizeof *seen);
        if (!seen) return false;
        memset(seen + c->seen_room, 0, next - c->seen_room);
        c->seen = seen;
        c->seen_room = next;
    }
    *first = !c->seen[who];
    c->seen[who] = true;
    return true;
}

static enum err add_row(struct collecting *c, const char *name, const float *x, int dim,
                        struct err_info *err)
{
    const bool held = train_people_held(name, c->held_out);
    struct train_people *p = held ? &c->out->held : &c->out->train;
    uint32_t who;
    bool first;

    p->dim = dim;
    if (!eval_names_add(&c->names, name, &who) || !first_of(c, who, &first) ||
        !grow(p, &c->room[held]))
        return err_set(err, ERR_NOMEM, "no memory for %zu vectors of %d", p->n, dim);
    memcpy(p->x + p->n * (size_t)dim, x, (size_t)dim * sizeof *x);
    p->person[p->n++] = who;
    p->people += first;
    return ERR_OK;
}

static enum err end(struct collecting *c, enum err rc)
{
    eval_names_release(&c->names);
    free(c->seen);
    if (rc) train_halves_release(c->out);
    return rc;
}

/* --- a collection --- */

static enum err take_collection(void *self, const struct store_collection *k, struct err_info *err)
{
    struct collecting *c = self;
    c->row = k->row;
    c->dim = k->dim;
    if (strcmp(k->recipe, c->recipe) == 0) return ERR_OK;
    return err_set(err, ERR_CONFLICT,
                   "collection %.200s is of model %.64s and recipe %.16s, the base model here has "
                   "recipe %.16s",
                   k->name, k->model, k->recipe, c->recipe);
}

static enum err take_example(void *self, const struct store_example *e, struct err_info *err)
{
    struct collecting *c = self;
    c->after = e->row;
    c->on_page++;
    return e->identity_id ? add_row(c, e->identity_id, e->embedding, e->dim, err) : ERR_OK;
}

static enum err read_collection(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct collecting *c = arg;
    enum err rc = store_collection_get(tx, c->collection, take_collection, c, err);

    if (rc) return rc;
    do {
        c->on_page = 0;
        rc = store_example_list(tx, c->row, STORE_ANY, c->after, PAGE, take_example, c, err);
    } while (!rc && c->on_page == PAGE);
    return rc;
}

enum err train_people_of_collection(struct train_halves *out, const char *data_dir,
                                    const char *collection, const char *recipe, double held_out,
                                    struct err_info *err)
{
    struct collecting c = {
        .out = out, .held_out = held_out, .collection = collection, .recipe = recipe};
    struct store *store = NULL;
    enum err rc = store_open(&store, data_dir, err);

    *out = (struct train_halves){0};
    if (rc) return rc;
    rc = store_read(store, read_collection, &c, err);
    store_close(store);
    return end(&c, rc);
}

/* --- a folder --- */

enum err train_people_of_folder(struct train_halves *out, const char *dir, struct engine *e,
                                int workers, double held_out, struct err_info *err)
{
    struct collecting c = {.out = out, .held_out = held_out};
    struct eval_set set = {0};
    enum err rc = eval_set_scan(&set, dir, err);

    *out = (struct train_halves){0};
    if (!rc) rc = eval_set_embed(&set, e, FACE_MAIN, workers, err);
    for (size_t i = 0; !rc && i < set.names.n; i++)
        if (set.images[i].found)
            rc = add_row(&c, set.people.name[set.images[i].person], set.x + i * (size_t)set.dim,
                         set.dim, err);
    out->lost = eval_set_lost(&set);
    eval_set_release(&set);
    return end(&c, rc);
}
