#include "server/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/api/face_json.h"

enum err cli_call_open(struct cli_call *c, const char *data, struct cli_engine *engine,
                       struct err_info *err)
{
    char dir[CLI_DIR_BYTES];

    memset(c, 0, sizeof *c);
    c->rp = (struct reply)REPLY_INIT;
    engine->options.models_dir = cli_models_dir(engine->models_dir, engine->options.models_dir);
    return app_open(&c->app, cli_data_dir(dir, data), &engine->options, err);
}

static void drop(struct cli_call *c)
{
    reply_release(&c->rp);
    arena_release(&c->rq.arena);
    for (int i = 0; i < c->n_files; i++) buf_release(&c->files[i]);
    free(c->files);
    c->files = NULL;
    c->n_files = 0;
}

void cli_call_close(struct cli_call *c)
{
    drop(c);
    app_close(&c->app);
}

void cli_call_begin(struct cli_call *c, const char *method)
{
    drop(c);
    c->rp = (struct reply)REPLY_INIT;
    memset(&c->rq, 0, sizeof c->rq);
    c->rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    c->rq.method = method;
    c->rq.path = "";
    ulid_make(&c->rq.id);
    strcpy(c->rq.principal, "local");
}

void cli_call_param(struct cli_call *c, const char *name, const char *value)
{
    c->rq.param[c->rq.n_params++] = (struct pair){name, value};
}

void cli_call_query(struct cli_call *c, const char *name, const char *value)
{
    if (value) c->rq.query[c->rq.n_query++] = (struct pair){name, value};
}

enum err cli_call_images(struct cli_call *c, char *const *paths, int n, struct err_info *err)
{
    if (n > REQUEST_PARTS_MAX)
        return err_set(err, ERR_INVALID, "%d pictures, the limit is %d at once", n,
                       REQUEST_PARTS_MAX);
    c->files = calloc((size_t)n, sizeof *c->files);
    if (!c->files) return err_set(err, ERR_NOMEM, "no memory for %d pictures", n);
    for (; c->n_files < n; c->n_files++) {
        struct buf *b = &c->files[c->n_files];
        *b = BUF_INIT(IMAGE_MAX_BYTES);
        enum err rc = buf_read_file(b, paths[c->n_files], err);
        if (rc) return err_prefix(err, "%s", paths[c->n_files]);
        c->rq.part[c->rq.n_parts++] = (struct part){"image", b->data, b->len, paths[c->n_files]};
    }
    c->rq.body_kind = BODY_MULTIPART;
    return ERR_OK;
}

void cli_call_json(struct cli_call *c, const char *text)
{
    c->rq.body_kind = BODY_JSON;
    c->rq.body = (const uint8_t *)text;
    c->rq.body_len = strlen(text);
}

enum err cli_call_run(json_t **answer, struct cli_call *c, route_handler *handler,
                      struct err_info *err)
{
    enum err rc = handler(&c->app, &c->rq, &c->rp, err);

    if (rc || !answer) return rc;
    *answer =
        c->rp.owned ? json_loadb((const char *)c->rp.owned, c->rp.len, 0, NULL) : json_object();
    return *answer ? ERR_OK : err_set(err, ERR_INTERNAL, "the answer is not JSON");
}

int cli_call_print(struct cli_call *c, route_handler *handler)
{
    struct err_info err = ERR_INFO_INIT;
    json_t *answer = NULL;

    if (!cli_call_run(&answer, c, handler, &err)) {
        cli_print(answer);
        return CLI_OK;
    }
    char *details = c->rp.details ? json_dumps(c->rp.details, FACE_JSON_DUMP) : NULL;
    if (details) fprintf(stderr, "%s\n", details);
    free(details);
    return cli_fail_err(&err);
}
