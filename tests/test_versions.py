"""What an operation used must not change before its backward: a copy is kept, or it is an error.

A tensor has a version, which every change in place counts up. An array or a list has none, so
backward gets a copy of it.
"""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor
from minideconv import functional as F

CHANGED = "was changed in place 1 time since"


def leaf(*shape):
    x = np.random.default_rng(0).standard_normal(shape)
    return Tensor(x, requires_grad=True)


def labels():
    return np.array([0, 2, 1, 255])


def index():
    return np.array([1, 0, 1])


def mask():
    return np.array([True, False, True])


# An operation, what it uses besides a leaf of four rows and three columns, and another value.
USES = {
    "integer index": (lambda x, i: x[:, i], index, 2),
    "two indices": (lambda x, i: x[i, i], index, 2),
    "boolean mask": (lambda x, m: x[:, m], mask, False),
    "labels": (F.cross_entropy, labels, 1),
    "labels, smoothed": (lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), labels, 1),
    "labels, each": (lambda x, t: F.cross_entropy(x, t, reduction="none"), labels, 1),
    "class weights": (
        lambda x, w: F.cross_entropy(x, labels(), w, reduction="sum"),
        lambda: np.array([1.0, 2.0, 3.0]),
        9.0,
    ),
    "factor": (lambda x, a: x * a, lambda: np.arange(12.0).reshape(4, 3), 9.0),
    "divisor": (lambda x, a: x / a, lambda: np.arange(1.0, 13).reshape(4, 3), 9.0),
    "exponent": (lambda x, a: (x * x + 1.0) ** a, lambda: np.arange(12.0).reshape(4, 3), 9.0),
    "matrix on the right": (lambda x, a: x @ a, lambda: np.arange(6.0).reshape(3, 2), 9.0),
    "matrix on the left": (lambda x, a: Tensor(a) @ x, lambda: np.arange(8.0).reshape(2, 4), 9.0),
}


def gradient(function, used, change=None):
    x = leaf(4, 3)
    y = function(x, used)
    if change is not None:
        change(used)
    (y * y.detach()).sum().backward()
    return x.grad.numpy()


@pytest.mark.parametrize("name", [name for name in USES if name != "matrix on the left"])
def test_an_array_may_change_afterwards(name):
    function, make, other = USES[name]
    used = make()
    if md.get_default_device().type == "gpu" and name in ("labels", "class weights"):
        pytest.skip("arrays on a GPU are not copied")

    def change(used):
        used[...] = other

    np.testing.assert_array_equal(gradient(function, used, change), gradient(function, make()))
    assert (used == other).all()


@pytest.mark.parametrize("name", USES)
def test_a_tensor_that_changed_is_an_error(name):
    function, make, other = USES[name]
    if name == "matrix on the left":
        function = lambda x, a: a @ x  # noqa: E731

    def change(used):
        used[...] = other

    np.testing.assert_array_equal(gradient(function, Tensor(make())), gradient(function, make()))
    with pytest.raises(RuntimeError, match=CHANGED):
        gradient(function, Tensor(make()), change)


def test_a_list_of_indices_may_change_afterwards():
    used = [0, 0, 2]
    found = gradient(lambda x, i: x[i], used, lambda used: used.__setitem__(0, 3))
    np.testing.assert_array_equal(found, gradient(lambda x, i: x[i], [0, 0, 2]))


def test_nothing_is_copied_where_nothing_is_recorded(monkeypatch):
    from minideconv.autograd import shapes

    monkeypatch.setattr(shapes, "deepcopy", None)  # an error if it is called
    x = leaf(4, 3)
    with md.no_grad():
        x[index()]
    Tensor(x.data)[index()]
