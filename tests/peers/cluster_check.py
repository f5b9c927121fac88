"""engine/cluster beside scikit-learn: the same labels up to renaming, the same silhouettes, coordinates and scores; and what auto
makes of real faces. cluster_check.py --driver PROGRAM --visavis PROGRAM --shared DIR   (make test-peers)"""
import argparse
import json
import os
import sys
import tempfile
import warnings

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn import metrics
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.cluster._hdbscan._linkage import MST_edge_dtype, make_single_linkage
from sklearn.cluster._hdbscan._tree import tree_to_labels
from sklearn.decomposition import PCA

import cluster_sets
from cluster_run import Driver

passed, failed = 0, 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"FAILED {name}: {detail}")


def same(a, b):
    """The same partition, with the same outliers."""
    a, b = np.asarray(a), np.asarray(b)
    if not np.array_equal(a < 0, b < 0):
        return False
    pairs = {(x, y) for x, y in zip(a, b)}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def differ(a, b):
    return f"{len(set(a))} clusters and {np.sum(np.asarray(a) < 0)} outliers, not {len(set(b))} and {np.sum(np.asarray(b) < 0)}; " \
           f"ARI {metrics.adjusted_rand_score(a, b):.6f}"


def bcubed(labels, truth):
    """Amigo et al. 2009, pair by pair; outliers alone."""
    labels = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
    l, t = labels[:, None] == labels, truth[:, None] == truth
    both = (l & t).sum(1)
    p, r = (both / l.sum(1)).mean(), (both / t.sum(1)).mean()
    return p, r, 2 * p * r / (p + r), labels


def check_linkage(driver, name, x):
    distance = metrics.pairwise_distances(x.astype(np.float64), metric="cosine")
    pairs = distance[np.triu_indices(len(x), 1)]
    for linkage in ("average", "complete"):
        for share in (0.02, 0.1, 0.3):
            # Where no pair of clusters is near the cut, so that the last bit of a float does not decide.
            cut = np.quantile(pairs, share) + 1.234e-5
            want = AgglomerativeClustering(n_clusters=None, distance_threshold=cut, metric="cosine", linkage=linkage).fit(
                x.astype(np.float64)).labels_
            got, _ = driver.labels(x, linkage, cut=repr(1 - cut))
            check(f"{name} {linkage} at {cut:.4f}", same(got, want), differ(got, want))
            k = min(len(set(want)), len(x) - 1)
            got, _ = driver.labels(x, linkage, k=k)
            check(f"{name} {linkage} k {k}", same(got, want), differ(got, want))


def check_density(driver, name, x):
    pairs = metrics.pairwise_distances(x.astype(np.float64), metric="cosine")[np.triu_indices(len(x), 1)]
    for share, least in ((0.005, 3), (0.02, 5), (0.05, 10)):
        eps = np.quantile(pairs, share) + 1.234e-5
        want = DBSCAN(eps=eps, min_samples=least, metric="cosine").fit(x.astype(np.float64)).labels_
        got, _ = driver.labels(x, "dbscan", cut=repr(1 - eps), min_points=least)
        check(f"{name} dbscan {eps:.4f} {least}", same(got, want), differ(got, want))
    for size, samples in ((2, 2), (3, 3), (5, 5), (5, 1), (10, 4)):
        if max(size, samples) < len(x):
            check_hdbscan(driver, f"{name} hdbscan {size} {samples}", x, size, samples)


