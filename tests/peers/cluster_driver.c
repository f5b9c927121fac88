/* Clusters raw floats, for the comparisons in tests/peers: cluster_driver ROWS N D WHAT
 * [key=value...]
 *
 * ROWS: float32[N][D]. WHAT: an algorithm of cluster.h, or silhouette, pca, truth, report
 * (layout=0: none), or tree (HDBSCAN's, as {uint32 a, b; float32 similarity} [N - 1]). Keys: cut,
 * k, min_points, min_cluster_size, restarts, rounds, seed, threads, repeat, metric=euclidean,
 * centres=FILE (float32), labels=FILE (int32), truth=FILE (uint32), apart=FILE (uint32),
 * rates=FILE (text: fmr similarity), out=FILE. Prints one "name value" a line; out gets labels
 * (int32), silhouettes (float64) or coordinates (float32[N][2]). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "engine/base/pool.h"
#include "engine/cluster.h"
#include "engine/cluster/density.h"

struct arguments {
    int n;
    char **at;
};

static const char *value_of(const struct arguments *a, const char *key, const char *otherwise)
{
    const size_t length = strlen(key);
    for (int i = 0; i < a->n; i++) {
        if (!strncmp(a->at[i], key, length) && a->at[i][length] == '=')
            return a->at[i] + length + 1;
    }
    return otherwise;
}

static double number_of(const struct arguments *a, const char *key, double otherwise)
{
    const char *v = value_of(a, key, NULL);
    return v ? strtod(v, NULL) : otherwise;
}

static void die(const char *what)
{
    fprintf(stderr, "cluster_driver: %s\n", what);
    exit(2);
}

/* count numbers of 4 bytes; NULL name: NULL. */
static void *read_words(const char *name, size_t count)
{
    if (!name) return NULL;
    FILE *f = fopen(name, "rb");
    void *data = malloc(count * 4 + 1);
    if (!f || !data || fread(data, 4, count, f) != count) die(name);
    fclose(f);
    return data;
}

static void write_out(const struct arguments *a, const void *data, size_t bytes)
{
    const char *name = value_of(a, "out", NULL);
    FILE *f;
    if (!name) return;
    if (!(f = fopen(name, "wb")) || fwrite(data, 1, bytes, f) != bytes || fclose(f)) die(name);
}

static struct cluster_rate *read_rates(const char *name, int *n)
{
    static struct cluster_rate rates[64];
    FILE *f = name ? fopen(name, "r") : NULL;
    double fmr, similarity;

