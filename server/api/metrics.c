#include "server/api/api.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/jobs/jobs.h"

enum { METRICS_MAX_BYTES = 4 * 1024 * 1024, BATCH_BINS = 8 };

static enum err write_engine(struct engine *e, struct buf *out, struct err_info *err)
{
    static const char *const least[BATCH_BINS] = {"1", "2", "4", "8", "16", "32", "64", "+Inf"};
    struct engine_stats s;
    unsigned long long n = 0;

    engine_stats(e, &s);
    enum err rc =
        buf_printf(out, err,
                   "# HELP visavis_lanes Compute lanes.\n"
                   "# TYPE visavis_lanes gauge\nvisavis_lanes %d\n"
                   "# HELP visavis_lane_queue_depth Network runs that wait for a lane.\n"
                   "# TYPE visavis_lane_queue_depth gauge\nvisavis_lane_queue_depth %d\n"
                   "# HELP visavis_batch_rows Rows (pictures, windows, chips) in one pass "
                   "of a network.\n"
                   "# TYPE visavis_batch_rows histogram\n",
                   s.lanes, s.queue_depth);
    for (int i = 0; !rc && i < BATCH_BINS; i++) {
        n += s.batch_histogram[i];
        rc = buf_printf(out, err, "visavis_batch_rows_bucket{le=\"%s\"} %llu\n", least[i], n);
    }
    if (!rc)
        rc = buf_printf(out, err, "visavis_batch_rows_sum %llu\nvisavis_batch_rows_count %llu\n",
                        s.rows, n);
    return rc;
}

static enum err write_gallery(struct gallery *g, struct buf *out, struct err_info *err)
{
    struct gallery_info i;

    gallery_info(g, &i);
    return buf_printf(out, err,
                      "# HELP visavis_gallery_collections Collections.\n"
                      "# TYPE visavis_gallery_collections gauge\nvisavis_gallery_collections %zu\n"
                      "# HELP visavis_gallery_examples Examples in the search indexes.\n"
                      "# TYPE visavis_gallery_examples gauge\nvisavis_gallery_examples %zu\n"
                      "# HELP visavis_gallery_index_bytes Memory of the search indexes, about.\n"
                      "# TYPE visavis_gallery_index_bytes gauge\nvisavis_gallery_index_bytes %zu\n",
                      i.collections, i.examples, i.bytes);
}

static enum err write_process(struct buf *out, struct err_info *err)
{
    long pages = 0;
    struct rusage u;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f) {
        if (fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
        fclose(f);
    }
    getrusage(RUSAGE_SELF, &u);
    double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    return buf_printf(out, err,
                      "# HELP process_resident_memory_bytes Resident memory.\n"
                      "# TYPE process_resident_memory_bytes gauge\n"
                      "process_resident_memory_bytes %lld\n"
                      "# HELP process_cpu_seconds_total User and system time.\n"
                      "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n",
                      (long long)pages * sysconf(_SC_PAGESIZE), cpu);
}

/* GET /metrics: Prometheus' text format, version 0.0.4. */
enum err api_metrics(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    static const char *const no_parameters[] = {NULL};
    struct buf b = BUF_INIT(METRICS_MAX_BYTES);
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    if (app->http) rc = http_metrics(app->http, &b, err);
    if (!rc && app->engine) rc = write_engine(app->engine, &b, err);
    if (!rc && app->gallery) rc = write_gallery(app->gallery, &b, err);
    if (!rc && app->jobs)
        rc = buf_printf(&b, err,
                        "# HELP visavis_jobs Jobs that wait or run.\n"
                        "# TYPE visavis_jobs gauge\nvisavis_jobs %d\n",
                        jobs_waiting(app->jobs));
    if (!rc) rc = write_process(&b, err);
    if (rc)
        buf_release(&b);
    else
        reply_bytes(rp, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
    return rc;
}
