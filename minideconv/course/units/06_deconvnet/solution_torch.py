"""Unit 6: a tiny DeconvNet of your own layers, and its training.

Your files conv.py, conv_transpose.py, pooling.py and tape.py lie beside this one. `convolve`,
`deconvnet` and `deconvnet_backward` are given; write the parts that raise an error.

The network, with the shapes of what leaves each layer (C, A, B and K are numbers of channels):

    x                                                   (N, C, H, W)
    convolve, w1 (A, C, 3, 3), b1 (A,); ReLU            (N, A, H, W)
    pool, which gives switches 1                        (N, A, H/2, W/2)
    convolve, w2 (B, A, 3, 3), b2 (B,); ReLU            (N, B, H/2, W/2)
    pool, which gives switches 2                        (N, B, H/4, W/4)
    unpool at switches 2                                (N, B, H/2, W/2)
    convolve_transposed, v2 (B, A, 3, 3), c2 (A,); ReLU (N, A, H/2, W/2)
    unpool at switches 1                                (N, A, H, W)
    convolve_transposed, v1 (A, K, 3, 3), c1 (K,)       (N, K, H, W): a score for each class
"""

import torch

from conv import conv2d, conv2d_backward
from conv_transpose import conv_transpose2d, conv_transpose2d_backward
from pooling import max_pool2d, max_pool2d_backward, max_unpool2d, max_unpool2d_backward
from tape import Tensor


def convolve(x, w, b):
    """Convolve with padding 1, on the tape. Given, as the example for the three below.

    x, w, b and the result are Tensors: a value, what it was made of, and the rule that turns its
    gradient into theirs.
    """
    y = conv2d(x.data, w.data, b.data, padding=(1, 1))
    return Tensor.computed(
        y, (x, w, b), lambda dy: conv2d_backward(dy, x.data, w.data, padding=(1, 1))
    )


def convolve_transposed(x, w, b):
    """Convolve transposed with padding 1, on the tape."""
    # BEGIN SOLUTION
    y = conv_transpose2d(x.data, w.data, b.data, padding=(1, 1))

    def rule(dy):
        return conv_transpose2d_backward(dy, x.data, w.data, padding=(1, 1))

    return Tensor.computed(y, (x, w, b), rule)
    # END SOLUTION


def pool(x):
    """Pool windows of 2 x 2, on the tape; return (y, switches), of which switches is an array."""
    # BEGIN SOLUTION
    y, switches = max_pool2d(x.data, (2, 2))
    size = tuple(x.data.shape[2:])
    return Tensor.computed(y, (x,), lambda dy: (max_pool2d_backward(dy, switches, size),)), switches
    # END SOLUTION


def unpool(y, switches, size):
    """Unpool to size (H, W), on the tape."""
    # BEGIN SOLUTION
    x = max_unpool2d(y.data, switches, size)
    return Tensor.computed(x, (y,), lambda dx: (max_unpool2d_backward(dx, switches),))
    # END SOLUTION


def network(x, w1, b1, w2, b2, v2, c2, v1, c1):
    """Return the scores: Tensors in, a Tensor (N, K, H, W) out, as in the table at the top.

    To do: one line for each layer. Unpooling goes back to the size that the pooling of its switches
    was given. There is no ReLU behind the scores.
    """
    # BEGIN SOLUTION
    size1 = tuple(x.data.shape[2:])
    y, switches1 = pool(convolve(x, w1, b1).relu())
    size2 = tuple(y.data.shape[2:])
    y, switches2 = pool(convolve(y, w2, b2).relu())
    y = unpool(y, switches2, size2)
    y = convolve_transposed(y, v2, c2).relu()
    y = unpool(y, switches1, size1)
    return convolve_transposed(y, v1, c1)
    # END SOLUTION


def deconvnet(x, w1, b1, w2, b2, v2, c2, v1, c1):
    """Return the scores of plain arrays, as an array. This function is given."""
    return network(*map(Tensor, (x, w1, b1, w2, b2, v2, c2, v1, c1))).data


def deconvnet_backward(dscores, x, w1, b1, w2, b2, v2, c2, v1, c1):
    """Return the gradients of the eight parameters, in order. This function is given."""
    parameters = [Tensor(p, requires_grad=True) for p in (w1, b1, w2, b2, v2, c2, v1, c1)]
    network(Tensor(x), *parameters).backward(dscores)
    return tuple(p.grad for p in parameters)


def cross_entropy(scores, labels):
    """Return (loss, dscores): how wrong the scores (N, K, H, W) are, and the gradient of that.

    labels (N, H, W) holds the right class of each pixel, an integer from 0 to K-1. With P the
    number of pixels N*H*W, and p = exp(scores) / sum of exp(scores) over the K classes:

        loss    = -1/P * sum over pixels of log(p of the right class)
        dscores =  1/P * (p - 1 for the right class, p - 0 for the others)

    To do: take the largest score of each pixel off all of its scores first. That changes no p, and
    exp cannot overflow. `labels[:, None] == torch.arange(K)[:, None, None]` marks the right class.
    """
    # BEGIN SOLUTION
    n, classes, h, w = scores.shape
    right = labels[:, None] == torch.arange(classes)[:, None, None]
    shifted = scores - scores.amax(dim=1, keepdim=True)
    logs = shifted - torch.log(torch.exp(shifted).sum(dim=1, keepdim=True))
    loss = -(logs * right).sum() / (n * h * w)
    return loss, (torch.exp(logs) - right.to(scores.dtype)) / (n * h * w)
    # END SOLUTION


def train(x, labels, w1, b1, w2, b2, v2, c2, v1, c1, steps, rate):
    """Return the eight parameters, in order, after `steps` steps of gradient descent.

    A step: scores, loss, gradients; then every parameter becomes parameter - rate * gradient.
    The arrays that were given are not changed.
    """
    # BEGIN SOLUTION
    parameters = (w1, b1, w2, b2, v2, c2, v1, c1)
    for _ in range(steps):
        _, dscores = cross_entropy(deconvnet(x, *parameters), labels)
        gradients = deconvnet_backward(dscores, x, *parameters)
        parameters = tuple(p - rate * d for p, d in zip(parameters, gradients))
    return parameters
    # END SOLUTION
