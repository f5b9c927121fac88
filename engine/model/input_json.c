/* visavis.input of a model file: how pixels become the network's input.
 *
 *   {"width":150,"height":150,"channels":"rgb","mean":[..3],"scale":[..3],"crop":"dlib_chip","padding":0.25,
 *    "points":[[x,y] x 5],"average":"mirror","dim":128}
 *
 * channels: rgb, bgr, or grey (one channel; mean and scale are three equal numbers). Every key is
 * always there but points, which only crop "similarity" has, and output (a name of the
 * graph's), which is "embedding" where it is not said. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"

enum { SIDE_MAX = 4096, DIM_MAX = 65536 };

static const char *const CROPS[CROP_COUNT] = {
    [CROP_NONE] = "none", [CROP_DLIB_CHIP] = "dlib_chip", [CROP_SIMILARITY] = "similarity",
    [CROP_BOX] = "box",   [CROP_LETTERBOX] = "letterbox", [CROP_BOX_ALIGNED] = "box_aligned",
};

static json_t *real_list(const float *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real((double)v[i]));
    return list;
}

enum err model__input_to_json(char **text, const struct model_input *in, struct err_info *err)
{
    if ((unsigned)in->crop >= ARRAY_LEN(CROPS))
        return err_set(err, ERR_INTERNAL, "unknown crop %d", in->crop);
    json_auto_t *j = json_pack("{s:i, s:i, s:s, s:o, s:o, s:s, s:f, s:s, s:i}", "width", in->w,
                               "height", in->h, "channels",
                               in->grey  ? "grey"
                               : in->bgr ? "bgr"
                                         : "rgb",
                               "mean", real_list(in->mean, 3), "scale", real_list(in->scale, 3),
                               "crop", CROPS[in->crop], "padding", (double)in->padding, "average",
                               in->average[0] ? in->average : "none", "dim", in->dim);
    if (j && in->crop == CROP_SIMILARITY) {
        json_t *points = json_array();
        for (int i = 0; i < 5; i++) json_array_append_new(points, real_list(in->points[i], 2));
        json_object_set_new(j, "points", points);
    }
    if (j && in->output[0] && strcmp(in->output, "embedding") != 0)
        json_object_set_new(j, "output", json_string(in->output));
    *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9))
              : NULL; /* 9 digits: exact for float32 */
    return *text ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the input's JSON");
}

static bool in_range(const json_t *v, int *out, int max)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
        return false;
    *out = (int)json_integer_value(v);
    return true;
}

static bool finite_list(float *out, size_t n, const json_t *v)
{
    if (!model__float_list(out, n, v)) return false;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(out[i])) return false;
    return true;
}

static bool read_crop(struct model_input *in, const json_t *j)
{
    const char *crop = json_string_value(json_object_get(j, "crop"));
    const json_t *points = json_object_get(j, "points");
    size_t i = 0;
    while (crop && i < ARRAY_LEN(CROPS) && strcmp(CROPS[i], crop) != 0) i++;
    if (!crop || i == ARRAY_LEN(CROPS)) return false;
    in->crop = (enum model_crop)i;
    if ((in->crop == CROP_SIMILARITY) != (points != NULL)) return false;
    if (points && (!json_is_array(points) || json_array_size(points) != 5)) return false;
    for (i = 0; points && i < 5; i++)
        if (!finite_list(in->points[i], 2, json_array_get(points, i))) return false;
    return true;
}

static bool read_word(char *out, size_t size, const json_t *v)
{
    const char *s = json_string_value(v);
    size_t n = json_string_length(v);
    if (!s || n < 1 || n >= size) return false;
    memcpy(out, s, n + 1);
    return true;
}

enum err model__input_from_json(struct model_input *out, const char *text, struct err_info *err)
{
    struct model_input in = {0};
    json_error_t why;
    json_auto_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    const char *channels = json_string_value(json_object_get(j, "channels"));
    const json_t *output = json_object_get(j, "output");
    const char *wrong = NULL;

    if (!json_is_object(j)) return err_set(err, ERR_MODEL, "visavis.input is not a JSON object");
    if (!in_range(json_object_get(j, "width"), &in.w, SIDE_MAX))
        wrong = "width";
    else if (!in_range(json_object_get(j, "height"), &in.h, SIDE_MAX) || !in.w != !in.h)
        wrong = "height";
    else if (!channels || (strcmp(channels, "rgb") != 0 && strcmp(channels, "bgr") != 0 &&
                           strcmp(channels, "grey") != 0))
        wrong = "channels";
    else if (!finite_list(in.mean, 3, json_object_get(j, "mean")))
        wrong = "mean";
    else if (!finite_list(in.scale, 3, json_object_get(j, "scale")))
        wrong = "scale";
    else if (!read_crop(&in, j))
        wrong = "crop (or points)";
    else if (!json_is_number(json_object_get(j, "padding")))
        wrong = "padding";
    else if (!read_word(in.average, sizeof in.average, json_object_get(j, "average")))
        wrong = "average";
    else if (output && !read_word(in.output, sizeof in.output, output))
        wrong = "output";
    else if (!in_range(json_object_get(j, "dim"), &in.dim, DIM_MAX))
        wrong = "dim";
    else if (json_object_size(j) != 9 + (size_t)(in.crop == CROP_SIMILARITY) + (output != NULL))
        wrong = "a key (one is unknown)";
    if (wrong) return err_set(err, ERR_MODEL, "visavis.input: %s is missing or wrong", wrong);
    in.bgr = strcmp(channels, "bgr") == 0;
    in.grey = strcmp(channels, "grey") == 0;
    in.padding = (float)json_number_value(json_object_get(j, "padding"));
    *out = in;
    return ERR_OK;
}
