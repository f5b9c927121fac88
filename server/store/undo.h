/* Changes that can be taken back, and erasing, which cannot. */
#ifndef VISAVIS_SERVER_STORE_UNDO_H
#define VISAVIS_SERVER_STORE_UNDO_H

#include "server/store/examples.h"

enum { STORE_UNDO_DAYS = 30 };

/* From here to the end of the job, store_example_move, store_identity_add and store_identity_retire
 * of this collection are written down as one change, which store_undo_last takes back. what: one
 * word ("merge"). A change without any step leaves no record. */
NODISCARD enum err store_undo_begin(struct ulid *id, struct store_tx *tx, int64_t collection,
                                    const char *what, struct err_info *err);
/* Removes an identity that has no examples (any more), so that it can come back with its id; for
 * good where no undo record of its collection is open. ERR_NOT_FOUND; ERR_CONFLICT: it has
 * examples.
 */
NODISCARD enum err store_identity_retire(struct store_tx *tx, int64_t row, struct err_info *err);
struct store_undone {
    struct ulid id;
    char what[32];
    int64_t examples, identities; /* moved back; removed or restored */
};
/* Takes back the last change of the collection that has not expired. ERR_NOT_FOUND: there is none;
 * ERR_CONFLICT: what it touched has been changed since, saying what: an example moved, an identity
 * that it made renamed, given examples or removed, the external id of one that it removed taken. */
NODISCARD enum err store_undo_last(struct store_undone *out, struct store_tx *tx,
                                   int64_t collection, struct err_info *err);

/* What an erasure removed. */
struct store_receipt {
    int64_t collections, identities, examples, thumbnails, photos;
    int64_t undo_records; /* that named them */
    int64_t answers;      /* kept for Idempotency-Key */
    int64_t reports, uploads;
};
/* Each adds to *r, which the caller has zeroed. The bytes are overwritten (secure_delete); after
 * the job the caller calls store_scrub, which takes them out of the write-ahead log.
 * ERR_NOT_FOUND. */
NODISCARD enum err store_erase_example(struct store_receipt *r, struct store_tx *tx, int64_t row,
                                       struct err_info *err);
NODISCARD enum err store_erase_identity(struct store_receipt *r, struct store_tx *tx, int64_t row,
                                        struct err_info *err);
NODISCARD enum err store_erase_collection(struct store_receipt *r, struct store_tx *tx, int64_t row,
                                          struct err_info *err);
/* Erases what is over a collection's ttl_days, at most `most` examples in one job, and drops undo
 * records, changes, reports and answers that have expired. *more: there is more to do. */
NODISCARD enum err store_erase_expired(struct store_receipt *r, bool *more, struct store_tx *tx,
                                       int most, struct err_info *err);
/* Not in a job. Checkpoints and truncates the write-ahead log. ERR_BUSY: a reader held it; call it
 * again. */
NODISCARD enum err store_scrub(struct store *s, struct err_info *err);

#endif
