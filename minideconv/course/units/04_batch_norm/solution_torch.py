"""Unit 4: batch normalization, forward in training and in evaluation, and its backward.

x is (N, C, H, W): images, channels, rows, columns. A channel's mean is over its M = N*H*W numbers.
`sums`, `means` and `spread` are given; write the two functions below them. They may not change
their arguments, but for the running statistics. Arrays are PyTorch tensors. Do not call
torch.nn.functional: it holds what you write here.
"""

import torch


def sums(array):
    """Return the sum of each channel: (N, C, H, W) -> (C,). This function is given."""
    return array.sum(dim=(0, 2, 3))


def means(array):
    """Return the mean of each channel: (N, C, H, W) -> (C,). This function is given."""
    return array.mean(dim=(0, 2, 3))


def spread(channels):
    """Give (C,) axes for rows and columns, to meet (N, C, H, W). This function is given."""
    return channels[:, None, None]


def batch_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """Return (y, cache): every channel with mean 0 and variance 1, times weight, plus bias.

        xh = (x - mean) / sqrt(var + eps),    y = weight * xh + bias

    In training mean and var are those of the batch: var = mean of (x - mean)**2 over the M numbers.
    Then, in place (`running_mean[...] = ...`):

        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var  = (1 - momentum) * running_var  + momentum * var * M / (M - 1)

    In evaluation mean and var are the running ones, which stay as they are. The cache is yours:
    put into it what `batch_norm_backward` needs (after a forward in training).

    To do: mean, x - mean, its variance; the running statistics; y.
    """
    # BEGIN SOLUTION
    mean = means(x) if training else running_mean
    centred = x - spread(mean)
    var = means(centred**2) if training else running_var
    if training:
        count = x.shape[0] * x.shape[2] * x.shape[3]
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var * count / (count - 1)
    inv_std = (var + eps) ** -0.5
    y = spread(weight * inv_std) * centred + spread(bias)
    return y, (centred, inv_std, weight)
    # END SOLUTION


def batch_norm_backward(dy, cache):
    """Return (dx, dweight, dbias) of shapes like x, weight, bias, for a forward in training.

    With c = x - mean, s = 1 / sqrt(var + eps), xh = c * s, from the last step to the first:

        dbias = sum(dy),  dweight = sum(dy * xh),  dxh = dy * weight
        ds = sum(dxh * c),  dvar = ds * -1/2 * s**3
        dc = dxh * s + dvar * 2 * c / M
        dx = dc - mean(dc)

    To do: these lines; the sums and means are over each channel.
    """
    # BEGIN SOLUTION
    centred, inv_std, weight = cache
    count = dy.shape[0] * dy.shape[2] * dy.shape[3]
    dbias = sums(dy)
    dweight = sums(dy * centred) * inv_std
    dxh = dy * spread(weight)
    dinv_std = sums(dxh * centred)
    dvar = dinv_std * -0.5 * inv_std**3
    dcentred = dxh * spread(inv_std) + spread(dvar) * 2 * centred / count
    dx = dcentred - spread(means(dcentred))
    return dx, dweight, dbias
    # END SOLUTION
