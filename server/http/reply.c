#include "server/http/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_MAX_BYTES = 256 * 1024 * 1024 };

static const int statuses[ERR_COUNT] = {
    [ERR_OK] = 200,           [ERR_INVALID] = 400,       [ERR_BAD_JSON] = 400,
    [ERR_BAD_BASE64] = 400,   [ERR_BAD_IMAGE] = 400,     [ERR_UNSUPPORTED_IMAGE] = 415,
    [ERR_UNSUPPORTED] = 415,  [ERR_TOO_LARGE] = 413,     [ERR_NO_FACE] = 422,
    [ERR_MANY_FACES] = 422,   [ERR_NO_EMBEDDING] = 422,  [ERR_FMR_UNSUPPORTED] = 422,
    [ERR_NOT_FOUND] = 404,    [ERR_METHOD] = 405,        [ERR_CONFLICT] = 409,
    [ERR_PRECONDITION] = 412, [ERR_BAD_EMBEDDING] = 422, [ERR_UNAUTHORIZED] = 401,
    [ERR_FORBIDDEN] = 403,    [ERR_TIMEOUT] = 408,       [ERR_RATE] = 429,
    [ERR_BUSY] = 503,         [ERR_STORAGE_FULL] = 507,  [ERR_LICENSE] = 403,
    [ERR_CANCELLED] = 409,    [ERR_MODEL] = 500,         [ERR_NOMEM] = 500,
    [ERR_IO] = 500,           [ERR_INTERNAL] = 500,
};

static const char JSON_TYPE[] = "application/json";
static const char last_resort[] = "{\"error\":{\"code\":\"out_of_memory\",\"message\":\"no memory "
                                  "for the answer\",\"details\":{}}}";

int reply_status(enum err code)
{
    return code >= 0 && code < ERR_COUNT ? statuses[code] : 500;
}

static void drop_body(struct reply *rp)
{
    free(rp->owned);
    rp->owned = NULL;
    rp->borrowed = NULL;
    if (rp->fd >= 0) close(rp->fd);
    if (rp->stream.close) rp->stream.close(rp->stream.self);
    rp->stream = (struct reply_stream){0};
    rp->fd = -1;
    rp->len = 0;
}

void reply_bytes(struct reply *rp, int status, const char *content_type, struct buf *b)
{
    drop_body(rp);
    rp->status = status;
    rp->kind = REPLY_BYTES;
    rp->content_type = content_type;
    rp->len = b->len;
    rp->owned = buf_take(b);
}

void reply_static(struct reply *rp, int status, const char *content_type, const void *bytes,
                  size_t len)
{
    drop_body(rp);
    rp->status = status;
    rp->kind = REPLY_BYTES;
    rp->content_type = content_type;
    rp->borrowed = bytes;
    rp->len = len;
}

enum err reply_file(struct reply *rp, int status, const char *content_type, int fd,
                    struct err_info *err)
{
    struct stat st;

    drop_body(rp);
    rp->fd = fd;
    if (fstat(fd, &st) || st.st_size < 0)
        return err_set(err, ERR_IO, "cannot read the size of an answer's file: %s",
                       strerror(errno));
    rp->status = status;
    rp->kind = REPLY_FILE;
    rp->content_type = content_type;
    rp->len = (size_t)st.st_size;
    return ERR_OK;
}

void reply_stream(struct reply *rp, int status, const char *content_type,
                  const struct reply_stream *s)
{
    drop_body(rp);
    rp->status = status;
    rp->kind = REPLY_STREAM;
    rp->content_type = content_type;
    rp->stream = *s;
}

static int add_text(const char *text, size_t len, void *self)
{
    return buf_add(self, text, len, NULL) ? -1 : 0;
}

enum err reply_json(struct reply *rp, int status, json_t *body, struct err_info *err)
{
    struct buf b = BUF_INIT(JSON_MAX_BYTES);

    if (!body) return err_set(err, ERR_NOMEM, "no memory for the answer");
    /* 9 significant digits bring every float back exactly. */
    int failed = json_dump_callback(body, add_text, &b, JSON_COMPACT | JSON_REAL_PRECISION(9)) ||
                 buf_puts(&b, "\n", NULL);
    json_decref(body);
    if (failed) {
        buf_release(&b);
        return err_set(err, ERR_NOMEM, "no memory for the answer");
    }
    reply_bytes(rp, status, JSON_TYPE, &b);
    return ERR_OK;
}

void reply_header(struct reply *rp, const char *name, const char *value)
{
    if (value && rp->n_headers < REPLY_HEADERS_MAX)
        rp->header[rp->n_headers++] = (struct pair){name, value};
}

void reply_detail(struct reply *rp, const char *key, const char *value)
{
    if (value && rp->n_details < REPLY_DETAILS_MAX)
        rp->detail[rp->n_details++] = (struct pair){key, value};
}

void reply_details(struct reply *rp, json_t *details)
{
    json_decref(rp->details);
    rp->details = details;
}

json_t *reply_text(const char *s)
{
    char plain[ERR_MESSAGE_BYTES];
    json_t *j = json_string(s);
    if (j) return j;
    size_t n = 0;
    for (; s[n] && n + 1 < sizeof plain; n++) plain[n] = (unsigned char)s[n] < 0x80 ? s[n] : '?';
    plain[n] = 0;
    return json_string(plain);
}

void reply_error(struct reply *rp, const struct err_info *err, const char *request_id)
{
    int status = reply_status(err->code);
    const char *message = status == 500
                              ? "something went wrong here; the server's log has the details "
                                "under this request_id"
                              : err->message;

    assert(err->code != ERR_OK);
    json_t *details = json_object();
    for (int i = 0; i < rp->n_details; i++)
        json_object_set_new(details, rp->detail[i].key, reply_text(rp->detail[i].value));
    if (rp->details) json_object_update(details, rp->details);
    if (err->code == ERR_BUSY) reply_header(rp, "Retry-After", "1");
    if (err->code == ERR_UNAUTHORIZED) reply_header(rp, "WWW-Authenticate", "Bearer");
    json_t *body =
        json_pack("{s:{s:s, s:o, s:o}, s:s}", "error", "code", err_name(err->code), "message",
                  reply_text(message), "details", details, "request_id", request_id);
    if (reply_json(rp, status, body, NULL))
        reply_static(rp, status, JSON_TYPE, last_resort, sizeof last_resort - 1);
}

void reply_release(struct reply *rp)
{
    if (!rp) return;
    drop_body(rp);
    json_decref(rp->details);
    rp->details = NULL;
}
