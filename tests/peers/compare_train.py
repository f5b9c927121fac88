"""Training the glyph network in visavis and in PyTorch, images a second, in one run. Called by run.sh.

The same network (tests/bench/bench_train.c), batch of 256, batch-hard triplets, Adam, on one thread and on two; ROUNDS times in turn,
medians. A step is all of it but augmentation. PyTorch's is the faster of two memory layouts. Loads and compilation are not counted on either side: each begins with a step that is not timed. "cpu" is the same
ratio by processor time (both sides' threads spin while they wait, so it is for one thread only): where the two differ, the machine was
not idle.
"""
import argparse
import re
import statistics
import subprocess
import sys
import time

import torch

ROUNDS = 3
STEPS = 4
BATCH = 256
CLASSES = 20
TARGET = 1.5


def network():
    layers, c = [], 1
    for stage, width in enumerate((32, 48, 64)):
        for _ in range(2):
            layers += [torch.nn.Conv2d(c, width, 3, padding=1, bias=False), torch.nn.BatchNorm2d(width), torch.nn.ReLU(inplace=True)]
            c = width
        layers.append(torch.nn.MaxPool2d(3 if stage == 2 else 2, 2))
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(9 * 64, 128))


def batch_hard(x, labels, margin=0.3):
    apart = torch.cdist(x, x)
    same = labels[:, None] == labels[None, :]
    farthest = apart.masked_fill(~same, -1).max(1).values
    nearest = apart.masked_fill(same, 9).min(1).values
    return torch.relu(farthest + margin - nearest).mean()


class Peer:
    def __init__(self, layout):
        torch.manual_seed(1)
        self.net = network().to(memory_format=layout)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-3)
        self.x = torch.rand(BATCH, 1, 28, 28).contiguous(memory_format=layout)
        self.labels = torch.arange(BATCH) // 8 % CLASSES

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = batch_hard(torch.nn.functional.normalize(self.net(self.x)), self.labels)
        loss.backward()
        self.optimizer.step()

    def images_a_second(self, threads):
        """By wall clock and by processor time."""
        torch.set_num_threads(threads)
        self.step()
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(STEPS):
            self.step()
        return STEPS * BATCH / (time.perf_counter() - start), STEPS * BATCH / (time.process_time() - cpu)


def visavis(bench, threads):
    out = subprocess.run([bench, str(threads)], check=True, capture_output=True, text=True).stdout
    return tuple(float(v) for v in re.search(r'^# (\d+) images a second, (\d+)', out, re.M).groups())


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--bench-train', required=True)
    a = a.parse_args()
    peers = [Peer(torch.contiguous_format), Peer(torch.channels_last)]
    print('name,threads,visavis_images_s,pytorch_images_s,ratio,cpu,target')
    met = True
    for threads in (1, 2):
        ours, theirs = [], [[], []]
        for _ in range(ROUNDS):
            for peer, times in zip(peers, theirs):
                times.append(peer.images_a_second(threads))
            ours.append(visavis(a.bench_train, threads))
        wall, cpu = ([statistics.median(t[i] for t in ours) / max(statistics.median(t[i] for t in peer) for peer in theirs)
                      for i in (0, 1)])
        met &= wall >= TARGET
        mine = statistics.median(t[0] for t in ours)
        print('train,%d,%.0f,%.0f,%.2f,%s,%.1f' % (threads, mine, mine / wall, wall, '%.2f' % cpu if threads == 1 else '', TARGET))
    return 0 if met else 1


if __name__ == '__main__':
    sys.exit(main())
