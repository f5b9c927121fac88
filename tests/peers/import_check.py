"""ONNX files of published structures (small_nets.py), imported and run on photographs by visavis, beside ONNX Runtime. Called by test.sh.

Around the networks everything is computed again here, in double precision and from the facts alone: the five-point similarity and the
warp of SFace and ArcFace, YuNet's padding, decoding and suppression. An agreement is only worth something where mistakes would be seen:
each embedder is also given the chip as usual mistakes would have it, which must not agree. Ends with "N passed, N failed".
"""
import argparse
import os
import struct
import tempfile
import zlib

import numpy as np
import onnxruntime

import small_nets
from checks import Count, link_models, run

PHOTOS = ['AJ_Cook_0001.png', 'Hamid_Karzai_0002.png', 'Alvaro_Noboa_0003.png', 'bbt3.png']  # of goldens/default/img
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
SIDE = 112
LARGEST = 2.0  # pixels of the picture in one of the chip: above, visavis halves the picture first, which plain bilinear does not
AGREES, DIFFERS = 0.9995, 0.999  # cosine: chips are rounded to bytes, points printed to a thousandth


def read_png(path):
    """8-bit RGB pictures without interlacing (PNG specification, section 9: filters)."""
    data, at, packed = open(path, 'rb').read(), 8, b''
    while at < len(data):
        size, kind = struct.unpack('>I4s', data[at:at + 8])
        if kind == b'IHDR':
            w, h, depth, colour, _, _, interlaced = struct.unpack('>IIBBBBB', data[at + 8:at + 8 + size])
            assert (depth, colour, interlaced) == (8, 2, 0), path
        if kind == b'IDAT':
            packed += data[at + 8:at + 8 + size]
        at += 12 + size
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, 1 + 3 * w)
    out = np.zeros((h + 1, 3 * w + 3), np.int64)  # a row above and a pixel to the left of zeros
    for y in range(h):
        line, up, row = raw[y, 1:].astype(np.int64), out[y], out[y + 1]
        kind = raw[y, 0]
        if kind == 0:
            row[3:] = line
        elif kind == 2:
            row[3:] = (line + up[3:]) & 255
        else:
            for x in range(3 * w):
                a, b, c = row[x], up[x + 3], up[x]
                if kind == 4:
                    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                    p = a if pa <= pb and pa <= pc else b if pb <= pc else c
                else:
                    p = a if kind == 1 else (a + b) // 2
                row[x + 3] = (line[x] + p) & 255
    return out[1:, 3:].reshape(h, w, 3).astype(np.uint8)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


# --- SFace and ArcFace ---

def umeyama(points, template):
    """2 x 3 matrix of the similarity that brings points onto the template (Umeyama 1991, with the singular values)."""
    ms, mt = points.mean(0), template.mean(0)
    s, t = points - ms, template - mt
    u, d, v = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(sign) @ v
    scale = (d * sign).sum() / (s ** 2).sum(1).mean()
    return np.hstack([scale * rotation, (mt - scale * rotation @ ms)[:, None]])


def warp(picture, m):
    """Bilinear, zeros outside: what OpenCV's warpAffine gives, before its rounding to 1/32 of a pixel."""
    inverse = np.linalg.inv(m[:, :2])
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    at = np.stack([x - m[0, 2], y - m[1, 2]], -1) @ inverse.T
    padded = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    u, v = np.clip(at[..., 0] + 1, 0, padded.shape[1] - 2), np.clip(at[..., 1] + 1, 0, padded.shape[0] - 2)
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    fu, fv = (u - i)[..., None], (v - j)[..., None]
    top = padded[j, i] * (1 - fu) + padded[j, i + 1] * fu
    return top * (1 - fv) + (padded[j + 1, i] * (1 - fu) + padded[j + 1, i + 1] * fu) * fv


def embedding(net, chip, mean, scale):
    x = ((chip - mean) * scale).astype(np.float32).transpose(2, 0, 1)[None]
    v = net.run(None, {net.get_inputs()[0].name: np.ascontiguousarray(x)})[0].astype(np.float64).ravel()
    return v / np.linalg.norm(v)


def check_embedder(args, name, make, dim, mean, scale):
    path = os.path.join(args.work, name + '.onnx')
    make(path)
    said, = run(args, 'model', 'import', path, '--accept-license')
    Count.check(name + ' import', said['name'] == name and said['role'] == 'embedder', said)
    net, worst, compared = session(path), 1.0, 0
    for photo in args.photos:
        picture = read_png(photo)
        line, = run(args, 'embed', '--model', name, photo)
        for f in line['faces']:
            points = np.array(f['points'])
            m = umeyama(points, TEMPLATE)
            if f['pass'] != 'default' or 1 / np.hypot(m[0, 0], m[1, 0]) > LARGEST:
                continue
            got = np.array(f['embedding'])
            Count.check('%s dim' % name, len(got) == dim, len(got))
            chip = warp(picture, m)
            cosine = got @ embedding(net, chip, mean, scale)
            worst, compared = min(worst, cosine), compared + 1
            Count.check('%s, %s' % (name, os.path.basename(photo)), cosine >= AGREES, 'cosine %.6f' % cosine)
            mistakes = {'blue for red': embedding(net, chip[..., ::-1], mean, scale),
                        'other preprocessing': embedding(net, chip, 127.5 - mean, 1 / 127.5 if scale == 1 else 1),
                        'two pixels beside': embedding(net, warp(picture, m + [[0, 0, 2], [0, 0, 0]]), mean, scale),
                        'eyes exchanged': embedding(net, warp(picture, umeyama(points[[1, 0, 2, 4, 3]], TEMPLATE)), mean, scale)}
            for what, v in mistakes.items():
                Count.check('%s, %s, %s' % (name, os.path.basename(photo), what), got @ v < DIFFERS, 'it would not be seen')
    Count.check(name + ' faces', compared >= 3, compared)
    print('%-12s least cosine %.6f over %d faces' % (name, worst, compared), flush=True)


