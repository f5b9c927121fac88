#include "server/http/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

static const int known_status[METRICS_STATUSES - 1] = {
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 499, 500, 503,
};
static const double bucket_ms[METRICS_BUCKETS - 1] = {
    1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
};

enum err metrics_init(struct metrics *m, const struct route *routes, size_t n_routes,
                      struct err_info *err)
{
    m->routes = routes;
    m->n_routes = n_routes;
    m->requests = calloc(n_routes + 1, sizeof m->requests[0]);
    return m->requests ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for metrics");
}

void metrics_release(struct metrics *m)
{
    free(m->requests);
    m->requests = NULL;
}

static void observe(struct histogram *h, double ms)
{
    int i = 0;
    while (i < METRICS_BUCKETS - 1 && ms > bucket_ms[i]) i++;
    atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (unsigned long long)(ms * 1000), memory_order_relaxed);
}

void metrics_request(struct metrics *m, const struct route *route, int status, double total_ms,
                     const double stage_ms[STAGE_COUNT])
{
    size_t r = route ? (size_t)(route - m->routes) : m->n_routes;
    int s = 0;
    while (s < METRICS_STATUSES - 1 && known_status[s] != status) s++;
    atomic_fetch_add_explicit(&m->requests[r][s], 1, memory_order_relaxed);
    observe(&m->total, total_ms);
    for (int i = 0; i < STAGE_COUNT; i++)
        if (stage_ms[i] > 0) observe(&m->stage[i], stage_ms[i]);
}

static enum err write_requests(const struct metrics *m, struct buf *out, struct err_info *err)
{
    enum err rc = buf_puts(out,
                           "# HELP visavis_http_requests_total Requests answered, by route and "
                           "status (499: the client went away).\n"
                           "# TYPE visavis_http_requests_total counter\n",
                           err);
    for (size_t r = 0; !rc && r <= m->n_routes; r++) {
        const char *method = r < m->n_routes ? m->routes[r].method : "";
        const char *path = r < m->n_routes ? m->routes[r].path : "none";
        for (int s = 0; !rc && s < METRICS_STATUSES; s++) {
            unsigned long long n = atomic_load_explicit(&m->requests[r][s], memory_order_relaxed);
            if (!n) continue;
            char status[16] = "other";
            if (s < METRICS_STATUSES - 1) snprintf(status, sizeof status, "%d", known_status[s]);
            rc = buf_printf(
                out, err,
                "visavis_http_requests_total{method=\"%s\",route=\"%s\",status=\"%s\"} %llu\n",
                method, path, status, n);
        }
    }
    return rc;
}

/* label: "" or "stage=\"recv\"" */
static enum err write_histogram(const struct histogram *h, const char *name, const char *label,
                                struct buf *out, struct err_info *err)
{
    const char *comma = *label ? "," : "";
    unsigned long long n = 0;
    enum err rc = ERR_OK;

    for (int i = 0; !rc && i < METRICS_BUCKETS; i++) {
        char le[24] = "+Inf";
        if (i < METRICS_BUCKETS - 1) snprintf(le, sizeof le, "%g", bucket_ms[i] / 1000);
        n += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        rc = buf_printf(out, err, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, comma, le, n);
    }
    double sum = (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6;
    const char *open = *label ? "{" : "", *close = *label ? "}" : "";
    if (!rc) rc = buf_printf(out, err, "%s_sum%s%s%s %.6f\n", name, open, label, close, sum);
    if (!rc) rc = buf_printf(out, err, "%s_count%s%s%s %llu\n", name, open, label, close, n);
    return rc;
}

enum err metrics_write(const struct metrics *m, struct buf *out, struct err_info *err)
{
    enum err rc = write_requests(m, out, err);
    if (!rc)
        rc = buf_puts(out,
                      "# HELP visavis_http_request_seconds From the request line to the last byte "
                      "of the answer.\n"
                      "# TYPE visavis_http_request_seconds histogram\n",
                      err);
    if (!rc) rc = write_histogram(&m->total, "visavis_http_request_seconds", "", out, err);
    if (!rc)
        rc = buf_puts(out,
                      "# HELP visavis_stage_seconds Time in one stage of a request; only requests "
                      "that went through it.\n"
                      "# TYPE visavis_stage_seconds histogram\n",
                      err);
    for (int i = 0; !rc && i < STAGE_COUNT; i++) {
        char label[40];
        snprintf(label, sizeof label, "stage=\"%s\"", request_stage_name((enum stage)i));
        rc = write_histogram(&m->stage[i], "visavis_stage_seconds", label, out, err);
    }
    return rc;
}
