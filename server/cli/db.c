/* visavis db backup|restore|check|export|import: the database as a whole, and collections as files.
 * All but restore work beside a running server. */
#include "server/cli/db.h"

#include <stdio.h>
#include <sys/stat.h>

#include "server/cli/cli.h"
#include "server/gallery/gallery.h"
#include "server/store/backup.h"
#include "server/store/check.h"

static const char usage[] =
    "usage: visavis db backup FILE              a copy of everything, into a new file\n"
    "       visavis db restore FILE             from one, into an empty data folder\n"
    "       visavis db check                    exit 0 clean, 1 findings (one JSON line each)\n"
    "       visavis db export COLLECTION DIR    into a new folder: JSON lines and a .npy file\n"
    "       visavis db import DIR               all of it or nothing\n\n"
    "  --pictures         export: thumbnails and photographs too, where they are kept\n"
    "  --name NAME        import: the collection's name, instead of the one that it "
    "had\n" CLI_DATA_HELP;

enum { BACKUP, RESTORE, CHECK, EXPORT, IMPORT };
static const struct cli_action actions[] = {{"backup", 1}, {"restore", 1}, {"check", 0},
                                            {"export", 2}, {"import", 1},  {0}};

struct db {
    const char *data_dir, *name;
    bool pictures;
    char **arg; /* of the action */
};

/* Each of these leaves its answer in *answer, opens what it needs, and gives the exit code; on an
 * error CLI_ERROR, and err says which. */
static int backup(struct db *d, struct store *s, json_t **answer, struct err_info *err)
{
    struct stat st;

    if (store_backup(s, d->arg[0], err)) return CLI_ERROR;
    if (stat(d->arg[0], &st)) st.st_size = 0;
    *answer = json_pack("{s:s, s:I}", "file", d->arg[0], "bytes", (json_int_t)st.st_size);
    return CLI_OK;
}

static int export(struct db *d, struct store *s, json_t **answer, struct err_info *err)
{
    return db_export(answer, s, d->arg[0], d->arg[1], d->pictures, err) ? CLI_ERROR : CLI_OK;
}

static int import(struct db *d, struct store *s, json_t **answer, struct err_info *err)
{
    return db_import(answer, s, d->arg[0], d->name, err) ? CLI_ERROR : CLI_OK;
}

static enum err print_finding(void *self, const char *what, const char *id, const char *says,
                              struct err_info *err)
{
    (void)self, (void)err;
    cli_print(json_pack("{s:s, s:s, s:s}", "finding", what, "id", id, "message", says));
    return ERR_OK;
}

static enum err check_job(struct store_tx *tx, void *self, struct err_info *err)
{
    return store_check(self, tx, print_finding, NULL, err);
}

static enum err print_index_finding(void *self, const char *collection, const char *says,
                                    struct err_info *err)
{
    (void)self;
    return print_finding(NULL, "index", collection, says, err);
}

/* The search index as a server would have it. Adds to *findings. */
static enum err check_index(int64_t *findings, struct store *s, struct err_info *err)
{
    struct gallery *g = NULL;
    struct gallery_checked c = {0};
    enum err rc = gallery_open(&g, s, err);

    if (!rc) rc = gallery_check(&c, g, print_index_finding, NULL, err);
    gallery_close(g);
    *findings += c.findings;
    if (!rc || rc == ERR_NOMEM) return rc;
    ++*findings; /* a server would not start with it */
    return print_finding(NULL, "index", "", err->message, err);
}

static int check(struct db *d, struct store *s, json_t **answer, struct err_info *err)
{
    struct store_checked c;
    (void)d;

    if (store_read(s, check_job, &c, err) || check_index(&c.findings, s, err)) return CLI_ERROR;
    *answer = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "ok", c.findings == 0, "findings",
                        (json_int_t)c.findings, "collections", (json_int_t)c.collections,
                        "identities", (json_int_t)c.identities, "examples", (json_int_t)c.examples,
                        "audit", (json_int_t)c.audit);
    return c.findings ? CLI_NO_MATCH : CLI_OK;
}

static int restore(const struct db *d)
{
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    /* opened once: an older schema is brought to this binary's */
    if (store_restore(d->data_dir, d->arg[0], &err) || store_open(&s, d->data_dir, &err))
        return cli_fail_err(&err);
    store_close(s);
    cli_print(json_pack("{s:s}", "data", d->data_dir));
    return CLI_OK;
}

static int run(struct db *d, int action)
{
    static int (*const does[])(struct db *, struct store *, json_t **, struct err_info *) = {
        [BACKUP] = backup, [CHECK] = check, [EXPORT] = export, [IMPORT] = import};
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    json_t *answer = NULL;
    enum err rc = store_open(&s, d->data_dir, &err);

    if (rc == ERR_IO && action == CHECK) { /* so damaged that it does not open: that is a finding */
        (void)!print_finding(NULL, "database", "", err.message, NULL);
        return CLI_NO_MATCH;
    }
    if (rc) return cli_fail_err(&err);
    const int status = does[action](d, s, &answer, &err);
    store_close(s);
    if (status == CLI_ERROR) return cli_fail_err(&err);
    cli_print(answer);
    return status;
}

int cli_db(int argc, char **argv)
{
    char data_dir[CLI_DIR_BYTES];
    const char *data = NULL;
    struct db d = {0};
    struct cli_words w;
    const struct cli_option options[] = {{"pictures", .flag = &d.pictures, .of = 1 << EXPORT},
                                         {"name", .text = &d.name, .of = 1 << IMPORT},
                                         {"data", .text = &data},
                                         {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    const int action = cli_action(&w, actions);
    if (action < 0) return cli_usage(usage);
    d.data_dir = cli_data_dir(data_dir, data);
    d.arg = w.word + 1;
    return action == RESTORE ? restore(&d) : run(&d, action);
}
