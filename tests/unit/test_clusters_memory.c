/* Every allocation of a clustering, of the report that is made again and of an archive, refused
 * once: each says that there is no memory, or does without it, and leaks nothing (asan). Linked
 * with --wrap for malloc, calloc, realloc, reallocarray, strdup and aligned_alloc, so that only our
 * own code's calls are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "tests/unit/cluster_faces.h"
#include "tests/unit/zip_bytes.h"

#include <string.h>

/* How many allocations until the one that fails; negative: none does. */
static long left = -1;
static long made;

static bool refused(void)
{
    made++;
    return left >= 0 && left-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refused() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return refused() ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return refused() ? NULL : __real_aligned_alloc(align, n);
}

char *__wrap_strdup(const char *s)
{
    return refused() ? NULL : __real_strdup(s);
}

typedef enum err call(void *self, struct err_info *err);

/* step: so many allocations are passed over between two that are refused. */
static void refuse_each(const char *what, call *f, void *self, long most)
{
    struct err_info err = ERR_INFO_INIT;
    long said = 0;

    made = 0;
    if (f(self, &err)) fail_msg("%s: %s", what, err.message);
    const long n = made, step = n / most + 1;
    for (long i = 0; i < n; i += step) {
        err = (struct err_info)ERR_INFO_INIT;
        left = i;
        const enum err rc = f(self, &err);
        left = -1;
        if (rc && rc != ERR_NOMEM)
            fail_msg("%s: allocation %ld of %ld: %s: %s", what, i, n, err_name(rc), err.message);
        said += rc == ERR_NOMEM;
    }
    print_message("%s: %ld allocations, one of %ld refused: %ld times no memory\n", what, n, step,
                  said);
    assert_true(said > 0);
}

struct scene {
    struct clusters_faces faces;
    struct clusters_options options;
    struct clusters_done done;
    struct buf zip;
};
static const struct clusters_about about = {.id = "id", .title = "title", .created_ms = 1000};
static const struct clusters_work work = {0};

static enum err run(void *self, struct err_info *err)
{
    struct scene *s = self;
    struct clusters_done d = {0};
    const enum err rc = clusters_run(&d, &s->faces, &s->options, &about, &work, err);
    clusters_done_release(&d);
    return rc;
}

static enum err again(void *self, struct err_info *err)
{
    struct scene *s = self;
    struct clusters_done d = {0};
    const enum err rc = clusters_again(&d, &s->faces, s->done.basis, s->done.labels, s->done.layout,
                                       s->faces.n, "id", 0, &work, err);
    clusters_done_release(&d);
    return rc;
}

static enum err photographs(void *self, struct err_info *err)
{
    struct scene *s = self;
    struct clusters_photos p;
    enum err rc = clusters_photos_init(&p, err);
    if (!rc) rc = clusters_photos_add(&p, "a.png", "x", 1, err);
    if (!rc) rc = clusters_photos_add_file(&p, "b.png", "/b.png", "amy", err);
    if (!rc) rc = clusters_photos_add_zip(&p, "c.zip", s->zip.data, s->zip.len, err);
    clusters_photos_release(&p);
    return rc;
}

static void all(void **state)
{
    static const struct zip_entry entries[] = {{.name = "amy/1", .data = "x"},
                                               {.name = "../2", .data = "x"},
                                               {.name = "raj/3", .data = "x"}};
    struct scene s = {.options = CLUSTERS_OPTIONS_INIT};
    struct err_info err = ERR_INFO_INIT;
    char *calibration = make_calibration("recipe");
    (void)state;

    zip_make(&s.zip, entries, ARRAY_LEN(entries));
    s.faces = make_faces(0, true, calibration);
    if (clusters_run(&s.done, &s.faces, &s.options, &about, &work, &err))
        fail_msg("%s", err.message);
    refuse_each("clusters_run", run, &s, 300);
    refuse_each("clusters_again", again, &s, 300);
    refuse_each("photographs", photographs, &s, 300);
    clusters_done_release(&s.done);
    clusters_faces_release(&s.faces);
    buf_release(&s.zip);
    free(calibration);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
