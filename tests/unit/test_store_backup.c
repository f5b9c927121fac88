#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/audit.h"
#include "server/store/backup.h"
#include "server/store/check.h"
#include "tests/unit/store_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

static char other_dir[80];

static const char *in_other(const char *name)
{
    static char path[120];
    snprintf(path, sizeof path, "%s/%s", other_dir, name);
    return path;
}

static int make_both(void **state)
{
    if (make_store_dir(state)) return -1;
    strcpy(other_dir, "/tmp/visavis-other-XXXXXX");
    return mkdtemp(other_dir) ? 0 : -1;
}

static int remove_both(void **state)
{
    static const char *const files[] = {"copy", "visavis.db", "visavis.db-wal", "visavis.db-shm"};
    for (int i = 0; i < 4; i++) unlink(in_other(files[i]));
    rmdir(other_dir);
    return remove_store_dir(state);
}

/* A store with a collection, two people and their examples. */
static struct store *filled(void)
{
    struct store *s = open_store();
    const struct store_audit a = {
        .who = "local", .action = "x", .collection = "", .target = "", .request = ""};
    struct store_tx tx = begin_tx();
    int64_t c = add_collection(&tx, "cast"), amy = add_identity(&tx, c, "Amy");
    for (int i = 0; i < 3; i++) add_example(&tx, c, amy);
    add_example(&tx, c, add_identity(&tx, c, "Ben"));
    assert_int_equal(store_audit_add(&tx, &a, NULL), ERR_OK);
    assert_int_equal(store_audit_add(&tx, &a, NULL), ERR_OK);
    commit_tx(&tx);
    return s;
}

static enum err count_examples(struct store_tx *tx, void *self, struct err_info *err)
{
    return store__ints(self, 1, NULL, tx, "SELECT count(*) FROM examples", NULL, err);
}

static void there_and_back(void **state)
{
    struct store *s = filled(), *back = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct stat st;
    int64_t n = 0;
    (void)state;
    must(store_backup(s, in_other("copy"), &err), &err);
    assert_int_equal(stat(in_other("copy"), &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(store_backup(s, in_other("copy"), &err), ERR_CONFLICT);
    store_close(s);
    char copy[120], dir[120];
    strcpy(copy, in_other("copy"));
    assert_int_equal(store_restore(other_dir, copy, &err), ERR_CONFLICT); /* not empty */
    snprintf(dir, sizeof dir, "%s/new", other_dir);
    must(store_restore(dir, copy, &err), &err);
    must(store_open(&back, dir, &err), &err);
    assert_int_equal(store_read(back, count_examples, &n, NULL), ERR_OK);
    assert_int_equal(n, 4);
    store_close(back);
    assert_int_equal(store_restore(dir, copy, &err), ERR_CONFLICT);
    unlink(in_other("new/visavis.db"));
    rmdir(dir);
}

static void *write_on(void *self)
{
    struct store_tx tx = begin_tx();
    (void)self;
    add_collection(&tx, "while it is copied");
    commit_tx(&tx);
    return NULL;
}

/* A file without a name, whole, while somebody writes. */
static void without_a_name(void **state)
{
    struct store *s = filled();
    struct err_info err = ERR_INFO_INIT;
    char magic[16] = "";
    struct stat st;
    pthread_t t;
    int fd = -1;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, write_on, NULL), 0);
    must(store_backup_fd(&fd, s, &err), &err);
    pthread_join(t, NULL);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(pread(fd, magic, sizeof magic, 0), sizeof magic);
    assert_string_equal(magic, "SQLite format 3");
    close(fd);
    store_close(s);
}

static void bad_backups(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    char copy[120], dir[120];
    struct store *s = filled();
    (void)state;
    strcpy(copy, in_other("copy"));
    snprintf(dir, sizeof dir, "%s/new", other_dir);
    assert_int_equal(store_restore(dir, copy, &err), ERR_NOT_FOUND);
    must(store_backup(s, copy, &err), &err);
    store_close(s);
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(truncate(copy, st.st_size / 2), 0); /* cut short */
    assert_int_equal(store_restore(dir, copy, &err), ERR_INVALID);
    assert_int_equal(truncate(copy, 0), 0); /* an empty file is an empty database to SQLite */
    assert_int_equal(store_restore(dir, copy, &err), ERR_INVALID);
    int fd = open(copy, O_WRONLY);
    assert_int_equal(write(fd, "not a database, whatever it says", 32), 32);
    close(fd);
    assert_int_equal(store_restore(dir, copy, &err), ERR_INVALID);
    assert_int_not_equal(access(dir, F_OK), 0); /* nothing was made */
}

