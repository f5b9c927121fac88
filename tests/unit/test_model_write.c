/* Model files whose weights are filled in place: the same file as model_write's, byte for byte;
 * what is given up, refused or finds no room leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/model.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

enum { IN = 12, MIDDLE = 40, OUT = 300 /* enough for whole pages in the middle of its weights */ };

static float w1[MIDDLE * IN], b1[MIDDLE], w2[OUT * MIDDLE];
static const float EXTRA[2] = {7, 8};
static const struct st_tensor TENSOR = {"extra", ST_F32, 1, {2}, 2, EXTRA};

static int fill_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(w1); i++) w1[i] = (float)i / 7;
    for (size_t i = 0; i < ARRAY_LEN(b1); i++) b1[i] = -(float)i;
    for (size_t i = 0; i < ARRAY_LEN(w2); i++) w2[i] = 1 / (float)(i + 1);
    return 0;
}

/* 3 x 2 x 2 -> dense, relu, dense without a bias; its weights, or room for them. */
static struct nn_graph net(bool weights)
{
    struct nn_graph g = {.in_c = 3, .in_h = 2, .in_w = 2, .n_outputs = 1};
    struct nn_op first, relu, last;
    nn_op_init(&first, NN_DENSE, "first");
    first.n_in = 1;
    first.in[0] = -1;
    first.out = MIDDLE;
    first.w_count = ARRAY_LEN(w1);
    first.b_count = ARRAY_LEN(b1);
    nn_op_init(&relu, NN_RELU, "relu");
    relu.n_in = 1;
    relu.in[0] = 0;
    nn_op_init(&last, NN_DENSE, "last");
    last.n_in = 1;
    last.in[0] = 1;
    last.out = OUT;
    last.w_count = ARRAY_LEN(w2);
    if (weights) {
        first.w = w1;
        first.b = b1;
        last.w = w2;
    }
    assert_true(nn_graph_add(&g, &first) == 0 && nn_graph_add(&g, &relu) == 1 &&
                nn_graph_add(&g, &last) == 2);
    strcpy(g.outputs[0].name, "embedding");
    g.outputs[0].op = 2;
    return g;
}

static struct model_draft draft_of(const struct nn_graph *g, const char *name)
{
    return (struct model_draft){
        .name = name,
        .role = MODEL_EMBEDDER,
        .input = {.w = 2, .h = 2, .scale = {1, 1, 1}, .average = "none", .dim = OUT},
        .graph = g,
        .tensors = &TENSOR,
        .n_tensors = 1,
        .license = "MIT",
        .source_file = "a.pt",
        .source_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
}

static void fill(const float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++) assert_true(to[i] == 0); /* as the header says */
    memcpy((float *)(uintptr_t)to, from, n * sizeof *from);
}

/* An open file with all weights, the last one as given. */
static struct model_writer *filled(struct nn_graph *g, struct model_draft *d, const char *dir,
                                   float last_weight)
{
    struct err_info err = ERR_INFO_INIT;
    struct model_writer *w;
    if (model_writer_open(&w, dir, d, g, &err)) fail_msg("%s", err.message);
    fill(g->ops[0].w, w1, ARRAY_LEN(w1));
    fill(g->ops[0].b, b1, ARRAY_LEN(b1));
    model_writer_settle(w, 0);
    model_writer_settle(w, 1); /* it has none */
    fill(g->ops[2].w, w2, ARRAY_LEN(w2));
    ((float *)(uintptr_t)g->ops[2].w)[ARRAY_LEN(w2) - 1] = last_weight;
    model_writer_settle(w, 2);
    return w;
}

static void same_as_model_write(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g = net(true), in_place = net(false);
    struct model_draft d = draft_of(&g, "whole"), e = draft_of(&in_place, "in-place");
    char path[256];
    if (model_write(folder, &d, &err)) fail_msg("%s", err.message);
    struct model_writer *w = filled(&in_place, &e, folder, w2[ARRAY_LEN(w2) - 1]);
    if (model_writer_commit(w, &err)) fail_msg("%s", err.message);
    assert_int_equal(files_in_folder(), 2);
    struct buf a = test_read(file_in(path, "whole.safetensors"));
    struct buf b = test_read(file_in(path, "in-place.safetensors"));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(model_verify(folder, "in-place", &err), ERR_OK);
    buf_release(&a);
    buf_release(&b);
    nn_graph_release(&g);
    nn_graph_release(&in_place);
}

