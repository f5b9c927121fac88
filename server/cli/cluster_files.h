/* What `visavis cluster` is given: folders, pictures and archives. */
#ifndef VISAVIS_SERVER_CLI_CLUSTER_FILES_H
#define VISAVIS_SERVER_CLI_CLUSTER_FILES_H

#include "server/clusters/clusters.h"

/* The bytes of archives, which photographs borrow. */
struct cluster_files {
    struct buf *archive;
    size_t n;
};
void cluster_files_release(struct cluster_files *f);

/* Adds a picture, the entries of an archive, or every file of a folder and below it, in the order
 * of their names; hidden ones are passed over. A sub-folder's name is the truth of what lies in it.
 * ERR_NOT_FOUND, ERR_IO; ERR_TOO_LARGE: an archive over 2 GiB, or folders too deep. */
NODISCARD enum err cluster_files_add(struct cluster_files *f, struct clusters_photos *p,
                                     const char *path, struct err_info *err);

#endif
