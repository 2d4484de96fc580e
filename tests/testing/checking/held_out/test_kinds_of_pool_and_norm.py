"""Wrong pooling and batch norm that are further members of known kinds: each gets its name."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

from minideconv import ops
from minideconv.testing import OperationError, check_op

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted
OVER = (0, 2, 3)


def framed(x, padding):
    (ph, pw) = padding
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)


def walk(x, kernel, stride, padding, tops, lefts, place=None):
    """Pool the windows that begin at these rows and columns of the padded image."""
    wide, (kh, kw), w = framed(x, padding), kernel, x.shape[3]
    y = np.zeros((*x.shape[:2], len(tops), len(lefts)), x.dtype)
    switches = np.zeros(y.shape, np.int64)
    for n, c, i, j in np.ndindex(*y.shape):
        patch = wide[n, c, tops[i] : tops[i] + kh, lefts[j] : lefts[j] + kw]
        row, column = np.unravel_index(patch.argmax(), patch.shape)
        if place is not None:
            row, column = place(patch)
        y[n, c, i, j] = patch.max()
        switches[n, c, i, j] = (row + tops[i] - padding[0]) * w + column + lefts[j] - padding[1]
    return y, switches


def starts(x, kernel, stride, padding, more=(1, 1)):
    return tuple(
        list(range(0, n + 2 * p - k + extra, s))
        for n, k, s, p, extra in zip(
            x.shape[2:], kernel, stride or kernel, padding, more, strict=True
        )
    )


# max_pool2d ---------------------------------------------------------------------------------


@submitted("max_pool2d", "last window left out")
def while_a_row_is_left(x, kernel_size, stride=None, padding=(0, 0)):
    return walk(x, kernel_size, stride, padding, *starts(x, kernel_size, stride, padding, (0, 1)))


@submitted("max_pool2d", "row and column of the maximum found apart")
def last_column_of_any_maximum(x, kernel_size, stride=None, padding=(0, 0)):
    def place(patch):
        best = patch == patch.max()
        return best.any(1).argmax(), np.flatnonzero(best.any(0))[-1]

    return walk(x, kernel_size, stride, padding, *starts(x, kernel_size, stride, padding), place)


PLACES = {}


@submitted("max_pool2d", "state kept between calls")
def starts_kept_by_shape_and_kernel(x, kernel_size, stride=None, padding=(0, 0)):
    key = x.shape, kernel_size
    if key not in PLACES:
        PLACES[key] = starts(x, kernel_size, stride, padding), padding
    (tops, lefts), padding = PLACES[key]
    return walk(x, kernel_size, stride, padding, tops, lefts)


BY_KERNEL = {}


@submitted("max_pool2d", "state kept between calls")
def starts_kept_by_settings(x, kernel_size, stride=None, padding=(0, 0)):
    key = kernel_size, stride, padding
    tops, lefts = BY_KERNEL.setdefault(key, starts(x, kernel_size, stride, padding))
    return walk(x, kernel_size, stride, padding, tops, lefts)


STRIDES = {}


@submitted("conv2d", "state kept between calls")
def settings_kept_by_shape(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **STRIDES.setdefault((x.shape, w.shape), settings))


def shape_set_in_place(x, kernel_size, stride=None, padding=(0, 0)):
    shape = x.shape
    x.shape = (shape[0] * shape[1], *shape[2:])
    return walk(
        x.reshape(shape), kernel_size, stride, padding,
        *starts(x.reshape(shape), kernel_size, stride, padding),
    )  # fmt: skip


# max_pool2d_backward and unpooling -----------------------------------------------------------


@submitted("max_pool2d_backward", "size ignored: up to the largest switch")
def as_many_rows_as_needed(dy, switches, size):
    rows = switches.max() // size[1] + 1
    dx = np.zeros((*dy.shape[:2], rows, size[1]), dy.dtype)
    for n, c, i, j in np.ndindex(*dy.shape):
        dx[(n, c, *divmod(switches[n, c, i, j], size[1]))] += dy[n, c, i, j]
    return dx


@submitted("max_pool2d_backward", "np.bincount without minlength")
def one_count_for_all(dy, switches, size):
    planes = dy.shape[0] * dy.shape[1]
    begins = np.arange(planes).reshape(*dy.shape[:2], 1, 1) * (size[0] * size[1])
    dx = np.bincount((switches + begins).ravel(), dy.ravel())
    return dx.reshape(*dy.shape[:2], *size).astype(dy.dtype)


@submitted("max_unpool2d", "size ignored: a multiple of y's")
def only_whole_blocks(y, switches, size):
    down, across = (max(n // m, 1) for n, m in zip(size, y.shape[2:], strict=True))
    x = np.zeros((*y.shape[:2], y.shape[2] * down, y.shape[3] * across), y.dtype)
    for n, c, i, j in np.ndindex(*y.shape):
        row, column = switches[n, c, i, j] // size[1], switches[n, c, i, j] % size[1]
        if row < x.shape[2] and column < x.shape[3]:
            x[n, c, row, column] = y[n, c, i, j]
    return x


@submitted(
    "max_unpool2d_backward", "overwritten values looked for in the same column of windows only"
)
def looks_down_only(dx, switches):
    flat, chosen = (a.reshape(*a.shape[:2], -1) for a in (dx, switches))
    dy = np.take_along_axis(flat, chosen, 2).reshape(switches.shape)
    rows = switches.shape[2]
    for i in range(rows):
        for later in range(i + 1, rows):
            dy[:, :, i] = np.where(switches[:, :, i] == switches[:, :, later], 0, dy[:, :, i])
    return dy


@submitted("max_unpool2d_backward", "winners of another plane")
def one_dictionary_an_image(dx, switches):
    dy = np.zeros(switches.shape, dx.dtype)
    for n in range(len(dx)):
        last = {int(switches[(n, *at)]): at for at in np.ndindex(*switches.shape[1:])}
        for pixel, (c, i, j) in last.items():
            dy[n, c, i, j] = dx[n, c].ravel()[pixel]
    return dy


# batch_norm ---------------------------------------------------------------------------------


def normed(x, weight, bias, mean, var, training, momentum, eps, **other):
    """Normalise; ``other`` are parts that are wrong."""
    count = x.size // x.shape[1]
    used = x.mean(OVER), x.var(OVER)
    if training:
        mean[...] += momentum * (used[0] - mean)
        var[...] += momentum * (other.get("unbiased", used[1] * count / (count - 1)) - var)
        used = used[0], other.get("spread", used[1])
    else:
        used = mean, other.get("running", var)
    deviation = other.get("root", lambda v: np.sqrt(v + eps))(used[1])
    xh = (x - used[0][:, None, None]) / deviation[:, None, None]
    return (weight[:, None, None] * xh + bias[:, None, None]).astype(x.dtype), None


@submitted("batch_norm", "running variance corrected by the number of images and rows")
def columns_forgotten(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
    k = x.shape[0] * x.shape[2]
    with np.errstate(all="ignore"):
        return normed(x, weight, bias, mean, var, training, momentum, eps,
                      unbiased=x.var(OVER) * np.float64(k) / np.float64(k - 1))  # fmt: skip


@submitted("batch_norm", "running variance corrected by the size of x")
def squares_over_all_but_one(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
    squares = ((x - x.mean(OVER, keepdims=True)) ** 2).sum(OVER)
    return normed(x, weight, bias, mean, var, training, momentum, eps,
                  unbiased=squares / (x.size - 1))  # fmt: skip


@submitted("batch_norm", "variance divided by the number of pixels")
def squares_over_pixels(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
    squares = ((x - x.mean(OVER, keepdims=True)) ** 2).sum(OVER)
    return normed(x, weight, bias, mean, var, training, momentum, eps,
                  spread=squares / (x.shape[2] * x.shape[3]))  # fmt: skip


@submitted("batch_norm", "eps left out")
def guarded_in_place_of_eps(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
    return normed(x, weight, bias, mean, var, training, momentum, eps,
                  root=lambda v: np.where(v == 0, 1, np.sqrt(v)))  # fmt: skip


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()


# batch_norm_backward: with the forward that makes its cache -----------------------------------


def forward(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
    y, _ = normed(x, weight, bias, mean, var, training, momentum, eps)
    centred = x - x.mean(OVER, keepdims=True)
    return y, {"centred": centred, "var": x.var(OVER, keepdims=True), "weight": weight, "eps": eps}


def gradients(dy, cache, xh=None, power=None):
    centred, var, eps = cache["centred"], cache["var"], cache["eps"]
    std = np.sqrt(var + eps)
    xh = centred / std if xh is None else xh
    slope = dy * cache["weight"][:, None, None]
    power = (var + eps) ** -1.5 if power is None else power
    through = centred * (slope * centred).mean(OVER, keepdims=True) * power
    dx = (slope - slope.mean(OVER, keepdims=True)) / std - through
    return dx.astype(dy.dtype), (dy * xh).sum(OVER).astype(dy.dtype), dy.sum(OVER)


def power_without_eps(dy, cache):
    with np.errstate(all="ignore"):
        return gradients(dy, cache, power=np.nan_to_num(cache["var"] ** -1.5, posinf=0))


def dweight_without_eps(dy, cache):
    return gradients(dy, cache, xh=cache["centred"] / np.sqrt(np.maximum(cache["var"], 1e-12)))


def squares_in_place(dy, cache):
    found = gradients(dy, cache)
    np.sqrt(cache["var"], out=cache["var"])
    return found


@pytest.mark.parametrize(
    ("backward", "name", "title"),
    [
        (power_without_eps, "eps left out", "eps left out"),
        (dweight_without_eps, "eps left out", "eps left out .in dweight."),
        (squares_in_place, "the backward changes its cache", "the backward changes its cache"),
    ],
)
def test_a_wrong_backward_is_named(backward, name, title):
    with pytest.raises(OperationError, match=f"batch_norm_backward: {title}") as caught:
        check_op(backward, "batch_norm_backward", beside={"batch_norm": forward})
    found = {m for o in caught.value.report.outcomes if o.failure for m in o.failure.mistakes}
    assert found == {name}


# What is right is not blamed ------------------------------------------------------------------


def keeps_what_it_worked_out(dy, cache):
    """Write to the cache, and give the same again."""
    cache.setdefault("xh", cache["centred"] / np.sqrt(cache["var"] + cache["eps"]))
    return gradients(dy, cache, xh=cache["xh"])


def test_a_cache_that_is_added_to_is_right():
    functions = {"batch_norm": forward}
    assert check_op(keeps_what_it_worked_out, "batch_norm_backward", beside=functions).passed


def test_a_memory_with_a_whole_key_is_right():
    kept = {}

    def function(x, kernel_size, stride=None, padding=(0, 0)):
        key = x.shape, kernel_size, stride, padding
        places = kept.setdefault(key, starts(x, kernel_size, stride, padding))
        return walk(x, kernel_size, stride, padding, *places)

    assert check_op(function, "max_pool2d", examples=8).passed


def test_what_is_wrong_by_its_settings_is_not_taken_for_a_memory():
    def function(x, kernel_size, stride=None, padding=(0, 0)):
        y, switches = walk(
            x, kernel_size, stride, padding, *starts(x, kernel_size, stride, padding)
        )
        return (y * 3 if padding[0] else y), switches

    with pytest.raises(OperationError) as caught:
        check_op(function, "max_pool2d")
    assert not any(o.failure.mistakes for o in caught.value.report.outcomes if o.failure)


def test_a_shape_set_in_place_is_called_so():
    with pytest.raises(OperationError, match="it changes the shape of its argument x"):
        check_op(shape_set_in_place, "max_pool2d")


def test_two_calls_show_a_memory():
    PLACES.clear()
    with pytest.raises(OperationError) as caught:
        check_op(starts_kept_by_shape_and_kernel, "max_pool2d")
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.call.count("max_pool2d(") == failure.replay.count("replay(") == 2
