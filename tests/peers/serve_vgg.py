"""VGG-Face served: 16 clients on POST /v1/embed with an aligned picture, beside the network alone at batch 8, in one run; and the
server's memory beside the size of the weights. Called by run.sh after compare_vgg.py, which made the model.

serve_vgg.py --visavis BINARY --work FOLDER [--rounds N] [--seconds S]

Alone is `model bench --batch 8`, ROUNDS times in turn with the clients; medians. Memory is RssAnon + RssFile, sampled while the
clients ask; "loading" is the most that the process ever held (VmHWM: the measurement that precedes bf16 is in it).
"""
import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'http'), os.path.join(HERE, '..', 'bench')]
import client  # noqa: E402
import load  # noqa: E402

CLIENTS = 16
THROUGHPUT = 0.95  # of the network alone
MEMORY = {'f32': 1.5, 'bf16': 0.9}  # of the weights in float32


def request():
    pixels = np.random.default_rng(3).integers(0, 256, (224, 224, 3), np.uint8)
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, 'JPEG', quality=90)
    body, kind = client.form({'image': picture.getvalue(), 'precropped': 'true'})
    return (f'POST /v1/embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode() + body


def alone(args, models, precision):
    run = subprocess.run([args.visavis, 'model', 'bench', 'vgg', '--models', models, '--batch', '8', '--precision', precision],
                         stdout=subprocess.PIPE, check=True)
    last = json.loads(run.stdout.splitlines()[-1])
    return 1e3 / last['ms_a_row'], last['precision']


def held(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        kb = {line.split(':')[0]: int(line.split()[1]) for line in f if line.startswith(('Rss', 'VmHWM'))}
    return (kb['RssAnon'] + kb['RssFile']) * 1024, kb['VmHWM'] * 1024


def together(server, ask, seconds, memory):
    """Pictures a second; only whole batches in the middle count: what is answered between the two marks."""
    done, stop = [0] * CLIENTS, threading.Event()

    def one(n):
        c = load.Connection(server)
        while not stop.is_set():
            if c.ask(ask) != 200:
                raise RuntimeError('not 200')
            done[n] += 1

    threads = [threading.Thread(target=one, args=(n,)) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    while sum(done) < CLIENTS:
        time.sleep(0.01)
    first, begun = sum(done), time.monotonic()
    while time.monotonic() - begun < seconds:
        time.sleep(0.1)
        memory.append(held(server.process.pid)[0])
    last, ended = sum(done), time.monotonic()
    stop.set()
    for t in threads:
        t.join()
    return (last - first) / (ended - begun)


def measure(args, models, precision, weights):
    ask, memory, rates, served = request(), [], [], []
    got = alone(args, models, precision)[1]
    if got != precision:
        print('%-6s skipped: this CPU has no bf16 instructions' % precision, flush=True)
        return 0
    with client.Server(os.path.abspath(args.visavis), '--models', models, '--model', 'vgg', '--precision', precision) as server:
        for _ in range(args.rounds):
            rates.append(alone(args, models, precision)[0])
            served.append(together(server, ask, args.seconds, memory))
        loading = held(server.process.pid)[1]
    ratios = [s / r for s, r in zip(served, rates)]
    ratio, bytes_ratio = statistics.median(ratios), max(memory) / weights
    print('%-6s alone %.2f/s, %d clients %.2f/s: ratio %.3f (%s), target >= %g%s' %
          (precision, statistics.median(rates), CLIENTS, statistics.median(served), ratio, ' '.join('%.3f' % r for r in ratios),
           THROUGHPUT, '' if ratio >= THROUGHPUT else ' MISSED'), flush=True)
    print('%-6s memory %.0f MB, %.2f of the weights, target <= %g%s; most while loading %.0f MB' %
          (precision, max(memory) / 1e6, bytes_ratio, MEMORY[precision], '' if bytes_ratio <= MEMORY[precision] else ' MISSED',
           loading / 1e6), flush=True)
    return (ratio < THROUGHPUT) + (bytes_ratio > MEMORY[precision])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--visavis', required=True)
    ap.add_argument('--work', required=True)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--seconds', type=float, default=10)
    args = ap.parse_args()
    models = os.path.join(args.work, 'vgg')
    weights = os.path.getsize(os.path.join(models, 'vgg.safetensors'))
    print('VGG-Face served, weights of %.0f MB' % (weights / 1e6), flush=True)
    print('%d targets of serving VGG-Face missed' % sum(measure(args, models, p, weights) for p in ('f32', 'bf16')))


if __name__ == '__main__':
    sys.exit(main())
