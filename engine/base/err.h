/* Errors. A function that can fail returns enum err (0 is success) and fills a caller-owned struct
 * err_info with one sentence for the person who asked: the value AND the limit, no secrets, no
 * pixels. err_info is not thread-local, because a request crosses three threads. Engine and store
 * never log and never exit: they return. The name of a code is what a client reads in error.code;
 * the HTTP status of each is in server/http/reply.c. */
#ifndef VISAVIS_ENGINE_BASE_ERR_H
#define VISAVIS_ENGINE_BASE_ERR_H

#include <stdarg.h>

#define NODISCARD __attribute__((warn_unused_result))

enum err {
    ERR_OK = 0,
    ERR_INVALID,           /* invalid_request: a parameter is wrong */
    ERR_BAD_JSON,          /* bad_json */
    ERR_BAD_BASE64,        /* bad_base64 */
    ERR_BAD_IMAGE,         /* bad_image: right format, damaged or cut short */
    ERR_UNSUPPORTED_IMAGE, /* unsupported_image: not JPEG, PNG or WebP, or a variant we refuse by
                              name */
    ERR_UNSUPPORTED,       /* unsupported_media_type: the request's content type */
    ERR_TOO_LARGE,         /* too_large: a body, picture or batch over its limit */
    ERR_NO_FACE,           /* no_face */
    ERR_MANY_FACES,        /* multiple_faces: face=single and there are more */
    ERR_NO_EMBEDDING,      /* no_embedding: the network gives no vector for such a picture */
    ERR_FMR_UNSUPPORTED,   /* fmr_unsupported: the calibration's data cannot support that rate */
    ERR_NOT_FOUND,         /* not_found */
    ERR_METHOD,            /* method_not_allowed */
    ERR_CONFLICT,          /* conflict */
    ERR_PRECONDITION,      /* precondition_failed: If-Match names another version */
    ERR_BAD_EMBEDDING,     /* bad_embedding: wrong length, not finite, or of no length */
    ERR_UNAUTHORIZED,      /* unauthorized: no key, or a wrong one */
    ERR_FORBIDDEN,         /* forbidden: Host or Origin not allowed, or the key's scope */
    ERR_TIMEOUT,           /* timeout: the client was too slow */
    ERR_RATE,              /* rate_limited */
    ERR_BUSY,              /* busy: queue or memory budget full; try again */
    ERR_STORAGE_FULL,      /* storage_full */
    ERR_LICENSE,           /* license_not_accepted: a model that wants --accept-license */
    ERR_MODEL,             /* bad_model: a model file is damaged, foreign or does not fit itself */
    ERR_CANCELLED,         /* cancelled: by the one who asked, before it was done */
    ERR_NOMEM,             /* out_of_memory */
    ERR_IO,                /* io_error */
    ERR_INTERNAL,          /* internal_error */
    ERR_COUNT
};

enum { ERR_MESSAGE_BYTES = 400 };

struct err_info {
    enum err code;
    char message[ERR_MESSAGE_BYTES];
};
#define ERR_INFO_INIT                                                                              \
    {                                                                                              \
        ERR_OK, ""                                                                                 \
    }

/* Fills *err (NULL allowed) and returns code, so that a caller can write `return err_set(err,
 * ...)`. */
enum err err_set(struct err_info *err, enum err code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum err err_vset(struct err_info *err, enum err code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* Puts "prefix: " before the message already in *err; returns its code. Adds the name of the file
 * or image that a lower layer did not know. */
enum err err_prefix(struct err_info *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What a refused write means, by its errno: ERR_STORAGE_FULL (the disk, a quota, a limit of the
 * file's size) or ERR_IO. */
enum err err_of_write(int os);

/* The stable snake_case name of a code ("no_face"). Never NULL; the string is static. */
const char *err_name(enum err code);

#endif
