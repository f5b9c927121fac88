"""ONNX files of the same structure as published ones, narrower and with random weights: YuNet 2023mar, SFace 2021dec, ArcFace w600k_r50
and w600k_mbf (../shared/facts/models.md section 6; the files themselves are nobody's to commit)."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHIP = 112


class Graph:
    def __init__(self, seed):
        self.rng, self.nodes, self.tensors = np.random.default_rng(seed), [], []

    def add(self, op, inputs, name=None, **attributes):
        name = name or '%s_%d' % (op.lower(), len(self.nodes))
        self.nodes.append(helper.make_node(op, inputs, [name], name='n_' + name, **attributes))
        return name

    def const(self, value, kind=np.float32):
        name = 'c_%d' % len(self.tensors)
        self.tensors.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def normal(self, *shape, scale=1.0, mean=0.0):
        return self.const(self.rng.standard_normal(shape) * scale + mean)

    def conv(self, x, cin, cout, k, stride=1, group=1, bias=True, gain=2.0, around=0.0):
        w = self.normal(cout, cin // group, k, k, scale=np.sqrt(gain / (cin // group * k * k)))
        inputs = [x, w] + ([self.normal(cout, scale=0.1, mean=np.array(around))] if bias else [])
        return self.add('Conv', inputs, kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4, group=group, dilations=[1, 1])

    def batch_norm(self, x, c):
        return self.add('BatchNormalization', [x, self.normal(c, scale=0.1, mean=1), self.normal(c, scale=0.1), self.normal(c, scale=0.1),
                                               self.const(self.rng.uniform(0.5, 1.5, c))], epsilon=1e-3)

    def prelu(self, x, c):
        return self.add('PRelu', [x, self.const(self.rng.uniform(0.1, 0.4, (c, 1, 1)))])

    def save(self, path, shape, outputs, opset, ir=6):
        values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, 'net', [helper.make_tensor_value_info('input', TensorProto.FLOAT, shape)], values, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=ir)
        onnx.save(model, path)


def sface(path):
    """MobileFaceNet's kind: Sub, Mul in front; depthwise blocks with BatchNormalization and PRelu; Dropout, Flatten, Gemm, 128 values."""
    g = Graph(1)
    x = g.add('Mul', [g.add('Sub', ['input', g.const(127.5)]), g.const(0.0078125)])
    c = 8
    x = g.prelu(g.batch_norm(g.conv(x, 3, c, 3, 2, bias=False), c), c)
    for stride in (2, 1, 2, 2):
        x = g.prelu(g.batch_norm(g.conv(x, c, c, 3, stride, group=c, bias=False), c), c)
        x = g.prelu(g.batch_norm(g.conv(x, c, 2 * c if stride == 2 else c, 1, bias=False), 2 * c if stride == 2 else c), 2 * c if stride == 2 else c)
        c = 2 * c if stride == 2 else c
    x = g.add('Flatten', [g.add('Dropout', [g.batch_norm(x, c)], ratio=0.4)], axis=1)
    x = g.add('Gemm', [x, g.normal(128, 49 * c, scale=np.sqrt(1 / (49 * c))), g.normal(128, scale=0.1)], transB=1)
    g.save(path, [1, 3, CHIP, CHIP], [g.batch_norm(x, 128)], 9, ir=4)


def arcface_r50(path):
    """IResNet: Conv, PRelu, blocks of BatchNormalization, Conv, PRelu, Conv, Add; then BatchNormalization, Flatten, Gemm, 512 values."""
    g = Graph(2)
    c = 8
    x = g.prelu(g.conv('input', 3, c, 3), c)
    for out in (8, 16, 16, 32):
        y = g.prelu(g.conv(g.batch_norm(x, c), c, out, 3), out)
        y = g.conv(y, out, out, 3, 2)
        x = g.add('Add', [y, g.conv(x, c, out, 1, 2)])
        c = out
    x = g.add('Flatten', [g.batch_norm(x, c)], axis=1)
    x = g.add('Gemm', [x, g.normal(512, 49 * c, scale=np.sqrt(1 / (49 * c))), g.normal(512, scale=0.1)], transB=1)
    g.save(path, ['None', 3, CHIP, CHIP], [g.batch_norm(x, 512)], 11)


