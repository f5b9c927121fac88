/* Other pictures of the same character, for training. */
#ifndef VISAVIS_ENGINE_TRAIN_AUGMENT_H
#define VISAVIS_ENGINE_TRAIN_AUGMENT_H

#include "engine/train.h"
#include "engine/train/random.h"

/* out [TRAIN_PIXELS]: glyph / 255, as it is. */
void train_plain_glyph(float *out, const uint8_t *glyph);

/* out: glyph turned by quarter * 90 degrees clockwise; not the same array. */
void train_turn(uint8_t *out, const uint8_t *glyph, int quarter);

/* A glyph moved and bent at random, in [0, 1]: turned by up to 12 degrees, sheared, scaled by 0.88
 * to 1.12 along each axis, shifted by up to 1.5 pixels; bent along a smooth random field (elastic
 * distortion, Simard, Steinkraus and Platt 2003, on a coarse grid in place of their filter); its
 * strokes made thicker or thinner (a mix with the greatest or least of 3 x 3 pixels). */
void train_augment(float *out, const uint8_t *glyph, struct train_random *r);

#endif
