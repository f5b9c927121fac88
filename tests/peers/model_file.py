"""visavis's model files (engine/model/model.h), read and written: how tests make networks of their own."""
import hashlib
import json
import struct

import numpy as np

NAMES = {'f4': 'F32', 'i4': 'I32', 'i2': 'I16', 'u1': 'U8'}
TYPES = {v: '<' + k for k, v in NAMES.items()}


def read(path):
    """(metadata, graph, input, tensors by name)."""
    with open(path, 'rb') as f:
        size, = struct.unpack('<Q', f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    meta = header.pop('__metadata__')
    tensors = {}
    for name, t in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        a, b = t['data_offsets']
        tensors[name] = np.frombuffer(data[a:b], TYPES[t['dtype']]).reshape(t['shape'])
    return meta, json.loads(meta['visavis.graph']), json.loads(meta['visavis.input']), tensors


def digest(role, graph, given, tensors):
    sha = hashlib.sha256()

    def part(data):
        sha.update(struct.pack('<Q', len(data)))
        sha.update(data)

    for text in (role, graph, given):
        part(text.encode())
    for name, t in tensors.items():
        part(name.encode())
        part(NAMES[t.dtype.str[1:]].encode())
        for d in t.shape:
            part(struct.pack('<Q', d))
        part(t.tobytes())
    return sha.hexdigest()


def write(path, role, graph, given, tensors, license_='MIT'):
    graph, given = json.dumps(graph), json.dumps(given)
    meta = {'visavis.format': '1', 'visavis.importer': '2', 'visavis.role': role, 'visavis.graph': graph, 'visavis.input': given,
            'visavis.license': license_, 'visavis.restricted': 'false',
            'visavis.source': json.dumps({'file': 'made by a test', 'sha256': '0' * 64}),
            'visavis.sha256': digest(role, graph, given, tensors)}
    header, at = {'__metadata__': meta}, 0
    for name, t in tensors.items():
        header[name] = {'dtype': NAMES[t.dtype.str[1:]], 'shape': list(t.shape), 'data_offsets': [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(t.tobytes() for t in tensors.values()))
