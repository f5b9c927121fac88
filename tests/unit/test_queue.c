#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/base/queue.h"

#include <pthread.h>
#include <stdatomic.h>

static void first_in_first_out_and_full(void **state)
{
    struct queue *q;
    int items[5];
    (void)state;
    assert_int_equal(queue_new(&q, 3, NULL), ERR_OK);
    for (int round = 0; round < 4; round++) { /* around the ring */
        for (int i = 0; i < 3; i++) assert_true(queue_push(q, &items[i]));
        assert_false(queue_push(q, &items[3]));
        assert_int_equal(queue_depth(q), 3);
        assert_ptr_equal(queue_pop(q), &items[0]);
        assert_true(queue_push(q, &items[4]));
        assert_ptr_equal(queue_pop(q), &items[1]);
        assert_ptr_equal(queue_pop(q), &items[2]);
        assert_ptr_equal(queue_pop(q), &items[4]);
        assert_int_equal(queue_depth(q), 0);
    }
    queue_free(q);
    queue_free(NULL);
}

static void closing_drains(void **state)
{
    struct queue *q;
    int item;
    (void)state;
    assert_int_equal(queue_new(&q, 3, NULL), ERR_OK);
    assert_true(queue_push(q, &item));
    queue_close(q);
    assert_false(queue_push(q, &item));
    assert_ptr_equal(queue_pop(q), &item);
    assert_null(queue_pop(q));
    assert_null(queue_pop(q));
    queue_free(q);
}

enum { PRODUCERS = 4, CONSUMERS = 4, EACH = 5000 };
struct crowd {
    struct queue *q;
    atomic_int taken[PRODUCERS * EACH];
    atomic_int refused;
};

struct producer {
    struct crowd *crowd;
    int first;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (int i = 0; i < EACH; i++)
        while (!queue_push(p->crowd->q, &p->crowd->taken[p->first + i]))
            atomic_fetch_add(&p->crowd->refused, 1);
    return NULL;
}

static void *consume(void *arg)
{
    struct crowd *c = arg;
    atomic_int *item;
    while ((item = queue_pop(c->q))) atomic_fetch_add(item, 1);
    return NULL;
}

static void every_item_once_among_threads(void **state)
{
    static struct crowd c;
    struct producer p[PRODUCERS];
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    (void)state;
    assert_int_equal(queue_new(&c.q, 16, NULL), ERR_OK);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &c), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer){&c, i * EACH};
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &p[i]), 0);
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(producers[i], NULL);
    queue_close(c.q);
    for (int i = 0; i < CONSUMERS; i++) pthread_join(consumers[i], NULL);
    for (size_t i = 0; i < ARRAY_LEN(c.taken); i++) assert_int_equal(atomic_load(&c.taken[i]), 1);
    queue_free(c.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out_and_full),
        cmocka_unit_test(closing_drains),
        cmocka_unit_test(every_item_once_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
