#include "tests/torture/crowd.h"

#include "server/store/store_internal.h"
#include "server/store/undo.h"

#include <stdio.h>
#include <string.h>

enum { DIM = 16 };

struct crowd crowds[THREADS];

void take_note(const struct note *note)
{
    struct crowd *c = &crowds[note->thread];
    struct person *p = &c->p[note->person];
    if (note->person >= c->n) c->n = note->person + 1;
    if (note->phase == TRIED) p->tried |= note->op;
    if (note->phase == DONE) p->done |= note->op;
    if (note->phase == REFUSED) p->tried &= (uint8_t)~note->op;
}

static void name_of(char out[40], int thread, int person, bool moved)
{
    snprintf(out, 40, "person-%d-%d%s", thread, person, moved ? "-moved" : "");
}

static enum err add_person(int64_t *row, struct store_tx *tx, const struct job *j, bool moved,
                           struct err_info *err)
{
    char name[40];
    struct ulid id;
    name_of(name, j->thread, j->person, moved);
    const struct store_identity i = {
        .collection = j->collection, .name = name, .external_id = name, .metadata = "{}"};
    return store_identity_add(row, &id, tx, &i, err);
}

static enum err enrol(struct store_tx *tx, const struct job *j, struct err_info *err)
{
    float embedding[DIM];
    struct ulid id;
    int64_t row = 0;
    struct store_example e = {
        .collection = j->collection, .embedding = embedding, .dim = DIM, .precision = "f32"};
    enum err rc = add_person(&e.identity, tx, j, false, err);
    for (int i = 0; i < DIM; i++) embedding[i] = (float)(j->thread * 100000 + j->person + i);
    if (rc) return rc;
    /* its picture is the same bytes again, to be compared */
    const struct store_bytes picture = {embedding, sizeof embedding};
    return store_example_add(&row, &id, tx, &e, picture, picture, err);
}

struct found {
    int64_t identity, example;
};

static enum err find(struct found *out, struct store_tx *tx, const struct job *j,
                     struct err_info *err)
{
    char name[40], moved[40];
    int64_t n[2];
    name_of(name, j->thread, j->person, false);
    name_of(moved, j->thread, j->person, true);
    enum err rc = store__ints(n, 2, NULL, tx,
                              "SELECT i.row, e.row FROM identities i JOIN examples e"
                              " ON e.identity = i.row WHERE i.collection = ?1"
                              " AND i.external_id IN (?2, ?3)",
                              ARGS(INT(j->collection), TEXT(name), TEXT(moved)), err);
    if (!rc) *out = (struct found){n[0], n[1]};
    return rc;
}

/* The example goes to a new identity, and the old one goes, as one change. */
static enum err move(struct store_tx *tx, const struct job *j, struct err_info *err)
{
    struct found f = {0, 0};
    struct ulid id;
    int64_t new = 0;
    enum err rc = find(&f, tx, j, err);
    if (rc || (rc = store_undo_begin(&id, tx, j->collection, "move", err)) ||
        (rc = add_person(&new, tx, j, true, err)) ||
        (rc = store_example_move(tx, f.example, new, err)))
        return rc;
    return store_identity_retire(tx, f.identity, err);
}

static enum err erase(struct store_tx *tx, const struct job *j, struct err_info *err)
{
    struct found f = {0, 0};
    struct store_receipt r = {0};
    enum err rc = find(&f, tx, j, err);
    return rc ? rc : store_erase_identity(&r, tx, f.identity, err);
}

enum err do_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct job *j = arg;
    return j->op == ENROL  ? enrol(tx, j, err)
           : j->op == MOVE ? move(tx, j, err)
                           : erase(tx, j, err);
}

