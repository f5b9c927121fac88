/* Random values that belong to a database and are made with it. */
#ifndef VISAVIS_SERVER_STORE_SECRETS_H
#define VISAVIS_SERVER_STORE_SECRETS_H

#include "server/store/store.h"

enum { STORE_SECRET_BYTES = 32 };

/* name: "cursor". ERR_NOT_FOUND. */
NODISCARD enum err store_secret(uint8_t out[STORE_SECRET_BYTES], struct store_tx *tx,
                                const char *name, struct err_info *err);

#endif