def check_hdbscan(driver, name, x, size, samples):
    """A row's core distance is the weight of its edges to all that is nearer, and which of these equal edges is taken decides
    where it falls: scikit-learn's own labels change with the order of the rows. Where they do not, ours must be the same. Where
    they do, ours must be what scikit-learn makes of our spanning tree, and that tree must be as short as its own."""
    def peer(order):
        model = HDBSCAN(min_cluster_size=size, min_samples=samples, metric="cosine", copy=True)
        labels = np.empty(len(x), int)
        labels[order] = model.fit(x[order].astype(np.float64)).labels_
        return labels

    got, _ = driver.labels(x, "hdbscan", min_cluster_size=size, min_points=samples)
    want = peer(np.arange(len(x)))
    if all(same(peer(np.random.default_rng(i).permutation(len(x))), want) for i in range(5)):
        check(name, same(got, want), differ(got, want))
        return
    ours = driver.tree(x, samples)
    distance = metrics.pairwise_distances(x.astype(np.float64), metric="cosine")
    core = np.partition(distance, samples - 1, axis=0)[samples - 1]
    reach = np.maximum(np.maximum(core[:, None], core), distance)
    shortest = np.sort(minimum_spanning_tree(reach).data)
    off = np.abs(np.sort(reach[ours["a"], ours["b"]]) - shortest).max()
    check(f"{name}, the tree", len(shortest) == len(ours) and off <= 1e-6, f"off by {off:.3g}")
    tree = np.empty(len(ours), MST_edge_dtype)
    tree["current_node"], tree["next_node"], tree["distance"] = ours["a"], ours["b"], 1 - ours["similarity"].astype(np.float64)
    want, _ = tree_to_labels(make_single_linkage(tree), size, "eom", False, 0.0, None)
    check(f"{name}, from the tree", same(got, want), differ(got, want))


def check_kmeans(driver, name, x):
    rng = np.random.default_rng(1)
    for k in (2, 5, min(12, len(x) - 1)):
        centres = x[rng.choice(len(x), k, replace=False)]
        want = KMeans(k, init=centres.astype(np.float64), n_init=1, tol=0, max_iter=1000).fit(x.astype(np.float64))
        got, told = driver.labels(x, "kmeans", k=k, metric="euclidean", rounds=1000, centres=driver.save("centres", centres))
        check(f"{name} kmeans {k}", same(got, want.labels_), differ(got, want.labels_))
        check(f"{name} kmeans {k} inertia", abs(float(told["inertia"]) - want.inertia_) <= 1e-5 * want.inertia_ + 1e-9,
              f"{told['inertia']}, not {want.inertia_}")


def check_report(driver, name, x, truth):
    labels = np.unique(truth, return_inverse=True)[1].astype(np.int32)
    for which, l in (("truth", labels), ("random", np.random.default_rng(2).integers(0, 4, len(x)).astype(np.int32))):
        if not 1 < len(set(l)) < len(x):
            continue
        want = metrics.silhouette_samples(x.astype(np.float64), l, metric="cosine")
        got = driver.silhouettes(x, l)
        check(f"{name} silhouettes {which}", np.abs(got - want).max() <= 1e-6, f"off by {np.abs(got - want).max():.3g}")
    pca = PCA(2, svd_solver="full").fit(x.astype(np.float64))
    want, sign = pca.transform(x.astype(np.float64)), []
    for axis in pca.components_:
        sign.append(np.sign(axis[np.abs(axis).argmax()]))
    got, explained = driver.pca(x)
    off = np.abs(got - want * sign).max()
    check(f"{name} pca", off <= 1e-6, f"off by {off:.3g}")
    off = np.abs(np.array(explained) - pca.explained_variance_ratio_).max()
    check(f"{name} pca explained", off <= 1e-9, f"off by {off:.3g}")


def check_scores(driver, name, truth):
    rng = np.random.default_rng(3)
    guess = np.where(rng.random(len(truth)) < 0.7, truth.astype(np.int64), rng.integers(0, 9, len(truth)))
    guess = np.where(rng.random(len(truth)) < 0.1, -1, guess).astype(np.int32)
    p, r, f, alone = bcubed(guess, truth)
    want = {"bcubed_precision": p, "bcubed_recall": r, "bcubed_f": f, "ari": metrics.adjusted_rand_score(truth, alone),
            "nmi": metrics.normalized_mutual_info_score(truth, alone)}
    table = metrics.cluster.contingency_matrix(truth, alone)
    want["purity"] = table.max(0).sum() / len(truth)
    told = driver.truth(guess, truth)
    for key, value in want.items():
        check(f"{name} {key}", abs(float(told[key]) - value) <= 1e-9, f"{told[key]}, not {value}")


def calibration_rates(driver, path):
    """The cuts that engine/match.h reads from the calibration at the rates of cluster_rates: the least similarity whose curve is
    at or below each."""
    with open(path, encoding="utf-8") as f:
        c = json.load(f)
    similarity, fmr = np.array(c["impostor"]["similarity"]), np.array(c["impostor"]["fmr"])
    rows = []
    for i in range(17):
        rate = 10 ** (-6 + i / 4)
        if rate * c["impostor_pairs"] >= 10:
            rows.append((rate, np.interp(-np.log(rate), -np.log(fmr), similarity)))
    return driver.text("rates", "".join(f"{f:.10g} {s:.10g}\n" for f, s in rows))


