/* The store: acknowledged writes a second from 16 threads, each an embedding in a job of its own,
 * and how long an index takes to read a million of them.
 *
 *   name,n,per_second,of            of: what the row is to be compared with
 *
 * Every figure beside the disk's own: raw_fsync appends 16 KiB to a file of the same folder and
 * calls fsync, in turn with the store. BENCH_STORE_ROWS: how many rows the last part reads. */
#include "engine/base/clock.h"
#include "server/store/store_internal.h"
#include "server/store/undo.h"
#include "tests/torture/faulty_vfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 16, DIM = 128, SLOW_SYNC_US = 5000, TURNS = 3 };
static const double SECONDS_EACH = 2;

static void require(enum err rc, const struct err_info *err)
{
    if (!rc) return;
    fprintf(stderr, "bench_store: %s\n", err->message);
    exit(1);
}

static enum err add_collection(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct store_collection c = {.name = "bench",
                                       .model = "m",
                                       .recipe = "0123456789abcdef0123456789abcdef"
                                                 "0123456789abcdef0123456789abcdef",
                                       .dim = DIM,
                                       .rule = "max",
                                       .rule_top = 1,
                                       .metadata = "{}"};
    const struct store_identity i = {.collection = 1, .name = "someone", .metadata = "{}"};
    struct ulid id;
    int64_t row;
    enum err rc = store_collection_add(arg, &id, tx, &c, err);
    return rc ? rc : store_identity_add(&row, &id, tx, &i, err);
}

static enum err add_example(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct store_example e = {
        .collection = 1, .identity = 1, .embedding = arg, .dim = DIM, .precision = "f32"};
    const struct store_bytes none = {0};
    struct ulid id;
    int64_t row;
    return store_example_add(&row, &id, tx, &e, none, none, err);
}

struct writer {
    pthread_t id;
    struct store *s;
    double end;
    long written;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    float embedding[DIM];
    struct err_info err = ERR_INFO_INIT;
    for (int i = 0; i < DIM; i++) embedding[i] = (float)i;
    for (; clock_seconds() < w->end; w->written++)
        require(store_write(w->s, add_example, embedding, &err), &err);
    return NULL;
}

/* Acknowledged jobs a second. */
static double rate(struct store *s, int threads, long *n)
{
    struct writer w[WRITERS];
    double start = clock_seconds();
    long written = 0;
    for (int i = 0; i < threads; i++) {
        w[i] = (struct writer){.s = s, .end = start + SECONDS_EACH};
        if (pthread_create(&w[i].id, NULL, write_on, &w[i])) exit(1);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(w[i].id, NULL);
        written += w[i].written;
    }
    *n += written;
    return (double)written / (clock_seconds() - start);
}

static double raw_fsync(const char *dir, long *n)
{
    static const char page[16384];
    char path[100];
    snprintf(path, sizeof path, "%s/raw", dir);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    double start = clock_seconds(), now;
    long done = 0;
    do {
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fsync(fd)) exit(1);
        done++;
        now = clock_seconds();
    } while (now < start + SECONDS_EACH);
    close(fd);
    unlink(path);
    *n += done;
    return (double)done / (now - start);
}

struct load {
    float *rows;
    int64_t n, sum;
};

static enum err take_vector(void *self, int64_t example, int64_t identity, const float *embedding,
                            struct err_info *err)
{
    struct load *l = self;
    (void)err;
    memcpy(l->rows + l->n * DIM, embedding, DIM * sizeof(float));
    l->n++;
    l->sum += example + identity;
    return ERR_OK;
}

static enum err read_all(struct store_tx *tx, void *arg, struct err_info *err)
{
    return store_vectors(tx, 1, DIM, take_vector, arg, err);
}

static enum err fill(struct store_tx *tx, void *arg, struct err_info *err)
{
    return store__run(NULL, tx,
                      "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n"
                      " WHERE x < ?1) INSERT INTO examples (id, collection, identity, embedding,"
                      " precision, created_ms) SELECT printf('%026d', x), 1, 1, randomblob(512),"
                      " 'f32', 0 FROM n",
                      ARGS(INT(*(int64_t *)arg)), err);
}

