#include "server/api/cursor.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdlib.h>
#include <string.h>

enum { POSITION_BYTES = 8, TAG_BYTES = 16, CURSOR_RAW_BYTES = POSITION_BYTES + TAG_BYTES };

/* base64url (RFC 4648 section 5): nothing of it must be escaped in a query. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(char out[CURSOR_CHARS + 1], const uint8_t raw[CURSOR_RAW_BYTES])
{
    for (int i = 0; i < CURSOR_RAW_BYTES / 3; i++) {
        uint32_t v =
            (uint32_t)raw[3 * i] << 16 | (uint32_t)raw[3 * i + 1] << 8 | (uint32_t)raw[3 * i + 2];
        for (int k = 0; k < 4; k++) out[4 * i + k] = alphabet[v >> (18 - 6 * k) & 63];
    }
    out[CURSOR_CHARS] = 0;
}

static bool decode(uint8_t raw[CURSOR_RAW_BYTES], const char *text)
{
    if (strlen(text) != CURSOR_CHARS) return false;
    for (int i = 0; i < CURSOR_CHARS / 4; i++) {
        uint32_t v = 0;
        for (int k = 0; k < 4; k++) {
            const char *at = strchr(alphabet, text[4 * i + k]);
            if (!at) return false;
            v = v << 6 | (uint32_t)(at - alphabet);
        }
        for (int k = 0; k < 3; k++) raw[3 * i + k] = (uint8_t)(v >> (16 - 8 * k));
    }
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

/* With its final 0, so that no two lists of texts read alike. */
static void add(struct hmac_sha256_ctx *mac, const char *text)
{
    hmac_sha256_update(mac, strlen(text) + 1, (const uint8_t *)text);
}

static void tag_of(uint8_t out[TAG_BYTES], const struct app *app, const struct request *rq,
                   const uint8_t position[POSITION_BYTES])
{
    struct hmac_sha256_ctx mac;
    struct pair query[REQUEST_QUERY_MAX];
    int n = 0;

    for (int i = 0; i < rq->n_query; i++)
        if (strcmp(rq->query[i].key, "cursor") != 0 && strcmp(rq->query[i].key, "limit") != 0)
            query[n++] = rq->query[i];
    qsort(query, (size_t)n, sizeof *query, by_key);
    hmac_sha256_set_key(&mac, sizeof app->cursor_key, app->cursor_key);
    hmac_sha256_update(&mac, POSITION_BYTES, position);
    add(&mac, rq->path);
    for (int i = 0; i < n; i++) {
        add(&mac, query[i].key);
        add(&mac, query[i].value);
    }
    hmac_sha256_digest(&mac, TAG_BYTES, out);
}

void cursor_make(struct cursor *out, const struct app *app, const struct request *rq, int64_t after)
{
    uint8_t raw[CURSOR_RAW_BYTES];

    for (int i = 0; i < POSITION_BYTES; i++) raw[i] = (uint8_t)((uint64_t)after >> (56 - 8 * i));
    tag_of(raw + POSITION_BYTES, app, rq, raw);
    encode(out->s, raw);
}

enum err cursor_read(int64_t *after, const struct app *app, const struct request *rq,
                     struct err_info *err)
{
    const char *text = request_query(rq, "cursor");
    uint8_t raw[CURSOR_RAW_BYTES], tag[TAG_BYTES];
    uint64_t position = 0;

    *after = 0;
    if (!text) return ERR_OK;
    if (!decode(raw, text))
        return err_set(err, ERR_INVALID, "cursor is \"%.40s\", which is no next_cursor of a page",
                       text);
    tag_of(tag, app, rq, raw);
    if (!memeql_sec(tag, raw + POSITION_BYTES, TAG_BYTES))
        return err_set(err, ERR_INVALID,
                       "cursor belongs to another list or to other parameters: %.40s", text);
    for (int i = 0; i < POSITION_BYTES; i++) position = position << 8 | raw[i];
    *after = (int64_t)position;
    return ERR_OK;
}