    for (*n = 0; f && *n < 64 && fscanf(f, "%lf %lf", &fmr, &similarity) == 2; ++*n)
        rates[*n] = (struct cluster_rate){fmr, (float)similarity};
    if (f) fclose(f);
    return *n ? rates : NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void tell_truth(const int32_t *labels, const uint32_t *truth, size_t n)
{
    struct cluster_truth t;
    struct err_info err;
    if (cluster_truth_scores(&t, labels, truth, n, &err)) die(err.message);
    printf("purity %.17g\nbcubed_precision %.17g\nbcubed_recall %.17g\nbcubed_f %.17g\nari %.17g\n"
           "nmi %.17g\n",
           t.purity, t.bcubed_precision, t.bcubed_recall, t.bcubed_f, t.ari, t.nmi);
}

static void run(const struct arguments *a, const char *what, const float *x, size_t n, int d,
                const struct cores *cores)
{
    struct cluster_options o = CLUSTER_OPTIONS_INIT;
    struct cluster_result *r = NULL;
    struct err_info err;
    const int repeat = (int)number_of(a, "repeat", 1);

    if (!cluster_algorithm_parse(&o.algorithm, what)) die("no such algorithm");
    o.cut = (float)number_of(a, "cut", NAN);
    o.k = (int)number_of(a, "k", 0);
    o.k_max = (int)number_of(a, "k_max", o.k_max);
    o.min_points = (int)number_of(a, "min_points", o.min_points);
    o.min_cluster_size = (int)number_of(a, "min_cluster_size", o.min_cluster_size);
    o.restarts = (int)number_of(a, "restarts", o.restarts);
    o.rounds = (int)number_of(a, "rounds", o.rounds);
    o.seed = (uint64_t)number_of(a, "seed", 0);
    o.full_tree = number_of(a, "full", 0) > 0;
    o.k_by = number_of(a, "gap", 0) > 0 ? CLUSTER_BY_GAP : CLUSTER_BY_SILHOUETTE;
    o.memory_max = (size_t)number_of(a, "memory", 0);
    if (!strcmp(value_of(a, "metric", ""), "euclidean")) o.metric = CLUSTER_EUCLIDEAN;
    o.rates = read_rates(value_of(a, "rates", NULL), &o.n_rates);
    o.centres = read_words(value_of(a, "centres", NULL), (size_t)o.k * (size_t)d);
    o.constraints.apart = read_words(value_of(a, "apart", NULL), n);
    o.cores = cores;
    for (int i = 0; i < repeat; i++) {
        cluster_result_free(r);
        const double from = now();
        if (cluster_run(&r, x, n, d, &o, &err)) die(err.message);
        printf("seconds %.4f\n", now() - from);
    }
    printf("clusters %d\noutliers %zu\ninertia %.17g\nrounds %d\nmerges %zu\nestimate_mb %zu\n",
           r->clusters, r->outliers, r->inertia, r->rounds, r->n_merges, r->memory >> 20);
    for (int i = 0; i < r->n_parameters; i++)
        printf("parameter %s=%s: %s\n", r->parameters[i].name, r->parameters[i].value,
               r->parameters[i].why);
    write_out(a, r->labels, n * sizeof *r->labels);
    const uint32_t *truth = read_words(value_of(a, "truth", NULL), n);
    if (truth) tell_truth(r->labels, truth, n);
    cluster_result_free(r);
}

static void silhouette(const struct arguments *a, const float *x, size_t n, int d,
                       const struct cores *cores)
{
    const int32_t *labels = read_words(value_of(a, "labels", NULL), n);
    double *out = calloc(n, sizeof *out);
    struct err_info err;
    int clusters = 0;

    if (!labels || !out) die("silhouette wants labels=FILE");
    for (size_t i = 0; i < n; i++) clusters = labels[i] >= clusters ? labels[i] + 1 : clusters;
    if (cluster_silhouettes(out, x, n, d, labels, clusters, cores, &err)) die(err.message);
    write_out(a, out, n * sizeof *out);
    free(out);
}

static void pca(const struct arguments *a, const float *x, size_t n, int d,
                const struct cores *cores)
{
    float *out = calloc(2 * n, sizeof *out);
    double explained[2];
    struct err_info err;

    if (!out || cluster_pca(out, explained, x, n, d, 2, cores, &err)) die(out ? err.message : "?");
    printf("explained %.17g %.17g\n", explained[0], explained[1]);
    write_out(a, out, 2 * n * sizeof *out);
    free(out);
}

static void report(const struct arguments *a, const float *x, size_t n, int d,
                   const struct cores *cores)
{
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;
    const int32_t *labels = read_words(value_of(a, "labels", NULL), n);
    struct cluster_report *r;
    struct err_info err;

    if (!labels) die("report wants labels=FILE");
    o.cut = (float)number_of(a, "cut", NAN);
    o.cores = cores;
    o.layout = number_of(a, "layout", 1) > 0 ? CLUSTER_LAYOUT_TSNE : CLUSTER_LAYOUT_NONE;
    const double from = now();
    if (cluster_report_new(&r, x, n, d, labels, &o, &err)) die(err.message);
    printf("seconds %.4f\nclusters %d\nsilhouette %.17g\npairs %zu\nbridges %zu\nestimate_mb %zu\n",
           now() - from, r->n_clusters, r->silhouette_mean, r->pairs_found, r->bridges_found,
           cluster_report_memory(n, d, r->n_clusters, &o) >> 20);
    if (r->layout) write_out(a, r->layout, 2 * n * sizeof(float));
    cluster_report_free(r);
}

static void tree(const struct arguments *a, const float *x, size_t n, int d,
                 const struct cores *cores)
{
    const struct cluster__job job = {cores, NULL};
    struct cluster__panels p;
    struct cluster__link *out = calloc(n, sizeof *out);
    struct err_info err;

    if (!out || cluster__panels_fill(&p, x, n, d, true, &err)) die("rows");
    if (cluster__spanning_tree(out, &p, (int)number_of(a, "min_points", 5), &job, &err))
        die(err.message);
    write_out(a, out, (n - 1) * sizeof *out);
    cluster__panels_release(&p);
    free(out);
}

/* ru_maxrss also counts what the parent had before exec. */
static long peak_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;

    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kb);
    if (f) fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    const struct arguments a = {argc - 5, argv + 5};
    struct pool *pool;
    struct rusage usage;
    struct err_info err;

    if (argc < 5) die("ROWS N D WHAT [key=value...]");
    const size_t n = strtoul(argv[2], NULL, 10);
    const int d = atoi(argv[3]);
    float *x = read_words(argv[1], n * (size_t)d);
    if (pool_new(&pool, (int)number_of(&a, "threads", 2), &err)) die(err.message);
    const struct cores cores = pool_cores(pool);
    if (!strcmp(argv[4], "silhouette"))
        silhouette(&a, x, n, d, &cores);
    else if (!strcmp(argv[4], "pca"))
        pca(&a, x, n, d, &cores);
    else if (!strcmp(argv[4], "report"))
        report(&a, x, n, d, &cores);
    else if (!strcmp(argv[4], "tree"))
        tree(&a, x, n, d, &cores);
    else if (!strcmp(argv[4], "truth"))
        tell_truth(read_words(value_of(&a, "labels", NULL), n),
                   read_words(value_of(&a, "truth", NULL), n), n);
    else
        run(&a, argv[4], x, n, d, &cores);
    getrusage(RUSAGE_SELF, &usage);
    printf("cpu %.3f\n", (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec);
    printf("rss_mb %ld\n", peak_kb() / 1024);
    pool_free(pool);
    free(x);
    return 0;
}
