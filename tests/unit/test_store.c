#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int64_t c;

static struct store *with_collection(void)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    commit_tx(&tx);
    return open_store();
}

/* What jobs of these tests do: an identity and its example; then fail where told to. */
struct enrolment {
    const char *name;
    enum err then;
    int64_t identity;
};

static enum err enrol(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct enrolment *e = arg;
    const struct store_identity i = {.collection = c, .name = e->name, .metadata = "{}"};
    const struct store_bytes none = {0};
    struct ulid id;
    int64_t row;
    enum err rc = store_identity_add(&e->identity, &id, tx, &i, err);
    const struct store_example x = {.collection = c,
                                    .identity = e->identity,
                                    .embedding = test_embedding,
                                    .dim = TEST_DIM,
                                    .precision = "sent"};
    if (!rc) rc = store_example_add(&row, &id, tx, &x, none, none, err);
    if (!rc && e->then) rc = err_set(err, e->then, "as it was told");
    return rc;
}

static enum err count(struct store_tx *tx, void *arg, struct err_info *err)
{
    return store__ints(arg, 1, NULL, tx, "SELECT count(*) FROM identities", NULL, err);
}

static int64_t people(struct store *s)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t n = -1;
    must(store_read(s, count, &n, &err), &err);
    return n;
}

enum { WRITERS = 8, EACH = 50 };

struct writer {
    pthread_t thread;
    struct store *s;
    int wrong;
};

static void *write_some(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < EACH; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct enrolment e = {"x", i % 5 == 4 ? ERR_CONFLICT : ERR_OK, 0};
        enum err rc = store_write(w->s, enrol, &e, &err);
        if (rc != e.then || (rc && strcmp(err.message, "as it was told") != 0)) w->wrong++;
    }
    return NULL;
}

static void a_job_that_fails_is_rolled_back_alone(void **state)
{
    (void)state;
    struct store *s = with_collection();
    struct writer w[WRITERS] = {0};
    for (int i = 0; i < WRITERS; i++) {
        w[i].s = s;
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_some, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].wrong, 0);
    }
    assert_int_equal(people(s), WRITERS * EACH / 5 * 4);
    store_close(s);
    struct store_tx tx = begin_tx();
    assert_int_equal(one(&tx, "SELECT count(*) FROM examples"), WRITERS * EACH / 5 * 4);
    assert_int_equal(one(&tx, "SELECT seq FROM collections"), WRITERS * EACH / 5 * 4);
    assert_int_equal(one(&tx, "SELECT count(*) FROM changes"), WRITERS * EACH / 5 * 4);
    roll_back_tx(&tx);
}

struct look {
    struct store *s;
    int64_t before, after;
    enum err wrote;
};

static void *write_one(void *arg)
{
    struct look *l = arg;
    struct enrolment e = {.name = "x"};
    l->wrote = store_write(l->s, enrol, &e, NULL);
    return NULL;
}

static enum err read_write_read(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct look *l = arg;
    pthread_t other;
    enum err rc = count(tx, &l->before, err);
    if (rc || pthread_create(&other, NULL, write_one, l)) return ERR_INTERNAL;
    pthread_join(other, NULL);
    return count(tx, &l->after, err);
}

static void a_read_is_of_one_state(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store *s = with_collection();
    struct look l = {.s = s};
    must(store_read(s, read_write_read, &l, &err), &err);
    assert_int_equal(l.wrote, ERR_OK);
    assert_int_equal(l.before, 0);
    assert_int_equal(l.after, 0);
    assert_int_equal(people(s), 1);
    store_close(s);
}

enum { DEEP = 40 }; /* more than the pool keeps */

static enum err read_deeper(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct look *l = arg;
    enum err rc = count(tx, &l->before, err);
    l->after++;
    return rc || l->after == DEEP ? rc : store_read(l->s, read_deeper, l, err);
}

static void any_number_of_readers(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store *s = with_collection();
    struct look l = {.s = s};
    must(store_read(s, read_deeper, &l, &err), &err);
    assert_int_equal(l.after, DEEP);
    struct enrolment e = {.name = "x"};
    assert_int_not_equal(store_read(s, enrol, &e, &err), ERR_OK); /* a reader does not write */
    assert_int_equal(people(s), 0);
    store_close(s);
}

static enum err promote(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct ulid id;
    enum err rc = store_undo_begin(&id, tx, c, "promote", err);
    return rc ? rc : enrol(tx, arg, err);
}

static enum err undo(struct store_tx *tx, void *arg, struct err_info *err)
{
    return store_undo_last(arg, tx, c, err);
}

static void undo_records_are_completed(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store *s = with_collection();
    struct enrolment e = {.name = "x"};
    struct store_undone u;
    must(store_write(s, promote, &e, &err), &err);
    /* the example that came with it is in the way, its version is not */
    assert_int_equal(store_write(s, undo, &u, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "(1)"));
    store_close(s);
}

