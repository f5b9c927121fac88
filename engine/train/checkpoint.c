/* A training's state as a file:
 *
 *   magic (16 bytes), SHA-256 of plan and set (32), step (8 bytes), parameters, m, v (floats),
 *   running statistics (doubles), loss and violating of the steps done (floats), SHA-256 of all
 *   before it (32)
 *
 * in this machine's byte order: it is for the machine that trains. */
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/model/new_file.h"
#include "engine/train/trainer.h"

static const char MAGIC[16] = "visavis train 1";
enum { HEADER_BYTES = 16 + SHA256_DIGEST_SIZE + 8, FILE_MAX_BYTES = 1 << 30 };

/* Everything that decides what the steps do. */
static void identify(uint8_t digest[SHA256_DIGEST_SIZE], const struct trainer *t)
{
    const struct train_plan *p = &t->plan;
    struct sha256_ctx sha;
    char text[512];
    snprintf(text, sizeof text,
             "%s seed %llu steps %ld warm %ld batch %d balance %a softmax %d mining %d margin %a "
             "adam %d rate %a decay %a betas %a %a augment %d turned %a spliced %a layers %d "
             "parameters %zu "
             "rows %zu",
             t->net->ops->name, (unsigned long long)p->seed, p->steps, p->warm, p->batch,
             p->balance, p->softmax, (int)p->mining, p->margin, p->optim.adam, p->optim.rate,
             p->optim.decay, p->optim.beta1, p->optim.beta2, p->augment, p->turned, p->spliced,
             t->net->n_layers, t->net->parameters, p->set->n);
    sha256_init(&sha);
    sha256_update(&sha, strlen(text), (const uint8_t *)text);
    for (int i = 0; i < t->net->n_layers; i++) {
        const struct train_layer *l = &t->net->layers[i];
        snprintf(text, sizeof text, "%d %d %d %d %d %d %d %d %d %a", (int)l->kind, l->t.h, l->t.w,
                 l->t.c, l->t.kh, l->t.kw, l->t.sh, l->t.sw, l->t.oc, l->dropout);
        sha256_update(&sha, strlen(text), (const uint8_t *)text);
    }
    sha256_update(&sha, p->set->n * TRAIN_PIXELS, p->set->pixels);
    sha256_update(&sha, p->set->n, p->set->labels);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

struct part {
    void *data;
    size_t bytes;
};
enum { PARTS = 6 };

static void list_parts(struct part parts[PARTS], const struct trainer *t, long step)
{
    const size_t p = t->net->parameters * sizeof(float), done = (size_t)step * sizeof(float);
    const struct part list[PARTS] = {
        {t->parameters, p}, {t->m, p},
        {t->v, p},          {t->statistics, t->net->statistics * sizeof(double)},
        {t->loss, done},    {t->violating, done}};
    memcpy(parts, list, sizeof list);
}

static size_t bytes_of(const struct part parts[PARTS])
{
    size_t sum = HEADER_BYTES + SHA256_DIGEST_SIZE;
    for (int i = 0; i < PARTS; i++) sum += parts[i].bytes;
    return sum;
}

static void digest_of(uint8_t digest[SHA256_DIGEST_SIZE], const uint8_t *data, size_t len)
{
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, len, data);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

static enum err write_all(int fd, const uint8_t *data, size_t len, const char *path,
                          struct err_info *err)
{
    for (size_t done = 0; done < len;) {
        const ssize_t n = write(fd, data + done, len - done);
        if (n <= 0)
            return err_set(err, err_of_write(errno), "cannot write %s: %s", path, strerror(errno));
        done += (size_t)n;
    }
    return ERR_OK;
}

enum err trainer_save(const struct trainer *t, const char *path, struct err_info *err)
{
    AUTO_BUF struct buf b = BUF_INIT(FILE_MAX_BYTES);
    struct new_file f = NEW_FILE_INIT;
    struct part parts[PARTS];
    uint8_t digest[SHA256_DIGEST_SIZE];
    const uint64_t step = (uint64_t)t->step;
    enum err rc;

    list_parts(parts, t, t->step);
    identify(digest, t);
    if ((rc = buf_reserve(&b, bytes_of(parts), err))) return rc;
    if ((rc = buf_add(&b, MAGIC, sizeof MAGIC, err))) return rc;
    if ((rc = buf_add(&b, digest, sizeof digest, err))) return rc;
    if ((rc = buf_add(&b, &step, sizeof step, err))) return rc;
    for (int i = 0; i < PARTS; i++)
        if ((rc = buf_add(&b, parts[i].data, parts[i].bytes, err))) return rc;
    digest_of(digest, b.data, b.len);
    if ((rc = buf_add(&b, digest, sizeof digest, err))) return rc;
    rc = new_file_open(&f, path, b.len, err);
    if (!rc) rc = write_all(f.fd, b.data, b.len, path, err);
    if (!rc) rc = new_file_commit(&f, err);
    new_file_release(&f);
    return rc;
}

enum err trainer_load(struct trainer *t, const char *path, struct err_info *err)
{
    AUTO_BUF struct buf b = BUF_INIT(FILE_MAX_BYTES);
    struct part parts[PARTS];
    uint8_t digest[SHA256_DIGEST_SIZE];
    uint64_t step = 0;
    enum err rc = buf_read_file(&b, path, err);

    if (rc) return rc;
    if (b.len < HEADER_BYTES + SHA256_DIGEST_SIZE || memcmp(b.data, MAGIC, sizeof MAGIC) != 0)
        return err_set(err, ERR_INVALID, "%s is no checkpoint of a training", path);
    digest_of(digest, b.data, b.len - sizeof digest);
    if (memcmp(digest, b.data + b.len - sizeof digest, sizeof digest) != 0)
        return err_set(err, ERR_INVALID, "%s is damaged or cut short", path);
    identify(digest, t);
    if (memcmp(digest, b.data + sizeof MAGIC, sizeof digest) != 0)
        return err_set(err, ERR_CONFLICT,
                       "%s is of a training with other options, other glyphs or on another CPU",
                       path);
    memcpy(&step, b.data + sizeof MAGIC + sizeof digest, sizeof step);
    list_parts(parts, t, (long)step);
    if (step > (uint64_t)t->plan.steps || b.len != bytes_of(parts))
        return err_set(err, ERR_INVALID, "%s has %zu bytes for step %llu", path, b.len,
                       (unsigned long long)step);
    const uint8_t *from = b.data + HEADER_BYTES;
    for (int i = 0; i < PARTS; from += parts[i++].bytes)
        memcpy(parts[i].data, from, parts[i].bytes);
    t->step = (long)step;
    return ERR_OK;
}
