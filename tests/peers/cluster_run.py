"""Runs tests/peers/cluster_driver.c on arrays."""
import os
import subprocess

import numpy as np


class Driver:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def path(self, name):
        return os.path.join(self.work, name)

    def save(self, name, array):
        array.tofile(self.path(name))
        return self.path(name)

    def text(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def call(self, x, what, **more):
        """What the driver printed, as a dict; seconds: the least of its repetitions."""
        rows = self.save("rows", np.ascontiguousarray(x, np.float32))
        done = subprocess.run([self.program, rows, str(x.shape[0]), str(x.shape[1]), what] + [f"{k}={v}" for k, v in more.items()],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{what} {more}: {done.stderr.strip()}")
        told = {}
        for line in done.stdout.splitlines():
            key, value = line.split(" ", 1)
            if key == "parameter":
                name, value = value.split("=", 1)
                told["parameter " + name] = value
            elif key == "seconds":
                told[key] = min(told.get(key, float("inf")), float(value))
            else:
                told[key] = value
        return told

    def labels(self, x, what, **more):
        told = self.call(x, what, out=self.path("out"), **more)
        return np.fromfile(self.path("out"), np.int32), told

    def silhouettes(self, x, labels):
        self.call(x, "silhouette", labels=self.save("labels", labels), out=self.path("out"))
        return np.fromfile(self.path("out"), np.float64)

    def pca(self, x):
        told = self.call(x, "pca", out=self.path("out"))
        return np.fromfile(self.path("out"), np.float32).reshape(-1, 2), [float(v) for v in told["explained"].split()]

    def tree(self, x, min_points):
        self.call(x, "tree", min_points=min_points, out=self.path("out"))
        return np.fromfile(self.path("out"), np.dtype([("a", np.uint32), ("b", np.uint32), ("similarity", np.float32)]))

    def truth(self, labels, truth):
        x = np.zeros((len(labels), 1), np.float32)
        return self.call(x, "truth", labels=self.save("labels", labels), truth=self.save("truth", truth))
