#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Jobs with kinds of this test's own: the runner, its ends, and what the next process finds. */
#include "engine/base/clock.h"
#include "server/jobs/jobs.h"
#include "tests/unit/jobs_dir.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { PATIENCE_S = 60, QUEUE_MAX = 2, DAY_S = 24 * 3600 };

/* How far jobs that count may go, and what they tell. */
static atomic_int gate, at;
static int tell_fd = -1; /* one byte when a step waits at the gate */

static int int_parameter(const struct job *job, const char *name)
{
    json_auto_t *o = json_loads(job_parameters(job), 0, NULL);
    return (int)json_integer_value(json_object_get(o, name));
}

/* Steps, each of which waits for the gate. */
static enum err count(struct job *job, void *self, struct err_info *err)
{
    int steps = int_parameter(job, "steps");
    char text[20];
    (void)self;
    job_phase(job, "counting", steps);
    for (int i = 1; i <= steps; i++) {
        atomic_store(&at, i);
        if (tell_fd >= 0) assert_int_equal(write(tell_fd, "x", 1), 1);
        while (atomic_load(&gate) < i) {
            if (job_cancelled(job)) return err_set(err, ERR_BUSY, "asked to end");
            usleep(200);
        }
        job_progress(job, i);
    }
    int n = snprintf(text, sizeof text, "counted %d", steps);
    return job_result(job, "text/plain", text, (size_t)n, err);
}

/* The bytes of its uploads, added up; names in the result. */
static enum err sum(struct job *job, void *self, struct err_info *err)
{
    char text[300] = "";
    size_t n = 0;
    enum err rc;
    for (int i = 0; i < job_n_uploads(job); i++) {
        const uint8_t *data;
        size_t len;
        int total = 0;
        for (int twice = 0; twice < 2; twice++)
            if ((rc = job_upload_bytes(&data, &len, job, i, err))) return rc;
        for (size_t k = 0; k < len; k++) total += data[k];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s=%d ", job_upload_name(job, i), total);
    }
    *(int *)self += 1;
    if ((rc = job_result(job, "text/plain", text, n, err))) return rc;
    return job_result(job, "text/plain", text, n, err) == ERR_INTERNAL ? ERR_OK : ERR_INVALID;
}

/* Fails after it gave a result. */
static enum err broken(struct job *job, void *self, struct err_info *err)
{
    (void)self;
    enum err rc = job_result(job, "text/plain", "half", 4, err);
    if (rc) return rc;
    return int_parameter(job, "internal") ? err_set(err, ERR_IO, "the disk said something private")
                                          : err_set(err, ERR_NO_FACE, "no picture has a face");
}

static enum err nothing(struct job *job, void *self, struct err_info *err)
{
    (void)job, (void)self, (void)err;
    return ERR_OK;
}

static const struct job_kind kinds[] = {
    {"count", count, true},   {"fragile", count, false},  {"sum", sum, true},
    {"broken", broken, true}, {"nothing", nothing, true}, {NULL, NULL, false},
};
static const struct job_kind few_kinds[] = {{"sum", sum, true}, {NULL, NULL, false}};

static struct store *store;
static struct jobs *jobs;
static int ran; /* by sum */

static void open_jobs(const struct job_kind *k)
{
    struct err_info err = ERR_INFO_INIT;
    store = open_store();
    must(jobs_open(&jobs,
                   &(struct jobs_options){.store = store,
                                          .dir = store_dir,
                                          .kinds = k,
                                          .self = &ran,
                                          .queue_max = QUEUE_MAX,
                                          .ttl_s = DAY_S},
                   &err),
         &err);
}

static void close_jobs(void)
{
    jobs_close(jobs);
    store_close(store);
    jobs = NULL;
    store = NULL;
}

static int set_up(void **state)
{
    atomic_store(&gate, 0);
    atomic_store(&at, 0);
    return make_store_dir(state);
}

static struct job_view submit(const char *kind, const char *parameters)
{
    struct job_view v = {0};
    struct err_info err = ERR_INFO_INIT;
    must(jobs_submit(&v, jobs, &(struct job_order){.kind = kind, .parameters = parameters}, &err),
         &err);
    return v;
}

static struct job_view look(const char *id)
{
    struct job_view v = {0};
    struct err_info err = ERR_INFO_INIT;
    must(jobs_view(&v, jobs, id, &err), &err);
    return v;
}

