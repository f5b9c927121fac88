/* Is what the store acknowledged there, whatever happened, and nothing of what it refused?
 *
 *   torture ROUNDS [SEED]
 *
 * kill   A process whose four threads enrol, move and erase people, and tell a pipe before and
 *        after each job, is killed (SIGKILL) at a random moment. Then every acknowledged job has
 *        happened, of those that were under way each wholly or not at all, and the database is
 *        sound.
 * io     The same four threads on a file system where reads, writes and syncs fail at random: what
 *        was refused has not happened, and once the failures end the store works again.
 * full   The same on a disk that fills up: ERR_STORAGE_FULL, and reading goes on.
 *
 * ROUNDS of each; the last line is "N passed, N failed". */
#include "server/store/store_internal.h"
#include "tests/torture/crowd.h"
#include "tests/torture/faulty_vfs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KILL_AFTER_MS = 80, JOBS_A_ROUND = 40 };
enum { ROUNDS_A_DATABASE = 8 }; /* so that rounds begin with old data, and with none */

/* --- a thread that writes --- */

struct writer {
    pthread_t id;
    struct store *s;
    int64_t collection;
    int thread;
    unsigned seed;
    int notes;      /* a pipe; negative: taken here */
    int jobs;       /* negative: for ever */
    int full;       /* jobs refused for want of room */
    enum err wrong; /* an error that there is no reason for */
    struct err_info why;
    bool faults; /* errors are expected */
};

static void tell(const struct writer *w, const struct job *j, enum phase phase)
{
    const struct note note = {(uint8_t)j->thread, (uint8_t)j->op, (uint8_t)phase, j->person};
    take_note(&note);
    /* into a pipe of which nobody else reads: whole, as it is shorter than PIPE_BUF */
    if (w->notes >= 0 && write(w->notes, &note, sizeof note) != (ssize_t)sizeof note) _exit(3);
}

/* Enrols, or moves or erases someone of whom it is known that they are there. */
static struct job choose(struct writer *w)
{
    const struct crowd *c = &crowds[w->thread];
    struct job j = {w->thread, c->n, ENROL, w->collection};
    int dice = rand_r(&w->seed) % 10;
    if (dice < 6 && c->n < PEOPLE_MAX) return j;
    const enum op op = dice < 8 ? MOVE : ERASE;
    for (int tries = 0; tries < 20 && c->n; tries++) {
        int k = rand_r(&w->seed) % c->n;
        const struct person *p = &c->p[k];
        if (!(p->done & ENROL) || p->tried != p->done || (p->tried & (op | ERASE))) continue;
        j.person = k;
        j.op = op;
        return j;
    }
    if (c->n == PEOPLE_MAX) _exit(4);
    return j;
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (int n = 0; w->jobs < 0 || n < w->jobs; n++) {
        struct job j = choose(w);
        struct err_info err = ERR_INFO_INIT;
        tell(w, &j, TRIED);
        enum err rc = store_write(w->s, do_job, &j, &err);
        tell(w, &j, rc ? REFUSED : DONE);
        w->full += rc == ERR_STORAGE_FULL;
        if (rc && !(w->faults && (rc == ERR_IO || rc == ERR_STORAGE_FULL))) {
            w->wrong = rc;
            w->why = err;
            break;
        }
    }
    return NULL;
}

/* false: one of them met an error that it should not have. */
static bool write_all(struct store *s, int64_t collection, unsigned seed, int notes, int jobs,
                      bool faults, int *full)
{
    struct writer w[THREADS];
    bool good = true;
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct writer){.s = s,
                               .collection = collection,
                               .thread = i,
                               .seed = seed + (unsigned)i,
                               .notes = notes,
                               .jobs = jobs,
                               .faults = faults};
        if (pthread_create(&w[i].id, NULL, write_on, &w[i])) abort();
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(w[i].id, NULL);
        if (full) *full += w[i].full;
        if (!w[i].wrong) continue;
        printf("thread %d: %s: %s\n", i, err_name(w[i].wrong), w[i].why.message);
        good = false;
    }
    return good;
}

/* --- rounds --- */

/* A new database, and nobody in it. */
static void empty_dir(const char *dir)
{
    static const char *const files[] = {"", "-wal", "-shm"};
    char path[STORE_PATH_BYTES];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/visavis.db%s", dir, files[i]);
        if (unlink(path) && errno != ENOENT) perror(path);
    }
    memset(crowds, 0, sizeof crowds);
}

static int open_with_collection(struct store **s, int64_t *collection, const char *dir)
{
    struct err_info err = ERR_INFO_INIT;
    if (!store_open(s, dir, &err) && !store_write(*s, the_collection, collection, &err)) return 0;
    printf("%s\n", err.message);
    return 1;
}

static void writing_child(const char *dir, int notes, unsigned seed)
{
    struct store *s = NULL;
    int64_t collection = 0;
    if (open_with_collection(&s, &collection, dir)) _exit(2);
    write_all(s, collection, seed, notes, -1, false, NULL);
    fflush(stdout);
    _exit(1); /* a thread ended: an error */
}

