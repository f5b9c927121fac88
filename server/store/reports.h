/* Reports of clusterings. A report is computed once (state 0); each act on it adds a state, the
 * newest is what is shown, and taking the act back (store_undo_last) removes the newest again: so
 * gallery and report come back together, in one transaction. An act is therefore part of an undo
 * record of the collection (store_undo_begin), also where it changes no example.
 *
 * A state whose `document` is NULL shows that of the state before: who an example belongs to is not
 * part of it, but looked up when a report is read. */
#ifndef VISAVIS_SERVER_STORE_REPORTS_H
#define VISAVIS_SERVER_STORE_REPORTS_H

#include "server/store/undo.h"

enum { STORE_REPORT_DAYS = 30 };

struct store_report {
    int64_t row, collection; /* collection 0: photographs that were sent */
    const char *id;
    const char *key;           /* who asked for it; "": no key */
    const char *collection_id; /* "": none */
    const char *basis;         /* JSON; NULL in lists */
    int64_t created_ms, expires_ms;
};

struct store_report_state {
    int64_t n;               /* number of the state */
    const char *act;         /* JSON; NULL: computed */
    const int32_t *labels;   /* [faces] */
    const int64_t *examples; /* [faces] rows; NULL: photographs */
    const float *layout;     /* [faces][2]; NULL: none */
    size_t faces;
    const char *document; /* JSON; when it is read: of the newest state that has one */
    const char *summary;  /* JSON */
    int64_t at_ms;
};

/* ids: of the examples and identities that the report shows, n_ids of them; one may come twice. */
struct store_report_ids {
    const char *const *ids;
    size_t n;
};

/* Of *r id, key ("": none), collection and basis are read, of *s not n, act and at_ms. One with the
 * same id is replaced: a job that was begun again. thumbnails: JSON array or NULL. ERR_CONFLICT:
 * something that it shows was erased meanwhile. ERR_NOT_FOUND: the collection is gone. */
NODISCARD enum err store_report_add(struct store_tx *tx, const struct store_report *r,
                                    const struct store_report_state *s, const char *thumbnails,
                                    const struct store_report_ids *shows, struct err_info *err);

typedef enum err store_report_each(void *self, const struct store_report *r,
                                   const struct store_report_state *newest, struct err_info *err);
/* With basis and the whole of its newest state; each is called once. ERR_NOT_FOUND: there is none,
 * or it is not key's (NULL: anybody's). */
NODISCARD enum err store_report_get(struct store_tx *tx, const char *id, const char *key,
                                    store_report_each *each, void *self, struct err_info *err);
/* Appends the JSON array of thumbnails to out. *found: are there any? */
NODISCARD enum err store_report_thumbnails(bool *found, struct buf *out, struct store_tx *tx,
                                           int64_t row, struct err_info *err);
/* The acts on it, oldest first. can_undo: it has an undo record still. */
typedef enum err store_report_act_each(void *self, int64_t n, const char *act, int64_t at_ms,
                                       bool can_undo, struct err_info *err);
NODISCARD enum err store_report_acts(struct store_tx *tx, int64_t row, store_report_act_each *each,
                                     void *self, struct err_info *err);

struct store_report_query {
    const char *key;    /* of this key only; NULL: of anybody */
    const char *before; /* only ids smaller than this; NULL: all */
    int limit;          /* at most this many, 1..1000 */
};
/* The newest first, each with its newest state, of which only n, summary and at_ms are set. */
NODISCARD enum err store_report_list(struct store_tx *tx, const struct store_report_query *q,
                                     store_report_each *each, void *self, struct err_info *err);

/* Adds state s->n, which must follow the newest, to the open undo record. ERR_INTERNAL: none is
 * open; ERR_CONFLICT: another state came meanwhile. ERR_NOT_FOUND: the report is gone. */
NODISCARD enum err store_report_act(struct store_tx *tx, int64_t row,
                                    const struct store_report_state *s,
                                    const struct store_report_ids *shows, struct err_info *err);

/* ERR_NOT_FOUND. */
NODISCARD enum err store_report_erase(struct store_tx *tx, int64_t row, struct err_info *err);
/* Removes those that are over their time, and states that can no longer be gone back to. */
NODISCARD enum err store_reports_expire(int64_t *n, struct store_tx *tx, struct err_info *err);

#endif
