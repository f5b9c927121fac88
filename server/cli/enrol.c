/* visavis enrol COLLECTION WHO IMAGE...: photographs of one person; and visavis identify COLLECTION
 * IMAGE...: who is on them? Both take the collection's model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/api/cursor.h"
#include "server/cli/call.h"

static const char enrol_usage[] =
    "usage: visavis enrol COLLECTION WHO IMAGE... [--force] [--dry-run] [--face "
    "main|largest|single]\n"
    "WHO is a name (made where nobody has it) or the id of an identity.\n\n"
    "  --force            also what is poor, there already, or looks like somebody else\n"
    "  --dry-run          only says what would be\n"
    "  --precropped       each picture is an aligned face already\n" CLI_ENGINE_HELP CLI_DATA_HELP;
static const char identify_usage[] =
    "usage: visavis identify COLLECTION IMAGE... [--top N] [--fpir RATE] [--tag TAG] "
    "[--explain]\n\n"
    "  --top N            candidates of each face (default 5)\n"
    "  --fpir RATE        how often a stranger may be taken for somebody (default 0.01)\n"
    "  --tag TAG          only among identities with this tag\n"
    "  --explain          the similarity of every example\n"
    "  --face F           all, main, largest or single (default all)\n"
    "  --precropped       each picture is an aligned face already\n" CLI_ENGINE_HELP CLI_DATA_HELP;

/* Those that are query parameters have their names. */
struct arguments {
    const char *data, *face, *top, *fpir, *tag;
    bool force, dry_run, explain, precropped;
    struct cli_engine engine;
};

static enum err ask(struct cli_call *c, const struct arguments *a, const char *collection,
                    char *const *images, int n, struct err_info *err)
{
    cli_call_begin(c, "POST");
    cli_call_param(c, "c", collection);
    cli_call_query(c, "face", a->face);
    cli_call_query(c, "top", a->top);
    cli_call_query(c, "fpir", a->fpir);
    cli_call_query(c, "tag", a->tag);
    cli_call_query(c, "force", a->force ? "true" : NULL);
    cli_call_query(c, "dry_run", a->dry_run ? "true" : NULL);
    cli_call_query(c, "explain", a->explain ? "true" : NULL);
    cli_call_query(c, "precropped", a->precropped ? "true" : NULL);
    return cli_call_images(c, images, n, err);
}

int cli_identify(int argc, char **argv)
{
    struct arguments a = {0};
    struct err_info err = ERR_INFO_INIT;
    struct cli_call c;
    struct cli_words w;
    const struct cli_option options[] = {{"top", .text = &a.top},
                                         {"fpir", .text = &a.fpir},
                                         {"tag", .text = &a.tag},
                                         {"explain", .flag = &a.explain},
                                         {"face", .text = &a.face},
                                         {"precropped", .flag = &a.precropped},
                                         {"data", .text = &a.data},
                                         CLI_ENGINE_OPTIONS(&a.engine),
                                         {0}};

    if (!cli_options(&w, argc, argv, options, identify_usage)) return w.code;
    if (w.n < 2) return cli_usage(identify_usage);
    if (cli_call_open(&c, a.data, &a.engine, &err)) return cli_fail_err(&err);
    int rc = ask(&c, &a, w.word[0], w.word + 1, w.n - 1, &err) ? cli_fail_err(&err)
                                                               : cli_call_print(&c, api_identify);
    cli_call_close(&c);
    return rc;
}

struct who {
    char id[ULID_CHARS + 1];
    int found; /* identities of this very name */
    bool made; /* for this enrolment */
};

/* Through every page: what the route finds has the name as a part. */
static enum err find(struct who *w, struct cli_call *c, const char *collection, const char *name,
                     struct err_info *err)
{
    char cursor[CURSOR_CHARS + 1] = "";

