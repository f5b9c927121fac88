#include "server/clusters/archive.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* APPNOTE.TXT 6.3.10, 4.3.16: the end of central directory record, and its longest comment. */
enum { END_BYTES = 22, COMMENT_MAX_BYTES = 65535, CHUNK_BYTES = 64 * 1024 };

struct archive {
    zip_t *zip;
    int entries;
    pthread_mutex_t lock; /* libzip reads an archive on one thread at a time */
};

bool archive_is_zip(const void *data, size_t len)
{
    return len >= 4 && (!memcmp(data, "PK\3\4", 4) || !memcmp(data, "PK\5\6", 4));
}

/* How many entries the end record promises; -1: there is none. libzip allocates for so many before
 * it reads the first. */
static long promised_entries(const uint8_t *data, size_t len)
{
    const size_t window = len < END_BYTES + COMMENT_MAX_BYTES ? len : END_BYTES + COMMENT_MAX_BYTES;

    if (len < END_BYTES) return -1;
    for (const uint8_t *p = data + len - END_BYTES; p >= data + len - window; p--)
        if (!memcmp(p, "PK\5\6", 4)) return (long)(p[10] | p[11] << 8);
    return -1;
}

/* The total that the directory promises, over all entries. */
static enum err check_total(const struct archive *a, struct err_info *err)
{
    uint64_t total = 0;
    for (int i = 0; i < a->entries; i++) {
        zip_stat_t st;
        if (zip_stat_index(a->zip, (zip_uint64_t)i, 0, &st) || !(st.valid & ZIP_STAT_SIZE))
            continue; /* refused one by one */
        total = st.size > UINT64_MAX - total ? UINT64_MAX : total + st.size;
    }
    if (total > ARCHIVE_TOTAL_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "the archive's entries have %llu MB together, the limit is %zu MB",
                       (unsigned long long)(total >> 20), ARCHIVE_TOTAL_MAX_BYTES >> 20);
    return ERR_OK;
}

static enum err open_zip(struct archive *a, const void *data, size_t len, struct err_info *err)
{
    zip_error_t why;

    zip_error_init(&why);
    zip_source_t *source = zip_source_buffer_create(data, len, 0, &why);
    if (source) a->zip = zip_open_from_source(source, ZIP_RDONLY, &why);
    if (a->zip) {
        zip_error_fini(&why);
        return ERR_OK;
    }
    if (source) zip_source_free(source);
    const bool memory = zip_error_code_zip(&why) == ZIP_ER_MEMORY;
    const enum err rc = memory ? err_set(err, ERR_NOMEM, "no memory for an archive")
                               : err_set(err, ERR_INVALID, "the archive cannot be read: %.200s",
                                         zip_error_strerror(&why));
    zip_error_fini(&why);
    return rc;
}

enum err archive_open(struct archive **out, const void *data, size_t len, struct err_info *err)
{
    const long promised = promised_entries(data, len);
    enum err rc;

    if (promised < 0)
        return err_set(err, ERR_INVALID, "it is no zip archive, or its end is missing");
    if (promised > ARCHIVE_ENTRIES_MAX)
        return err_set(err, ERR_TOO_LARGE, "the archive has %ld entries or more, the limit is %d",
                       promised, ARCHIVE_ENTRIES_MAX);
    struct archive *a = calloc(1, sizeof *a);
    if (!a) return err_set(err, ERR_NOMEM, "no memory for an archive");
    pthread_mutex_init(&a->lock, NULL);
    if ((rc = open_zip(a, data, len, err))) goto fail;
    const zip_int64_t n = zip_get_num_entries(a->zip, 0);
    if (n < 1 || n > ARCHIVE_ENTRIES_MAX) {
        rc = err_set(err, ERR_INVALID, "the archive has %lld entries", (long long)n);
        goto fail;
    }
    a->entries = (int)n;
    if ((rc = check_total(a, err))) goto fail;
    *out = a;
    return ERR_OK;
fail:
    archive_free(a);
    return rc;
}

