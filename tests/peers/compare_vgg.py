"""VGG-Face (VGG-16, full size, random weights) in visavis, ONNX Runtime and PyTorch, in one run. Called by run.sh.

The network is made here by PyTorch, saved as a state dict, imported by visavis, and exported by it as the ONNX file that ONNX
Runtime gets: the same weights on all sides, and what they answer is compared first. Then the forward pass alone, ROUNDS times in
turn, medians; visavis's time is that of `model bench`. The ratio is to the faster peer.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import torch
from PIL import Image

WIDTHS = [64, 64, 'pool', 128, 128, 'pool', 256, 256, 256, 'pool', 512, 512, 512, 'pool', 512, 512, 512, 'pool']
TARGET = {'f32': 1.8, 'bf16': 2.3}  # at batch 1, where the CPU has AVX-512 and its bf16 instructions
MEAN = np.array([129.1863, 104.7624, 93.5940], np.float32)


class VggFace(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.order, block, k, channels = [], 1, 1, 3
        for w in WIDTHS:
            if w == 'pool':
                self.order.append(None)
                block, k = block + 1, 1
                continue
            name = 'conv%d_%d' % (block, k)
            setattr(self, name, torch.nn.Conv2d(channels, w, 3, padding=1))
            self.order.append(name)
            channels, k = w, k + 1
        self.fc6 = torch.nn.Linear(25088, 4096)
        self.fc7 = torch.nn.Linear(4096, 4096)
        self.fc8 = torch.nn.Linear(4096, 2622)

    def forward(self, x):
        for name in self.order:
            x = torch.relu(getattr(self, name)(x)) if name else torch.max_pool2d(x, 2)
        x = torch.relu(self.fc6(x.flatten(1)))
        return torch.relu(self.fc7(x))


def make(args):
    """The network, and its model and ONNX files under the work folder."""
    torch.manual_seed(1)
    net = VggFace().eval()
    for p in net.parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p, nonlinearity='relu')
    models, pth, onnx = (os.path.join(args.work, f) for f in ('vgg', 'vgg.pth', 'vgg.onnx'))
    if not os.path.exists(onnx):
        torch.save(net.state_dict(), pth)
        subprocess.run([args.visavis, 'model', 'import', pth, '--models', models, '--name', 'vgg', '--accept-license'],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([args.visavis, 'model', 'export', 'vgg', '--models', models, '--onnx', onnx],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.remove(pth)
    for name in args.defaults:  # an engine wants its detector too
        link = os.path.join(models, os.path.basename(name))
        if not os.path.exists(link):
            os.symlink(os.path.abspath(name), link)
    return net, models, onnx


def session(onnx, threads):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(onnx, o, providers=['CPUExecutionProvider'])


def agreement(args, net, models, onnx):
    """Least cosine between the three programs' fc7 of one picture."""
    pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    png = os.path.join(args.work, 'vgg.png')
    Image.fromarray(pixels).save(png)
    x = np.ascontiguousarray((pixels.astype(np.float32) - MEAN).transpose(2, 0, 1)[None])
    with torch.no_grad():
        a = net(torch.from_numpy(x)).numpy()[0]
    s = session(onnx, 2)
    b = s.run(['embedding'], {s.get_inputs()[0].name: x})[0].ravel()
    run = subprocess.run([args.visavis, 'embed', '--models', models, '--model', 'vgg', '--precropped', png],
                         stdout=subprocess.PIPE, check=True)
    c = np.array(json.loads(run.stdout)['faces'][0]['embedding'])
    unit = [v / np.linalg.norm(v) for v in (a, b, c)]
    return min(float(unit[0] @ unit[1]), float(unit[0] @ unit[2]))


