"""Times visavis and its Python peers on the same pictures, pinned to one core, in one process run. Called by run.sh.

Per picture set, ROUNDS times, alternating (peer, visavis, peer, visavis, ...) so that a slow spell of the machine hits both; medians
of the rounds. Start-up is not counted on either side: the peers are warm in this process, and visavis's time is that of one run minus
that of another which does all but the work in question.

  whole   decode, MTCNN with points, dlib's 5-point chip, dlib's descriptor of the main face    visavis embed --face main
  mtcnn   facenet-pytorch's detect on decoded pictures (its own conversion included)            tests/bench/bench_face FILE...
  resnet  dlib's ResNet in PyTorch, batch 16, the faster of two memory layouts                  visavis model bench dlib-resnet

The ratio is of wall-clock times. "cpu" is the same ratio of processor times: where the two differ, the machine was not idle.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ['OMP_NUM_THREADS'] = '1'
CORE = max(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})  # children inherit it

import dlib
import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image

import pictures
from dlib_resnet import DlibResNet

RESNET = 'dlib_face_recognition_resnet_model_v1.dat'
POINTS5 = 'shape_predictor_5_face_landmarks.dat'
TARGET = {'whole': 8.0, 'mtcnn': 6.0, 'resnet': 2.0}  # times as fast


class Peers:
    def __init__(self, models):
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.mtcnn = MTCNN(keep_all=True, device='cpu')
        self.points = dlib.shape_predictor(os.path.join(models, POINTS5))
        self.embedder = dlib.face_recognition_model_v1(os.path.join(models, RESNET))
        self.torch_resnet = DlibResNet(os.path.join(models, RESNET)).eval()

    def embed(self, path):
        """One picture, all the way: descriptor of the largest face, or None."""
        picture = Image.open(path).convert('RGB')
        boxes, _, points = self.mtcnn.detect(picture, landmarks=True)
        if boxes is None:
            return None
        # MTCNN's box as the rectangle that dlib's predictor was trained on.
        side = 0.86 * (boxes[0][3] - boxes[0][1])
        cx, cy = points[0][:, 0].mean(), points[0][:, 1].mean() - 0.034 * side
        rect = dlib.rectangle(*(int(v) for v in (cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)))
        pixels = np.array(picture)
        return np.array(self.embedder.compute_face_descriptor(pixels, self.points(pixels, rect)))

    def resnet_ms(self, batch, repeats=12):
        """Milliseconds a crop, of the faster memory layout."""
        x = torch.rand(batch, 3, 150, 150) * 255
        best = None
        for layout in (torch.contiguous_format, torch.channels_last):
            y = x.contiguous(memory_format=layout)
            self.torch_resnet(y)
            costs = [per_picture_ms(self.torch_resnet, [y]) for _ in range(repeats)]
            wall = statistics.median(c.wall for c in costs) / batch
            if best is None or wall < best.wall:
                best = Cost(wall, statistics.median(c.cpu for c in costs) / batch)
        return best


class Cost:
    """Wall-clock and processor seconds, of this process or of its children."""

    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu

    def __sub__(self, other):
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def ms_each(self, n):
        return Cost(self.wall * 1e3 / n, self.cpu * 1e3 / n)

    @staticmethod
    def now(who):
        r = resource.getrusage(who)
        return Cost(time.perf_counter(), r.ru_utime + r.ru_stime)


def visavis(args, *rest):
    """Runs visavis; (JSON lines, what it cost)."""
    start = Cost.now(resource.RUSAGE_CHILDREN)
    run = subprocess.run([args.visavis, *rest], stdout=subprocess.PIPE, check=False)
    cost = Cost.now(resource.RUSAGE_CHILDREN) - start
    if run.returncode:
        sys.exit('compare: visavis %s: exit status %d' % (' '.join(rest[:4]), run.returncode))
    return [json.loads(line) for line in run.stdout.splitlines()], cost


def visavis_whole_ms(args, files, *options):
    command = ['embed', '--threads', '1', '--face', 'main', *options]
    _, one = visavis(args, *command, files[0])
    _, both = visavis(args, *command, files[0], *files)
    return (both - one).ms_each(len(files))


def visavis_mtcnn_ms(args, files):
    run = subprocess.run([args.bench_face, *files], stdout=subprocess.PIPE, check=True)
    answer = json.loads(run.stdout)
    return Cost(answer['ms'], answer['cpu_ms'])


def per_picture_ms(f, items):
    start = Cost.now(resource.RUSAGE_SELF)
    for item in items:
        f(item)
    return (Cost.now(resource.RUSAGE_SELF) - start).ms_each(len(items))


def visavis_resnet_ms(args, batch):
    lines, _ = visavis(args, 'model', 'bench', 'dlib-resnet', '--batch', str(batch), '--threads', '1')
    return Cost(lines[-1]['ms_a_row'], lines[-1]['ms_a_row'])


def agreement(peers, args, files):
    """Cosine between both sides' descriptors: what is compared must be the same job."""
    lines, _ = visavis(args, 'embed', '--threads', '1', '--face', 'main', '--average', 'none', *files)
    cosines = []
    for path, answer in zip(files, lines):
        d = peers.embed(path)
        if d is not None and answer.get('faces'):
            cosines.append(float(np.dot(d, answer['faces'][0]['embedding']) / np.linalg.norm(d)))
    return statistics.median(cosines), len(cosines)