static struct job_view becomes(const char *id, enum store_job_state want)
{
    double until = clock_seconds() + PATIENCE_S;
    struct job_view v = look(id);
    while (v.row.state != want && clock_seconds() < until) {
        usleep(500);
        v = look(id);
    }
    if (v.row.state != want)
        fail_msg("%s, not %s: %s", store_job_state_name(v.row.state), store_job_state_name(want),
                 v.row.error_message);
    return v;
}

static void reaches(int step)
{
    double until = clock_seconds() + PATIENCE_S;
    while (atomic_load(&at) < step && clock_seconds() < until) usleep(200);
    assert_int_equal(atomic_load(&at), step);
}

static const char *result_of(const char *id)
{
    static char text[300];
    int fd;
    if (jobs_open_result(&fd, jobs, id, NULL)) return "(none)";
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
    return text;
}

static void a_job_and_its_uploads(void **state)
{
    const struct job_upload uploads[] = {{"../../etc/passwd", "\1\2\3", 3}, {"", "", 0}};
    struct err_info err = ERR_INFO_INIT;
    struct job_view v;
    (void)state;
    open_jobs(kinds);
    must(jobs_submit(&v, jobs,
                     &(struct job_order){
                         .kind = "sum", .parameters = "{}", .uploads = uploads, .n_uploads = 2},
                     &err),
         &err);
    assert_int_equal(v.row.state, STORE_JOB_QUEUED);
    assert_string_equal(v.event, "0-0");
    char id[ULID_CHARS + 1];
    strcpy(id, v.row.id.s);
    v = becomes(id, STORE_JOB_DONE);
    assert_string_equal(v.event, "1-end");
    assert_int_equal(v.row.uploads, 2);
    assert_string_equal(v.row.result_type, "text/plain");
    assert_string_equal(result_of(id), "../../etc/passwd=6 =0 ");
    assert_int_equal(v.row.result_bytes, strlen(result_of(id)));
    assert_int_equal(v.row.expires_ms, v.row.finished_ms + DAY_S * 1000LL);
    assert_true(v.row.started_ms >= v.row.created_ms && v.row.finished_ms >= v.row.started_ms);
    assert_int_equal(entries(jobs_path(id, "")), 1); /* the uploads are gone */
    /* one that has nothing to give */
    v = submit("nothing", "{}");
    becomes(v.row.id.s, STORE_JOB_DONE);
    assert_string_equal(look(v.row.id.s).row.result_type, "");
    assert_int_equal(jobs_view(&v, jobs, "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", NULL), ERR_NOT_FOUND);
    assert_int_equal(
        jobs_submit(&v, jobs, &(struct job_order){.kind = "x", .parameters = "{}"}, NULL),
        ERR_INTERNAL);
    close_jobs();
    open_jobs(kinds); /* it is on the disk */
    assert_int_equal(look(id).row.state, STORE_JOB_DONE);
    assert_string_equal(look(id).event, "1-end");
    assert_string_equal(result_of(id), "../../etc/passwd=6 =0 ");
    close_jobs();
}

static void failures(void **state)
{
    (void)state;
    open_jobs(kinds);
    struct job_view told = submit("broken", "{}"), hidden = submit("broken", "{\"internal\":1}");
    told = becomes(told.row.id.s, STORE_JOB_FAILED);
    assert_string_equal(told.row.error_code, "no_face");
    assert_string_equal(told.row.error_message, "no picture has a face");
    assert_string_equal(told.row.result_type, "");
    assert_string_equal(result_of(told.row.id.s), "(none)"); /* half of one is not kept */
    hidden = becomes(hidden.row.id.s, STORE_JOB_FAILED);
    assert_string_equal(hidden.row.error_code, "io_error");
    assert_null(strstr(hidden.row.error_message, "private"));
    close_jobs();
}

static atomic_int woken;
static void wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&woken, 1);
}

