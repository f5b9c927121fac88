"""Networks that visavis exports, run by ONNX Runtime beside visavis itself on the same random pictures. Called by test.sh.

visavis answers with unit vectors. To see what its networks give, each is copied into an embedder whose one output is all of the
network's, then the input's first pixel: these three numbers are known here, so they give the length back. What ONNX Runtime
gets is the export of the model as it is; how its input is made is read from that file. Compared are all outputs, of pictures alone
(batch 1) and together (batch 3): the largest difference must be within 1e-5 of the output's largest value.

Networks: the default models, the mini VGG-Face in ../shared, small ONNX files, random graphs of every kind of op; for MTCNN also the goldens in
../shared, which other programs made. Ends with "N passed, N failed".
"""
import argparse
import json
import os
import struct
import tempfile
import zlib

import numpy as np
import onnx
import onnxruntime

import model_file
import random_graphs
from checks import DEFAULTS, Count, link_models, run

PICTURES = 3
ALLOWED = 1e-5  # of the largest value
SIDE = 31  # where a network takes any
RANDOM_GRAPHS = 40
JOIN = 8  # inputs that a concat takes
YUNET_SIDE = 64  # a multiple of its total stride
# What is imported first: name, file, side where it takes any size. The corpus's are as small as importers allow.
IMPORTED = [('vgg-mini', 'goldens/vggface-mini/vgg_face_dag.pth', None),
            ('vgg-notop', 'goldens/vggface-mini/keras-rcmalli-notop.h5', None),
            ('chip', 'tests/fuzz/corpus/onnx/chip', None),
            ('yunet', 'tests/fuzz/corpus/onnx/yunet', YUNET_SIDE)]


# --- what visavis computes ---

def all_outputs(graph, side):
    """The same network for side x side with one output: every output flattened, then the input's first pixel."""
    ops, parts = list(graph['ops']), []
    for i, o in enumerate(graph['outputs']):
        ops.append({'name': 'check.flat%d' % i, 'op': 'flatten', 'in': [o['op']]})
        parts.append(ops[-1]['name'])
    ops.append({'name': 'check.pixel', 'op': 'max_pool', 'in': ['input'], 'kernel': [1, 1], 'stride': [1024, 1024], 'pad': [0] * 4,
                'ceil_mode': False})
    parts.append('check.pixel')
    while len(parts) > 1:
        ops.append({'name': 'check.join%d' % len(ops), 'op': 'concat', 'in': parts[:JOIN]})
        parts = [ops[-1]['name'], *parts[JOIN:]]
    return {'input': [3, side, side], 'ops': ops, 'outputs': [{'name': 'embedding', 'op': parts[0]}]}


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    h, w, _ = pixels.shape
    rows = b''.join(b'\0' + row.tobytes() for row in pixels)
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)) +
                chunk(b'IDAT', zlib.compress(rows, 1)) + chunk(b'IEND', b''))


def planes(given, pixels):
    """Pictures [n][h][w][rgb] as a network wants them, from visavis.input."""
    x = pixels.astype(np.float32)[..., ::-1] if given['channels'] == 'bgr' else pixels.astype(np.float32)
    x = (x - np.float32(given['mean'])) * np.float32(given['scale'])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def of_visavis(args, name, pixels, x, backend):
    """Rows of all outputs, at their true length."""
    side = pixels.shape[1]
    _, graph, given, tensors = model_file.read(os.path.join(args.work, name + '.safetensors'))
    given.update(width=side, height=side, crop='box', padding=0, average='none', dim=1)
    given.pop('points', None)
    given.pop('output', None)
    model_file.write(os.path.join(args.work, 'copy.safetensors'), 'embedder', all_outputs(graph, side), given, tensors)
    files = [os.path.join(args.work, '%d.png' % i) for i in range(len(pixels))]
    for f, p in zip(files, pixels):
        write_png(f, p)
    lines = run(args, 'embed', '--precropped', '--model', 'copy', '--backend', backend, *files)
    rows = np.array([line['faces'][0]['embedding'] for line in lines])
    length = np.linalg.norm(x[:, :, 0, 0].astype(np.float64), axis=1) / np.linalg.norm(rows[:, -3:], axis=1)
    return rows[:, :-3] * length[:, None]


# --- and ONNX Runtime ---

def export(args, name):
    file = os.path.join(args.work, name + '.onnx')
    answer, = run(args, 'model', 'export', name, '--onnx', file)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    meta = {p.key: p.value for p in model.metadata_props}
    Count.check(name + ' export', answer == {'name': name, 'onnx': file, 'bytes': os.path.getsize(file)} and
                model.ir_version == 8 and model.opset_import[0].version == 13 and model.producer_name == 'visavis' and
                set(meta) - {'visavis.classes', 'visavis.note'} == {'visavis.' + k for k in ('role', 'input', 'license', 'restricted', 'source')}, '%s %s' % (answer, meta))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=['CPUExecutionProvider'])
    return session, json.loads(meta['visavis.input'])


def answers(session, x):
    return session.run(None, {session.get_inputs()[0].name: x})


def check_shapes(name, session, given, outputs):
    """What the file says of its outputs is what they are."""
    for o, v in zip(session.get_outputs(), outputs):
        said = [d if isinstance(d, int) else v.shape[i] for i, d in enumerate(o.shape)]
        Count.check('%s %s shape' % (name, o.name), said == list(v.shape) and not isinstance(o.shape[0], int) and
                    (given['width'] == 0 or all(isinstance(d, int) for d in o.shape[1:])), '%s, found %s' % (o.shape, v.shape))