def arcface_mbf(path):
    """Depthwise convolutions to 7 x 7, a global depthwise one, Reshape, MatMul and Add: 512 values."""
    g = Graph(3)
    c = 16
    x = g.prelu(g.conv('input', 3, c, 3, 2), c)
    for _ in range(3):
        x = g.prelu(g.conv(g.prelu(g.conv(x, c, c, 3, 2, group=c), c), c, c, 1), c)
    x = g.add('Conv', [x, g.normal(c, 1, 7, 7, scale=1 / 7), g.normal(c, scale=0.1)], kernel_shape=[7, 7], group=c)
    x = g.add('Reshape', [x, g.const([-1, c], np.int64)])
    x = g.add('Add', [g.add('MatMul', [x, g.normal(c, 512, scale=np.sqrt(1 / c))]), g.normal(512, scale=0.1)])
    g.save(path, ['None', 3, CHIP, CHIP], [x], 12)


# Of a head's last convolution, by the number of its values: spread, and where it lies.
HEADS = {1: (2.0, 0.0), 4: (0.05, [0.5, 0.5, 1.2, 1.4]), 10: (0.05, [-0.6, -0.6, 1.4, -0.6, 0.4, 0.5, -0.4, 1.5, 1.2, 1.5])}


def yunet(path, shape):
    """53 convolutions, 15 Relu, 4 MaxPool, 2 Resize, 2 Add, 12 Transpose, 12 Reshape, 6 Sigmoid, as in the published file; widths a
    quarter. Boxes and points vary around those of a face, so that each has a chip. shape: of the input; with open sides the file is for ONNX Runtime, which cannot give the fixed one other pictures."""
    g = Graph(4)

    def unit(x, cin, cout):
        return g.add('Relu', [g.conv(g.conv(x, cin, cout, 1, gain=1), cout, cout, 3, group=cout)])

    def head_unit(x, values):
        gain, around = HEADS[values]
        return g.conv(g.conv(x, 16, values, 1, gain=1), values, values, 3, group=values, gain=gain, around=around)

    def pool(x):
        return g.add('MaxPool', [x], kernel_shape=[2, 2], strides=[2, 2])

    x = g.add('Relu', [g.conv('input', 3, 4, 3, 2, gain=2e-4)])
    x = pool(unit(x, 4, 4))
    x = unit(x, 4, 8)
    x = unit(x, 8, 16)
    p8 = unit(pool(unit(x, 16, 16)), 16, 16)
    p16 = unit(unit(pool(p8), 16, 16), 16, 16)
    p32 = unit(pool(p16), 16, 16)
    empty = g.const([], np.float32)

    def up(x):
        return g.add('Resize', [x, empty, g.const([1, 1, 2, 2])], mode='nearest', coordinate_transformation_mode='asymmetric',
                     nearest_mode='floor')

    t32 = unit(p32, 16, 16)
    t16 = unit(g.add('Add', [p16, up(t32)]), 16, 16)
    t8 = unit(g.add('Add', [p8, up(t16)]), 16, 16)
    outputs = {}
    for stride, x in ((8, unit(t8, 16, 16)), (16, unit(t16, 16, 16)), (32, unit(t32, 16, 16))):
        for head, values in (('cls', 1), ('obj', 1), ('bbox', 4), ('kps', 10)):
            y = g.add('Transpose', [head_unit(x, values)], perm=[0, 2, 3, 1])
            name, sigmoid = '%s_%d' % (head, stride), values == 1
            y = g.add('Reshape', [y, g.const([1, -1, values], np.int64)], None if sigmoid else name)
            outputs[name] = g.add('Sigmoid', [y], name) if sigmoid else y
    g.save(path, shape, ['%s_%d' % (h, s) for h in ('cls', 'obj', 'bbox', 'kps') for s in (8, 16, 32)], 11)
    return [n.op_type for n in g.nodes]
