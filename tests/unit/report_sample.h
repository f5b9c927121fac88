/* Clusterings to report on, for tests: people as directions on the sphere, photographs near them,
 * and some strangers. Needs no model. #included by the tests that use it. */
#ifndef VISAVIS_TESTS_UNIT_REPORT_SAMPLE_H
#define VISAVIS_TESTS_UNIT_REPORT_SAMPLE_H

#include "engine/cluster.h"
#include "engine/image/image.h"
#include "server/report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLE_DIM = 32, SAMPLE_THUMBNAIL_SIDE = 48 };

struct sample {
    size_t n;
    float *x; /* [n][SAMPLE_DIM] */
    uint32_t *truth;
    struct report_face *faces;
    char (*files)[64], (*names)[32];
    struct cluster_result *result;
    struct cluster_report *report;
    struct report_about about;
};

struct sample_options {
    size_t people, each, strangers;
    enum cluster_algorithm algorithm;
    bool thumbnails;
};

static inline void sample_release(struct sample *s)
{
    for (size_t i = 0; s->faces && i < s->n; i++) buf_release(&s->faces[i].thumbnail);
    cluster_report_free(s->report);
    cluster_result_free(s->result);
    free(s->x);
    free(s->truth);
    free(s->faces);
    free(s->files);
    free(s->names);
    *s = (struct sample){0};
}

static inline float sample_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (float)(int32_t)(*state >> 32) / 2147483648.0f;
}

/* A picture of a colour of its own, with a darker middle. */
static inline bool sample_thumbnail(struct buf *jpeg, size_t person, size_t i)
{
    struct image im = IMAGE_INIT;

    if (image_new(&im, SAMPLE_THUMBNAIL_SIDE, SAMPLE_THUMBNAIL_SIDE, NULL)) return false;
    for (int y = 0; y < im.h; y++) {
        for (int x = 0; x < im.w; x++) {
            const int dx = x - im.w / 2, dy = y - im.h / 2, inside = dx * dx + dy * dy < 200;
            uint8_t *p = im.rgb + 3 * (y * im.w + x);
            p[0] = (uint8_t)((60 + 53 * person) % 200 + (inside ? 55 : 0));
            p[1] = (uint8_t)((110 + 97 * person) % 200 + (inside ? 55 : 0));
            p[2] = (uint8_t)((160 + 31 * person + 3 * i) % 200 + (inside ? 55 : 0));
        }
    }
    const enum err rc = image_encode_jpeg(jpeg, &im, 80, NULL);
    image_release(&im);
    return !rc;
}

static inline void sample_face(struct sample *s, size_t i, size_t person, bool stranger)
{
    snprintf(s->files[i], sizeof s->files[i], "person%zu/photo%zu.jpg", person, i);
    snprintf(s->names[i], sizeof s->names[i], "person%zu", person);
    s->truth[i] = stranger ? CLUSTER_NO_GROUP : (uint32_t)person;
    s->faces[i] = (struct report_face){.file = s->files[i],
                                       .photo = (int)i,
                                       .has_box = true,
                                       .box = {10.5f, 20, 30, 40},
                                       .quality = 0.75,
                                       .truth = stranger ? NULL : s->names[i],
                                       .thumbnail = BUF_INIT(1 << 20)};
}

/* false: no memory, or what cluster_run says. */
static inline bool sample_make(struct sample *s, const struct sample_options *o)
{
    const size_t n = o->people * o->each + o->strangers;
    uint64_t state = 42;
    float centre[SAMPLE_DIM] = {0};

    *s = (struct sample){.n = n,
                         .x = calloc(n * SAMPLE_DIM + 1, sizeof(float)),
                         .truth = calloc(n + 1, sizeof(uint32_t)),
                         .faces = calloc(n + 1, sizeof(struct report_face)),
                         .files = calloc(n + 1, sizeof *s->files),
                         .names = calloc(n + 1, sizeof *s->names),
                         .about = {.title = "sample", .model = "none", .photos = n}};
    if (!s->x || !s->truth || !s->faces || !s->files || !s->names) return false;
    for (size_t i = 0; i < n; i++) {
        const bool stranger = i >= o->people * o->each;
        const size_t person = stranger ? i : i / o->each;
        float *row = s->x + i * SAMPLE_DIM, length = 0;

        for (int k = 0; k < SAMPLE_DIM && (stranger || i % o->each == 0); k++)
            centre[k] = sample_random(&state);
        for (int k = 0; k < SAMPLE_DIM; k++) {
            row[k] = centre[k] + 0.25f * sample_random(&state);
            length += row[k] * row[k];
        }
        for (int k = 0; k < SAMPLE_DIM; k++) row[k] /= sqrtf(length);
        sample_face(s, i, person, stranger);
        if (o->thumbnails && !sample_thumbnail(&s->faces[i].thumbnail, person, i)) return false;
    }
    struct cluster_options c = CLUSTER_OPTIONS_INIT;
    struct cluster_report_options r = CLUSTER_REPORT_OPTIONS_INIT;
    c.algorithm = o->algorithm;
    c.cut = 0.75f;
    c.min_size = 2;
    c.full_tree = true;
    if (cluster_run(&s->result, s->x, n, SAMPLE_DIM, &c, NULL)) return false;
    r.cut = s->result->cut;
    r.possible = 0.3f;
    r.truth = s->truth;
    r.layout = n > 1000 ? CLUSTER_LAYOUT_NONE : CLUSTER_LAYOUT_TSNE; /* it takes seconds */
    return !cluster_report_new(&s->report, s->x, n, SAMPLE_DIM, s->result->labels, &r, NULL);
}

#endif
