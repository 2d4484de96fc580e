"""Stand-ins for needle and minitorch, as far as the kit's adapters use them: conv2d and a tape."""

from __future__ import annotations

import types

import numpy as np

from minideconv import ops


class NeedleTensor:
    """needle's Tensor: float32, images last; ``numpy()``, ``backward(out_grad)``, ``grad``."""

    def __init__(self, array, back=None):
        self.array, self.back, self.grad = np.asarray(array, np.float32), back, None

    def numpy(self):
        return self.array

    def backward(self, out_grad):
        for leaf, gradient in self.back(out_grad.array):
            leaf.grad = NeedleTensor(gradient)


def needle_conv(a, b, stride=1, padding=1, *, flip=False, flip_gradient=False):
    """conv(a, b, stride, padding) on NHWC images and HWIO kernels."""
    x, w = a.array.transpose(0, 3, 1, 2), b.array.transpose(3, 2, 0, 1)
    w = w[:, :, ::-1, ::-1] if flip else w
    settings = {"stride": stride, "padding": padding}

    def back(dy):
        dy = dy.transpose(0, 3, 1, 2)
        dx, dw = gradients(dy, x, w, **settings)
        dw = dw[:, :, ::-1, ::-1] if flip != flip_gradient else dw
        return [(a, dx.transpose(0, 2, 3, 1)), (b, dw.transpose(2, 3, 1, 0))]

    return NeedleTensor(ops.conv2d(x, w, **settings).transpose(0, 2, 3, 1), back)


def gradients(dy, x, w, *, stride=1, padding=0):
    rest = [(n + 2 * padding - k) % stride for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    settings = {"stride": stride, "padding": padding}
    return (ops.conv_transpose2d(dy, w, output_padding=rest, **settings),
            ops.conv2d_weight_grad(x, dy, w.shape[2:], **settings))  # fmt: skip


class MinitorchTensor:
    """minitorch's Tensor: a flat float64 storage with strides."""

    def __init__(self, storage, shape, back=None):
        self.storage, self.shape, self.back, self.grad = storage, shape, back, None

    @staticmethod
    def make(storage, shape, strides=None, backend=None):
        assert backend is not None
        assert storage.ndim == 1
        assert storage.dtype == np.float64
        return MinitorchTensor(storage, tuple(shape))

    def tuple(self):
        strides = [int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape))]
        return self.storage, np.array(self.shape), np.array(strides)

    def array(self):
        return self.storage.reshape(self.shape)

    def requires_grad_(self, wanted):
        assert wanted

    def backward(self, grad_output):
        for leaf, gradient in self.back(grad_output.array()):
            leaf.grad = MinitorchTensor(np.ascontiguousarray(gradient).ravel(), gradient.shape)


def minitorch_conv2d(input, weight, *, mirror=False, wrong_gradient=False):
    """conv2d(input, weight): windows begin at each pixel; beyond the image there are zeros."""
    x, w = input.array(), weight.array()
    below = [(0, 0), (0, 0), *((0, k - 1) for k in w.shape[2:])]
    wide = np.pad(x, below, mode="edge" if mirror else "constant")

    def back(dy):
        dwide, dw = gradients(dy, wide, w)
        return [
            (input, dwide[:, :, : x.shape[2], : x.shape[3]]),
            (weight, dw * (1 + wrong_gradient)),
        ]

    y = ops.conv2d(wide, w)
    return MinitorchTensor(np.ascontiguousarray(y).ravel(), y.shape, back)


needle = types.ModuleType("needle")
needle.Tensor = NeedleTensor
minitorch = types.ModuleType("minitorch")
minitorch.Tensor, minitorch.SimpleBackend = MinitorchTensor, object()
