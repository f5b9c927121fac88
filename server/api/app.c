#include "server/api/app.h"

#include "server/api/warmup_png.h"
#include "server/jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

/* Half of a small machine. */
static const size_t CLUSTER_MEMORY_BYTES = (size_t)1536 << 20;

static enum err read_secret(struct store_tx *tx, void *out, struct err_info *err)
{
    return store_secret(out, tx, "cursor", err);
}

enum err app_open(struct app *app, const char *data_dir, const struct engine_options *engine,
                  struct err_info *err)
{
    enum err rc;

    memset(app, 0, sizeof *app);
    app->cluster_memory_max = CLUSTER_MEMORY_BYTES;
    pthread_mutex_init(&app->reload, NULL);
    keyring_init(&app->keyring);
    if ((rc = store_open(&app->store, data_dir, err)) || (rc = app_keys_reload(app, err)) ||
        (rc = store_read(app->store, read_secret, app->cursor_key, err)) ||
        (rc = engine_open(&app->engine, engine, err)))
        goto fail;
    if ((rc = app_warm_up(app, err)) || (rc = gallery_open(&app->gallery, app->store, err)))
        goto fail;
    return ERR_OK;
fail:
    app_close(app);
    return rc;
}

void app_close(struct app *app)
{
    jobs_close(app->jobs); /* a job that runs has hold of the rest */
    gallery_close(app->gallery);
    engine_close(app->engine);
    store_close(app->store);
    keyring_release(&app->keyring);
    pthread_mutex_destroy(&app->reload);
    memset(app, 0, sizeof *app);
}

enum err app_warm_up(struct app *app, struct err_info *err)
{
    /* Once through the detector (nobody need be found), once as a ready chip through the embedder.
     */
    const struct analyse_options passes[] = {
        {.select = FACE_ALL, .no_retry = true},
        {.select = FACE_ALL, .embedding = true, .precropped = true},
    };
    for (int i = 0; i < 2; i++) {
        struct analysis a = {0};
        enum err rc = engine_analyse(app->engine, warmup_png, warmup_png_len, &passes[i], &a, err);
        if (!rc && i == 1 && (a.n != 1 || !a.faces[0].embedding))
            rc = err_set(err, ERR_INTERNAL, "no embedding came out");
        analysis_release(&a);
        if (rc) {
            err_prefix(err, "the first inference failed");
            return rc;
        }
    }
    atomic_store(&app->ready, true);
    return ERR_OK;
}

enum err app_start_jobs(struct app *app, const char *data_dir, const struct job_kind *kinds,
                        struct err_info *err)
{
    return jobs_open(
        &app->jobs,
        &(struct jobs_options){.store = app->store, .dir = data_dir, .kinds = kinds, .self = app},
        err);
}
