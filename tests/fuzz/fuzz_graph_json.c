/* Graphs as JSON: what is taken must be written again as a text that reads back to itself. */
#include "engine/model/model_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { WEIGHTS = 1 << 20 };

/* Any tensor is there, as long as it is not too big. */
static const float *zeros(void *self, const char *tensor, const size_t *dims, int ndim,
                          struct err_info *err)
{
    size_t n = 1;
    (void)tensor;
    for (int i = 0; i < ndim; i++)
        if (__builtin_mul_overflow(n, dims[i], &n) || n > WEIGHTS) {
            err_set(err, ERR_MODEL, "too big for this test");
            return NULL;
        }
    return self;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const float weights[WEIGHTS];
    const struct weight_source source = {zeros, (void *)(uintptr_t)weights};
    struct nn_graph g, again;
    char *text = NULL, *text2 = NULL;

    if (model__graph_from_json(&g, (const char *)data, len, &source, NULL)) return 0;
    if (model__graph_to_json(&text, &g, NULL)) abort();
    if (model__graph_from_json(&again, text, strlen(text), &source, NULL)) abort();
    if (model__graph_to_json(&text2, &again, NULL) || strcmp(text, text2) != 0) abort();
    free(text);
    free(text2);
    nn_graph_release(&g);
    nn_graph_release(&again);
    return 0;
}
