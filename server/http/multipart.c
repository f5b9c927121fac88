#include "server/http/multipart.h"

#include "server/http/spool.h"

#include <stdlib.h>
#include <string.h>

enum {
    PARSER_BYTES = 16 * 1024, /* a part's headers must fit */
    FILENAME_MAX_BYTES = 255, /* what is longer is cut */
};

struct multipart {
    struct MHD_PostProcessor *parser; /* NULL once finished */
    struct request *rq;
    const char *spool_dir;
    size_t memory_left;
    struct spool spool[REQUEST_PARTS_MAX]; /* beside rq->part */
    struct err_info error;                 /* what stopped the parser */
};

static enum err begin_part(struct multipart *m, const char *name, const char *filename)
{
    struct request *rq = m->rq;

    if (!name || !*name) return err_set(&m->error, ERR_INVALID, "a part of the form has no name");
    if (strlen(name) > REQUEST_NAME_MAX_BYTES)
        return err_set(&m->error, ERR_INVALID, "a form field's name has %zu bytes, the limit is %d",
                       strlen(name), REQUEST_NAME_MAX_BYTES);
    if (rq->n_parts == REQUEST_PARTS_MAX)
        return err_set(&m->error, ERR_INVALID, "more than the %d form fields allowed",
                       REQUEST_PARTS_MAX);
    char *copy = arena_copy(&rq->arena, name, strlen(name)), *file = NULL;
    if (filename) file = arena_copy(&rq->arena, filename, strnlen(filename, FILENAME_MAX_BYTES));
    if (!copy || (filename && !file))
        return err_set(&m->error, ERR_NOMEM, "no memory for a form field");
    m->spool[rq->n_parts] = (struct spool)SPOOL_INIT;
    rq->part[rq->n_parts++] = (struct part){copy, NULL, 0, file};
    return ERR_OK;
}

/* MHD_PostDataIterator. off is the place of data in its part: 0 begins one. MHD may announce a part
 * with no bytes and then begin it again with its first ones. */
static enum MHD_Result on_data(void *cls, enum MHD_ValueKind kind, const char *name,
                               const char *filename, const char *content_type, const char *encoding,
                               const char *data, uint64_t off, size_t size)
{
    struct multipart *m = cls;
    struct request *rq = m->rq;
    (void)kind, (void)content_type, (void)encoding;

    int last = rq->n_parts - 1;
    bool announced = last >= 0 && name && !m->spool[last].len && !strcmp(rq->part[last].name, name);
    if (off == 0 && !announced) {
        if (begin_part(m, name, filename)) return MHD_NO;
        last++;
    }
    if (last < 0) return MHD_NO;
    return spool_add(&m->spool[last], data, size, &m->memory_left, m->spool_dir, &m->error)
               ? MHD_NO
               : MHD_YES;
}

enum err multipart_new(struct multipart **out, struct MHD_Connection *connection,
                       struct request *rq, const char *spool_dir, struct err_info *err)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    if (!type || !strcasestr(type, "boundary="))
        return err_set(err, ERR_INVALID, "Content-Type: multipart/form-data has no boundary");
    struct multipart *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, ERR_NOMEM, "no memory for a form");
    m->rq = rq;
    m->spool_dir = spool_dir;
    m->memory_left = SPOOL_MEMORY_MAX_BYTES;
    m->parser = MHD_create_post_processor(connection, PARSER_BYTES, on_data, m);
    if (!m->parser) {
        free(m);
        return err_set(err, ERR_INVALID, "the boundary in Content-Type cannot be used");
    }
    *out = m;
    return ERR_OK;
}

static enum err failed(const struct multipart *m, struct err_info *err, const char *otherwise)
{
    if (m->error.code) return err_set(err, m->error.code, "%s", m->error.message);
    return err_set(err, ERR_INVALID, "%s", otherwise);
}

enum err multipart_feed(struct multipart *m, const char *data, size_t len, struct err_info *err)
{
    if (MHD_post_process(m->parser, data, len) == MHD_YES && !m->error.code) return ERR_OK;
    return failed(m, err, "the body is not the multipart/form-data that its boundary promises");
}

enum err multipart_finish(struct multipart *m, struct err_info *err)
{
    struct MHD_PostProcessor *parser = m->parser;
    enum err rc = ERR_OK;

    m->parser = NULL;
    if (MHD_destroy_post_processor(parser) != MHD_YES || m->error.code)
        return failed(m, err, "the form ends before its last boundary");
    if (!m->rq->n_parts)
        return err_set(err, ERR_INVALID, "the form has no field: its boundary never comes");
    for (int i = 0; !rc && i < m->rq->n_parts; i++)
        rc = spool_seal(&m->spool[i], &m->rq->part[i].data, &m->rq->part[i].len, err);
    return rc;
}

void multipart_free(struct multipart *m)
{
    if (!m) return;
    if (m->parser) MHD_destroy_post_processor(m->parser);
    for (int i = 0; i < m->rq->n_parts; i++) spool_release(&m->spool[i]);
    m->rq->n_parts = 0;
    free(m);
}
