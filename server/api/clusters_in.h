/* What clients ask a clustering for: options as JSON, as form fields, as query parameters and on
 * the command line, read in one place. A text is first made the JSON value that it stands for; the
 * object of all is what a job and a report keep, and what is read again later. */
#ifndef VISAVIS_SERVER_API_CLUSTERS_IN_H
#define VISAVIS_SERVER_API_CLUSTERS_IN_H

#include "server/clusters/clusters.h"

struct clusters_in {
    struct clusters_options options;
    const char *collection; /* id or name; NULL: photographs */
    const char *tag;        /* NULL: any */
    bool unassigned;
    const char *title; /* NULL: none given */
    bool job;          /* a job, however small it is */
};

/* The names of all options, NULL at the end. */
extern const char *const clusters_in_names[];
/* Sets asked[name] from a text. ERR_INVALID: no such option, not of its type, or there already. */
NODISCARD enum err clusters_in_set(json_t *asked, const char *name, const char *text,
                                   struct err_info *err);
/* asked is borrowed by *out. ERR_INVALID: out of range, or what excludes each other. */
NODISCARD enum err clusters_in_parse(struct clusters_in *out, const json_t *asked,
                                     struct err_info *err);

#endif