static void progress_is_followed(void **state)
{
    struct job_listener l[3];
    struct job_view v, before;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    open_jobs(kinds);
    atomic_store(&woken, 0);
    v = submit("count", "{\"steps\":4}");
    reaches(1);
    for (int i = 0; i < 3; i++) {
        must(jobs_listen(&l[i], jobs, v.row.id.s, &err), &err);
        job_listener_wake(&l[i], jobs, wake, NULL);
    }
    jobs_unlisten(&l[1], jobs); /* from the middle */
    job_listener_view(&before, &l[0], jobs);
    assert_int_equal(before.row.state, STORE_JOB_RUNNING);
    assert_string_equal(before.row.phase, "counting");
    assert_int_equal(before.row.total, 4);
    assert_true(before.eta_s < 0); /* nothing is done: nothing is known */
    atomic_store(&gate, 3);
    reaches(4);
    v = look(v.row.id.s);
    assert_int_equal(v.row.done, 3);
    double until = clock_seconds() + PATIENCE_S; /* a pace is only told after half a second */
    while (look(v.row.id.s).eta_s < 0 && clock_seconds() < until) usleep(1000);
    v = look(v.row.id.s);
    assert_true(v.eta_s > 0.5 / 3 && v.eta_s < PATIENCE_S); /* a third of what has passed */
    atomic_store(&gate, 4);
    becomes(v.row.id.s, STORE_JOB_DONE);
    for (int i = 0; i < 3; i += 2) {
        job_listener_view(&v, &l[i], jobs);
        assert_int_equal(v.row.state, STORE_JOB_DONE);
        assert_string_equal(v.event, "1-end");
        assert_string_equal(v.row.result_type, "text/plain");
        assert_string_not_equal(v.event, before.event);
        jobs_unlisten(&l[i], jobs);
    }
    assert_true(atomic_load(&woken) >= 2);
    assert_int_equal(jobs_listen(&l[0], jobs, v.row.id.s, &err), ERR_NOT_FOUND);
    close_jobs();
}

static void cancelling(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct job_view v;
    bool removed;
    (void)state;
    open_jobs(kinds);
    struct job_view running = submit("count", "{\"steps\":5}");
    reaches(1);
    struct job_view queued = submit("count", "{\"steps\":5}");
    must(jobs_cancel(&v, &removed, jobs, queued.row.id.s, &err), &err);
    assert_false(removed);
    assert_int_equal(v.row.state, STORE_JOB_CANCELLED);
    assert_int_equal(look(running.row.id.s).row.state, STORE_JOB_RUNNING);
    must(jobs_cancel(&v, &removed, jobs, running.row.id.s, &err), &err);
    assert_false(removed);
    v = becomes(running.row.id.s, STORE_JOB_CANCELLED);
    assert_string_equal(v.row.error_code, ""); /* what run() said then is nobody's business */
    assert_string_equal(result_of(v.row.id.s), "(none)");
    /* what has ended is removed */
    v = submit("sum", "{}");
    becomes(v.row.id.s, STORE_JOB_DONE);
    assert_int_equal(entries(jobs_path("", "")), 1);
    must(jobs_cancel(&v, &removed, jobs, v.row.id.s, &err), &err);
    assert_true(removed);
    assert_int_equal(entries(jobs_path("", "")), 0);
    assert_int_equal(jobs_view(&v, jobs, v.row.id.s, &err), ERR_NOT_FOUND);
    assert_int_equal(jobs_cancel(&v, &removed, jobs, v.row.id.s, &err), ERR_NOT_FOUND);
    close_jobs();
}

static void the_queue_is_bounded(void **state)
{
    const struct job_upload upload = {"a", "abc", 3};
    struct err_info err = ERR_INFO_INIT;
    struct job_view v, first, waiting[QUEUE_MAX];
    (void)state;
    open_jobs(kinds);
    first = submit("count", "{\"steps\":1}");
    reaches(1);
    for (int i = 0; i < QUEUE_MAX; i++) waiting[i] = submit("nothing", "{}");
    assert_int_equal(
        jobs_submit(&v, jobs,
                    &(struct job_order){
                        .kind = "sum", .parameters = "{}", .uploads = &upload, .n_uploads = 1},
                    &err),
        ERR_BUSY);
    assert_non_null(strstr(err.message, "2 jobs are waiting, which is the limit"));
    assert_int_equal(entries(jobs_path("", "")), 0);
    atomic_store(&gate, 1);
    becomes(first.row.id.s, STORE_JOB_DONE);
    for (int i = 0; i < QUEUE_MAX; i++) becomes(waiting[i].row.id.s, STORE_JOB_DONE);
    assert_true(look(waiting[0].row.id.s).row.started_ms <=
                look(waiting[1].row.id.s).row.started_ms);
    submit("nothing", "{}");
    close_jobs();
}

