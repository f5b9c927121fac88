/* Keys and entries of the audit log as JSON: the same over HTTP and on the command line. */
#ifndef VISAVIS_SERVER_API_ACCESS_JSON_H
#define VISAVIS_SERVER_API_ACCESS_JSON_H

#include "server/store/audit.h"
#include "server/store/keys.h"

#include <jansson.h>

/* secret: NULL: left out. NULL: no memory. */
json_t *key_json(const struct store_key *k, const char *secret);
json_t *audit_json(const struct store_audit *a);
/* n bytes as hex digits. */
json_t *hex_json(const uint8_t *bytes, size_t n);

#endif
