/* Torch7's VGG_FACE.t7 (facts/models.md sections 1 and 3.5): a nn.Sequential of 40 modules without
 * names. Which layer a module is, its place says; its class must be the one of that place. */
#include <stdio.h>
#include <string.h>

#include "engine/model/import/import_internal.h"
#include "engine/model/import/t7.h"
#include "engine/model/import/vggface.h"

enum { VALUES_BYTES = 64 << 20, CLASS_BYTES = 48, MODULES_MAX = 40 };

/* A letter a module; a file may end early, which vggface_import judges. */
static const char MODULES[MODULES_MAX + 1] = "CRCRPCRCRPCRCRCRPCRCRCRPCRCRCRPVLRDLRDLS";
static const struct {
    char letter;
    const char *class[4]; /* the published file has the first */
} CLASSES[] = {
    {'C', {"nn.SpatialConvolutionMM", "nn.SpatialConvolution", "cudnn.SpatialConvolution"}},
    {'R', {"nn.ReLU", "cudnn.ReLU"}},
    {'P', {"nn.SpatialMaxPooling", "cudnn.SpatialMaxPooling"}},
    {'V', {"nn.View", "nn.Reshape"}},
    {'L', {"nn.Linear"}},
    {'D', {"nn.Dropout"}},
    {'S', {"nn.SoftMax", "nn.LogSoftMax", "cudnn.SoftMax"}},
};

/* The class of an object, fit for a message. */
static void class_of(char out[CLASS_BYTES], const struct t7_value *v)
{
    size_t n = 0;
    if (!v || v->kind != T7_OBJECT) {
        snprintf(out, CLASS_BYTES, "no object");
        return;
    }
    for (; n < v->text_len && n < CLASS_BYTES - 1; n++)
        out[n] = v->text[n] < ' ' || v->text[n] > '~' ? '?' : v->text[n];
    out[n] = 0;
}

/* Is it of the classes that the letter stands for? */
static enum err check_class(const char *class, int number, char letter, struct err_info *err)
{
    size_t c = 0;
    while (CLASSES[c].letter != letter) c++;
    for (size_t i = 0; i < ARRAY_LEN(CLASSES[c].class) && CLASSES[c].class[i]; i++)
        if (strcmp(class, CLASSES[c].class[i]) == 0) return ERR_OK;
    return err_set(err, ERR_MODEL, "module %d: expected %s, found %s: not VGG-Face", number,
                   CLASSES[c].class[0], class);
}

static enum err read_layer(struct vgg_net *net, const struct t7_value *module, int number,
                           const char *class, struct err_info *err)
{
    char name[VIEW_NAME_BYTES];
    struct vgg_layer *l = &net->layer[net->n];
    enum err rc;

    snprintf(name, sizeof name, "weight of module %d (%s)", number, class);
    if ((rc = t7_view(&l->w, t7_get(module, "weight"), name, err))) return rc;
    vgg_unfold(&l->w, net->n);
    snprintf(name, sizeof name, "bias of module %d (%s)", number, class);
    if ((rc = t7_view(&l->b, t7_get(module, "bias"), name, err))) return rc;
    net->n++;
    return ERR_OK;
}

static enum err read_net(struct vgg_net *net, const struct t7_value *top, struct err_info *err)
{
    const struct t7_value *modules = t7_get(top, "modules");
    char class[CLASS_BYTES];
    enum err rc;

    class_of(class, top);
    if (strcmp(class, "nn.Sequential") != 0 || !modules || modules->kind != T7_TABLE)
        return err_set(err, ERR_MODEL, "the file holds %s, a nn.Sequential of modules is expected",
                       class);
    if (modules->n > MODULES_MAX)
        return err_set(err, ERR_MODEL, "%zu modules, VGG-Face has %d", modules->n, MODULES_MAX);
    for (int i = 0; i < (int)modules->n; i++) {
        const struct t7_value *m = t7_at(modules, i + 1);
        class_of(class, m);
        if ((rc = check_class(class, i + 1, MODULES[i], err))) return rc;
        if (MODULES[i] != 'C' && MODULES[i] != 'L') continue;
        if ((rc = read_layer(net, m, i + 1, class, err))) return rc;
    }
    return ERR_OK;
}

enum err import_torch7(struct import_job *job, struct err_info *err)
{
    struct arena a = ARENA_INIT(VALUES_BYTES);
    struct vgg_net net = {.bgr = true};
    const struct t7_value *top;
    enum err rc = t7_read(&top, job->data, job->len, &a, err);
    if (!rc) rc = read_net(&net, top, err);
    if (!rc) rc = vggface_import(job, &net, err);
    arena_release(&a);
    return rc;
}