static void time_is_up(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct job_view v;
    (void)state;
    open_jobs(kinds);
    struct job_view running = submit("count", "{\"steps\":1}");
    reaches(1);
    atomic_store(&gate, 1);
    v = becomes(running.row.id.s, STORE_JOB_DONE);
    must(jobs_expire(jobs, v.row.expires_ms - 1, &err), &err);
    assert_string_equal(result_of(v.row.id.s), "counted 1");
    running = submit("count", "{\"steps\":2}");
    reaches(2);
    must(jobs_expire(jobs, v.row.expires_ms + DAY_S * 1000LL, &err), &err);
    assert_int_equal(jobs_view(&v, jobs, v.row.id.s, &err), ERR_NOT_FOUND);
    assert_string_equal(result_of(v.row.id.s), "(none)");
    assert_int_equal(look(running.row.id.s).row.state, STORE_JOB_RUNNING);
    atomic_store(&gate, 2);
    becomes(running.row.id.s, STORE_JOB_DONE);
    close_jobs();
}

static enum err erase(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct store_receipt r = {0};
    return store_erase_collection(&r, tx, *(int64_t *)arg, err);
}

static void erased_under_way(void **state)
{
    const struct job_upload upload = {"a", "abc", 3};
    struct job_order o = {
        .kind = "count", .parameters = "{\"steps\":3}", .uploads = &upload, .n_uploads = 1};
    struct err_info err = ERR_INFO_INIT;
    struct job_listener l[2];
    struct job_view v[2], other;
    (void)state;
    open_jobs(kinds);
    struct store_tx tx = begin_tx();
    o.collection = add_collection(&tx, "c");
    commit_tx(&tx);
    for (int i = 0; i < 2; i++) { /* one runs, one waits */
        must(jobs_submit(&v[i], jobs, &o, &err), &err);
        must(jobs_listen(&l[i], jobs, v[i].row.id.s, &err), &err);
        if (!i) reaches(1);
    }
    other = submit("sum", "{}");
    must(store_write(store, erase, &o.collection, &err), &err);
    must(jobs_files_follow(jobs, &err), &err);
    becomes(other.row.id.s, STORE_JOB_DONE); /* so the others are over */
    for (int i = 0; i < 2; i++) {
        job_listener_view(&v[i], &l[i], jobs);
        assert_int_equal(v[i].row.state, STORE_JOB_CANCELLED);
        jobs_unlisten(&l[i], jobs);
        assert_int_equal(entries(jobs_path(v[i].row.id.s, "")), -1);
        assert_int_equal(jobs_view(&v[i], jobs, v[i].row.id.s, &err), ERR_NOT_FOUND);
    }
    o.uploads = NULL;
    o.n_uploads = 0;
    assert_int_equal(jobs_submit(&other, jobs, &o, &err), ERR_NOT_FOUND);
    close_jobs();
}

/* Another process: submits, gets as far as the gate lets it, and is killed there. waiting NULL or
 * the kind of a second job. The ids come back. */
static void die_with(const char *kind, const char *waiting, bool cancel, struct ulid id[2])
{
    const struct job_upload upload = {"kept", "abc", 3};
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct job_view v;
        bool removed;
        close(told[0]);
        tell_fd = told[1];
        open_jobs(kinds);
        if (kind) {
            v = submit(kind, "{\"steps\":3}");
            if (write(told[1], v.row.id.s, ULID_CHARS) < 0) _exit(1);
        }
        reaches(1);
        if (waiting) {
            struct job_order o = {
                .kind = waiting, .parameters = "{}", .uploads = &upload, .n_uploads = 1};
            if (jobs_submit(&v, jobs, &o, NULL) || write(told[1], v.row.id.s, ULID_CHARS) < 0)
                _exit(1);
        }
        if (cancel && jobs_cancel(&v, &removed, jobs, look(v.row.id.s).row.id.s, NULL)) _exit(1);
        if (write(told[1], "!", 1) < 0) _exit(1);
        for (;;) pause();
    }
    close(told[1]);
    char all[100] = "", byte;
    size_t n = 0;
    while (n + 1 < sizeof all && read(told[0], &byte, 1) == 1 && byte != '!')
        if (byte != 'x') all[n++] = byte; /* no id has a small x */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(told[0]);
    for (int i = 0; i < 2; i++)
        snprintf(id[i].s, sizeof id[i].s, "%.26s", n > 26u * (size_t)i ? all + 26 * i : "");
}