/* However it ends badly, the folder is as it was: the model that had the name is still there. */
static void keeps_the_old_file(const struct buf *old)
{
    char path[256];
    assert_int_equal(files_in_folder(), 1);
    struct buf now = test_read(file_in(path, "net.safetensors"));
    assert_int_equal(now.len, old->len);
    assert_memory_equal(now.data, old->data, now.len);
    buf_release(&now);
}

static void given_up(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g = net(true), h = net(false);
    struct model_draft d = draft_of(&g, "net"), e = draft_of(&h, "net");
    char path[256];

    model_writer_abort(NULL);
    model_writer_abort(filled(&h, &e, folder, 0));
    assert_int_equal(files_in_folder(), 0);
    assert_int_equal(model_write(folder, &d, &err), ERR_OK);
    struct buf old = test_read(file_in(path, "net.safetensors"));

    model_writer_abort(filled(&h, &e, folder, 0));
    keeps_the_old_file(&old);
    assert_int_equal(model_writer_commit(filled(&h, &e, folder, NAN), &err), ERR_MODEL);
    assert_string_equal(err.message, "last (dense): weight[11999] is not a finite number");
    keeps_the_old_file(&old);
    assert_int_equal(model_writer_commit(filled(&h, &e, folder, -INFINITY), &err), ERR_MODEL);
    keeps_the_old_file(&old);
    assert_int_equal(model_writer_commit(filled(&h, &e, folder, 0), &err), ERR_OK);
    assert_int_equal(files_in_folder(), 1); /* replaced */
    assert_int_equal(model_verify(folder, "net", &err), ERR_OK);

    buf_release(&old);
    nn_graph_release(&g);
    nn_graph_release(&h);
}

/* Without a folder nothing is kept, but everything is checked. */
static void without_a_folder(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g = net(false);
    struct model_draft d = draft_of(&g, "net");
    assert_int_equal(model_writer_commit(filled(&g, &d, NULL, 0), &err), ERR_OK);
    assert_int_equal(model_writer_commit(filled(&g, &d, NULL, NAN), &err), ERR_MODEL);
    assert_int_equal(files_in_folder(), 0);
    nn_graph_release(&g);
}

static void refused(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model_writer *w;
    struct nn_graph g = net(false);
    struct model_draft d = draft_of(&g, "net"), bad = d;
    assert_int_equal(model_writer_open(&w, "/no/such/folder", &d, &g, &err), ERR_IO);
    bad.name = "../net";
    assert_int_equal(model_writer_open(&w, folder, &bad, &g, &err), ERR_INVALID);
    bad = d;
    bad.calibration = "[";
    assert_int_equal(model_writer_open(&w, folder, &bad, &g, &err), ERR_INVALID);
    g.ops[0].b_count--;
    assert_int_equal(model_writer_open(&w, folder, &d, &g, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "first (dense): expected 40 biases"));
    g.ops[0].b_count++;
    g.ops[2].w_count = 0;
    assert_int_equal(model_writer_open(&w, folder, &d, &g, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "last (dense): its weights are missing"));
    assert_int_equal(files_in_folder(), 0);
    nn_graph_release(&g);
}

/* A disk that is full, played by a limit on the sizes of files. */
static void no_room(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct rlimit was, small;
    struct model_writer *w;
    struct nn_graph g = net(false), h = net(true);
    struct model_draft d = draft_of(&g, "net"), e = draft_of(&h, "net");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 4096;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err rc = model_writer_open(&w, folder, &d, &g, &err),
             whole = model_write(folder, &e, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc, ERR_STORAGE_FULL);
    assert_int_equal(whole, ERR_STORAGE_FULL);
    assert_non_null(strstr(err.message, "no room for"));
    assert_int_equal(files_in_folder(), 0);
    nn_graph_release(&g);
    nn_graph_release(&h);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(same_as_model_write),
        WITH_FOLDER(given_up),
        WITH_FOLDER(without_a_folder),
        WITH_FOLDER(refused),
        WITH_FOLDER(no_room),
    };
    return cmocka_run_group_tests(tests, fill_weights, NULL);
}
