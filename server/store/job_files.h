/* The files of jobs: DIR/jobs/ID/ has upload.0, upload.1, ... while the job has not ended, and
 * result afterwards. Folders have mode 0700, files 0600. Names that clients gave are never part of
 * a path. What a function says is there is on the disk when it returns. Any thread, as long as no
 * two work on one job. */
#ifndef VISAVIS_SERVER_STORE_JOB_FILES_H
#define VISAVIS_SERVER_STORE_JOB_FILES_H

#include "server/store/jobs.h"

enum { JOB_FILES_PATH_BYTES = 4096 };

struct job_files {
    char dir[JOB_FILES_PATH_BYTES]; /* DIR/jobs */
};

/* Makes the folder where it is missing and removes uploads that never became a job's. ERR_INVALID:
 * the name is too long; ERR_IO. */
NODISCARD enum err job_files_open(struct job_files *out, const char *data_dir,
                                  struct err_info *err);

/* Uploads of a job that is to be: kept under another name until job_files_adopt, so that
 * job_files_follow leaves them alone. ERR_STORAGE_FULL, ERR_IO; then nothing is left of them. */
NODISCARD enum err job_files_put(const struct job_files *f, const char *id,
                                 const struct store_bytes *uploads, int n, struct err_info *err);
NODISCARD enum err job_files_adopt(const struct job_files *f, const char *id, struct err_info *err);
/* *fd: to read upload n, the caller's. ERR_NOT_FOUND, ERR_IO. */
NODISCARD enum err job_files_open_upload(int *fd, const struct job_files *f, const char *id, int n,
                                         struct err_info *err);

/* The whole result or, on an error, none. A second one replaces the first. ERR_STORAGE_FULL,
 * ERR_IO.
 */
NODISCARD enum err job_files_put_result(const struct job_files *f, const char *id,
                                        const void *bytes, size_t len, struct err_info *err);
/* *fd: to read it, the caller's; it stays readable after a drop. ERR_NOT_FOUND, ERR_IO. */
NODISCARD enum err job_files_open_result(int *fd, const struct job_files *f, const char *id,
                                         struct err_info *err);

/* All files but keep (names NULL ends; NULL: none is kept, and the folder goes too), also where
 * some are missing. ERR_IO: something is left. */
NODISCARD enum err job_files_drop(const struct job_files *f, const char *id,
                                  const char *const *keep, struct err_info *err);
extern const char *const job_files_keep_result[]; /* for it */
/* Makes the folders fit the rows: those of no job go, finished jobs keep their result alone. ids:
 * every job, by id. */
NODISCARD enum err job_files_follow(const struct job_files *f, const struct store_job_id *ids,
                                    size_t n, struct err_info *err);

#endif