static void killed_and_begun_again(void **state)
{
    struct ulid id[2];
    (void)state;
    die_with("count", "sum", false, id);
    open_jobs(kinds);
    reaches(1);
    struct job_view v = look(id[0].s);
    assert_int_equal(v.row.state, STORE_JOB_RUNNING);
    assert_int_equal(v.row.attempts, 2);
    assert_int_equal(look(id[1].s).row.state, STORE_JOB_QUEUED);
    atomic_store(&gate, 3);
    v = becomes(id[0].s, STORE_JOB_DONE);
    assert_string_equal(v.event, "2-end");
    assert_int_equal(v.row.done, 3); /* the last steps too, however quick they were */
    assert_string_equal(result_of(id[0].s), "counted 3");
    becomes(id[1].s, STORE_JOB_DONE);
    assert_string_equal(result_of(id[1].s), "kept=294 "); /* its upload outlived the process */
    close_jobs();
}

static void killed_for_good(void **state)
{
    struct ulid id[2], again[2];
    (void)state;
    die_with("fragile", NULL, false, id); /* cannot be begun again */
    open_jobs(kinds);
    struct job_view v = look(id[0].s);
    assert_int_equal(v.row.state, STORE_JOB_INTERRUPTED);
    assert_string_equal(v.row.error_code, "interrupted");
    assert_true(v.row.expires_ms > v.row.finished_ms);
    assert_int_equal(entries(jobs_path("", "")), 0);
    close_jobs();

    die_with("count", NULL, true, id); /* its end had been asked for */
    open_jobs(kinds);
    assert_int_equal(look(id[0].s).row.state, STORE_JOB_CANCELLED);
    close_jobs();

    die_with("count", NULL, false, id); /* kills its server each time */
    for (int i = 1; i < JOBS_ATTEMPTS_MAX; i++) die_with(NULL, NULL, false, again);
    open_jobs(kinds);
    v = look(id[0].s);
    assert_int_equal(v.row.state, STORE_JOB_INTERRUPTED);
    assert_int_equal(v.row.attempts, JOBS_ATTEMPTS_MAX);
    close_jobs();

    die_with("count", NULL, false, id); /* its kind is no longer known */
    open_jobs(few_kinds);
    v = look(id[0].s);
    assert_int_equal(v.row.state, STORE_JOB_INTERRUPTED);
    assert_non_null(strstr(v.row.error_message, "no jobs of this kind"));
    close_jobs();
}

static void stopped_in_the_middle(void **state)
{
    struct job_view v[2];
    (void)state;
    open_jobs(kinds);
    v[0] = submit("fragile", "{\"steps\":2}");
    reaches(1);
    v[1] = submit("count", "{\"steps\":2}");
    close_jobs();
    open_jobs(kinds);
    assert_int_equal(look(v[0].row.id.s).row.state, STORE_JOB_INTERRUPTED);
    becomes(v[1].row.id.s, STORE_JOB_RUNNING);
    close_jobs();
    atomic_store(&gate, 2);
    open_jobs(kinds);
    v[1] = becomes(v[1].row.id.s, STORE_JOB_DONE);
    assert_int_equal(v[1].row.attempts, 2);
    close_jobs();
}

static void a_start_tidies_up(void **state)
{
    (void)state;
    open_jobs(kinds);
    close_jobs();
    const char *const stray[] = {"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", ".new-01J9ZK3V5T8Q2W4X6Y7Z8A9B0D"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(jobs_path(stray[i], ""), 0700), 0);
        int fd = open(jobs_path(stray[i], "upload.0"), O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    open_jobs(kinds);
    assert_int_equal(entries(jobs_path("", "")), 0);
    close_jobs();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, remove_jobs_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_and_its_uploads), TEST(failures),
        TEST(progress_is_followed),  TEST(cancelling),
        TEST(the_queue_is_bounded),  TEST(time_is_up),
        TEST(erased_under_way),      TEST(killed_and_begun_again),
        TEST(killed_for_good),       TEST(stopped_in_the_middle),
        TEST(a_start_tidies_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
