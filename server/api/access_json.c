#include "server/api/access_json.h"

#include "engine/base/hex.h"
#include "server/api/time_json.h"

json_t *hex_json(const uint8_t *bytes, size_t n)
{
    char text[2 * 64 + 1] = "";
    hex_text(text, bytes, n < 64 ? n : 64);
    return json_string(text);
}

/* "" is null. */
static json_t *id_json(const char *id)
{
    return *id ? json_string(id) : json_null();
}

json_t *key_json(const struct store_key *k, const char *secret)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:o, s:i, s:o, s:o, s:o}", "id", k->id.s, "name", k->name,
                  "right", key_right_name(k->right), "collection", id_json(k->collection), "rate",
                  k->rate, "created", time_json(k->created_ms), "expires", time_json(k->expires_ms),
                  "revoked", time_json(k->revoked_ms));
    if (o && secret && json_object_set_new(o, "secret", json_string(secret))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *audit_json(const struct store_audit *a)
{
    return json_pack("{s:I, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "seq", (json_int_t)a->seq, "at",
                     time_json(a->at_ms), "who", a->who, "action", a->action, "collection",
                     id_json(a->collection), "target", id_json(a->target), "request_id",
                     id_json(a->request), "hash", hex_json(a->hash, sizeof a->hash));
}
