"""A function of Tensors beside PyTorch's: values, gradients, gradients of gradients, and so on."""

from __future__ import annotations

import numpy as np

from minideconv import Tensor, grad
from minideconv.testing import values


def close(ours, theirs, what=""):
    if theirs is None:
        assert ours is None or not ours.numpy().any(), what
        return
    want = theirs.detach().numpy(force=True)
    have = np.zeros_like(want) if ours is None else ours.numpy()
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-10 * scale, err_msg=what)


def compare(torch, function, reference, arrays, seed, orders=3):
    """Compare the gradients by all arrays and cotangents of order 1, 2, ... ``orders``.

    Each order's result is contracted with a random cotangent, which is an argument from then on.
    """
    ours = [Tensor(a.copy(), requires_grad=True) for a in arrays if a is not None]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays if a is not None]
    y, y_ref = [function(*_with_gaps(ours, arrays))], [reference(*_with_gaps(theirs, arrays))]
    for order in range(1, orders + 1):
        close(y[0], y_ref[0], f"result of order {order - 1}")
        sent = [values(tuple(t.shape), seed + 10 * order + i, "normal") for i, t in enumerate(y)]
        ours += (dy := [Tensor(a.copy(), requires_grad=True) for a in sent])
        theirs += (dy_ref := [torch.tensor(a, requires_grad=True) for a in sent])
        last = order == orders
        inputs, inputs_ref = ours[: -len(dy)], theirs[: -len(dy)]
        found = grad(y, inputs, dy, create_graph=not last, allow_unused=True)
        found_ref = torch.autograd.grad(
            y_ref, inputs_ref, dy_ref, create_graph=not last, allow_unused=True
        )
        for i, (mine, its) in enumerate(zip(found, found_ref, strict=True)):
            close(mine, its, f"gradient of order {order} by argument {i}")
        pairs = [
            (mine, its)
            for mine, its in zip(found, found_ref, strict=True)
            if mine is not None and its is not None and mine.requires_grad and its.requires_grad
        ]
        y, y_ref = ([pair[side] for pair in pairs] for side in (0, 1))


def _with_gaps(tensors, arrays):
    rest = iter(tensors)
    return [None if array is None else next(rest) for array in arrays]
