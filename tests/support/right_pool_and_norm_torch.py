"""Right implementations of pooling, unpooling and batch norm by PyTorch, behind NumPy arrays."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["STYLES"]


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def pool(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = F.max_pool2d(tensor(x), kernel_size, stride, padding, return_indices=True)
    return y.numpy(), switches.numpy()


def pool_backward(dy, switches, size):
    n, c = dy.shape[:2]
    dx = torch.zeros(n, c, size[0] * size[1], dtype=tensor(dy).dtype)
    dx.scatter_add_(2, tensor(switches).long().reshape(n, c, -1), tensor(dy).reshape(n, c, -1))
    return dx.reshape(n, c, *size).numpy()


def unpool(y, switches, size):
    """Assign one window after the other: what F.max_unpool2d does is undefined for duplicates."""
    n, c = y.shape[:2]
    x = torch.zeros(n, c, size[0] * size[1], dtype=tensor(y).dtype)
    values, places = tensor(y).reshape(n, c, -1), tensor(switches).long().reshape(n, c, -1)
    for window in range(values.shape[2]):
        x.scatter_(2, places[:, :, window : window + 1], values[:, :, window : window + 1])
    return x.reshape(n, c, *size).numpy()


def unpool_backward(dx, switches):
    """By autograd of a gather from the windows: each pixel from its last window."""
    n, c, rows, columns = switches.shape
    places = tensor(switches).long().reshape(n, c, -1)
    number = torch.arange(1, rows * columns + 1).expand(n, c, -1)
    last = torch.zeros(n, c, dx.shape[2] * dx.shape[3], dtype=torch.long)
    last = last.scatter_reduce(2, places, number, "amax")
    y = torch.zeros(n, c, rows * columns + 1, dtype=tensor(dx).dtype, requires_grad=True)
    x = y.gather(2, last)
    (dy,) = torch.autograd.grad(x, y, tensor(dx).reshape(n, c, -1))
    return dy[:, :, 1:].reshape(switches.shape).numpy()


def library_unpool(y, switches, size):
    """The library's own, which F.max_unpool2d calls once it has looked at the window."""
    return torch.ops.aten.max_unpool2d(tensor(y), tensor(switches), list(size)).numpy()


def norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    leaves = [tensor(a).clone().requires_grad_() for a in (x, weight, bias)]
    mean, var = torch.from_numpy(running_mean), torch.from_numpy(running_var)
    y = F.batch_norm(leaves[0], mean, var, *leaves[1:], training, momentum, eps)
    return y.detach().numpy(), (y, leaves)


def norm_backward(dy, cache):
    y, leaves = cache
    return [g.numpy() for g in torch.autograd.grad(y, leaves, tensor(dy))]


STYLES = {
    "PyTorch": {
        "max_pool2d": pool,
        "max_pool2d_backward": pool_backward,
        "max_unpool2d": unpool,
        "max_unpool2d_backward": unpool_backward,
        "batch_norm": norm,
        "batch_norm_backward": norm_backward,
    },
}
