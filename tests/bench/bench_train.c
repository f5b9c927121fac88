/* Training: steps of the bundled glyph network (augmentation and triplets included), on one thread
 * and on two, and of each instruction set on one. CSV: name,n,p50_us,p99_us; then a line with
 * images a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/base/pool.h"
#include "engine/train/glyph_net.h"
#include "engine/train/trainer.h"

enum { GLYPHS = 2000, CLASSES = 20, STEPS = 12, BATCH = 256 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bars(struct train_set *s)
{
    s->n = GLYPHS;
    s->n_classes = CLASSES;
    s->pixels = calloc(GLYPHS, TRAIN_PIXELS);
    s->labels = malloc(GLYPHS);
    if (!s->pixels || !s->labels) exit(1);
    for (int i = 0; i < GLYPHS; i++) {
        s->labels[i] = (uint8_t)(i % CLASSES);
        for (int y = 4; y < 24; y++)
            memset(s->pixels + (size_t)i * TRAIN_PIXELS + y * TRAIN_SIDE + i % CLASSES, 255, 4);
    }
}

static void bench(const struct train_plan *plan, int threads)
{
    struct err_info err = ERR_INFO_INIT;
    struct trainer *t;
    struct pool *pool;
    double took[STEPS], sum = 0;
    clock_t cpu;
    if (trainer_new(&t, plan, &err) || pool_new(&pool, threads, &err)) exit(1);
    const struct cores cores = pool_cores(pool);
    if (trainer_step(t, &cores, &err)) exit(1);
    cpu = clock();
    for (int i = 0; i < STEPS; i++) {
        const double start = clock_seconds();
        if (trainer_step(t, &cores, &err)) exit(1);
        sum += took[i] = clock_seconds() - start;
    }
    cpu = clock() - cpu;
    qsort(took, STEPS, sizeof *took, by_value);
    printf("train_step_%s_%dt,%d,%.0f,%.0f\n", t->net->ops->name, threads, STEPS,
           took[STEPS / 2] * 1e6, took[STEPS - 1] * 1e6);
    printf("# %.0f images a second, %.0f a second of processor time, %d threads, %zu parameters\n",
           BATCH * STEPS / sum, BATCH * STEPS / ((double)cpu / CLOCKS_PER_SEC), threads,
           t->net->parameters);
    pool_free(pool);
    trainer_free(t);
}

/* With an argument: only with so many threads, the best of the instruction sets, and glyphs as they
 * are (the peer gets its own ready-made). */
int main(int argc, char **argv)
{
    static const struct glyph_net_shape SHAPE = {2, {32, 48, 64}, 128, 0, 0};
    struct train_set s = TRAIN_SET_INIT;
    struct glyph_net n;
    if (glyph_net_init(&n, &SHAPE, NULL)) return 1;
    bars(&s);
    struct train_plan plan = {.graph = &n.g,
                              .notes = n.notes,
                              .set = &s,
                              .seed = 1,
                              .steps = STEPS + 1,
                              .batch = BATCH,
                              .balance = 0.5,
                              .mining = TRAIN_MINE_BATCH_HARD,
                              .margin = 0.3,
                              .optim = {true, 1e-3, 0, 0.9, 0.999},
                              .augment = true};
    puts("name,n,p50_us,p99_us");
    const int only = argc > 1 ? atoi(argv[1]) : 0;
    plan.augment = !only;
    for (int threads = only ? only : 1; threads <= (only ? only : 2); threads++)
        bench(&plan, threads);
    for (int i = 1; !only && (plan.ops = train_ops_at(i)); i++) bench(&plan, 1);
    train_set_release(&s);
    glyph_net_release(&n);
    return 0;
}
