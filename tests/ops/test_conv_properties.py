"""The table "backward is the adjoint" as properties, exactly, and every mutant rejected by them.

    <conv2d(x, W), y>  =  <x, conv_transpose2d(y, W)>  =  <W, conv2d_weight_grad(x, y)>

Each check below takes the implementation that it checks. The reference must pass all of them; each
wrong version in the bank of mistakes must fail one (a third of them is tried).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minideconv import ops
from minideconv.ops import col2im, conv_matrix, im2col
from minideconv.testing import (
    as_matrix,
    check_adjoint,
    check_contract,
    check_gradients,
    check_linear,
    conv_geometries,
    seeds,
    values,
)
from minideconv.testing.error_kinds import Fails
from minideconv.testing.mistakes import mistakes

small = conv_geometries(max_channels=2, max_out=3)


def data(g, seed, kind="integer", dtype=np.float64):
    return (
        values(g.x_shape, seed, kind, dtype),
        values(g.w_shape, seed + 1, kind, dtype),
        values(g.y_shape, seed + 2, kind, dtype),
    )


# ---------------------------------------------------------------------------------------------
# Checks of one implementation against the other two partials, or against the written-out matrix


def conv2d_adjoint_by_x(conv2d, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda x: conv2d(x, w, None, **g.kwargs),
        lambda y: ops.conv_transpose2d(y, w, **g.transpose_kwargs),
        x,
        y,
        exact=True,
    )


def conv2d_adjoint_by_w(conv2d, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda w: conv2d(x, w, None, **g.kwargs),
        lambda y: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
        w,
        y,
        exact=True,
    )


def conv2d_is_its_matrix_plus_bias(conv2d, g, seed):
    x, w, _ = data(g, seed)
    b = values(g.c_out, seed + 3)
    matrix = conv_matrix(w, g.size, **g.kwargs)
    y = conv2d(x, w, b, **g.kwargs)
    assert y.shape == g.y_shape
    want = (x.reshape(g.batch, -1) @ matrix.T).reshape(g.y_shape) + b.reshape(-1, 1, 1)
    assert np.array_equal(y, want)


def conv2d_contract(conv2d, g, seed):
    x, w, _ = data(g, seed)
    b = values(g.c_out, seed + 3)
    check_contract(lambda x, w, b: conv2d(x, w, b, **g.kwargs), [x, w, b], shape=g.y_shape)


def conv_transpose2d_adjoint_by_x(conv_transpose2d, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda y: conv_transpose2d(y, w, None, **g.transpose_kwargs),
        lambda x: ops.conv2d(x, w, **g.kwargs),
        y,
        x,
        exact=True,
    )


def conv_transpose2d_adjoint_by_w(conv_transpose2d, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda w: conv_transpose2d(y, w, None, **g.transpose_kwargs),
        lambda x: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
        w,
        x,
        exact=True,
    )


def conv_transpose2d_is_the_transposed_matrix_plus_bias(conv_transpose2d, g, seed):
    _, w, y = data(g, seed)
    b = values(g.c_in, seed + 3)
    matrix = conv_matrix(w, g.size, **g.kwargs)
    x = conv_transpose2d(y, w, b, **g.transpose_kwargs)
    assert x.shape == g.x_shape
    want = (y.reshape(g.batch, -1) @ matrix).reshape(g.x_shape) + b.reshape(-1, 1, 1)
    assert np.array_equal(x, want)


def conv_transpose2d_contract(conv_transpose2d, g, seed):
    _, w, y = data(g, seed)
    b = values(g.c_in, seed + 3)
    check_contract(
        lambda y, w, b: conv_transpose2d(y, w, b, **g.transpose_kwargs), [y, w, b], shape=g.x_shape
    )


def weight_grad_adjoint(weight_grad, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda y: weight_grad(x, y, g.kernel, **g.kwargs),
        lambda w: ops.conv2d(x, w, **g.kwargs),
        y,
        w,
        exact=True,
    )


def weight_grad_adjoint_by_x(weight_grad, g, seed):
    x, w, y = data(g, seed)
    check_adjoint(
        lambda x: weight_grad(x, y, g.kernel, **g.kwargs),
        lambda w: ops.conv_transpose2d(y, w, **g.transpose_kwargs),
        x,
        w,
        exact=True,
    )


def weight_grad_contract(weight_grad, g, seed):
    x, _, y = data(g, seed)
    check_contract(lambda x, y: weight_grad(x, y, g.kernel, **g.kwargs), [x, y], shape=g.w_shape)


CHECKS = {
    "conv2d": (
        conv2d_is_its_matrix_plus_bias,
        conv2d_contract,
        conv2d_adjoint_by_x,
        conv2d_adjoint_by_w,
    ),
    "conv_transpose2d": (
        conv_transpose2d_is_the_transposed_matrix_plus_bias,
        conv_transpose2d_contract,
        conv_transpose2d_adjoint_by_x,
        conv_transpose2d_adjoint_by_w,
    ),
    "conv2d_weight_grad": (weight_grad_adjoint, weight_grad_adjoint_by_x, weight_grad_contract),
}
PAIRS = [(of, check) for of, checks in CHECKS.items() for check in checks]


@pytest.mark.parametrize(("of", "check"), PAIRS, ids=[check.__name__ for _, check in PAIRS])
def test_reference(of, check):
    @given(small, seeds())
    def holds(g, seed):
        check(getattr(ops, of), g, seed)

    holds()


def float64_result(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings).astype(np.float64)


def input_changed(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    x *= 2
    return y


def weight_grad(mistake):
    """Return the weight gradient of a wrong conv2d_backward as a function like ours."""

    def function(x, dy, kernel, **settings):
        shape = (dy.shape[1], x.shape[1] // settings["groups"], *kernel)
        return mistake.values({"dy": dy, "x": x, "w": np.zeros(shape)}, settings).astype(x.dtype)

    return function


# Wrong in geometries that `small` never draws, where a window holds padding alone or an
# output_padding goes with a dilation: there is nothing here to reject.
UNDRAWN = {
    "padding beyond the kernel's reach fails",
    "padding beyond the kernel's reach left out",
    "output_padding of stride or more refused",
}


def some(of, output=None):
    """Return a third of the mistakes of an operation."""
    return [m for m in mistakes(of, output)[::3] if m.name not in UNDRAWN]


# What adjoints cannot see, because their forward passes have no bias and any dtype: the matrix and
# the contract must.
WRONG = [
    ("conv2d", "float64 result", float64_result, True),
    ("conv2d", "input changed", input_changed, False),
    *(
        (of, m.name, m.implementation(), "bias" in m.name)
        for of in ("conv2d", "conv_transpose2d")
        for m in some(of)
    ),
    *(("conv2d_weight_grad", m.name, weight_grad(m), False) for m in some("conv2d_backward", "dw")),
]


def rejects(check, function):
    """Say whether a check fails, or the function, for some geometry; always the same are tried."""

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate],
    )
    @given(small, seeds())
    def passes(g, seed):
        try:
            with np.errstate(all="ignore"):  # of a mistake with infinities
                check(function, g, seed)
        except Fails as failure:
            raise failure.error() from None

    try:
        passes()
    except (AssertionError, ValueError, IndexError, ZeroDivisionError):
        return True
    return False


@pytest.mark.parametrize(
    ("of", "function", "blind"),
    [(of, function, blind) for of, _, function, blind in WRONG],
    ids=[f"{of} {name} {number}" for number, (of, name, _, _) in enumerate(WRONG)],
)
def test_mistake_is_rejected(of, function, blind):
    """... by an adjoint identity alone, unless that is blind to the mistake."""
    for check in CHECKS[of]:
        if ("adjoint" in check.__name__) != blind and rejects(check, function):
            return
    raise AssertionError("no property rejects it")


@pytest.mark.parametrize(
    "m", [m for m in mistakes("conv_transpose2d", "y") if m.name in UNDRAWN], ids=lambda m: m.name
)
def test_undrawn_mistake_is_right_in_all_drawn_geometries(m):
    assert not any(rejects(check, m.implementation()) for check in CHECKS["conv_transpose2d"])


# ---------------------------------------------------------------------------------------------
# The identity itself, and the table around it


@given(conv_geometries(), seeds(), st.sampled_from([np.float32, np.float64]))
def test_trilinear_identity_is_exact_on_integers(g, seed, dtype):
    x, w, y = data(g, seed, dtype=dtype)
    by_y = np.vdot(ops.conv2d(x, w, **g.kwargs).astype(float), y.astype(float))
    by_x = np.vdot(ops.conv_transpose2d(y, w, **g.transpose_kwargs).astype(float), x.astype(float))
    by_w = np.vdot(
        ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs).astype(float), w.astype(float)
    )
    assert by_y == by_x == by_w


@given(conv_geometries(), seeds(), st.sampled_from([np.float32, np.float64]))
def test_three_adjoints_within_rounding_on_floats(g, seed, dtype):
    x, w, y = data(g, seed, "normal", dtype)
    check_adjoint(
        lambda x: ops.conv2d(x, w, **g.kwargs),
        lambda y: ops.conv_transpose2d(y, w, **g.transpose_kwargs),
        x,
        y,
    )
    check_adjoint(
        lambda w: ops.conv2d(x, w, **g.kwargs),
        lambda y: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
        w,
        y,
    )
    check_adjoint(
        lambda w: ops.conv_transpose2d(y, w, **g.transpose_kwargs),
        lambda x: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
        w,
        x,
    )


def test_identity_at_the_size_of_a_real_layer():
    """Large enough for several blocks and for the products to run in BLAS."""
    from minideconv.testing import ConvGeometry

    g = ConvGeometry(5, 24, 20, (45, 38), (3, 5), (2, 1), (1, 2), (1, 2), groups=2)
    x, w, y = data(g, 0, dtype=np.float32)
    check_adjoint(
        lambda x: ops.conv2d(x, w, **g.kwargs),
        lambda y: ops.conv_transpose2d(y, w, **g.transpose_kwargs),
        x,
        y,
        exact=True,
    )
    check_adjoint(
        lambda w: ops.conv2d(x, w, **g.kwargs),
        lambda y: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
        w,
        y,
        exact=True,
    )


@given(conv_geometries(max_groups=1), seeds())
def test_im2col_and_col2im_are_adjoint(g, seed):
    window = (g.kernel, g.stride, g.padding, g.dilation)
    columns = (g.batch, g.c_in * g.kernel[0] * g.kernel[1], g.out_size[0] * g.out_size[1])
    check_adjoint(
        lambda x: im2col(x, *window),
        lambda c: col2im(c, g.size, *window),
        values(g.x_shape, seed),
        values(columns, seed + 1),
        exact=True,
    )


@given(conv_geometries(), seeds())
def test_conv2d_is_weight_times_im2col(g, seed):
    x, w, _ = data(g, seed)
    columns = im2col(x, g.kernel, g.stride, g.padding, g.dilation)
    columns = columns.reshape(g.batch, g.groups, -1, columns.shape[2])
    product = w.reshape(g.groups, g.c_out // g.groups, -1) @ columns
    assert np.array_equal(ops.conv2d(x, w, **g.kwargs), product.reshape(g.y_shape))


@given(conv_geometries(), seeds())
def test_conv_transpose2d_is_col2im_of_transposed_weight_times_y(g, seed):
    _, w, y = data(g, seed)
    matrix = w.reshape(g.groups, g.c_out // g.groups, -1).swapaxes(1, 2)
    columns = matrix @ y.reshape(g.batch, g.groups, g.c_out // g.groups, -1)
    columns = columns.reshape(g.batch, -1, g.out_size[0] * g.out_size[1])
    image = col2im(columns, g.size, g.kernel, g.stride, g.padding, g.dilation)
    assert np.array_equal(ops.conv_transpose2d(y, w, **g.transpose_kwargs), image)


@given(conv_geometries(max_channels=2, max_groups=2, max_out=2, max_batch=1), seeds())
def test_conv_matrix_entry_by_entry(g, seed):
    """The matrix is found by feeding conv2d one pixel at a time, its transpose likewise."""
    _, w, _ = data(g, seed)
    matrix = conv_matrix(w, g.size, **g.kwargs)
    assert matrix.dtype == w.dtype
    assert np.array_equal(
        matrix, as_matrix(lambda x: ops.conv2d(x, w, **g.kwargs), (1, *g.x_shape[1:]))
    )
    assert np.array_equal(
        matrix.T,
        as_matrix(lambda y: ops.conv_transpose2d(y, w, **g.transpose_kwargs), (1, *g.y_shape[1:])),
    )


@given(conv_geometries(), seeds())
def test_sparse_conv_matrix(g, seed):
    pytest.importorskip("scipy", reason="needs scipy: pip install scipy")
    x, w, y = data(g, seed)
    dense = conv_matrix(w, g.size, **g.kwargs)
    sparse = conv_matrix(w, g.size, **g.kwargs, sparse=True)
    assert type(sparse).__name__ == "csr_array"
    assert np.array_equal(sparse.toarray(), dense)
    assert sparse.nnz == np.count_nonzero(dense)
    for image, result in zip(x, ops.conv2d(x, w, **g.kwargs), strict=True):
        assert np.array_equal(sparse @ image.ravel(), result.ravel())
    for image, result in zip(y, ops.conv_transpose2d(y, w, **g.transpose_kwargs), strict=True):
        assert np.array_equal(sparse.T @ image.ravel(), result.ravel())


@given(conv_geometries(), seeds())
def test_linear_in_each_argument(g, seed):
    x, w, y = data(g, seed)
    x2, w2, y2 = data(g, seed + 10)
    check_linear(lambda x: ops.conv2d(x, w, **g.kwargs), x, x2)
    check_linear(lambda w: ops.conv2d(x, w, **g.kwargs), w, w2)
    check_linear(lambda y: ops.conv_transpose2d(y, w, **g.transpose_kwargs), y, y2)
    check_linear(lambda w: ops.conv_transpose2d(y, w, **g.transpose_kwargs), w, w2)
    check_linear(lambda x: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs), x, x2)
    check_linear(lambda y: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs), y, y2)


@given(conv_geometries(max_padding=0, max_out=4), seeds())
def test_shifting_the_image_by_a_stride_shifts_the_result_by_a_pixel(g, seed):
    x, w, _ = data(g, seed)
    y = ops.conv2d(x, w, **g.kwargs)
    sh, sw = g.stride
    if y.shape[2] > 1:
        assert np.array_equal(ops.conv2d(x[:, :, sh:], w, **g.kwargs), y[:, :, 1:])
    if y.shape[3] > 1:
        assert np.array_equal(ops.conv2d(x[:, :, :, sw:], w, **g.kwargs), y[:, :, :, 1:])


# ---------------------------------------------------------------------------------------------
# Backward passes


@given(conv_geometries(), seeds())
def test_backward_names_two_of_the_three(g, seed):
    x, w, y = data(g, seed)
    dx, dw, db = ops.conv2d_backward(y, x, w, **g.kwargs)
    assert np.array_equal(dx, ops.conv_transpose2d(y, w, **g.transpose_kwargs))
    assert np.array_equal(dw, ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs))
    assert np.array_equal(db, [y[:, k].sum() for k in range(g.c_out)])
    dy, dw, db = ops.conv_transpose2d_backward(x, y, w, **g.kwargs)
    assert np.array_equal(dy, ops.conv2d(x, w, **g.kwargs))
    assert np.array_equal(dw, ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs))
    assert np.array_equal(db, [x[:, c].sum() for c in range(g.c_in)])


@given(conv_geometries(max_channels=2), seeds())
def test_conv2d_gradients(g, seed):
    x, w, _ = data(g, seed, "normal")
    b = values(g.c_out, seed + 3, "normal")
    check_gradients(
        lambda x, w, b: ops.conv2d(x, w, b, **g.kwargs),
        [x, w, b],
        lambda dy: ops.conv2d_backward(dy, x, w, **g.kwargs),
        seed=seed,
    )


@given(conv_geometries(max_channels=2), seeds(), st.integers(0, 5), st.integers(0, 5))
def test_conv_transpose2d_gradients(g, seed, extra_h, extra_w):
    """Any legal output_padding, not only the one that comes back to some input."""
    _, w, y = data(g, seed, "normal")
    b = values(g.c_in, seed + 3, "normal")
    legal = [max(s, d) for s, d in zip(g.stride, g.dilation, strict=True)]
    kwargs = {**g.kwargs, "output_padding": (extra_h % legal[0], extra_w % legal[1])}
    smallest = [n - r for n, r in zip(g.size, g.output_padding, strict=True)]
    if min(n + r for n, r in zip(smallest, kwargs["output_padding"], strict=True)) < 1:
        kwargs["output_padding"] = g.output_padding  # padding would eat the whole output
    check_gradients(
        lambda y, w, b: ops.conv_transpose2d(y, w, b, **kwargs),
        [y, w, b],
        lambda dx: ops.conv_transpose2d_backward(dx, y, w, **g.kwargs),
        seed=seed,
    )