def median_ms(f, runs):
    times = []
    f()
    for _ in range(runs):
        start = time.perf_counter()
        f()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def layers(args, models, precision):
    """Each layer's GFLOP/s beside the peak of a product measured in the same run, and the dense layers' GB/s beside a measured
    read of the memory: what limits it. Winograd counts a convolution's own multiply-adds, so that it passes the peak."""
    run = subprocess.run([args.visavis, 'model', 'bench', 'vgg', '--models', models, '--batch', '1', '--threads', '2', '--precision',
                          precision], stdout=subprocess.PIPE, check=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    if lines[-1]['precision'] != precision:
        return
    peak = next(line for line in lines if 'peak_gflops' in line)
    print('%s, batch 1, 2 threads; a product reaches %.0f GFLOP/s, in bf16 %.0f; reading memory %.1f GB/s' %
          (precision, peak['peak_gflops'], peak['peak_gflops_bf16'], peak['read_gb_s']))
    print('  %-10s %-10s %8s %9s %8s %8s %8s' % ('layer', 'kernel', 'ms', 'GFLOP/s', 'of peak', 'GB/s', 'of read'))
    for line in lines:
        if line.get('gflops', 0) > 0 and 'layer' in line:
            print('  %-10s %-10s %8.2f %9.1f %8.2f %8.1f %8.2f' % (line['layer'], line['kernel'], line['ms'], line['gflops'],
                                                                  line['of_peak'], line['gb_s'], line['of_read']))
    sys.stdout.flush()


def visavis_ms(args, models, batch, threads, precision):
    run = subprocess.run([args.visavis, 'model', 'bench', 'vgg', '--models', models, '--batch', str(batch), '--threads',
                          str(threads), '--precision', precision], stdout=subprocess.PIPE, check=True)
    last = json.loads(run.stdout.splitlines()[-1])
    return last['ms_a_row'] * batch, last['precision']


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--visavis', required=True)
    ap.add_argument('--work', required=True)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('defaults', nargs='+', help='files of the default models')
    args = ap.parse_args()
    os.makedirs(args.work, exist_ok=True)
    net, models, onnx = make(args)
    print('VGG-Face, 15.5 GMACs a picture: onnxruntime %s, torch %s; least cosine between their answers %.7f' %
          (onnxruntime.__version__, torch.__version__, agreement(args, net, models, onnx)), flush=True)
    print('%-8s %8s %12s %10s %10s %8s %8s' % ('batch', 'threads', 'onnxruntime', 'torch', 'visavis', 'ratio', 'target'), flush=True)
    missed = 0
    for batch in (1, 8):
        x = np.random.default_rng(2).standard_normal((batch, 3, 224, 224), np.float32) * 60
        for threads in (1, 2):
            torch.set_num_threads(threads)
            s, t = session(onnx, threads), torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
            plain, name = torch.from_numpy(x), s.get_inputs()[0].name
            rows = {'ort': [], 'torch': [], 'f32': [], 'bf16': []}
            with torch.no_grad():
                for _ in range(args.rounds):
                    rows['ort'].append(median_ms(lambda: s.run(['embedding'], {name: x}), 5))  # pylint: disable=cell-var-from-loop
                    rows['torch'].append(min(median_ms(lambda: net(plain), 3), median_ms(lambda: net(t), 3)))  # pylint: disable=cell-var-from-loop
                    for precision in ('f32', 'bf16'):
                        ms, got = visavis_ms(args, models, batch, threads, precision)
                        if got == precision:
                            rows[precision].append(ms)
            m = {k: statistics.median(v) for k, v in rows.items() if v}
            for precision in ('f32', 'bf16'):
                if precision not in m:
                    continue
                ratio = min(m['ort'], m['torch']) / m[precision]
                judged = batch == 1 and threads == 2
                missed += judged and ratio < TARGET[precision]
                print('%-8d %8d %12.1f %10.1f %10.1f %8.2f %8s %s' %
                      (batch, threads, m['ort'], m['torch'], m[precision], ratio, '>= %g' % TARGET[precision] if judged else '',
                       precision + (' MISSED' if judged and ratio < TARGET[precision] else '')), flush=True)
    print('%d targets of VGG-Face missed' % missed)
    for precision in ('f32', 'bf16'):
        layers(args, models, precision)


if __name__ == '__main__':
    sys.exit(main())
