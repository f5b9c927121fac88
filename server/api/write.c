#include "server/api/write.h"

#include "server/store/answers.h"
#include "server/store/audit.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

static const char JSON_TYPE[] = "application/json";
enum { ANSWER_MAX_BYTES = 64 * 1024 * 1024 };

/* One request on its way through the store. */
struct job {
    struct request *rq;
    struct reply *rp;
    const struct write *w;
    uint8_t digest[ANSWER_REQUEST_BYTES]; /* where it has an Idempotency-Key */
    struct write_answer a;
    bool replayed; /* rp is an answer that was kept */
};

enum err write_answered(struct write_answer *a, int status, json_t *body, const char *collection,
                        const char *target, struct err_info *err)
{
    a->status = status;
    a->body = body;
    snprintf(a->collection, sizeof a->collection, "%s", collection);
    snprintf(a->target, sizeof a->target, "%s", target ? target : "");
    return body ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an answer");
}

static enum err check_key(const char *key, struct err_info *err)
{
    const size_t n = strlen(key);
    if (n < 1 || n > ANSWER_KEY_MAX)
        return err_set(err, ERR_INVALID, "Idempotency-Key has %zu characters, it may have 1 to %d",
                       n, ANSWER_KEY_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] < 0x20 || (unsigned char)key[i] > 0x7e)
            return err_set(err, ERR_INVALID,
                           "Idempotency-Key has a character that is not printable ASCII");
    return ERR_OK;
}

/* With its length before it, so that no two requests read alike. */
static void add(struct sha256_ctx *c, const void *data, size_t len)
{
    uint64_t n = len;
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)(n >> (8 * i));
    sha256_update(c, sizeof prefix, prefix);
    if (len) sha256_update(c, len, data);
}

static void digest_of(uint8_t out[ANSWER_REQUEST_BYTES], const struct request *rq)
{
    struct sha256_ctx c;

    sha256_init(&c);
    add(&c, rq->method, strlen(rq->method));
    add(&c, rq->path, strlen(rq->path));
    add(&c, &rq->n_query, sizeof rq->n_query);
    for (int i = 0; i < rq->n_query; i++) {
        add(&c, rq->query[i].key, strlen(rq->query[i].key));
        add(&c, rq->query[i].value, strlen(rq->query[i].value));
    }
    add(&c, &rq->n_parts, sizeof rq->n_parts);
    for (int i = 0; i < rq->n_parts; i++) {
        add(&c, rq->part[i].name, strlen(rq->part[i].name));
        add(&c, rq->part[i].data, rq->part[i].len);
    }
    add(&c, rq->body, rq->body_len);
    sha256_digest(&c, ANSWER_REQUEST_BYTES, out);
}

static enum err begin(struct job *j, struct err_info *err)
{
    if (!j->rq->idempotency_key) return ERR_OK;
    enum err rc = check_key(j->rq->idempotency_key, err);
    if (!rc) digest_of(j->digest, j->rq);
    return rc;
}

/* Makes the reply what was answered before. */
static enum err answer_again(void *self, const struct store_answer *kept, struct err_info *err)
{
    struct job *j = self;
    struct buf b = BUF_INIT(kept->body_len + 1);

    if (memcmp(kept->request, j->digest, ANSWER_REQUEST_BYTES) != 0)
        return err_set(err, ERR_CONFLICT,
                       "Idempotency-Key \"%.60s\" was used for another request: method, path, "
                       "query or body differ",
                       kept->key);
    if (kept->erased)
        return err_set(err, ERR_CONFLICT,
                       "what the first request with Idempotency-Key \"%.60s\" made has been erased",
                       kept->key);
    enum err rc = kept->body ? buf_add(&b, kept->body, kept->body_len, err) : ERR_OK;
    if (rc) return rc;
    reply_bytes(j->rp, kept->status, kept->body ? JSON_TYPE : NULL, &b);
    snprintf(j->a.etag, sizeof j->a.etag, "%s", kept->etag);
    j->replayed = true;
    return ERR_OK;
}