def check_faces(driver, sets, groups, rates):
    for name, least in (("cast", 0.95), ("view1", 0.97)):
        x, truth = sets[name]
        _, told = driver.labels(x, "auto", rates=rates, truth=driver.save("truth", truth))
        print(f"  {name}: {len(x)} faces of {len(set(truth))} people: {told['clusters']} clusters, {told['outliers']} outliers, "
              f"B-cubed F {float(told['bcubed_f']):.4f} (precision {float(told['bcubed_precision']):.4f}, recall "
              f"{float(told['bcubed_recall']):.4f}), ARI {float(told['ari']):.4f}; {told['parameter cut']}")
        check(f"{name} auto", float(told["bcubed_f"]) >= least, told["bcubed_f"])
    x, truth = sets["cast"]
    more, photo = groups
    rows = np.concatenate([x, more])
    apart = np.concatenate([photo.max() + 1 + np.arange(len(x)), photo]).astype(np.uint32)
    labels, told = driver.labels(rows, "auto", rates=rates, apart=driver.save("apart", apart))
    people = {}
    for label, who in zip(labels[:len(x)], truth):
        people.setdefault(label, set()).add(who)
    good = all(len(v) == 1 for v in people.values()) and -1 not in people
    # Who is where on the group pictures: by the cast's own photographs, each face's nearest person by mean similarity.
    means = np.stack([x[truth == w].mean(0) for w in sorted(set(truth))])
    nearest = np.array(sorted(set(truth)))[(more @ means.T).argmax(1)]
    wrong = [i for i in range(len(more)) if labels[len(x) + i] < 0 or people.get(labels[len(x) + i]) != {nearest[i]}]
    print(f"  cast and its {len(more)} faces on group pictures: {told['clusters']} clusters, {told['outliers']} outliers, "
          f"{len(wrong)} in another group; {told['parameter cut']}")
    check("group pictures auto", good and not wrong and int(told["clusters"]) == 8, f"{told['clusters']} clusters, wrong {wrong}")


def check_threads(driver, name, x):
    for what, more in (("average", {"cut": 0.6, "full": 1}), ("complete", {"cut": 0.6}), ("hdbscan", {}), ("dbscan", {"cut": 0.7}),
                       ("whispers", {"cut": 0.7}), ("kmeans", {"k": 9}), ("kmeans", {"k": 9, "metric": "euclidean"})):
        if "k" in more and more["k"] > len(x):
            continue
        if what == "hdbscan" and len(x) < 5:
            continue
        told = [driver.labels(x, what, threads=t, **more) for t in (1, 2, 5)]
        keys = [{k: v for k, v in t[1].items() if k not in ("seconds", "cpu", "rss_mb", "estimate_mb")} for t in told]
        check(f"{name} {what} threads", all(np.array_equal(t[0], told[0][0]) for t in told) and keys[0] == keys[1] == keys[2])


def main():
    parser = argparse.ArgumentParser()
    for name in ("--driver", "--visavis", "--shared"):
        parser.add_argument(name, required=True)
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as work:
        driver = Driver(a.driver, work)
        sets, groups = cluster_sets.synthetic(), None
        if os.path.isdir(os.path.join(a.shared, "data/faces/lfw-view1")):
            real, groups = cluster_sets.faces(a.visavis, a.shared)
            sets.update(real)
        else:
            print("skipped: real faces: ../shared/data/faces is not here")
        for name, (x, truth) in sets.items():
            before = failed
            check_linkage(driver, name, x)
            check_density(driver, name, x)
            check_kmeans(driver, name, x)
            check_report(driver, name, x, truth)
            check_scores(driver, name, truth)
            check_threads(driver, name, x)
            print(f"clusters: {name} ({len(x)} x {x.shape[1]}): {'ok' if failed == before else 'FAILED'}")
        if groups:
            check_faces(driver, sets, groups, calibration_rates(driver, "deploy/models/dlib-resnet.calibration.json"))
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
