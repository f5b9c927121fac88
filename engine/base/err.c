#include "engine/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ERR_COUNT] = {
    [ERR_OK] = "ok",
    [ERR_INVALID] = "invalid_request",
    [ERR_BAD_JSON] = "bad_json",
    [ERR_BAD_BASE64] = "bad_base64",
    [ERR_BAD_IMAGE] = "bad_image",
    [ERR_UNSUPPORTED_IMAGE] = "unsupported_image",
    [ERR_UNSUPPORTED] = "unsupported_media_type",
    [ERR_TOO_LARGE] = "too_large",
    [ERR_NO_FACE] = "no_face",
    [ERR_MANY_FACES] = "multiple_faces",
    [ERR_NO_EMBEDDING] = "no_embedding",
    [ERR_FMR_UNSUPPORTED] = "fmr_unsupported",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_METHOD] = "method_not_allowed",
    [ERR_CONFLICT] = "conflict",
    [ERR_PRECONDITION] = "precondition_failed",
    [ERR_BAD_EMBEDDING] = "bad_embedding",
    [ERR_UNAUTHORIZED] = "unauthorized",
    [ERR_FORBIDDEN] = "forbidden",
    [ERR_TIMEOUT] = "timeout",
    [ERR_RATE] = "rate_limited",
    [ERR_BUSY] = "busy",
    [ERR_STORAGE_FULL] = "storage_full",
    [ERR_LICENSE] = "license_not_accepted",
    [ERR_MODEL] = "bad_model",
    [ERR_CANCELLED] = "cancelled",
    [ERR_NOMEM] = "out_of_memory",
    [ERR_IO] = "io_error",
    [ERR_INTERNAL] = "internal_error",
};

enum err err_vset(struct err_info *err, enum err code, const char *fmt, va_list ap)
{
    if (err) {
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        err->code = code;
    }
    return code;
}

enum err err_set(struct err_info *err, enum err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(err, code, fmt, ap);
    va_end(ap);
    return code;
}

enum err err_prefix(struct err_info *err, const char *fmt, ...)
{
    char old[ERR_MESSAGE_BYTES], prefix[ERR_MESSAGE_BYTES];
    va_list ap;

    if (!err) return ERR_INTERNAL;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    memcpy(old, err->message, sizeof old);
    size_t n = strlen(prefix), room = sizeof err->message - 1;
    if (n > room / 2) n = room / 2;
    snprintf(err->message, sizeof err->message, "%.*s: %.*s", (int)n, prefix, (int)(room - n - 2),
             old);
    return err->code;
}

const char *err_name(enum err code)
{
    return code >= 0 && code < ERR_COUNT ? names[code] : "internal_error";
}

enum err err_of_write(int os)
{
    return os == ENOSPC || os == EDQUOT || os == EFBIG ? ERR_STORAGE_FULL : ERR_IO;
}
