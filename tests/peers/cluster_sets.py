"""The data that tests/peers/cluster_check.py compares on: ten synthetic sets, and two of real faces. Rows are float32."""
import json
import os
import subprocess

import numpy as np


def unit(x):
    x = np.asarray(x, np.float64)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def blobs(rng, sizes, d, spread, offset=0.0, spreads=None):
    """Groups around random directions; offset: what all directions have in common, as faces do."""
    centres = rng.normal(size=(len(sizes), d)) + offset
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows, truth = [], []
    for i, size in enumerate(sizes):
        s = spread if spreads is None else spreads[i]
        rows.append(centres[i] + rng.normal(size=(size, d)) * s / np.sqrt(d))
        truth += [i] * size
    order = rng.permutation(len(truth))
    return unit(np.concatenate(rows)[order]), np.array(truth, np.uint32)[order]


def synthetic():
    """name -> (rows, truth)"""
    sets = {}
    rng = np.random.default_rng(6)
    sets["separated"] = blobs(rng, [40] * 8, 16, 0.3)
    sets["overlapping"] = blobs(rng, [60] * 10, 32, 1.1)
    sets["faces"] = blobs(rng, list(rng.integers(1, 12, 90)), 128, 0.35, offset=1.5)
    sets["densities"] = blobs(rng, [80] * 6, 24, 0, spreads=[0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
    sets["noise"] = (unit(rng.normal(size=(500, 12))), np.zeros(500, np.uint32))
    angle = np.concatenate([np.linspace(0, 1, 200), np.linspace(2, 3.2, 150), np.linspace(4, 4.4, 30)])
    sets["arcs"] = (unit(np.stack([np.cos(angle), np.sin(angle), 0.05 * rng.normal(size=angle.size)], 1)),
                    np.repeat([0, 1, 2], [200, 150, 30]).astype(np.uint32))
    sets["unbalanced"] = blobs(rng, [600, 100, 30, 10, 5], 20, 0.5)
    sets["small"] = blobs(rng, [5, 6, 4], 8, 0.4)
    sets["wide"] = blobs(rng, [20] * 15, 700, 0.9)
    x, t = blobs(rng, [50] * 12, 64, 0.6)
    sets["stray"] = (np.concatenate([x, unit(rng.normal(size=(200, 64)))]), np.concatenate([t, 12 + np.arange(200, dtype=np.uint32)]))
    return sets


def embed(visavis, files, face):
    """Embeddings of the faces, with the number of the file of each."""
    out = subprocess.run([visavis, "embed", "--face", face, "-"], input="\n".join(files) + "\n", capture_output=True, text=True,
                         check=True).stdout
    rows, at = [], []
    for i, line in enumerate(out.splitlines()):
        for f in json.loads(line).get("faces", []):
            rows.append(f["embedding"])
            at.append(i)
    return np.array(rows, np.float32), np.array(at, np.uint32)


def folders(root, least):
    """The photographs of everyone with at least so many, and who is on each."""
    files, who = [], []
    for number, name in enumerate(sorted(n for n in os.listdir(root) if os.path.isdir(os.path.join(root, n)))):
        photos = sorted(os.path.join(root, name, f) for f in os.listdir(os.path.join(root, name)))
        if len(photos) >= least:
            files += photos
            who += [number] * len(photos)
    return files, np.array(who, np.uint32)


def faces(visavis, shared):
    """The main faces of the cast, and of the people of View 1 with five photographs or more; and all faces of the cast's group
    pictures."""
    sets = {}
    for name, folder, least in (("cast", "cast", 1), ("view1", "lfw-view1", 5)):
        files, who = folders(os.path.join(shared, "data/faces", folder), least)
        rows, at = embed(visavis, files, "main")
        sets[name] = (rows, who[at])
    groups = [os.path.join(shared, "data/faces/cast", f"bbt{i}.jpg") for i in range(1, 6)]
    return sets, embed(visavis, groups, "all")
