#include "server/store/check.h"

#include "server/store/audit.h"
#include "server/store/store_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double NORM_TOLERANCE = 1e-3;

struct check {
    struct store_tx *tx;
    struct store_checked *out;
    store_finding_each *each;
    void *self;
};

static enum err found(struct check *c, const char *what, const char *id, const char *says,
                      struct err_info *err)
{
    c->out->findings++;
    return c->each(c->self, what, id ? id : "", says, err);
}

/* Each row of sql is a finding: id, sentence. */
static enum err each_row(struct check *c, const char *what, const char *sql, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, c->tx, sql, NULL, err);

    while (!rc && !(rc = store__step(&row, st, err)) && row)
        rc = found(c, what, store__text(st, 0), store__text(st, 1), err);
    store__end(st);
    return rc;
}

static enum err structure(struct check *c, struct err_info *err)
{
    return each_row(c, "database",
                    "SELECT '', integrity_check FROM pragma_integrity_check "
                    "WHERE integrity_check <> 'ok'",
                    err);
}

static enum err references(struct check *c, struct err_info *err)
{
    enum err rc = each_row(c, "foreign_key",
                           "SELECT '', 'row ' || rowid || ' of ' || \"table\" || ' refers to a row "
                           "of ' || parent || ' that is not there' FROM pragma_foreign_key_check",
                           err);
    return rc ? rc
              : each_row(c, "identity",
                         "SELECT e.id, 'the example is of the identity ' || i.id || ' of another "
                         "collection' FROM examples e JOIN identities i ON i.row = e.identity "
                         "WHERE i.collection <> e.collection",
                         err);
}

/* What search indexes follow: the rows of changes that are kept have no gap, and the last one has
 * the collection's number. */
static enum err changes(struct check *c, struct err_info *err)
{
    return each_row(
        c, "changes",
        "SELECT c.id, 'the collection is at change ' || c.seq || ', ' || n || ' changes "
        "from ' || least || ' to ' || most || ' are kept' FROM collections c JOIN "
        "(SELECT collection, count(*) AS n, min(seq) AS least, max(seq) AS most "
        "FROM changes GROUP BY collection) h ON h.collection = c.row "
        "WHERE most <> c.seq OR n <> most - least + 1",
        err);
}

static double length_of(const void *floats, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float f; /* a blob need not lie where floats may */
        memcpy(&f, (const char *)floats + i * sizeof f, sizeof f);
        sum += (double)f * f;
    }
    return sqrt(sum);
}

static enum err embeddings(struct check *c, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    char says[160];
    bool row = false;
    enum err rc = store__query(&st, c->tx,
                               "SELECT e.id, c.dim, e.embedding FROM examples e "
                               "JOIN collections c ON c.row = e.collection ORDER BY e.row",
                               NULL, err);

    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        const void *floats = sqlite3_column_blob(st, 2);
        const size_t bytes = (size_t)sqlite3_column_bytes(st, 2);
        const size_t n = (size_t)sqlite3_column_int(st, 1);
        if ((rc = store__columns_read(st, err))) break;
        const double length = bytes == n * sizeof(float) ? length_of(floats, n) : 1;
        *says = 0;
        if (bytes != n * sizeof(float))
            snprintf(says, sizeof says, "the embedding has %zu bytes, the collection's have %zu",
                     bytes, n * sizeof(float));
        else if (!(fabs(length - 1) <= NORM_TOLERANCE)) /* also where it is not a number */
            snprintf(says, sizeof says, "the embedding has the length %g, not 1", length);
        if (*says) rc = found(c, "embedding", store__text(st, 0), says, err);
    }
    store__end(st);
    return rc;
}

static enum err audit(struct check *c, struct err_info *err)
{
    struct store_audit_chain chain;
    enum err rc = store_audit_verify(&chain, c->tx, err);

    c->out->audit = chain.entries;
    return rc || !chain.broken_at ? rc : found(c, "audit", "", chain.why, err);
}

static enum err counts(struct check *c, struct err_info *err)
{
    int64_t n[3] = {0};
    enum err rc = store__ints(n, 3, NULL, c->tx,
                              "SELECT (SELECT count(*) FROM collections), (SELECT count(*) FROM "
                              "identities), (SELECT count(*) FROM examples)",
                              NULL, err);
    c->out->collections = n[0];
    c->out->identities = n[1];
    c->out->examples = n[2];
    return rc;
}

enum err store_check(struct store_checked *out, struct store_tx *tx, store_finding_each *each,
                     void *self, struct err_info *err)
{
    static enum err (*const parts[])(struct check *, struct err_info *) = {
        structure, references, changes, embeddings, audit, counts};
    struct check c = {tx, out, each, self};

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct err_info damage = ERR_INFO_INIT;
        enum err rc = parts[i](&c, &damage);
        /* a page that cannot be read is what a check is for: the other parts go on */
        if (rc == ERR_IO) rc = found(&c, "database", "", damage.message, &damage);
        if (rc) {
            if (err) *err = damage;
            return rc;
        }
    }
    return ERR_OK;
}
