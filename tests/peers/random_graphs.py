"""Random networks of every kind of op (engine/nn/graph.h): the corners that no real model has."""
import numpy as np

MOST_OPS = 14  # each is an output, of which there may be 16
MOST_VALUES = 3000  # in one tensor

ANYWHERE = ['relu', 'leaky_relu', 'prelu', 'relu6', 'sigmoid', 'softmax', 'l2_normalize', 'max_pool', 'avg_pool', 'pad', 'add', 'mul',
            'conv2d', 'global_avg_pool', 'resize_nearest']
FIXED = ANYWHERE + ['dense', 'concat', 'flatten', 'reshape', 'transpose']


def windows(n, k, dilation, s, a, b, ceil):
    """PyTorch's rule, as engine/nn/graph.c has it."""
    room = n + a + b - dilation * (k - 1) - 1
    if room < 0:
        return 0
    out = (room + (s - 1 if ceil else 0)) // s + 1
    return out - 1 if ceil and (out - 1) * s >= n + a else out


class Net:
    def __init__(self, seed, side, any_size):
        self.rnd = np.random.default_rng(seed)
        self.side, self.any_size = side, any_size
        self.ops, self.tensors, self.shapes = [], {}, {'input': (3, side, side)}
        self.kinds = set()
        while len(self.ops) < MOST_OPS:
            self.step()

    def graph(self):
        """All ops are outputs, by names of their own."""
        size = 0 if self.any_size else self.side
        return {'input': [3, size, size], 'ops': self.ops,
                'outputs': [{'name': 'y%d' % i, 'op': op['name']} for i, op in enumerate(self.ops)]}

    def int(self, lo, hi):
        return int(self.rnd.integers(lo, hi + 1))

    def pick(self, items):
        return items[self.int(0, len(items) - 1)]

    def weights(self, name, *shape):
        fan = max(1, int(np.prod(shape[1:])))
        self.tensors[name] = ((self.rnd.random(shape) * 2 - 1) * np.sqrt(3 / fan)).astype('<f4')

    def step(self):
        """Tries one op of a random kind on a random earlier tensor; what does not fit is left."""
        # New kinds first, so that a few networks have them all; late tensors often, so that networks are deep.
        kinds = ANYWHERE if self.any_size else FIXED
        left = [k for k in kinds if k not in self.kinds]
        kind = self.pick(left if left and self.int(0, 2) else kinds)
        names = list(self.shapes)
        source = names[-1] if self.int(0, 1) else self.pick(names)
        op = {'name': '%s%d' % (kind, len(self.ops)), 'op': kind, 'in': [source]}
        shape = getattr(self, 'make_' + kind, lambda o, c, h, w: (c, h, w))(op, *self.shapes[source])
        if shape and min(shape) > 0 and np.prod(shape) <= MOST_VALUES:
            self.ops.append(op)
            self.shapes[op['name']] = shape
            self.kinds.add(kind)
        else:
            for suffix in ('.weight', '.bias'):
                self.tensors.pop(op['name'] + suffix, None)

    def make_conv2d(self, op, c, h, w):
        groups = self.pick([g for g in range(1, c + 1) if c % g == 0])
        kernel = [self.int(1, 3), self.int(1, 3)]
        same = self.any_size
        if same:
            kernel = [3, 3]
        out = groups * self.int(1, max(1, 8 // groups))
        op.update(out=out, kernel=kernel, stride=[1, 1] if same else [self.int(1, 3), self.int(1, 3)],
                  pad=[1] * 4 if same else [self.int(0, 2) for _ in range(4)], groups=groups, dilation=1 if same else self.int(1, 2),
                  weight=[out, c // groups] + kernel, bias=bool(self.int(0, 1)))
        self.weights(op['name'] + '.weight', *op['weight'])
        if op['bias']:
            self.weights(op['name'] + '.bias', out)
        return (out, *(windows(n, kernel[i], op['dilation'], op['stride'][i], op['pad'][i], op['pad'][i + 2], False)
                       for i, n in enumerate((h, w))))

    def make_dense(self, op, c, h, w):
        out = self.int(1, 12)
        op.update(out=out, weight=[out, c * h * w], bias=bool(self.int(0, 1)))
        self.weights(op['name'] + '.weight', *op['weight'])
        if op['bias']:
            self.weights(op['name'] + '.bias', out)
        return (out, 1, 1)

    def make_leaky_relu(self, op, *shape):
        op.update(alpha=0.125)
        return shape

    def make_prelu(self, op, c, h, w):
        op.update(weight=[c])
        self.weights(op['name'] + '.weight', c)
        return (c, h, w)

    def make_pool(self, op, c, h, w):
        kernel = [self.int(1, 4), self.int(1, 4)]
        op.update(kernel=kernel, stride=[self.int(1, 4), self.int(1, 4)], pad=[self.int(0, kernel[i % 2] - 1) for i in range(4)],
                  ceil_mode=bool(self.int(0, 1)))
        return (c, *(windows(n, kernel[i], 1, op['stride'][i], op['pad'][i], op['pad'][i + 2], op['ceil_mode'])
                     for i, n in enumerate((h, w))))

    make_max_pool = make_pool

    def make_avg_pool(self, op, *shape):
        op.update(count_pad=bool(self.int(0, 1)))
        return self.make_pool(op, *shape)

    def make_global_avg_pool(self, op, c, h, w):
        return (c, 1, 1)

    def make_add(self, op, c, h, w):
        """Of one shape; or [c][1][1], also where that is a vector. For any size only what is so in every size."""
        one = [n for n, s in self.shapes.items() if s == (c, 1, 1) and (not self.any_size or n.startswith('global'))]
        same = [op['in'][0]] if self.any_size else [n for n, s in self.shapes.items() if s == (c, h, w)]
        op['in'].append(self.pick(one if one and self.int(0, 1) else same))
        return (c, h, w)

    make_mul = make_add

    def make_concat(self, op, c, h, w):
        fits = [n for n, s in self.shapes.items() if s[1:] == (h, w)]
        op['in'] += [self.pick(fits) for _ in range(self.int(1, 3))]
        return (sum(self.shapes[n][0] for n in op['in']), h, w)

    def make_pad(self, op, c, h, w):
        op.update(pad=[self.int(0, 2) for _ in range(4)], pad_c=self.int(0, 2))
        return (c + op['pad_c'], h + op['pad'][0] + op['pad'][2], w + op['pad'][1] + op['pad'][3])

    def make_flatten(self, op, c, h, w):
        return (c * h * w, 1, 1)

    def make_reshape(self, op, c, h, w):
        op['shape'] = self.pick([[h, w, c], [w, c, h], [1, c, h * w], [c * h, 1, w], [c, h * w, 1]])
        return tuple(op['shape'])

    def make_transpose(self, op, *shape):
        op['perm'] = [int(i) for i in self.rnd.permutation(3)]
        return tuple(shape[i] for i in op['perm'])

    def make_resize_nearest(self, op, c, h, w):
        op['scale'] = [self.int(1, 3), self.int(1, 3)]
        return (c, h * op['scale'][0], w * op['scale'][1])
