/* For tests of jobs: a data folder whose jobs/ goes with it. Header only. */
#ifndef VISAVIS_TESTS_UNIT_JOBS_DIR_H
#define VISAVIS_TESTS_UNIT_JOBS_DIR_H

#include "tests/unit/store_dir.h"

#include <dirent.h>
#include <sys/stat.h>

/* A path below jobs/. */
static inline const char *jobs_path(const char *id, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/jobs%s%s%s%s", store_dir, *id ? "/" : "", id, *name ? "/" : "",
             name);
    return path;
}

/* How many entries a folder has; -1: there is none. */
static inline int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.' || e->d_name[1] == 'n';
    closedir(d);
    return n;
}

static inline int mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

static inline int remove_jobs_dir(void **state)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s/jobs", store_dir);
    return system(command) || remove_store_dir(state);
}

#endif