static void several_processes(void **state)
{
    (void)state;
    enum { PROCESSES = 3, ROWS = 60 };
    pid_t pid[PROCESSES];
    store_close(with_collection());
    for (int p = 0; p < PROCESSES; p++) {
        pid[p] = fork();
        assert_true(pid[p] >= 0);
        if (pid[p]) continue;
        struct store *s = NULL;
        struct enrolment e = {.name = "x"};
        int failed = store_open(&s, store_dir, NULL) != ERR_OK;
        for (int i = 0; i < ROWS && !failed; i++) failed = store_write(s, enrol, &e, NULL);
        store_close(s);
        _exit(failed);
    }
    struct store *s = open_store();
    uint64_t first, last;
    struct err_info err = ERR_INFO_INIT;
    must(store_version(&first, s, &err), &err);
    for (int p = 0; p < PROCESSES; p++) {
        int status = -1;
        waitpid(pid[p], &status, 0);
        assert_int_equal(status, 0);
    }
    must(store_version(&last, s, &err), &err);
    assert_true(last >= first);
    assert_int_equal(people(s), PROCESSES * ROWS);
    store_close(s);
    struct store_tx tx = begin_tx();
    assert_int_equal(one(&tx, "SELECT seq FROM collections"), PROCESSES * ROWS);
    assert_int_equal(one(&tx, "SELECT max(seq) FROM changes"), PROCESSES * ROWS);
    roll_back_tx(&tx);
}

/* --- what cannot be opened --- */

static void overwrite(long at, const void *data, size_t n)
{
    char path[100];
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void cut(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    assert_int_equal(truncate(path, 3 * 4096 + 100), 0);
}
static void no_header(void)
{
    overwrite(0, "no database at all", 18);
}
static void no_page(void)
{
    static const char page[4096] = "rubbish";
    overwrite(3 * 4096, page, sizeof page);
}
static void no_schema(void)
{
    static const char page[2000] = "rubbish";
    overwrite(100, page, sizeof page);
}
static void a_folder(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*damage)(void);
        const char *says;
    } cases[] = {
        {"cut short", cut, "put a backup in its place"},
        {"not a database", no_header, "put a backup in its place"},
        {"a damaged page", no_page, "put a backup in its place"},
        {"a damaged schema", no_schema, "put a backup in its place"},
        {"a folder", a_folder, "own the data folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct store *s = with_collection();
        struct enrolment e = {.name = "x"};
        for (int k = 0; k < 100; k++) must(store_write(s, enrol, &e, &err), &err);
        store_close(s);
        cases[i].damage();
        s = NULL;
        enum err rc = store_open(&s, store_dir, &err);
        if (rc != ERR_IO || s || !strstr(err.message, cases[i].says) ||
            !strstr(err.message, "visavis.db"))
            fail_msg("%s: %s: %s", cases[i].name, err_name(rc), err.message);
        char path[100];
        snprintf(path, sizeof path, "%s/visavis.db", store_dir);
        rmdir(path);
        remove_store_dir(NULL);
        make_store_dir(NULL);
    }
}

/* Another process has it locked: said after a while, not waited for without end. */
static void locked(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store *s = with_collection(), *again = NULL;
    struct look l = {.s = s};
    pthread_t waiting;
    struct store_tx other = begin_tx();
    assert_int_equal(pthread_create(&waiting, NULL, write_one, &l), 0); /* both wait 5 seconds */
    assert_int_equal(store_open(&again, store_dir, &err), ERR_BUSY);
    assert_non_null(strstr(err.message, "another process"));
    assert_int_equal(people(s), 0); /* reading goes on */
    pthread_join(waiting, NULL);
    assert_int_equal(l.wrote, ERR_BUSY);
    roll_back_tx(&other);
    write_one(&l);
    assert_int_equal(l.wrote, ERR_OK);
    store_close(s);
}

/* A file that may not grow further: SQLite calls that an I/O error, a client is told what it is,
 * and nothing of the job has happened. */
static void no_room_for_a_file(void **state)
{
    struct store *s = with_collection();
    struct rlimit before, small;
    struct err_info err = ERR_INFO_INIT;
    struct enrolment one = {.name = "one"}, two = {.name = "two"};
    struct stat st;
    char wal[100];
    (void)state;
    must(store_write(s, enrol, &one, &err), &err);
    snprintf(wal, sizeof wal, "%s/visavis.db-wal", store_dir);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)st.st_size;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const enum err rc = store_write(s, enrol, &two, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERR_STORAGE_FULL);
    assert_int_equal(people(s), 1);
    must(store_write(s, enrol, &two, &err), &err);
    assert_int_equal(people(s), 2);
    store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_job_that_fails_is_rolled_back_alone),
        T(a_read_is_of_one_state),
        T(any_number_of_readers),
        T(undo_records_are_completed),
        T(several_processes),
        T(what_cannot_be_opened),
        T(locked),
        T(no_room_for_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
