/* How well labels agree with who it is. Outliers are clusters of one. All of it comes from the
 * counts of rows by (cluster, person), which are sorted, not kept as a matrix. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/cluster.h"

struct pair {
    uint64_t cluster;
    uint32_t person;
};

/* Sums over the cells (cluster, person), the clusters and the people, of what the scores need. */
struct sums {
    double rows;
    double cell_square, cluster_square, person_square; /* of counts */
    double precision, recall;                          /* B-cubed, not divided */
    double pure;                                       /* largest cell of each cluster */
    double mutual, cluster_entropy, person_entropy;    /* in nats, see below */
    size_t people, clusters;
};

static int by_cluster(const void *pa, const void *pb)
{
    const struct pair *a = pa, *b = pb;
    if (a->cluster != b->cluster) return a->cluster < b->cluster ? -1 : 1;
    return a->person < b->person ? -1 : a->person > b->person;
}

static int by_person(const void *pa, const void *pb)
{
    const struct pair *a = pa, *b = pb;
    return a->person < b->person ? -1 : a->person > b->person;
}

static double entropy_of(double count, double rows)
{
    return -count / rows * log(count / rows);
}

/* people: sorted by person; fills [n] of the size of each row's person, by binary search later. */
static size_t size_of_person(const struct pair *people, size_t n, uint32_t person)
{
    size_t edge[2];

    for (int k = 0; k < 2; k++) { /* first row at or past (person, or the one after it) */
        size_t low = 0, high = n;
        while (low < high) {
            const size_t mid = (low + high) / 2;
            if (people[mid].person < person || (k == 1 && people[mid].person == person))
                low = mid + 1;
            else
                high = mid;
        }
        edge[k] = low;
    }
    return edge[1] - edge[0];
}

/* One cluster's rows, sorted by person. */
static void add_cluster(struct sums *s, const struct pair *row, size_t n, const struct pair *people)
{
    const double size = (double)n;
    double most = 0;

    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && row[j].person == row[i].person; j++) continue;
        const double cell = (double)(j - i);
        const double person = (double)size_of_person(people, (size_t)s->rows, row[i].person);
        s->cell_square += cell * cell;
        s->precision += cell * cell / size;
        s->recall += cell * cell / person;
        s->mutual += cell / s->rows * log(cell * s->rows / (size * person));
        most = cell > most ? cell : most;
    }
    s->pure += most;
    s->cluster_square += size * size;
    s->cluster_entropy += entropy_of(size, s->rows);
    s->clusters++;
}

static void add_people(struct sums *s, const struct pair *people, size_t n)
{
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && people[j].person == people[i].person; j++) continue;
        const double size = (double)(j - i);
        s->person_square += size * size;
        s->person_entropy += entropy_of(size, s->rows);
        s->people++;
    }
}

/* Hubert & Arabie 1985: pairs together in both, above what chance gives, over the most there can
 * be.
 */
static double adjusted_rand(const struct sums *s)
{
    const double pairs = s->rows * (s->rows - 1) / 2;
    const double both = (s->cell_square - s->rows) / 2;
    const double clusters = (s->cluster_square - s->rows) / 2;
    const double people = (s->person_square - s->rows) / 2;
    const double chance = pairs > 0 ? clusters * people / pairs : 0;
    const double most = (clusters + people) / 2;

    if (most == chance) return 1; /* both all alone, or both all together: they are equal */
    return (both - chance) / (most - chance);
}

static void score(struct cluster_truth *out, const struct sums *s)
{
    const double p = s->precision / s->rows, r = s->recall / s->rows;
    const double entropy = (s->cluster_entropy + s->person_entropy) / 2;
    const bool both_one = s->clusters == 1 && s->people == 1;

    *out = (struct cluster_truth){
        .rows = (size_t)s->rows,
        .people = s->people,
        .purity = s->pure / s->rows,
        .bcubed_precision = p,
        .bcubed_recall = r,
        .bcubed_f = 2 * p * r / (p + r),
        .ari = adjusted_rand(s),
        .nmi = both_one                          ? 1
               : !(entropy > 0) || s->mutual < 0 ? 0
                                                 : s->mutual / entropy,
    };
}

enum err cluster_truth_scores(struct cluster_truth *out, const int32_t *labels,
                              const uint32_t *truth, size_t n, struct err_info *err)
{
    struct pair *row AUTO_FREE = calloc(n + 1, sizeof *row);
    struct pair *people AUTO_FREE = calloc(n + 1, sizeof *people);
    struct sums s = {0};
    size_t m = 0;

    if (!row || !people) return err_set(err, ERR_NOMEM, "no memory for the scores of %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        if (truth[i] == CLUSTER_NO_GROUP) continue;
        const uint64_t alone = (uint64_t)INT32_MAX + 1 + i; /* past every label */
        row[m] = (struct pair){labels[i] < 0 ? alone : (uint64_t)labels[i], truth[i]};
        people[m] = row[m];
        m++;
    }
    if (!m) {
        *out = (struct cluster_truth){0, 0, NAN, NAN, NAN, NAN, NAN, NAN};
        return ERR_OK;
    }
    s.rows = (double)m;
    qsort(row, m, sizeof *row, by_cluster);
    qsort(people, m, sizeof *people, by_person);
    for (size_t i = 0, j; i < m; i = j) {
        for (j = i + 1; j < m && row[j].cluster == row[i].cluster; j++) continue;
        add_cluster(&s, row + i, j - i, people);
    }
    add_people(&s, people, m);
    score(out, &s);
    return ERR_OK;
}
