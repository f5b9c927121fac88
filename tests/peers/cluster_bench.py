"""engine/cluster beside scikit-learn and dlib: seconds of both in one run, one after the other.
cluster_bench.py --driver PROGRAM [--n 10000,50000] [--only average,...] [--threads N]   (make bench-peers)

The rows look like faces: people of one to two hundred photographs around directions that have much in common, 128 numbers.
scikit-learn keeps n x n float64 for average linkage and for HDBSCAN by cosine: what would need more than the machine has free is
left out, and named. HDBSCAN is given unit rows and Euclid there too (its tree search, no matrix). The least of the repetitions
counts, wall and processor time."""
import argparse
import os
import tempfile
import time

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans

import cluster_sets
from cluster_run import Driver

CUT = 0.72  # of these rows: about one pair of strangers in 100,000


def rows(n):
    rng = np.random.default_rng(n)
    sizes = []
    while sum(sizes) < n:
        sizes.append(min(int(rng.zipf(1.7)), 200))
    sizes[-1] -= sum(sizes) - n
    return cluster_sets.blobs(rng, [s for s in sizes if s > 0], 128, 0.55, offset=1.5)


def free_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))


def whispers(x):
    import dlib
    descriptors = [dlib.vector(v.astype(float)) for v in x]
    return lambda: dlib.chinese_whispers_clustering(descriptors, float(np.sqrt(2 - 2 * CUT)))


def cases(x):
    """name, what ours is asked, the peer's call, the bytes that it needs for matrices"""
    n = len(x)
    square = 8 * n * n
    for k in (100, 1000):
        start = x[:k].copy()
        yield (f"kmeans k={k} 20 rounds", ("kmeans", {"k": k, "rounds": 20, "metric": "euclidean", "centres": start}),
               lambda s=start, c=k: KMeans(c, init=s, n_init=1, tol=0, max_iter=20).fit(x), 0)
        yield (f"kmeans k={k} k-means++", ("kmeans", {"k": k, "rounds": 20, "metric": "euclidean", "restarts": 1}),
               lambda c=k: KMeans(c, n_init=1, tol=0, max_iter=20, random_state=0).fit(x), 0)
    yield ("average linkage", ("average", {"cut": CUT}),
           lambda: AgglomerativeClustering(n_clusters=None, distance_threshold=1 - CUT, metric="cosine", linkage="average").fit(x),
           3 * square)
    yield ("average linkage, whole tree", ("average", {"cut": CUT, "full": 1}),
           lambda: AgglomerativeClustering(n_clusters=None, distance_threshold=1 - CUT, metric="cosine", linkage="average").fit(x),
           3 * square)
    yield ("complete linkage", ("complete", {"cut": CUT}),
           lambda: AgglomerativeClustering(n_clusters=None, distance_threshold=1 - CUT, metric="cosine", linkage="complete").fit(x),
           3 * square)
    yield "hdbscan, peer by cosine", ("hdbscan", {}), lambda: HDBSCAN(metric="cosine", copy=True).fit(x), 3 * square
    yield "hdbscan, peer by Euclid", ("hdbscan", {}), lambda: HDBSCAN(metric="euclidean", copy=True).fit(x), 0
    yield "dbscan", ("dbscan", {"cut": CUT}), lambda: DBSCAN(eps=1 - CUT, metric="cosine").fit(x), 0
    yield "whispers, peer dlib", ("whispers", {"cut": CUT}), whispers(x), 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--n", default="10000,50000")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=2)
    a = parser.parse_args()
    print("what,n,ours_s,peer_s,ratio,ours_cpu_s,peer_cpu_s,ours_rss_mb", flush=True)
    with tempfile.TemporaryDirectory() as work:
        driver = Driver(a.driver, work)
        for n in (int(v) for v in a.n.split(",")):
            x, _ = rows(n)
            for name, (what, more), peer, need in cases(x):
                if not any(name.startswith(o) for o in a.only.split(",")):
                    continue
                more = {k: driver.save(k, v) if isinstance(v, np.ndarray) else v for k, v in more.items()}
                ours, theirs = [], []
                for _ in range(a.repeat):
                    told = driver.call(x, what, threads=a.threads, **more)
                    ours.append((told["seconds"], float(told["cpu"])))
                    if need > free_bytes():
                        continue
                    wall, cpu = time.monotonic(), time.process_time()
                    peer()
                    theirs.append((time.monotonic() - wall, time.process_time() - cpu))
                (s, c), rss = min(ours), told["rss_mb"]
                if theirs:
                    ps, pc = min(theirs)
                    print(f"{name},{n},{s:.2f},{ps:.2f},{ps / s:.1f},{c:.2f},{pc:.2f},{rss}", flush=True)
                else:
                    print(f"{name},{n},{s:.2f},needs {need >> 30} GB,,{c:.2f},,{rss}", flush=True)


if __name__ == "__main__":
    main()
