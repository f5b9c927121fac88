/* How collections, identities and examples look in JSON: one place, used by the routes and by the
 * command line. New references; NULL: no memory. */
#ifndef VISAVIS_SERVER_API_GALLERY_JSON_H
#define VISAVIS_SERVER_API_GALLERY_JSON_H

#include "server/store/undo.h"

#include <jansson.h>

/* {"id","name","model","recipe","dimension","rule","rule_top","min_quality","keep_thumbnails",
 * "keep_photos","ttl_days","calibration":source or null (the model's),"metadata","created",
 * "updated"} and, where counts is not NULL, "counts":{"identities","examples","unassigned",
 * "thumbnails","photos"} */
json_t *collection_json(const struct store_collection *c,
                        const struct store_collection_counts *counts);
/* {"id","name","external_id","metadata","tags","examples","version","created","updated"} */
json_t *identity_json(const struct store_identity *i);
/* {"id","name","external_id"} */
json_t *identity_short_json(const struct store_identity *i);
/* {"id","identity":id or null,"box","points","quality","precision","source_sha256","has_thumbnail",
 * "has_photo","created"} */
json_t *example_json(const struct store_example *e);
/* {"erased":{"collections","identities","examples","thumbnails","photos","undo_records","answers",
 * "reports","uploads"}} */
json_t *receipt_json(const struct store_receipt *r);
/* A similarity or a rate in an answer: 7 digits after the point are what a float's cosine has. */
json_t *similarity_json(double v);

#endif
