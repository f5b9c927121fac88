#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/ordered.h"

struct script {
    size_t n, given, taken, stop_after;
    atomic_size_t in_work, most_in_work, dropped, made;
    size_t ahead; /* names given minus results taken, at most */
    bool echo;    /* the next name comes only when the result before it was taken */
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

static char *next(void *self)
{
    struct script *s = self;
    char name[32];

    pthread_mutex_lock(&s->lock);
    while (s->echo && s->given > s->taken) pthread_cond_wait(&s->moved, &s->lock);
    if (s->given - s->taken > s->ahead) s->ahead = s->given - s->taken;
    const bool more = s->given < s->n;
    snprintf(name, sizeof name, "name%zu", s->given);
    s->given += more;
    pthread_mutex_unlock(&s->lock);
    return more ? strdup(name) : NULL;
}

static void *work(void *self, size_t index, const char *name)
{
    struct script *s = self;
    char want[32];
    const size_t now = atomic_fetch_add(&s->in_work, 1) + 1;
    size_t most = atomic_load(&s->most_in_work);

    while (now > most && !atomic_compare_exchange_weak(&s->most_in_work, &most, now)) {
    }
    snprintf(want, sizeof want, "name%zu", index);
    for (size_t i = 0; i < (index * 7919) % 50; i++) sched_yield(); /* finish out of order */
    atomic_fetch_sub(&s->in_work, 1);
    if (strcmp(name, want) != 0 || index % 10 == 3) return NULL; /* NULL is a result too */
    atomic_fetch_add(&s->made, 1);
    return strdup(name);
}

static bool take(void *self, size_t index, const char *name, void *result)
{
    struct script *s = self;

    if (index != s->taken) fail_msg("result %zu came after %zu", index, s->taken);
    if (index % 10 == 3 ? result != NULL : strcmp(name, result) != 0)
        fail_msg("result %zu is another's", index);
    atomic_fetch_add(&s->dropped, result != NULL);
    free(result);
    pthread_mutex_lock(&s->lock);
    s->taken++;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    return s->taken != s->stop_after;
}

static struct script *current;
static void drop(void *result)
{
    atomic_fetch_add(&current->dropped, result != NULL);
    free(result);
}

static void run(struct script *s, int workers)
{
    const struct ordered_work w = {next, work, take, drop, s, workers};

    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->moved, NULL);
    current = s;
    assert_int_equal(ordered_run(&w, NULL), ERR_OK);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    assert_int_equal(s->dropped, s->made); /* nothing is lost */
}

static void test_order(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 7; workers += 3) {
        struct script s = {.n = 500};
        run(&s, workers);
        assert_int_equal(s.taken, 500);
        assert_true(s.most_in_work <= (size_t)workers);
        assert_true(s.ahead <= (size_t)workers * 4); /* bounded memory */
    }
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct script s = {.n = 0};
    run(&s, 3);
    assert_int_equal(s.taken, 0);
}

static void test_stopped(void **state)
{
    (void)state;
    struct script s = {.n = 500, .stop_after = 20};
    run(&s, 4);
    assert_int_equal(s.taken, 20);
}

/* Someone writes a name, waits for the line, and writes the next. */
static void test_names_one_at_a_time(void **state)
{
    (void)state;
    struct script s = {.n = 30, .echo = true};
    run(&s, 4);
    assert_int_equal(s.taken, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_names_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