# --- YuNet ---

def decode(outputs, w, h, threshold, overlap, min_size):
    """facts/models.md 6.1, in double: rows of x1 y1 x2 y2, score, ten of points; by falling score, suppressed."""
    rows = []
    for stride in (8, 16, 32):
        cls, obj, box, kps = (outputs['%s_%d' % (k, stride)][0].astype(np.float64) for k in ('cls', 'obj', 'bbox', 'kps'))
        r, c = (v.ravel() for v in np.mgrid[0:h // stride, 0:w // stride])
        assert len(cls) == len(r), 'cells'
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        cx, cy = (c + box[:, 0]) * stride, (r + box[:, 1]) * stride
        bw, bh = np.exp(box[:, 2]) * stride, np.exp(box[:, 3]) * stride
        points = np.stack([(kps[:, k] + (c, r)[k % 2]) * stride for k in range(10)], 1)
        rows.append(np.column_stack([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2, score, points]))
    rows = np.concatenate(rows)
    size = rows[:, 3] - rows[:, 1]
    near = ((np.abs(rows[:, 4] - threshold) < 1e-5) | (np.abs(size - min_size) < 1e-3)).sum()
    rows = rows[(rows[:, 4] > threshold) & (size >= min_size)]
    kept = []
    for row in rows[np.argsort(-rows[:, 4], kind='stable')]:
        def union(k):
            i = np.maximum(0, np.minimum(row[2:4], k[2:4]) - np.maximum(row[:2], k[:2])).prod()
            return i / ((row[2] - row[0]) * (row[3] - row[1]) + (k[2] - k[0]) * (k[3] - k[1]) - i)
        if all(union(k) <= overlap for k in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 15), near


def check_yunet(args):
    fixed, open_ = os.path.join(args.work, 'yunet.onnx'), os.path.join(args.work, 'yunet-open.onnx')
    ops = small_nets.yunet(fixed, [1, 3, 640, 640])
    small_nets.yunet(open_, [1, 3, 'H', 'W'])
    counts = {k: ops.count(k) for k in set(ops)}
    Count.check('yunet structure', counts == {'Conv': 53, 'Relu': 15, 'MaxPool': 4, 'Resize': 2, 'Add': 2, 'Transpose': 12, 'Reshape': 12,
                                              'Sigmoid': 6}, counts)
    said, = run(args, 'model', 'import', fixed, '--accept-license', '--name', 'yunet')
    Count.check('yunet import', said['role'] == 'detector', said)
    net, total, worst = session(open_), 0, 0.0
    for photo in args.photos:
        picture = read_png(photo)
        h, w = picture.shape[:2]
        if max(h, w) > 1280:  # reduced before it is looked at
            continue
        canvas = np.zeros((-(-h // 32) * 32, -(-w // 32) * 32, 3), np.float32)
        canvas[:h, :w] = picture[..., ::-1]
        names = [o.name for o in net.get_outputs()]
        outputs = dict(zip(names, net.run(None, {'input': canvas.transpose(2, 0, 1)[None]})))
        want, near = decode(outputs, canvas.shape[1], canvas.shape[0], 0.6, 0.3, 20)
        line, = run(args, 'detect', '--detector', 'yunet', '--no-retry', photo)
        got = np.array([[*f['box'][:2], f['box'][0] + f['box'][2], f['box'][1] + f['box'][3], f['score'], *np.ravel(f['points'])]
                        for f in line['faces']]).reshape(-1, 15)
        total += len(want)
        name = 'yunet, ' + os.path.basename(photo)
        if not near:
            Count.check(name, len(got) == len(want), '%d faces, expected %d' % (len(got), len(want)))
        if len(got) == len(want) and len(want):
            # pairs by their corners: equal areas may come in either order
            order = [int(np.abs(got[:, :4] - row[:4]).sum(1).argmin()) for row in want]
            off = np.abs(got[order] - want)
            worst = max(worst, off[:, :4].max())
            Count.check(name + ', scores', off[:, 4].max() <= 2e-6 + 5e-7, off[:, 4].max())
            Count.check(name + ', boxes and points', off[:, [0, 1, 2, 3, *range(5, 15)]].max() <= 5e-3, off.max(0))
            areas = (got[:, 2] - got[:, 0]) * (got[:, 3] - got[:, 1])
            Count.check(name + ', largest first', (np.diff(areas) <= 1e-2 * areas[:-1]).all())
    Count.check('yunet faces', total >= 20, '%d: nothing was compared' % total)
    print('yunet        %d detections, corners off by %.1g pixels at most' % (total, worst), flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--visavis', required=True)
    ap.add_argument('--shared', required=True, help='../shared: photographs')
    args = ap.parse_args()
    folder = os.path.join(args.shared, 'goldens/default/img')
    if not os.path.isdir(folder):
        print('SKIPPED: no %s\n0 passed, 0 failed' % folder)
        return
    args.photos = [os.path.join(folder, p) for p in PHOTOS]
    with tempfile.TemporaryDirectory() as args.work:
        link_models(args.work)
        check_embedder(args, 'sface', small_nets.sface, 128, 0, 1)
        check_embedder(args, 'w600k_r50', small_nets.arcface_r50, 512, 127.5, 1 / 127.5)
        check_embedder(args, 'w600k_mbf', small_nets.arcface_mbf, 512, 127.5, 1 / 127.5)
        check_yunet(args)
    Count.end()


main()
