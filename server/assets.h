/* Files that the binary carries: openapi.yaml, the calibration curves of deploy/models. Made by
 * make (build/.../gen/assets.c). */
#ifndef VISAVIS_SERVER_ASSETS_H
#define VISAVIS_SERVER_ASSETS_H

#include <stddef.h>

struct asset {
    const char *
        path; /* in the source tree: "openapi.yaml", "deploy/models/dlib-resnet.calibration.json" */
    const char *text; /* followed by a 0 byte */
    size_t len;
};
extern const struct asset assets[]; /* ends with path NULL */

#endif