static long ms_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static long long acknowledged;

static void take_notes(int fd)
{
    struct note note;
    ssize_t n = read(fd, &note, sizeof note);
    if (n != (ssize_t)sizeof note) return;
    take_note(&note);
    acknowledged += note.phase == DONE;
}

static bool kill_round(const char *dir, unsigned *seed)
{
    struct timespec start;
    int fds[2], status = 0;
    const long life_ms = rand_r(seed) % KILL_AFTER_MS;
    /* from its first note on; of every fifth from its start, which is in the middle of opening */
    bool waits = rand_r(seed) % 5 != 0;
    const unsigned child_seed = (unsigned)rand_r(seed);

    if (pipe(fds)) return false;
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t pid = fork();
    if (pid < 0) return false;
    if (pid == 0) {
        close(fds[0]);
        writing_child(dir, fds[1], child_seed);
    }
    close(fds[1]);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    for (long left; (left = life_ms - ms_since(&start)) > 0 || waits;) {
        if (poll(&p, 1, waits ? -1 : (int)left) <= 0) continue;
        if (!(p.revents & POLLIN)) break;
        take_notes(fds[0]);
        if (waits) clock_gettime(CLOCK_MONOTONIC, &start);
        waits = false;
    }
    kill(pid, SIGKILL);
    while (poll(&p, 1, -1) > 0 && (p.revents & POLLIN)) take_notes(fds[0]);
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        printf("the writers ended by themselves, status %d\n", status);
        return false;
    }
    return verify(dir);
}

static bool io_round(const char *dir, unsigned *seed)
{
    static const int rates[] = {300, 3000, 30000, 200000};
    struct faults *f = faulty_vfs_install();
    struct store *s = NULL;
    int64_t collection = 0;

    if (open_with_collection(&s, &collection, dir)) return false;
    atomic_store(&f->per_million, rates[rand_r(seed) % 4]);
    bool good = write_all(s, collection, (unsigned)rand_r(seed), -1, JOBS_A_ROUND, true, NULL);
    struct store *other = NULL;
    if (!store_open(&other, dir, NULL)) store_close(other);
    atomic_store(&f->per_million, 0);
    good &= write_all(s, collection, (unsigned)rand_r(seed), -1, 2, false, NULL);
    store_close(s);
    return verify(dir) && good;
}

static enum err count(struct store_tx *tx, void *arg, struct err_info *err)
{
    return store__ints(arg, 1, NULL, tx, "SELECT count(*) FROM identities", NULL, err);
}

static bool full_round(const char *dir, unsigned *seed)
{
    struct faults *f = faulty_vfs_install();
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    int64_t collection = 0, before = -1, after = -1;
    int full = 0;

    if (open_with_collection(&s, &collection, dir)) return false;
    atomic_store(&f->room, rand_r(seed) % 200000);
    bool good = write_all(s, collection, (unsigned)rand_r(seed), -1, 10, true, &full);
    atomic_store(&f->room, 0);
    good &= write_all(s, collection, (unsigned)rand_r(seed), -1, JOBS_A_ROUND, true, &full);
    if (store_read(s, count, &before, &err)) printf("no reading: %s\n", err.message);
    atomic_store(&f->room, -1);
    good &= write_all(s, collection, (unsigned)rand_r(seed), -1, 2, false, NULL);
    if (store_read(s, count, &after, &err)) printf("no reading: %s\n", err.message);
    if (before < 0 || after < 0 || !full) {
        printf("it was not full, or could not be read: %d refused\n", full);
        good = false;
    }
    store_close(s);
    return verify(dir) && good;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*round)(const char *dir, unsigned *seed);
    } kinds[] = {{"kill", kill_round}, {"io", io_round}, {"full", full_round}};
    /* a disk, and memory where there is such a thing: there a job takes microseconds, so that a
     * kill meets code and not always an fsync */
    char disk[] = "/tmp/visavis-torture-XXXXXX", memory[] = "/dev/shm/visavis-torture-XXXXXX";
    int passed = 0, failed = 0;
    const int rounds = argc > 1 ? atoi(argv[1]) : 30;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)time(NULL);

    if (!mkdtemp(disk)) return 2;
    const char *const dirs[] = {disk, mkdtemp(memory) ? memory : disk};
    faulty_vfs_install();
    printf("torture: %d rounds, seed %u\n", rounds, seed);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int i = 0; i < rounds; i++) {
            const char *dir = dirs[i / ROUNDS_A_DATABASE % 2];
            if (i % ROUNDS_A_DATABASE == 0) empty_dir(dir);
            bool good = kinds[k].round(dir, &seed);
            if (!good) {
                printf("%s, round %d: FAILED\n", kinds[k].name, i);
                empty_dir(dir);
            }
            passed += good;
            failed += !good;
        }
        if (k == 0) printf("kill: %lld jobs acknowledged\n", acknowledged);
    }
    printf("faults: %lld injected\n", atomic_load(&faulty_vfs_install()->errors));
    for (int d = 0; d < 2; d++) {
        empty_dir(dirs[d]);
        rmdir(dirs[d]);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
