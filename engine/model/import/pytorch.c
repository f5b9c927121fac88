/* torch's files: the container is read by torch_file.c, the network is recognised by its tensors'
 * names. */
#include <stdio.h>
#include <string.h>

#include "engine/model/import/import_internal.h"
#include "engine/model/import/mtcnn.h"
#include "engine/model/import/torch_file.h"
#include "engine/model/import/vgg_pytorch.h"

enum { PICKLE_BYTES = 64 << 20, NAMED = 3 };

/* Says what the file holds, so that a person sees which network it might be. */
static enum err unknown(const struct torch_file *f, struct err_info *err)
{
    char text[ERR_MESSAGE_BYTES / 2] = "";
    for (size_t i = 0; i < f->n && i < NAMED; i++) {
        const struct view *t = &f->tensors[i];
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%.40s [", i ? ", " : "", t->name);
        for (int k = 0; k < t->ndim; k++) {
            at = strlen(text);
            snprintf(text + at, sizeof text - at, "%s%zu", k ? "," : "", t->dims[k]);
        }
        at = strlen(text);
        snprintf(text + at, sizeof text - at, "]");
    }
    return err_set(err, ERR_MODEL, "a network that is not known: %zu tensors, the first are %s",
                   f->n, text);
}

enum err import_pytorch(struct import_job *job, struct err_info *err)
{
    /* MTCNN's weights are copied, in the order that the graph wants */
    struct arena a = {.max = PICKLE_BYTES + 2 * job->len};
    struct torch_file f = {0};
    enum err rc = torch_read(&f, job->data, job->len, &a, err);
    if (!rc && mtcnn_recognise(&f))
        rc = mtcnn_import(job, &f, &a, err);
    else if (!rc && vgg_pytorch_recognise(&f))
        rc = vgg_pytorch_import(job, &f, err);
    else if (!rc)
        rc = unknown(&f, err);
    arena_release(&a);
    return rc;
}