enum err the_collection(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct store_collection c = {.name = "c",
                                       .model = "m",
                                       .recipe = "0123456789abcdef0123456789abcdef"
                                                 "0123456789abcdef0123456789abcdef",
                                       .dim = DIM,
                                       .rule = "max",
                                       .rule_top = 1,
                                       .metadata = "{}"};
    bool found = false;
    struct ulid id;
    enum err rc = store__ints(arg, 1, &found, tx, "SELECT row FROM collections", NULL, err);
    return rc || found ? rc : store_collection_add(arg, &id, tx, &c, err);
}

/* Each counts what must not be. */
static const char *const invariants[] = {
    "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    "SELECT count(*) FROM pragma_foreign_key_check",
    "SELECT count(*) FROM identities i WHERE"
    " (SELECT count(*) FROM examples WHERE identity = i.row) <> 1",
    "SELECT count(*) FROM examples WHERE identity IS NULL",
    "SELECT count(*) FROM examples e LEFT JOIN example_pictures p ON p.example = e.row"
    " WHERE p.thumbnail IS NOT e.embedding OR p.photo IS NOT e.embedding",
    "SELECT count(*) FROM collections WHERE seq <> (SELECT count(*) FROM changes)"
    " OR seq <> (SELECT coalesce(max(seq), 0) FROM changes)",
    "SELECT count(*) FROM undo WHERE"
    " (SELECT count(*) FROM undo_steps WHERE undo = undo.row) <> 3",
    "SELECT count(*) FROM undo_steps WHERE op = 2 AND version IS NULL",
    "SELECT count(*) FROM undo WHERE (SELECT count(*) FROM retired WHERE undo = undo.row) <> 1",
};

static bool check_person(struct store_tx *tx, int thread, int person)
{
    struct person *p = &crowds[thread].p[person];
    struct err_info err = ERR_INFO_INIT;
    char name[40], moved[40];
    int64_t n[2] = {0, 0};
    name_of(name, thread, person, false);
    name_of(moved, thread, person, true);
    if (store__ints(n, 2, NULL, tx,
                    "SELECT (SELECT count(*) FROM identities WHERE external_id = ?1),"
                    " (SELECT count(*) FROM identities WHERE external_id = ?2)",
                    ARGS(TEXT(name), TEXT(moved)), &err)) {
        printf("%s\n", err.message);
        return false;
    }
    const bool there = n[0] + n[1] > 0;
    bool good = n[0] + n[1] <= 1;
    if (p->done & ERASE) good &= !there;
    if (!(p->tried & ENROL)) good &= !there;
    if ((p->done & ENROL) && !(p->tried & ERASE)) good &= there;
    if (there && (p->done & MOVE)) good &= n[1] == 1;
    if (!(p->tried & MOVE)) good &= n[1] == 0;
    if (!good)
        printf("person %d-%d: tried %d, done %d, but there: %d, moved: %d\n", thread, person,
               p->tried, p->done, (int)n[0], (int)n[1]);
    /* what was open is decided now */
    p->done = (uint8_t)(there ? ENROL | (n[1] ? MOVE : 0) : p->tried & ENROL ? ENROL | ERASE : 0);
    p->tried = p->done;
    return good;
}

bool verify(const char *dir)
{
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = {0};
    char path[STORE_PATH_BYTES];
    bool good = true;
    int64_t n;

    /* opened as the server does it, then looked at beside it */
    snprintf(path, sizeof path, "%s/visavis.db", dir);
    if (store_open(&s, dir, &err) || store__conn_open(&tx.conn, path, false, &err)) {
        printf("it does not open: %s\n", err.message);
        store_close(s);
        return false;
    }
    for (size_t i = 0; i < sizeof invariants / sizeof *invariants; i++) {
        n = -1;
        if (store__ints(&n, 1, NULL, &tx, invariants[i], NULL, &err)) printf("%s\n", err.message);
        if (n) {
            printf("%d: %s\n", (int)n, invariants[i]);
            good = false;
        }
    }
    for (int t = 0; t < THREADS; t++)
        for (int p = 0; p < crowds[t].n; p++) good &= check_person(&tx, t, p);
    store__conn_close(tx.conn);
    store_close(s);
    return good;
}
