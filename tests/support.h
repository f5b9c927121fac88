/* What several tests need: where the models and ../shared are, reading a file, skipping with a
 * reason. Header only. */
#ifndef VISAVIS_TESTS_SUPPORT_H
#define VISAVIS_TESTS_SUPPORT_H

#include "engine/base/buf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHARED  "../shared"
#define FACES   SHARED "/data/faces"
#define GOLDENS SHARED "/goldens/default"

static inline const char *test_models_dir(void)
{
    static char dir[4096];
    const char *models = getenv("VISAVIS_MODELS"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (models && *models)
        snprintf(dir, sizeof dir, "%s", models);
    else if (cache && *cache)
        snprintf(dir, sizeof dir, "%s/visavis/models", cache);
    else
        snprintf(dir, sizeof dir, "%s/.cache/visavis/models", home ? home : "");
    return dir;
}

static inline bool test_have_models(void)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/dlib-resnet.safetensors", test_models_dir());
    if (access(path, R_OK) == 0) return true;
    printf("SKIPPED: no models in %s (visavis model fetch)\n", test_models_dir());
    return false;
}

static inline bool test_have_shared(void)
{
    if (access(FACES, R_OK) == 0) return true;
    printf("SKIPPED: no %s here\n", SHARED);
    return false;
}

/* The whole file, caller's (buf_release); empty when it cannot be read. */
static inline struct buf test_read(const char *path)
{
    struct buf b = BUF_INIT(256u << 20);
    if (buf_read_file(&b, path, NULL)) buf_release(&b);
    return b;
}

#endif
