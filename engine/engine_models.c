/* Models on disk: the list, exports, calibrations. */
#include "engine/base/mem.h"
#include "engine/engine_internal.h"
#include "engine/model/export_onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

/* One malloc'd string a field, so that a list outlives the files it was read from. */
static bool info_fill(struct model_info *i, const char *dir, const char *name)
{
    struct err_info why = ERR_INFO_INIT;
    struct model *m = NULL;

    i->name = copy(name);
    enum err rc = model_open(&m, dir, name, &why);
    if (rc == ERR_NOMEM) return false;
    if (rc) {
        i->role = copy("damaged");
        i->license = copy(why.message);
        return i->name && i->role && i->license;
    }
    i->role = copy(model_role_name(m->role));
    i->license = copy(m->license);
    i->source_file = copy(m->source_file);
    i->source_sha256 = copy(m->source_sha256);
    i->sha256 = copy(m->sha256);
    i->calibration = copy(m->calibration);
    i->note = copy(m->note);
    i->restricted = m->restricted;
    i->outdated = m->importer < MODEL_IMPORTER_VERSION;
    i->dim = m->role == MODEL_EMBEDDER ? m->input.dim : 0;
    bool ok = i->name && i->role && i->license && i->source_file && i->source_sha256 && i->sha256 &&
              (i->calibration || !m->calibration) && (i->note || !m->note);
    model_close(m);
    return ok;
}

enum err engine_model_list(struct model_info **list, size_t *n, const char *models_dir,
                           struct err_info *err)
{
    char **names = NULL;
    size_t count = 0;
    enum err rc = model_names(&names, &count, models_dir, err);
    if (rc) return rc;
    struct model_info *infos = calloc(count + 1, sizeof *infos);
    bool ok = infos != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = info_fill(&infos[i], models_dir, names[i]);
    model_names_free(names, count);
    if (!ok) {
        engine_model_list_free(infos, infos ? count : 0);
        return err_set(err, ERR_NOMEM, "no memory for a list of %zu models", count);
    }
    *list = infos;
    *n = count;
    return ERR_OK;
}

void engine_model_list_free(struct model_info *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct model_info *m = &list[i];
        const char *owned[] = {m->name,        m->role,          m->license,
                               m->source_file, m->source_sha256, m->sha256,
                               m->calibration, m->recipe,        m->note};
        for (size_t k = 0; k < ARRAY_LEN(owned); k++) free((void *)owned[k]);
    }
    free(list);
}

enum err engine_model_verify(const char *models_dir, const char *name, struct err_info *err)
{
    return model_verify(models_dir, name, err);
}

enum err engine_model_export_onnx(const char *models_dir, const char *name, const char *file,
                                  struct err_info *err)
{
    struct model *m = NULL;
    enum err rc = model_open(&m, models_dir, name, err);
    if (!rc) rc = model_export_onnx(m, file, err);
    model_close(m);
    return rc;
}

enum err engine_ready_recipe(char recipe[65], const char *models_dir, const char *name,
                             struct err_info *err)
{
    return embedder_ready_recipe(recipe, models_dir, name, err);
}

enum err engine_set_calibration(const char *models_dir, const char *name, const char *json,
                                struct err_info *err)
{
    return model_set_calibration(models_dir, name, json, err);
}