static void of_a_newer_one(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    char copy[120], dir[120];
    (void)state;
    store_close(filled());
    sqlite3 *db = NULL;
    char path[100];
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    strcpy(copy, path);
    snprintf(dir, sizeof dir, "%s/new", other_dir);
    assert_int_equal(store_restore(dir, copy, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "999"));
}

/* --- check.h --- */
struct findings {
    int n;
    char what[20], says[200], id[27];
};

static enum err note(void *self, const char *what, const char *id, const char *says,
                     struct err_info *err)
{
    struct findings *f = self;
    (void)err;
    f->n++;
    snprintf(f->what, sizeof f->what, "%s", what);
    snprintf(f->says, sizeof f->says, "%s", says);
    snprintf(f->id, sizeof f->id, "%s", id);
    return ERR_OK;
}

static void findings(void **state)
{
    static const struct {
        const char *name, *sql, *what, *says;
    } rows[] = {
        {"clean", "SELECT 1", "", ""},
        {"a short embedding", "UPDATE examples SET embedding = zeroblob(12) WHERE row = 2",
         "embedding", "12 bytes"},
        {"no length", "UPDATE examples SET embedding = zeroblob(16) WHERE row = 2", "embedding",
         "length 0"},
        {"not a number",
         "UPDATE examples SET embedding = x'0000c07f000000000000000000000000' WHERE row = 1",
         "embedding", "length"},
        {"a reference", "UPDATE examples SET identity = 99 WHERE row = 1", "foreign_key",
         "identities"},
        {"another collection's identity",
         "UPDATE identities SET collection = (SELECT max(row) FROM collections) WHERE name = 'Ben'",
         "identity", "another collection"},
        {"a missing change", "DELETE FROM changes WHERE seq = 2", "changes", "change 4"},
        {"a missing last change", "DELETE FROM changes WHERE seq = 4", "changes", "change 4"},
        {"old changes dropped", "DELETE FROM changes WHERE seq <= 2", "", ""},
        {"all changes forgotten", "DELETE FROM changes", "", ""},
        {"audit", "UPDATE audit SET who = 'me' WHERE seq = 2", "audit", "entry 2"},
    };
    (void)state;
    store_close(filled());
    struct store_tx tx = begin_tx();
    add_collection(&tx, "crew");
    commit_tx(&tx);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_checked out;
        struct findings f = {0};
        tx = begin_tx();
        assert_int_equal(store__run(NULL, &tx, "PRAGMA defer_foreign_keys = ON", NULL, NULL), 0);
        assert_int_equal(store__run(NULL, &tx, rows[i].sql, NULL, NULL), ERR_OK);
        assert_int_equal(store_check(&out, &tx, note, &f, NULL), ERR_OK);
        if (out.findings != f.n || (f.n != 0) != (*rows[i].what != 0) ||
            strcmp(f.what, rows[i].what) || !strstr(f.says, rows[i].says))
            fail_msg("%s: %d, %s, %s", rows[i].name, f.n, f.what, f.says);
        if (!strcmp(f.what, "embedding")) assert_true(ulid_valid(f.id));
        assert_int_equal(out.examples, 4);
        assert_int_equal(out.collections, 2);
        roll_back_tx(&tx);
    }
}

/* What SQLite itself finds: a row that its table's CHECK forbids. */
static void structure(void **state)
{
    struct store_checked out;
    struct findings f = {0};
    (void)state;
    store_close(filled());
    struct store_tx tx = begin_tx();
    static const char *const steps[] = {"PRAGMA ignore_check_constraints = ON",
                                        "UPDATE collections SET rule = 'dice'",
                                        "PRAGMA ignore_check_constraints = OFF"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(store__run(NULL, &tx, steps[i], NULL, NULL), ERR_OK);
    assert_int_equal(store_check(&out, &tx, note, &f, NULL), ERR_OK);
    assert_int_equal(out.findings, 1);
    assert_string_equal(f.what, "database");
    assert_non_null(strstr(f.says, "collections"));
    roll_back_tx(&tx);
}

#define IN_BOTH(test) cmocka_unit_test_setup_teardown(test, make_both, remove_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(there_and_back), IN_BOTH(without_a_name), IN_BOTH(bad_backups),
        IN_BOTH(of_a_newer_one), IN_BOTH(findings),       IN_BOTH(structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