def check(args, name, seed, backend, side=SIDE):
    """The session, visavis.input and the largest difference; None where the file is refused."""
    try:
        session, given = export(args, name)
    except Exception as e:  # onnx and onnxruntime have no class of errors in common
        Count.check(name, False, 'the file is refused: %s' % e)
        return None
    side = given['width'] or side
    # Bright ones, so that the first pixel is not near zero in any plane.
    pixels = np.random.default_rng(seed).integers(120, 256, (PICTURES, side, side, 3), dtype=np.uint8)
    x = planes(given, pixels)
    want = of_visavis(args, name, pixels, x, backend)
    run(args, 'model', 'import', os.path.join(args.work, name + '.onnx'), '--name', 'again', '--accept-license')
    again = of_visavis(args, 'again', pixels, x, backend)
    Count.check(name + ' imported again', np.array_equal(again, want), 'other numbers')
    try:
        together = answers(session, x)
        alone = [np.concatenate(rows) for rows in zip(*(answers(session, x[i:i + 1]) for i in range(PICTURES)))]
    except Exception as e:
        Count.check(name, False, 'it cannot be run: %s' % e)
        return None
    check_shapes(name, session, given, together)
    worst = 0
    for batch, outputs in ((PICTURES, together), (1, alone)):
        at = 0
        for o, v in zip(session.get_outputs(), outputs):
            v = v.reshape(PICTURES, -1).astype(np.float64)
            w = want[:, at:at + v.shape[1]]
            at += v.shape[1]
            off = np.abs(v - w).max() / max(np.abs(w).max(), 1e-30) if v.shape == w.shape else np.inf
            worst = max(worst, off)
            Count.check('%s %s, batch %d' % (name, o.name, batch), off <= ALLOWED, 'off by %.2g of the largest value' % off)
        Count.check(name + ' outputs', at == want.shape[1], '%d values, visavis has %d' % (at, want.shape[1]))
    return session, given, worst


# --- networks ---

def check_goldens(session, given, golden, name):
    """Statistics of the outputs on the pattern, made by facenet-pytorch (../shared/goldens/default/README.md)."""
    w, h = (int(v) for v in name.split('_')[1].split('x'))
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    pixels = ((7 * x + 13 * y + 29 * c + 5 * ((x * y) % 17)) % 256).astype(np.uint8)
    got = dict(zip((o.name for o in session.get_outputs()), answers(session, planes(given, pixels[None]))))
    for key, stat in golden[name]['output'].items():
        v = got[key].astype(np.float64)[0]
        allowed = ALLOWED * max(1, stat['l2'])
        ok = list(v.shape) == stat['shape'] and abs(np.linalg.norm(v) - stat['l2']) <= allowed and \
            abs(v.sum() - stat['sum']) <= max(allowed, ALLOWED * abs(stat['sum'])) and \
            np.abs(v.ravel()[:len(stat['first'])] - stat['first']).max() <= allowed
        Count.check('golden %s %s' % (name, key), ok, 'l2 %.9g, golden %.9g' % (np.linalg.norm(v), stat['l2']))


def check_defaults(args):
    goldens = os.path.join(args.shared, 'goldens/default/golden.json')
    golden = json.load(open(goldens))['mtcnn_nets'] if os.path.exists(goldens) else {}
    if not golden:
        print('SKIPPED: no %s' % goldens)
    for i, name in enumerate(DEFAULTS):
        done = check(args, name, i, 'fast')
        if not done:
            continue
        session, given, worst = done
        for key in golden:
            if name.startswith('mtcnn-') and key.startswith(name[-1] + 'net_'):
                check_goldens(session, given, golden, key)
        print('%-12s off by %.1g of the largest value at most' % (name, worst), flush=True)


def check_imported(args):
    for i, (name, file, side) in enumerate(IMPORTED):
        path = os.path.join(args.shared if file.startswith('goldens/') else '.', file)
        if not os.path.exists(path):
            print('SKIPPED: no %s' % path)
            continue
        run(args, 'model', 'import', path, '--name', name, '--accept-license')
        done = check(args, name, 100 + i, 'fast', side)
        if done:
            print('%-12s off by %.1g of the largest value at most' % (name, done[2]), flush=True)


def check_random(args):
    kinds, worst = set(), 0
    for seed in range(RANDOM_GRAPHS):
        side, any_size = 9 + seed % 8, seed % 4 == 3
        net = random_graphs.Net(seed, side, any_size)
        size = 0 if any_size else side
        given = {'width': size, 'height': size, 'channels': ('rgb', 'bgr')[seed % 2], 'mean': [100., 110., 90.],
                 'scale': [0.01, 0.02, 0.0125], 'crop': 'none', 'padding': 0., 'average': 'none', 'dim': 0}
        name = 'random-%d' % seed
        model_file.write(os.path.join(args.work, name + '.safetensors'), 'detector', net.graph(), given, net.tensors)
        done = check(args, name, seed, 'ref', side)
        if done:
            worst = max(worst, done[2])
            kinds |= net.kinds
    Count.check('kinds', kinds == set(random_graphs.FIXED), 'missing: %s' % (set(random_graphs.FIXED) - kinds))
    print('%-12s off by %.1g of the largest value at most (%d graphs, %d kinds of op)' % ('random', worst, RANDOM_GRAPHS, len(kinds)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--visavis', required=True)
    ap.add_argument('--shared', required=True, help='../shared: goldens; skipped where it is not')
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as args.work:
        link_models(args.work)
        check_defaults(args)
        check_imported(args)
        check_random(args)
    Count.end()


main()