def cpu_model():
    with open('/proc/cpuinfo') as f:
        return next((line.split(':', 1)[1].strip() for line in f if line.startswith('model name')), 'unknown')


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--visavis', required=True)
    ap.add_argument('--bench-face', required=True, help='tests/bench/bench_face of the same build')
    ap.add_argument('--models', required=True, help="folder with dlib's .dat files")
    ap.add_argument('--pictures', required=True, help='../shared/data/faces')
    ap.add_argument('--work', required=True)
    ap.add_argument('--rounds', type=int, default=3)
    args = ap.parse_args()

    peers = Peers(args.models)
    sets = {'lfw 250x250': pictures.lfw(args.pictures), 'mixed sizes': pictures.mixed(args.pictures, args.work)}
    print('%s, core %d of %d; torch %s, dlib %s, %d pictures a set, %d rounds' %
          (cpu_model(), CORE, os.cpu_count(), torch.__version__, dlib.__version__, pictures.COUNT, args.rounds), flush=True)
    cosine, n = agreement(peers, args, sets['lfw 250x250'][:40])
    print('same job: median cosine %.4f between both descriptors of %d faces' % (cosine, n), flush=True)

    missed = 0
    print('%-8s %-12s %10s %10s %8s %8s %8s' % ('what', 'pictures', 'peer ms', 'visavis ms', 'ratio', 'cpu', 'target'), flush=True)

    def row(what, on, measured, note=''):
        nonlocal missed
        wall, cpu = ([statistics.median(getattr(side, clock) for side in sides) for sides in zip(*measured)]
                     for clock in ('wall', 'cpu'))
        ratio = wall[0] / wall[1]
        met = ratio >= TARGET[what]
        missed += not met and not note
        print('%-8s %-12s %10.2f %10.2f %8.2f %8.2f %8s %s' %
              (what, on, *wall, ratio, cpu[0] / cpu[1], '' if note else '>= %g' % TARGET[what], note or ('' if met else 'MISSED')),
              flush=True)

    for name, files in sets.items():
        decoded = [Image.open(f).convert('RGB') for f in files]
        for f in files[:10]:
            peers.embed(f)
        whole, plain, mtcnn = [], [], []
        for _ in range(args.rounds):
            peer = per_picture_ms(peers.embed, files)
            whole.append((peer, visavis_whole_ms(args, files)))
            plain.append((peer, visavis_whole_ms(args, files, '--average', 'none', '--no-retry')))
            mtcnn.append((per_picture_ms(lambda p: peers.mtcnn.detect(p, landmarks=True), decoded), visavis_mtcnn_ms(args, files)))
        row('whole', name, whole)
        row('whole', name, plain, 'visavis as the peer does it: one crop, no second pass')
        row('mtcnn', name, mtcnn)
    row('resnet', 'batch 16', [(peers.resnet_ms(16), visavis_resnet_ms(args, 16)) for _ in range(args.rounds)])
    row('resnet', 'batch 1', [(peers.resnet_ms(1), visavis_resnet_ms(args, 1)) for _ in range(args.rounds)], 'for interest')
    print('%d of 5 targets missed' % missed)


main()
