/* A convolution and the max_pool after it at once; part of simd_impl.h. */

static bool conv_max2_takes(int oc)
{
    int wide = panel(oc);
    return wide == oc && PRODUCTS_MAX2[wide / VL][1] != NULL;
}

/* Where the taps of two rows of 2 n pixels start, the first of them at (y, x): in[taps][4 n].
 * Pixels past the right and the bottom edge (ceil mode) are the last ones again: a maximum does not
 * notice. */
INLINE void point_max2(const struct nn__conv *c, const struct taps *k, int image, int y, int x,
                       int n, const float **in)
{
    const int y0 = y * c->sh - c->pt, x0 = x * c->sw - c->pl;
    if (y + 2 <= c->oh && x + 2 * n <= c->ow && y0 >= 0 && x0 >= 0 &&
        y0 + c->sh + (c->kh - 1) * c->dilation < c->ih &&
        x0 + (2 * n - 1) * c->sw + (c->kx - 1) * c->dilation < c->iw) {
        const float *first =
            c->in + (size_t)image * c->image + (size_t)y0 * c->row + (size_t)x0 * c->pixel;
        const size_t down = (size_t)c->sh * c->row;
        for (int t = 0; t < k->count; t++, in += 4 * n)
            for (int i = 0; i < 2 * n; i++) {
                in[i] = first + (k->off[t] + i * k->step);
                in[2 * n + i] = in[i] + down;
            }
        return;
    }
    for (int i = 0; i < 4 * n; i++) {
        struct pixel p = {image, y + i / (2 * n), x + i % (2 * n)};
        if (p.y >= c->oh) p.y = c->oh - 1;
        if (p.x >= c->ow) p.x = c->ow - 1;
        point_one(c, k, p, 4 * n, in + i);
    }
}

static void conv_max2(const struct nn__conv *c, const struct nn__window *t, int row, int rows)
{
    struct block k;
    struct taps taps;
    const int nv = panel(c->oc) / VL, most = BLOCK[nv] / 4;
    find_taps(&taps, c);
    k.taps = taps.count;
    k.run = c->run;
    k.act = &c->act;
    k.out_pixel = (size_t)c->oc;
    k.w = c->w;
    k.b = c->b;
    k.channel = 0;
    k.plus_vectors = 0;
    for (int r = row; r < row + rows; r++) {
        k.out = t->out + (size_t)r * t->ow * c->oc;
        for (int x = 0, n; x < t->ow; x += n, k.out += (size_t)n * c->oc) {
            n = t->ow - x < most ? t->ow - x : most;
            point_max2(c, &taps, r / t->oh, r % t->oh * 2, 2 * x, n, k.in);
            PRODUCTS_MAX2[nv][n](&k);
        }
    }
}