void archive_free(struct archive *a)
{
    if (!a) return;
    if (a->zip) zip_discard(a->zip);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

int archive_entries(const struct archive *a)
{
    return a->entries;
}

/* "..", an absolute path, a drive, backslashes (which some programs take for slashes). */
static bool leads_outside(const char *name)
{
    if (*name == '/' || strchr(name, '\\') || (name[0] && name[1] == ':')) return true;
    for (const char *p = name; *p;) {
        const size_t n = strcspn(p, "/");
        if (n == 2 && !memcmp(p, "..", 2)) return true;
        p += n;
        if (*p) p++;
    }
    return false;
}

static enum err check_entry(const zip_stat_t *st, struct err_info *err)
{
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_ENCRYPTION_METHOD;

    if ((st->valid & wanted) != wanted)
        return err_set(err, ERR_BAD_IMAGE, "the archive does not say how long it is");
    if (leads_outside(st->name))
        return err_set(err, ERR_INVALID, "its path leads outside the archive");
    if (st->encryption_method != ZIP_EM_NONE)
        return err_set(err, ERR_UNSUPPORTED_IMAGE, "it is encrypted");
    if (st->size > ARCHIVE_ENTRY_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "it has %llu bytes, the limit is %d",
                       (unsigned long long)st->size, ARCHIVE_ENTRY_MAX_BYTES);
    if (st->size > ARCHIVE_RATIO_FROM_BYTES && st->size / ARCHIVE_RATIO_MAX > st->comp_size)
        return err_set(err, ERR_TOO_LARGE,
                       "%llu bytes would become %llu, more than the %d times that are allowed",
                       (unsigned long long)st->comp_size, (unsigned long long)st->size,
                       ARCHIVE_RATIO_MAX);
    return ERR_OK;
}

void archive_entry(struct archive_entry *out, struct archive *a, int i)
{
    zip_stat_t st;

    *out = (struct archive_entry){.name = "", .refused = ERR_INFO_INIT};
    zip_stat_init(&st);
    pthread_mutex_lock(&a->lock);
    if (zip_stat_index(a->zip, (zip_uint64_t)i, 0, &st) || !(st.valid & ZIP_STAT_NAME)) {
        err_set(&out->refused, ERR_BAD_IMAGE, "the archive does not say what it is");
    } else {
        const size_t n = strlen(st.name);
        out->name = st.name;
        out->folder = n && st.name[n - 1] == '/';
        if (check_entry(&st, &out->refused)) out->folder = false;
    }
    pthread_mutex_unlock(&a->lock);
}

static enum err inflate_entry(struct buf *out, zip_file_t *f, size_t promised, struct err_info *err)
{
    const size_t begin = out->len;
    enum err rc = buf_reserve(out, promised + 1, err);

    for (bool more = true; !rc && more;) {
        uint8_t chunk[CHUNK_BYTES];
        const zip_int64_t n = zip_fread(f, chunk, sizeof chunk);
        if (n < 0)
            return err_set(err, ERR_BAD_IMAGE, "it cannot be unpacked: %.200s",
                           zip_file_strerror(f));
        more = n > 0;
        if (out->len - begin + (size_t)n > promised)
            return err_set(err, ERR_BAD_IMAGE, "it is longer than the %zu bytes it promises",
                           promised);
        if (more) rc = buf_add(out, chunk, (size_t)n, err);
    }
    return rc;
}

enum err archive_read(struct buf *out, struct archive *a, int i, struct err_info *err)
{
    zip_stat_t st;
    enum err rc;

    zip_stat_init(&st);
    pthread_mutex_lock(&a->lock);
    zip_file_t *f = NULL;
    const bool known = !zip_stat_index(a->zip, (zip_uint64_t)i, 0, &st);
    rc = known ? check_entry(&st, err) : ERR_OK;
    if (!rc && known) f = zip_fopen_index(a->zip, (zip_uint64_t)i, 0);
    if (f)
        rc = inflate_entry(out, f, (size_t)st.size, err);
    else if (!rc)
        rc = err_set(err, ERR_BAD_IMAGE, "it cannot be unpacked: %.200s", zip_strerror(a->zip));
    if (f) zip_fclose(f);
    pthread_mutex_unlock(&a->lock);
    if (!rc && archive_is_zip(out->data, out->len))
        rc = err_set(err, ERR_UNSUPPORTED_IMAGE, "an archive in an archive is not opened");
    return rc;
}
