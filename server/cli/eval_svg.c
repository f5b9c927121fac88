/* The two plots of the report, as SVG that stands in the page. */
#include <math.h>
#include <stdio.h>

#include "server/cli/eval.h"
#include "server/cli/page.h"

enum {
    CURVE_STEPS = 32, /* points a decade */
    BARS = 100,
};

enum err eval_svg_roc(struct buf *out, const struct roc *r, double least_fmr, struct err_info *err)
{
    const int decades = (int)ceil(-log10(least_fmr) - 1e-9);
    const int n = decades < 1 ? 1 : decades > 8 ? 8 : decades;
    struct roc_point p;
    double lowest = 1;
    char label[32];

    for (int k = 0; k <= n * CURVE_STEPS; k++) {
        roc_at_fmr(r, pow(10, -(double)k / CURVE_STEPS), &p);
        if (p.tar < lowest) lowest = p.tar;
    }
    /* from 0, .5, .8 or .9: a good curve lies along the top */
    const double base = lowest > 0.92 ? 0.9 : lowest > 0.82 ? 0.8 : lowest > 0.55 ? 0.5 : 0;
    TRY(page_svg(out, "ROC: true accept rate over false-match rate", err));
    for (int k = 0; k <= n; k++) {
        snprintf(label, sizeof label, k ? "1e-%d" : "1", k);
        TRY(page_tick_x(out, PAGE_LEFT + PAGE_PLOT_W * (1 - (double)k / n), label, err));
    }
    for (int k = 0; k <= 5; k++) {
        snprintf(label, sizeof label, "%.0f %%", 100 * (base + (1 - base) * k / 5));
        TRY(page_tick_y(out, PAGE_TOP + PAGE_PLOT_H * (1 - k / 5.0), label, err));
    }
    TRY(buf_puts(out, "<polyline class=\"roc\" points=\"", err));
    for (int k = 0; k <= n * CURVE_STEPS; k++) {
        roc_at_fmr(r, pow(10, -(double)k / CURVE_STEPS), &p);
        TRY(buf_printf(out, err, "%.1f,%.1f ",
                       PAGE_LEFT + PAGE_PLOT_W * (1 - (double)k / CURVE_STEPS / n),
                       PAGE_TOP + PAGE_PLOT_H * (1 - (p.tar - base) / (1 - base))));
    }
    TRY(buf_puts(out, "\"/>\n", err));
    TRY(page_axis_titles(out, "false-match rate (strangers accepted)", "true accept rate", err));
    return buf_puts(out, "</svg>\n", err);
}

/* One kind's share of the pairs in each bar, as a filled outline. */
static enum err bars(struct buf *out, const char *kind, const double share[BARS], double most,
                     struct err_info *err)
{
    TRY(buf_printf(out, err, "<path class=\"%s\" d=\"M%d,%d", kind, PAGE_LEFT,
                   PAGE_TOP + PAGE_PLOT_H));
    for (int i = 0; i < BARS; i++) {
        const double y = PAGE_TOP + PAGE_PLOT_H * (1 - share[i] / most);
        TRY(buf_printf(out, err, " L%.1f,%.1f L%.1f,%.1f",
                       PAGE_LEFT + (double)PAGE_PLOT_W * i / BARS, y,
                       PAGE_LEFT + (double)PAGE_PLOT_W * (i + 1) / BARS, y));
    }
    return buf_printf(out, err, " L%d,%d Z\"/>\n", PAGE_LEFT + PAGE_PLOT_W, PAGE_TOP + PAGE_PLOT_H);
}

enum err eval_svg_histogram(struct buf *out, const struct roc *r, float threshold,
                            struct err_info *err)
{
    double genuine[BARS], impostor[BARS], most = 0;
    char label[32];
    float low = -1;

    while (low < 0.9f && roc_fmr(r, low + 0.1f) > 0.9999 && roc_tar(r, low + 0.1f) > 0.9999)
        low += 0.1f;
    const float step = (1 - low) / BARS;
    for (int i = 0; i < BARS; i++) {
        const float a = low + step * (float)i, b = i + 1 < BARS ? a + step : 2;
        genuine[i] = roc_tar(r, a) - roc_tar(r, b);
        impostor[i] = roc_fmr(r, a) - roc_fmr(r, b);
        most = fmax(most, fmax(genuine[i], impostor[i]));
    }
    TRY(page_svg(out, "How many pairs have which similarity", err));
    for (int k = 0; k <= 4; k++) {
        snprintf(label, sizeof label, "%.1f %%", 100 * most * k / 4);
        TRY(page_tick_y(out, PAGE_TOP + PAGE_PLOT_H * (1 - k / 4.0), label, err));
    }
    for (int k = (int)roundf(low * 10); k <= 10; k += 2) {
        snprintf(label, sizeof label, "%.1f", k / 10.0);
        TRY(page_tick_x(out, PAGE_LEFT + PAGE_PLOT_W * (k / 10.0 - low) / (1 - low), label, err));
    }
    TRY(bars(out, "impostor", impostor, most, err));
    TRY(bars(out, "genuine", genuine, most, err));
    TRY(buf_printf(out, err, "<line class=\"cut\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n",
                   PAGE_LEFT + PAGE_PLOT_W * (threshold - low) / (1 - low),
                   PAGE_LEFT + PAGE_PLOT_W * (threshold - low) / (1 - low), PAGE_TOP,
                   PAGE_TOP + PAGE_PLOT_H));
    TRY(page_axis_titles(out, "similarity", "share of the pairs", err));
    return buf_puts(out, "</svg>\n", err);
}
