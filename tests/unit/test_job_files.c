#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/job_files.h"
#include "tests/unit/jobs_dir.h"

#include <signal.h>
#include <sys/resource.h>

static const char A[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", B[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0D",
                  C[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0E";

static struct job_files open_files(void)
{
    struct job_files f;
    struct err_info err = ERR_INFO_INIT;
    must(job_files_open(&f, store_dir, &err), &err);
    return f;
}

static void put(const struct job_files *f, const char *id)
{
    static const struct store_bytes two[] = {{"one", 3}, {NULL, 0}};
    struct err_info err = ERR_INFO_INIT;
    must(job_files_put(f, id, two, 2, &err), &err);
}

static void put_and_adopt(const struct job_files *f, const char *id)
{
    struct err_info err = ERR_INFO_INIT;
    put(f, id);
    must(job_files_adopt(f, id, &err), &err);
}

static void put_result(const struct job_files *f, const char *id, const char *text)
{
    struct err_info err = ERR_INFO_INIT;
    must(job_files_put_result(f, id, text, strlen(text), &err), &err);
}

static void says(int fd, const char *want)
{
    char text[100];
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = 0;
    assert_string_equal(text, want);
    close(fd);
}

static void uploads_and_results(void **state)
{
    struct job_files f = open_files();
    int fd = -1;
    (void)state;
    assert_int_equal(mode_of(jobs_path("", "")), 0700);
    put(&f, A);
    assert_int_equal(job_files_open_upload(&fd, &f, A, 0, NULL), ERR_NOT_FOUND);
    assert_int_equal(job_files_adopt(&f, A, NULL), ERR_OK);
    assert_int_equal(mode_of(jobs_path(A, "")), 0700);
    assert_int_equal(mode_of(jobs_path(A, "upload.0")), 0600);
    assert_int_equal(job_files_open_upload(&fd, &f, A, 0, NULL), ERR_OK);
    says(fd, "one");
    assert_int_equal(job_files_open_upload(&fd, &f, A, 1, NULL), ERR_OK);
    says(fd, "");
    assert_int_equal(job_files_open_upload(&fd, &f, A, 2, NULL), ERR_NOT_FOUND);
    assert_int_equal(job_files_open_result(&fd, &f, A, NULL), ERR_NOT_FOUND);
    put_result(&f, A, "first");
    put_result(&f, A, "second");
    assert_int_equal(mode_of(jobs_path(A, "result")), 0600);
    assert_int_equal(entries(jobs_path(A, "")), 3);
    assert_int_equal(job_files_drop(&f, A, job_files_keep_result, NULL), ERR_OK);
    assert_int_equal(entries(jobs_path(A, "")), 1);
    assert_int_equal(job_files_open_result(&fd, &f, A, NULL), ERR_OK);
    assert_int_equal(job_files_drop(&f, A, NULL, NULL), ERR_OK);
    assert_int_equal(entries(jobs_path(A, "")), -1);
    says(fd, "second"); /* whoever is sending it goes on */
    assert_int_equal(job_files_drop(&f, A, NULL, NULL), ERR_OK);
    put_result(&f, B, "without uploads");
    assert_int_equal(job_files_adopt(&f, C, NULL), ERR_IO);
}

static void folders_follow_rows(void **state)
{
    static const char *const all[] = {A, B, C};
    struct job_files f = open_files();
    struct store_job_id ids[] = {{{""}, STORE_JOB_RUNNING}, {{""}, STORE_JOB_DONE}};
    (void)state;
    strcpy(ids[0].id.s, A);
    strcpy(ids[1].id.s, B);
    for (int i = 0; i < 3; i++) {
        put_and_adopt(&f, all[i]);
        put_result(&f, all[i], "x");
    }
    put(&f, "01J9ZK3V5T8Q2W4X6Y7Z8A9B0F"); /* of a job that is being submitted */
    assert_int_equal(job_files_follow(&f, ids, 2, NULL), ERR_OK);
    assert_int_equal(entries(jobs_path(A, "")), 3);
    assert_int_equal(entries(jobs_path(B, "")), 1);
    assert_int_equal(entries(jobs_path(C, "")), -1);
    assert_int_equal(entries(jobs_path("", "")), 3);
    ids[1].state = STORE_JOB_FAILED;
    assert_int_equal(job_files_follow(&f, ids, 2, NULL), ERR_OK);
    assert_int_equal(entries(jobs_path(B, "")), -1);
    assert_int_equal(job_files_follow(&f, NULL, 0, NULL), ERR_OK);
    assert_int_equal(entries(jobs_path("", "")), 1);
    f = open_files(); /* at the next start nobody is submitting */
    assert_int_equal(entries(jobs_path("", "")), 0);
}

static void a_full_disk(void **state)
{
    static const char big[100000];
    const struct store_bytes two[] = {{"small", 5}, {big, sizeof big}};
    struct job_files f = open_files();
    struct rlimit before, small;
    struct err_info err = ERR_INFO_INIT;
    int fd;
    (void)state;
    put_result(&f, A, "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err put = job_files_put(&f, B, two, 2, &err);
    enum err result = job_files_put_result(&f, A, big, sizeof big, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(put, ERR_STORAGE_FULL);
    assert_int_equal(result, ERR_STORAGE_FULL);
    assert_int_equal(entries(jobs_path("", "")), 1);
    assert_int_equal(entries(jobs_path(A, "")), 1);
    assert_int_equal(job_files_open_result(&fd, &f, A, NULL), ERR_OK);
    says(fd, "old");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(uploads_and_results, make_store_dir, remove_jobs_dir),
        cmocka_unit_test_setup_teardown(folders_follow_rows, make_store_dir, remove_jobs_dir),
        cmocka_unit_test_setup_teardown(a_full_disk, make_store_dir, remove_jobs_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
