/* A folder of its own for each test that writes model files. Header only. */
#ifndef VISAVIS_TESTS_UNIT_MODEL_FILES_H
#define VISAVIS_TESTS_UNIT_MODEL_FILES_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];

static inline int folder_new(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/visavis-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline const char *file_in(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

/* Files in it; delete: and takes them away. */
static inline int folder_walk(int delete)
{
    char path[512];
    int n = 0;
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.')) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (delete) unlink(path);
        n++;
    }
    if (d) closedir(d);
    return n;
}

static inline int files_in_folder(void)
{
    return folder_walk(0);
}

static inline int folder_delete(void **state)
{
    (void)state;
    folder_walk(1);
    return rmdir(folder);
}

#endif
