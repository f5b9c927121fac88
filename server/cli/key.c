/* visavis key create|list|revoke: who may use a server that listens beyond loopback, and for what.
 * Works beside a running server, which takes a change within a second. */
#include "server/cli/cli.h"

#include <stdlib.h>

#include "server/api/access_json.h"
#include "server/api/time_json.h"

static const char usage[] =
    "usage: visavis key create [OPTIONS]     the new key is in \"secret\", shown only now\n"
    "       visavis key list\n"
    "       visavis key revoke ID\n\n"
    "  --name NAME        for people\n"
    "  --right RIGHT      read, write or admin; each includes the ones before (default admin)\n"
    "  --collection C     for one collection alone, by its id or name (default: every one)\n"
    "  --expires TIME     2026-12-31, 2026-12-31T23:59:59Z, or from now 90d, 12h, ... (default\n"
    "                     never)\n"
    "  --rate N           requests a minute (default 0: as many as it likes)\n" CLI_DATA_HELP;

enum { CREATE, LIST, REVOKE };
static const struct cli_action actions[] = {{"create", 0}, {"list", 0}, {"revoke", 1}, {0}};

/* What a job is given and gives back. */
struct job {
    struct store_key_wish wish;
    const char *expires; /* as it was given; NULL: never */
    const char *id;      /* of the key to revoke */
    struct store_key key, *list;
    size_t n;
    char secret[KEY_SECRET_MAX_BYTES];
};

static enum err note(struct store_tx *tx, const char *action, const struct store_key *k,
                     struct err_info *err)
{
    const struct store_audit entry = {.who = AUDIT_LOCAL,
                                      .action = action,
                                      .collection = k->collection,
                                      .target = k->id.s,
                                      .request = ""};
    return store_audit_add(tx, &entry, err);
}

static enum err create(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    enum err rc = ERR_OK;

    if (j->expires)
        rc = time_parse(&j->wish.expires_ms, "--expires", j->expires, store_now_ms(tx), err);
    if (!rc) rc = store_key_add(&j->key, j->secret, tx, &j->wish, err);
    return rc ? rc : note(tx, "key.create", &j->key, err);
}

static enum err list(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    return store_key_list(&j->list, &j->n, tx, err);
}

static enum err revoke(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    enum err rc = store_key_revoke(&j->key, tx, j->id, err);
    return rc ? rc : note(tx, "key.revoke", &j->key, err);
}

static bool take_right(void *self, const char *option, const char *value)
{
    if (key_right_parse(self, value)) return true;
    cli_fail("--%s is \"%s\"; it takes read, write or admin", option, value);
    return false;
}

static bool take_collection(void *self, const char *option, const char *value)
{
    *(const char **)self = value;
    if (*value) return true;
    cli_fail("--%s is empty", option);
    return false;
}

static enum err run(struct store *s, struct job *j, int action, struct err_info *err)
{
    enum err rc;

    if (action == LIST) {
        rc = store_read(s, list, j, err);
        for (size_t i = 0; !rc && i < j->n; i++) cli_print(key_json(&j->list[i], NULL));
        free(j->list);
        return rc;
    }
    rc = store_write(s, action == CREATE ? create : revoke, j, err);
    if (!rc) cli_print(key_json(&j->key, action == CREATE ? j->secret : NULL));
    return rc;
}

int cli_key(int argc, char **argv)
{
    struct job j = {.wish = {.name = "", .collection = "", .right = KEY_ADMIN}};
    const char *data = NULL;
    char data_dir[CLI_DIR_BYTES];
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct cli_words w;
    const struct cli_option options[] = {
        {"name", .text = &j.wish.name, .of = 1 << CREATE},
        {"right", .take = take_right, .self = &j.wish.right, .of = 1 << CREATE},
        {"collection", .take = take_collection, .self = &j.wish.collection, .of = 1 << CREATE},
        {"expires", .text = &j.expires, .of = 1 << CREATE},
        {"rate", .whole = &j.wish.rate, .most = KEY_RATE_MAX, .of = 1 << CREATE},
        {"data", .text = &data},
        {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    const int action = cli_action(&w, actions);
    if (action < 0) return cli_usage(usage);
    if (action == REVOKE) j.id = w.word[1];
    enum err rc = store_open(&s, cli_data_dir(data_dir, data), &err);
    if (!rc) rc = run(s, &j, action, &err);
    store_close(s);
    return rc ? cli_fail_err(&err) : CLI_OK;
}
