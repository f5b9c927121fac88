/* What operators that only reshape make of a shape; for tensors and for constants alike. */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

enum err onnx_reshaped(struct onnx_builder *b, int ndim, const size_t *dims, size_t count,
                       const int64_t *list, size_t n, int *out_ndim, size_t *out)
{
    size_t known = 1;
    int64_t allow_zero;
    int left = -1;
    enum err rc = onnx_int(b, "allowzero", 0, &allow_zero);

    if (rc) return rc;
    if (n > VIEW_DIMS_MAX)
        return onnx_fail(b, "a shape of %zu axes, the limit is %d", n, VIEW_DIMS_MAX);
    for (size_t i = 0; i < n; i++) {
        out[i] = 1;
        if (list[i] == -1 && left < 0) {
            left = (int)i;
            continue;
        }
        if (list[i] < 0 || (list[i] == 0 && (allow_zero || (int)i >= ndim)))
            return onnx_fail(b, "axis %zu of the new shape is %lld", i, (long long)list[i]);
        out[i] = list[i] ? (size_t)list[i] : dims[i];
        if (!mul_ok(&known, known, out[i])) return onnx_fail(b, "the new shape's size overflows");
    }
    if (left >= 0 && known) out[left] = count / known;
    if (left >= 0 ? !known || count % known : known != count)
        return onnx_fail(b, "%zu elements do not make the new shape", count);
    *out_ndim = (int)n;
    return ERR_OK;
}

/* Which of ndim axes the node names. */
static enum err chosen(struct onnx_builder *b, int ndim, bool *is, size_t *n)
{
    const int64_t *axes;
    int at;
    enum err rc = onnx_ints_or_input(b, "axes", 1, &axes, n);
    for (size_t i = 0; !rc && i < *n; i++) {
        if ((rc = onnx_axis(b, axes[i], ndim, &at))) return rc;
        if (is[at]) return onnx_fail(b, "axis %d is there twice", at);
        is[at] = true;
    }
    return rc;
}

enum err onnx_squeezed(struct onnx_builder *b, int ndim, const size_t *dims, int *out_ndim,
                       size_t *out)
{
    bool gone[VIEW_DIMS_MAX] = {false};
    size_t n;
    enum err rc = chosen(b, ndim, gone, &n);
    if (rc) return rc;
    *out_ndim = 0;
    for (int i = 0; i < ndim; i++) {
        if (gone[i] && dims[i] != 1)
            return onnx_fail(b, "axis %d has %zu elements and cannot go", i, dims[i]);
        if (n ? !gone[i] : dims[i] != 1) out[(*out_ndim)++] = dims[i];
    }
    return ERR_OK;
}

enum err onnx_unsqueezed(struct onnx_builder *b, int ndim, const size_t *dims, int *out_ndim,
                         size_t *out)
{
    bool made[VIEW_DIMS_MAX] = {false};
    const int64_t *axes;
    size_t n;
    enum err rc = onnx_ints_or_input(b, "axes", 1, &axes, &n);

    if (rc) return rc;
    if (n > (size_t)(VIEW_DIMS_MAX - ndim)) return onnx_fail(b, "more than %d axes", VIEW_DIMS_MAX);
    *out_ndim = ndim + (int)n;
    if ((rc = chosen(b, *out_ndim, made, &n))) return rc;
    for (int i = 0, from = 0; i < *out_ndim; i++) out[i] = made[i] ? 1 : dims[from++];
    return ERR_OK;
}

enum err onnx_perm(struct onnx_builder *b, int ndim, int *perm)
{
    const int64_t *list;
    bool seen[VIEW_DIMS_MAX] = {false};
    size_t n;
    enum err rc = onnx_ints(b, "perm", &list, &n);

    if (rc) return rc;
    if (n && n != (size_t)ndim) return onnx_fail(b, "perm has %zu axes, its input %d", n, ndim);
    for (int i = 0; i < ndim; i++) {
        const int64_t axis = n ? list[i] : ndim - 1 - i;
        if (axis < 0 || axis >= ndim || seen[axis])
            return onnx_fail(b, "perm is no permutation of %d axes", ndim);
        seen[axis] = true;
        perm[i] = (int)axis;
    }
    return ERR_OK;
}
