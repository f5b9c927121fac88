/* Copies of a whole database, made while it is in use (SQLite's online backup: one state of it,
 * writers do not wait), and put back. */
#ifndef VISAVIS_SERVER_STORE_BACKUP_H
#define VISAVIS_SERVER_STORE_BACKUP_H

#include "server/store/store.h"

/* Into a new file, on the disk when it returns. ERR_CONFLICT: path exists; ERR_STORAGE_FULL,
 * ERR_IO, ERR_BUSY, ERR_NOMEM; then there is no file. */
NODISCARD enum err store_backup(struct store *s, const char *path, struct err_info *err);
/* Into a file without a name in the store's folder; *fd is the caller's (close()). */
NODISCARD enum err store_backup_fd(int *fd, struct store *s, struct err_info *err);
/* Makes dir/visavis.db from a backup. dir is made, or must be empty. ERR_CONFLICT: it is not, or
 * the backup is of a newer visavis; ERR_INVALID: path is no backup, or a damaged one; errors of
 * store_backup. */
NODISCARD enum err store_restore(const char *dir, const char *path, struct err_info *err);

#endif