static enum err look_up(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    enum err rc =
        store_answer_get(tx, j->rq->principal, j->rq->idempotency_key, answer_again, j, err);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err make_reply(struct reply *rp, int status, json_t *body, struct err_info *err)
{
    if (body) return reply_json(rp, status, json_incref(body), err);
    reply_static(rp, status, NULL, "", 0);
    return ERR_OK;
}

/* Keeps the answer: the bytes that are sent now, but for one with a secret. */
static enum err keep(struct job *j, struct store_tx *tx, struct err_info *err)
{
    struct reply other = REPLY_INIT;
    const struct reply *kept = j->rp;
    enum err rc = ERR_OK;

    if (j->a.kept) {
        rc = make_reply(&other, j->a.status, j->a.kept, err);
        kept = &other;
    }
    if (!rc) {
        struct store_answer answer = {.who = j->rq->principal,
                                      .key = j->rq->idempotency_key,
                                      .collection = j->a.collection,
                                      .status = kept->status,
                                      .body = kept->owned,
                                      .body_len = kept->len,
                                      .etag = j->a.etag};
        memcpy(answer.request, j->digest, sizeof answer.request);
        rc = kept->len > ANSWER_MAX_BYTES
                 ? err_set(err, ERR_TOO_LARGE,
                           "the answer has %zu bytes, those kept for an Idempotency-Key have at "
                           "most %d",
                           kept->len, ANSWER_MAX_BYTES)
                 : store_answer_add(tx, &answer, err);
    }
    reply_release(&other);
    return rc;
}

static void forget(struct write_answer *a)
{
    json_decref(a->body);
    json_decref(a->kept);
    memset(a, 0, sizeof *a);
}

static enum err run(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    const struct request *rq = j->rq;
    enum err rc = ERR_OK;

    forget(&j->a);
    j->replayed = false;
    if (rq->idempotency_key && ((rc = look_up(tx, j, err)) || j->replayed)) return rc;
    if ((rc = j->w->run(tx, j->w->self, &j->a, err))) return rc;
    if ((rc = app_in_scope(rq, j->a.collection, err))) return rc;
    const struct store_audit entry = {.who = rq->principal,
                                      .action = j->w->action,
                                      .collection = j->a.collection,
                                      .target = j->a.target,
                                      .request = rq->id.s};
    if ((rc = store_audit_add(tx, &entry, err))) return rc;
    /* Here, so that nothing can go wrong once the change is on the disk. */
    if ((rc = make_reply(j->rp, j->a.status, j->a.body, err))) return rc;
    return rq->idempotency_key ? keep(j, tx, err) : ERR_OK;
}

static void set_headers(struct job *j)
{
    if (*j->a.etag)
        reply_header(j->rp, "ETag", arena_copy(&j->rq->arena, j->a.etag, strlen(j->a.etag)));
    if (j->replayed) reply_header(j->rp, "Idempotency-Replayed", "true");
}

enum err write_replay(bool *done, struct app *app, struct request *rq, struct reply *rp,
                      struct err_info *err)
{
    struct job j = {.rq = rq, .rp = rp};
    enum err rc = begin(&j, err);

    if (!rc && rq->idempotency_key) rc = store_read(app->store, look_up, &j, err);
    *done = !rc && j.replayed;
    if (*done) set_headers(&j);
    return rc;
}

/* What this process has in memory of the database follows the change. */
static void follow(struct app *app, const char *action)
{
    /* a key's collection may have another name, or be gone */
    if (!strncmp(action, "key.", 4) || !strncmp(action, "collection.", 11)) app_keys_follow(app);
    app_gallery_follow(app);
}

enum err write_run(struct app *app, struct request *rq, struct reply *rp, const struct write *w,
                   struct err_info *err)
{
    struct job j = {.rq = rq, .rp = rp, .w = w};
    enum err rc = begin(&j, err);

    if (!rc) rc = store_write(app->store, run, &j, err);
    if (!rc && !j.replayed) follow(app, w->action);
    if (!rc) set_headers(&j);
    forget(&j.a);
    return rc;
}