    do {
        json_auto_t *page = NULL;
        const json_t *one;
        size_t i;
        cli_call_begin(c, "GET");
        cli_call_param(c, "c", collection);
        cli_call_query(c, "name", name);
        cli_call_query(c, "limit", "1000");
        cli_call_query(c, "cursor", *cursor ? cursor : NULL);
        enum err rc = cli_call_run(&page, c, api_identities_list, err);
        if (rc) return rc;
        json_array_foreach(json_object_get(page, "items"), i, one)
        {
            const char *of = json_string_value(json_object_get(one, "name"));
            if (!of || strcmp(of, name) != 0) continue;
            w->found++;
            snprintf(w->id, sizeof w->id, "%s", json_string_value(json_object_get(one, "id")));
        }
        const char *next = json_string_value(json_object_get(page, "next_cursor"));
        snprintf(cursor, sizeof cursor, "%s", next ? next : "");
    } while (*cursor);
    return ERR_OK;
}

static enum err make(struct who *w, struct cli_call *c, const char *collection, const char *name,
                     struct err_info *err)
{
    json_auto_t *body = json_pack("{s:s}", "name", name), *made = NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    if (!text) return err_set(err, ERR_INVALID, "the name is not UTF-8");
    cli_call_begin(c, "POST");
    cli_call_param(c, "c", collection);
    cli_call_json(c, text);
    enum err rc = cli_call_run(&made, c, api_identities_create, err);
    if (!rc) snprintf(w->id, sizeof w->id, "%s", json_string_value(json_object_get(made, "id")));
    w->made = !rc;
    free(text);
    return rc;
}

/* The one identity of this very name; none: it is made. */
static enum err find_or_make(struct who *w, struct cli_call *c, const char *collection,
                             const char *name, struct err_info *err)
{
    *w = (struct who){.found = 0};
    if (ulid_valid(name)) {
        strcpy(w->id, name);
        return ERR_OK;
    }
    enum err rc = find(w, c, collection, name, err);
    if (rc || w->found == 1) return rc;
    if (w->found > 1)
        return err_set(err, ERR_CONFLICT, "%d identities are called %.200s: give the id of one",
                       w->found, name);
    return make(w, c, collection, name, err);
}

/* Nothing was enrolled: who was made for it goes again, unless somebody has changed it since. */
static enum err unmake(struct cli_call *c, const char *collection, const struct who *w,
                       struct err_info *err)
{
    cli_call_begin(c, "DELETE");
    cli_call_param(c, "c", collection);
    cli_call_param(c, "i", w->id);
    c->rq.if_match = "\"1\""; /* the version that it was made with */
    enum err rc = cli_call_run(NULL, c, api_identities_erase, err);
    return rc == ERR_PRECONDITION || rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

int cli_enrol(int argc, char **argv)
{
    struct arguments a = {0};
    struct err_info err = ERR_INFO_INIT;
    struct who who;
    struct cli_call c;
    struct cli_words w;
    const struct cli_option options[] = {{"force", .flag = &a.force},
                                         {"dry-run", .flag = &a.dry_run},
                                         {"face", .text = &a.face},
                                         {"precropped", .flag = &a.precropped},
                                         {"data", .text = &a.data},
                                         CLI_ENGINE_OPTIONS(&a.engine),
                                         {0}};

    if (!cli_options(&w, argc, argv, options, enrol_usage)) return w.code;
    if (w.n < 3) return cli_usage(enrol_usage);
    const char *collection = w.word[0];
    if (cli_call_open(&c, a.data, &a.engine, &err)) return cli_fail_err(&err);
    enum err failed = find_or_make(&who, &c, collection, w.word[1], &err);
    if (!failed) failed = ask(&c, &a, collection, w.word + 2, w.n - 2, &err);
    if (!failed) cli_call_param(&c, "i", who.id);
    int rc = failed ? cli_fail_err(&err) : cli_call_print(&c, api_enrol);
    if (who.made && (rc || a.dry_run) && unmake(&c, collection, &who, &err))
        rc = cli_fail_err(&err);
    cli_call_close(&c);
    return rc;
}
