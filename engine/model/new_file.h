/* A file that gets its name at the end: it is made under a temporary name beside the target,
 * synced, and renamed, so that a reader sees the old file or the whole new one, also after a crash.
 * Module of engine/model only. Not for several threads at once. */
#ifndef VISAVIS_ENGINE_MODEL_NEW_FILE_H
#define VISAVIS_ENGINE_MODEL_NEW_FILE_H

#include "engine/base/err.h"

#include <stddef.h>

struct new_file {
    char *path, *temporary; /* owned; NULL: none is open */
    int fd;
};
#define NEW_FILE_INIT ((struct new_file){NULL, NULL, -1})

/* Makes the temporary file with room for len bytes, so that a full disk says so at once. f is
 * NEW_FILE_INIT, and to be released in any case. ERR_IO: also where path is there and no regular
 * file (a rename would put one in the place of a device). ERR_STORAGE_FULL, ERR_NOMEM. */
NODISCARD enum err new_file_open(struct new_file *f, const char *path, size_t len,
                                 struct err_info *err);
/* Syncs the file (mode 0644) and its folder, and gives it its name. ERR_IO. */
NODISCARD enum err new_file_commit(struct new_file *f, struct err_info *err);
/* Closes it; without a name it is gone. Safe on NEW_FILE_INIT. */
void new_file_release(struct new_file *f);

#endif