static struct store *open_in(const char *dir)
{
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    require(store_open(&s, dir, &err), &err);
    return s;
}

static struct store *new_store(char *dir)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t collection = 0;
    if (!mkdtemp(dir)) exit(1);
    struct store *s = open_in(dir);
    require(store_write(s, add_collection, &collection, &err), &err);
    return s;
}

static void remove_store(struct store *s, const char *dir)
{
    char path[100];
    store_close(s);
    snprintf(path, sizeof path, "%s/visavis.db", dir);
    unlink(path);
    rmdir(dir);
}

/* Opened again between filling and reading: no log, as after a start. */
static struct store *load(struct store *s, const char *dir)
{
    const char *asked = getenv("BENCH_STORE_ROWS");
    int64_t rows = asked ? atoll(asked) : 1000000;
    struct err_info err = ERR_INFO_INIT;
    struct load l = {.rows = malloc((size_t)(rows + 1000000) * DIM * sizeof(float))};

    if (!l.rows) exit(1);
    require(store_write(s, fill, &rows, &err), &err);
    store_close(s);
    for (int i = 0; i < TURNS; i++) {
        double start = clock_seconds();
        s = open_in(dir);
        double opened = clock_seconds();
        l.n = l.sum = 0;
        require(store_read(s, read_all, &l, &err), &err);
        double end = clock_seconds();
        printf("load_x%d,%lld,%.0f,%.2f s and %.3f s to open\n", DIM, (long long)l.n,
               (double)l.n / (end - opened), end - opened, opened - start);
        if (i < TURNS - 1) store_close(s);
    }
    free(l.rows);
    return s;
}

static void beside_the_disk(struct store *s, const char *dir, struct faults *f)
{
    for (int i = 0; i < TURNS; i++) {
        long n = 0, one = 0, raw = 0;
        double raw_rate = raw_fsync(dir, &raw);
        long long syncs = atomic_load(&f->syncs);
        double many_rate = rate(s, WRITERS, &n);
        double a_sync = (double)n / (double)(atomic_load(&f->syncs) - syncs);
        double one_rate = rate(s, 1, &one);
        printf("raw_fsync,%ld,%.0f,\n", raw, raw_rate);
        printf("writes_16_threads,%ld,%.0f,%.2f of raw; %.1f a sync\n", n, many_rate,
               many_rate / raw_rate, a_sync);
        printf("writes_1_thread,%ld,%.0f,%.2f of raw\n", one, one_rate, one_rate / raw_rate);
    }
}

/* In memory where there is such a folder, so that a sync takes 5 ms and not 5 ms or what a busy
 * disk makes of it. */
static void with_slow_syncs(struct faults *f)
{
    char memory[] = "/dev/shm/visavis-bench-store-XXXXXX",
         disk[] = "/tmp/visavis-bench-store-XXXXXX";
    char *dir = access("/dev/shm", W_OK) ? disk : memory;
    struct store *s = new_store(dir);
    for (int slow = 0; slow < 2; slow++) {
        atomic_store(&f->sync_us, slow ? SLOW_SYNC_US : 0);
        for (int i = 0; i < TURNS; i++) {
            long n = 0;
            long long syncs = atomic_load(&f->syncs);
            double r = rate(s, WRITERS, &n);
            printf("writes_16_threads_%s,%ld,%.0f,%.2f of 1200; %.1f a sync\n",
                   slow ? "5ms_sync" : "no_sync", n, r, r / 1200,
                   (double)n / (double)(atomic_load(&f->syncs) - syncs));
        }
    }
    atomic_store(&f->sync_us, 0);
    remove_store(s, dir);
}

int main(void)
{
    char dir[] = "/tmp/visavis-bench-store-XXXXXX";
    struct faults *f = faulty_vfs_install();
    struct store *s = new_store(dir);

    printf("name,n,per_second,of\n");
    beside_the_disk(s, dir, f);
    with_slow_syncs(f);
    s = load(s, dir);
    remove_store(s, dir);
    return 0;
}
