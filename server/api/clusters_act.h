/* What the acts on a report share: POST /v1/clusters/{id}/promote and /assign (clusters_promote.c),
 * /split, /merge and /outlier (clusters_relabel.c). Each is one transaction of gallery and report,
 * audited, and taken back by POST /v1/collections/{c}/undo (server/store/reports.h). Whatever takes
 * long is prepared before the transaction; a state that came meanwhile refuses it. */
#ifndef VISAVIS_SERVER_API_CLUSTERS_ACT_H
#define VISAVIS_SERVER_API_CLUSTERS_ACT_H

#include "server/api/clusters.h"
#include "server/api/write.h"

struct act {
    struct app *app;
    struct request *rq;
    const char *what; /* "promote" */
    json_t *body;
    struct gallery_collection *collection;
    struct clusters_loaded report;
    int cluster;
    struct clusters_done done; /* of new labels; else empty */
    char *document, *summary, *said;
    const char **shown; /* ids that the new state shows besides */
    size_t n_shown;
    struct clusters_faces faces;
    int64_t moved;    /* in the transaction */
    json_t *identity; /* the same: new reference */
};

struct act_kind {
    const char *what;   /* "promote": of the undo record, too */
    const char *action; /* for the audit log */
    const char *fields[6];
    enum err (*prepare)(struct act *a, struct err_info *err); /* before the transaction */
    enum err (*run)(struct store_tx *tx, void *act, struct write_answer *out, struct err_info *err);
};
/* The whole route. */
NODISCARD enum err act_on_report(const struct act_kind *k, struct app *app, struct request *rq,
                                 struct reply *rp, struct err_info *err);

/* "cluster" of the body into a->cluster. ERR_INVALID. */
NODISCARD enum err act_read_cluster(struct act *a, struct err_info *err);
/* Adds the new state, in the transaction. */
NODISCARD enum err act_add_state(struct act *a, struct store_tx *tx, struct err_info *err);
/* {"report","state","clusters","outliers","undo"} and, where there is one, "identity", "moved". */
NODISCARD enum err act_answer(const struct act *a, struct write_answer *out,
                              const struct ulid *undo, struct err_info *err);

#endif
