"""dlib's face ResNet as a PyTorch module, read from dlib_face_recognition_resnet_model_v1.dat.

A peer to measure against, so it is made as fast as PyTorch allows without changing the answer: the affine layers are folded into
the convolutions before them. The format of the file: every integer is a control byte (low nibble = number of bytes, 0x80 = negative)
and its little-endian magnitude; a float is mantissa and exponent of two; a tensor is 2, n, k, r, c and raw float32.
"""
import numpy as np
import torch
import torch.nn.functional as F


class Reader:
    def __init__(self, path):
        with open(path, 'rb') as f:
            self.data = f.read()
        self.at = 0

    def integer(self):
        control = self.data[self.at]
        n = control & 15
        if not 1 <= n <= 8 or control & 0x70:
            raise ValueError('no integer at byte %d' % self.at)
        v = int.from_bytes(self.data[self.at + 1:self.at + 1 + n], 'little')
        self.at += 1 + n
        return -v if control & 0x80 else v

    def integers(self, n):
        return [self.integer() for _ in range(n)]

    def real(self):
        mantissa, exponent = self.integers(2)
        return mantissa * 2.0 ** exponent

    def reals(self, n):
        return [self.real() for _ in range(n)]

    def text(self):
        n = self.integer()
        self.at += n
        return self.data[self.at - n:self.at].decode('latin-1')

    def tensor(self):
        version, *shape = self.integers(5)
        if version != 2:
            raise ValueError('tensor version %d at byte %d' % (version, self.at))
        n = int(np.prod(shape))
        self.at += 4 * n
        return np.frombuffer(self.data, '<f4', n, self.at - 4 * n).copy()


def read_layers(path):
    """The records that carry weights, from input to output: ('con', weight, bias), ('affine', gamma, beta), ('fc', weight)."""
    r = Reader(path)
    if r.integer() != 1 or r.text() != 'loss_metric_2':
        raise ValueError('not the face ResNet')
    r.reals(2)
    tags = r.integers(130)
    if tags[:2] != [2, 2]:
        raise ValueError('unexpected topology')
    if not r.text().startswith('input_rgb_image_sized'):
        raise ValueError('unexpected input layer')
    r.reals(3)
    r.integers(2)
    layers = []
    while r.at < len(r.data):
        kind = r.text()
        if kind.startswith('con_'):
            w = r.tensor()
            o, kh, kw, *_ = r.integers(7)
            _, *shape = r.integers(5)
            r.integers(5)
            r.reals(4)
            layers.append(('con', w[:-o].reshape(shape), w[-o:]))
        elif kind.startswith('affine_'):
            w = r.tensor()
            r.integers(11)
            layers.append(('affine', w[:len(w) // 2], w[len(w) // 2:]))
        elif kind.startswith(('max_pool', 'avg_pool')):
            r.integers(6)
        elif kind.startswith('fc_'):
            outputs, inputs = r.integers(2)
            w = r.tensor()
            r.integers(11)
            r.reals(4)
            layers.append(('fc', w.reshape(inputs, outputs)))
        elif kind not in ('relu_', 'add_prev_'):
            raise ValueError('unknown layer %r' % kind)
        r.at += 3  # three flags of training
        for _ in range(3):
            r.tensor()
        if kind.startswith('con_') and len(layers) == 1:
            r.integer()
    return layers


class DlibResNet(torch.nn.Module):
    """RGB bytes as float [n][3][150][150] -> [n][128], not normalised."""
    # (channels, halves the picture) of each residual block; a halving pads like dlib: see forward.
    BLOCKS = [(32, False)] * 3 + [(64, True)] + [(64, False)] * 3 + [(128, True)] + [(128, False)] * 2 + \
             [(256, True)] + [(256, False)] * 2 + [(256, True)]

    def __init__(self, path):
        super().__init__()
        layers = read_layers(path)
        convs = []
        for i, layer in enumerate(layers):
            if layer[0] == 'con':
                _, gamma, beta = layers[i + 1]
                convs.append((layer[1] * gamma[:, None, None, None], layer[2] * gamma + beta))
        if len(convs) != 1 + 2 * len(self.BLOCKS):
            raise ValueError('%d convolutions, expected %d' % (len(convs), 1 + 2 * len(self.BLOCKS)))
        for i, (w, b) in enumerate(convs):
            self.register_buffer('w%d' % i, torch.from_numpy(np.ascontiguousarray(w)))
            self.register_buffer('b%d' % i, torch.from_numpy(b))
        self.register_buffer('fc', torch.from_numpy(layers[-1][1]))
        self.register_buffer('mean', torch.tensor([122.782, 117.001, 104.298])[None, :, None, None])

    def conv(self, x, i, stride, pad):
        return F.conv2d(x, getattr(self, 'w%d' % i), getattr(self, 'b%d' % i), stride, pad)

    def forward(self, x):
        x = (x - self.mean) / 256
        x = F.max_pool2d(F.relu(self.conv(x, 0, 2, 0)), 3, 2)
        for k, (_, halves) in enumerate(self.BLOCKS):
            y = F.relu(self.conv(x, 2 * k + 1, 2 if halves else 1, 0 if halves else 1))
            y = self.conv(y, 2 * k + 2, 1, 1)
            if halves:  # dlib adds tensors of different size: what is missing counts as zero
                x = F.avg_pool2d(x, 2, 2)
                pad = [v for d in (3, 2, 1) for v in (0, max(0, y.shape[d] - x.shape[d]))]
                back = [v for d in (3, 2, 1) for v in (0, max(0, x.shape[d] - y.shape[d]))]
                x, y = F.pad(x, pad), F.pad(y, back)
            x = F.relu(x + y)
        return x.mean((2, 3)) @ self.fc
