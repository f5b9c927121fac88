/* The people that the torture of the store enrols, moves and erases: what was asked for and what
 * was said of it, the jobs themselves, and whether the database has what it must. */
#ifndef VISAVIS_TESTS_TORTURE_CROWD_H
#define VISAVIS_TESTS_TORTURE_CROWD_H

#include "server/store/store.h"

enum { THREADS = 4, PEOPLE_MAX = 20000 };

/* A person: what was tried and not refused, and what is known to have happened; bits of enum op. */
enum op { ENROL = 1, MOVE = 2, ERASE = 4 };
struct person {
    uint8_t tried, done;
};
/* Thread t's people; written by that thread, or by the parent from what the pipe says. */
struct crowd {
    int n;
    struct person p[PEOPLE_MAX];
};
extern struct crowd crowds[THREADS];

enum phase { TRIED, DONE, REFUSED };
struct note {
    uint8_t thread, op, phase;
    int32_t person;
};
void take_note(const struct note *note);

struct job {
    int thread, person;
    enum op op;
    int64_t collection;
};
/* store_job: does the struct job that arg is. */
enum err do_job(struct store_tx *tx, void *arg, struct err_info *err);
/* store_job: the one collection's row into the int64_t that arg is; makes it where there is none.
 */
enum err the_collection(struct store_tx *tx, void *arg, struct err_info *err);

/* Is the database in dir sound, with everyone in it who must be, and nobody who must not? Says what
 * is wrong. What was open is decided then: the crowds become what is there. */
bool verify(const char *dir);

#endif
