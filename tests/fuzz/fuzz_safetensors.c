/* safetensors from anywhere: what opens must be readable to its last byte, and findable. */
#include "engine/model/model_internal.h"
#include "engine/model/st_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct safetensors *st;
    struct model_input in;
    unsigned sum = 0;

    if (st__open_bytes(&st, data, len, NULL)) return 0;
    for (size_t i = 0; i < st_count(st); i++) {
        const struct st_tensor *t = st_at(st, i);
        const uint8_t *p = t->data;
        size_t bytes = t->count * st_dtype_bytes(t->dtype);
        for (size_t k = 0; k < bytes; k++) sum += p[k];
        if (st_find(st, t->name) != t) abort();
    }
    const char *input = st_meta(st, "visavis.input");
    if (input && !model__input_from_json(&in, input, NULL)) sum += (unsigned)in.w;
    st_close(st);
    return sum == 0xffffffffu ? 1 : 0; /* so that the reads are not optimised away */
}
