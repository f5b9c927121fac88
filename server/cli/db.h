/* visavis db export|import: a collection as plain files, and back.
 *
 *   collection.json    one object: what the collection is
 *   identities.jsonl   one object a line: id, name, external_id, metadata, tags, version, times
 *                      (numbers in metadata keep their value, not their digits: 0.1 may come back
 * as 0.10000000000000001) examples.jsonl     one object a line: id, its identity's id, box, points,
 * quality, source, time embeddings.npy     float32 [n][dim]: row i belongs to line i of
 * examples.jsonl pictures/          ID.thumbnail, ID.photo: where they are kept and were asked for
 */
#ifndef VISAVIS_SERVER_CLI_DB_H
#define VISAVIS_SERVER_CLI_DB_H

#include "server/store/store.h"

#include <jansson.h>

#define EXPORT_FORMAT "visavis-collection-1"

/* Into a new folder dir, all of one state of the database. *summary: new reference, counts.
 * ERR_NOT_FOUND: no such collection; ERR_CONFLICT: dir exists; ERR_IO, ERR_STORAGE_FULL: what is
 * there then is in dir.part. */
NODISCARD enum err db_export(json_t **summary, struct store *s, const char *collection,
                             const char *dir, bool pictures, struct err_info *err);
/* All of it or nothing, in one transaction. name: the collection's; NULL: the one it had. Ids that
 * are taken here are replaced by new ones; *summary has how many. ERR_CONFLICT: the name is taken;
 * ERR_INVALID, ERR_BAD_EMBEDDING, naming file and line. */
NODISCARD enum err db_import(json_t **summary, struct store *s, const char *dir, const char *name,
                             struct err_info *err);

#endif
