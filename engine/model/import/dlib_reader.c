/* Numbers, strings and tensors as dlib writes them; every length is compared with what is left of
 * the file before anything is believed. */
#include "engine/model/import/dlib_reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum { EXPONENT_MAX = 2000 }; /* far beyond a double's; the special values begin at 32000 */

void dlib_fail(struct dlib_reader *r, const char *fmt, ...)
{
    va_list ap;
    if (r->rc) return;
    va_start(ap, fmt);
    r->rc = err_vset(r->err, ERR_MODEL, fmt, ap);
    va_end(ap);
    err_prefix(r->err, "byte %zu", r->at);
}

size_t dlib_left(const struct dlib_reader *r)
{
    return r->len - r->at;
}

int64_t dlib_int(struct dlib_reader *r)
{
    uint64_t v = 0;
    if (r->rc) return 0;
    if (dlib_left(r) < 2) {
        dlib_fail(r, "the file ends inside a number");
        return 0;
    }
    unsigned control = r->data[r->at], n = control & 15;
    if (n < 1 || n > 8 || (control & 0x70)) {
        dlib_fail(r, "control byte 0x%02x is no number's", control);
        return 0;
    }
    if (dlib_left(r) < 1 + (size_t)n) {
        dlib_fail(r, "the file ends inside a number");
        return 0;
    }
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)r->data[r->at + 1 + i] << (8 * i);
    if (v > INT64_MAX) {
        dlib_fail(r, "a number of more than 63 bits");
        return 0;
    }
    r->at += 1 + n;
    return control & 0x80 ? -(int64_t)v : (int64_t)v;
}

int dlib_int_in(struct dlib_reader *r, int lo, int hi, const char *what)
{
    struct dlib_reader before = *r;
    int64_t v = dlib_int(r);
    if (r->rc) return lo;
    if (v < lo || v > hi) {
        r->at = before.at;
        if (lo == hi)
            dlib_fail(r, "%s: expected %d, found %lld", what, lo, (long long)v);
        else
            dlib_fail(r, "%s: expected %d to %d, found %lld", what, lo, hi, (long long)v);
        return lo;
    }
    return (int)v;
}

float dlib_float(struct dlib_reader *r)
{
    int64_t mantissa = dlib_int(r), exponent = dlib_int(r);
    if (r->rc) return 0;
    float v = exponent < -EXPONENT_MAX || exponent > EXPONENT_MAX
                  ? INFINITY
                  : (float)ldexp((double)mantissa, (int)exponent);
    if (!isfinite(v)) {
        dlib_fail(r, "a value that is not a finite number");
        return 0;
    }
    return v;
}

bool dlib_bool(struct dlib_reader *r)
{
    if (r->rc) return false;
    if (!dlib_left(r) || (r->data[r->at] != '0' && r->data[r->at] != '1')) {
        dlib_fail(r, "expected 0 or 1");
        return false;
    }
    return r->data[r->at++] == '1';
}

void dlib_string(struct dlib_reader *r, char *out, size_t size)
{
    int64_t n = dlib_int(r);
    out[0] = 0;
    if (r->rc) return;
    if (n < 0 || (uint64_t)n >= size || (uint64_t)n > dlib_left(r)) {
        dlib_fail(r, "a string of %lld bytes, expected less than %zu", (long long)n, size);
        return;
    }
    memcpy(out, r->data + r->at, (size_t)n);
    out[n] = 0;
    r->at += (size_t)n;
    for (char *c = out; *c; c++) /* it goes into messages */
        if (*c < ' ' || *c > '~') *c = '?';
}

static size_t read_dims(struct dlib_reader *r, size_t dims[4])
{
    size_t count = 1;
    for (int i = 0; i < 4; i++) {
        int64_t v = dlib_int(r);
        if (v < 0 || !mul_ok(&count, count, (size_t)v)) {
            dlib_fail(r, "a tensor's size is negative or overflows");
            v = 0;
        }
        dims[i] = (size_t)v;
    }
    return r->rc ? 0 : count;
}

size_t dlib_alias(struct dlib_reader *r, size_t dims[4])
{
    dlib_int_in(r, 1, 1, "version of an alias tensor");
    return read_dims(r, dims);
}

size_t dlib_tensor(struct dlib_reader *r, size_t dims[4], const uint8_t **raw)
{
    dlib_int_in(r, 2, 2, "version of a tensor");
    size_t count = read_dims(r, dims);
    *raw = r->data + r->at;
    if (r->rc) return 0;
    if (count > dlib_left(r) / sizeof(float)) {
        dlib_fail(r, "a tensor of %zu values, %zu bytes are left", count, dlib_left(r));
        return 0;
    }
    r->at += count * sizeof(float);
    return count;
}
