"""Max unpooling against a loop, both of its adjoints exactly, and wrong versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import (
    Switches,
    max_pool2d,
    max_pool2d_backward,
    max_unpool2d,
    max_unpool2d_backward,
)
from minideconv.ops import unpooling as unpooling_module
from minideconv.testing import (
    AdjointError,
    PoolGeometry,
    as_matrix,
    check_adjoint,
    check_contract,
    check_gradients,
    pool_geometries,
    seeds,
    values,
)

duplicates = st.sampled_from(["assign", "add"])


def switches_of(g, seed):
    """Switches of an image with many ties and, where windows overlap, many duplicates."""
    x = values(g.x_shape, seed, "ties")
    return max_pool2d(x, **g.kwargs, return_switches=True)[1]


def without_geometry(switches):
    return Switches.from_plane(switches.indices, switches.plane_shape)


def any_switches(shape, plane, seed):
    """Indices with nothing behind them: any pixel may be chosen by any window."""
    rng = np.random.default_rng(seed)
    return Switches.from_plane(rng.integers(0, plane[0] * plane[1], shape), plane)


arbitrary = st.builds(
    any_switches,
    st.tuples(*(st.integers(1, n) for n in (2, 3, 4, 5))),
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    seeds(),
)


def naive_unpool(x, switches, duplicates):
    y = np.zeros((*x.shape[:2], *switches.plane_shape), x.dtype)
    for b, k, o, q in np.ndindex(x.shape):  # row-major: a later write stays
        place = switches.indices[b, k, o, q]
        if duplicates == "add":
            y[b, k].flat[place] += x[b, k, o, q]
        else:
            y[b, k].flat[place] = x[b, k, o, q]
    return y


def naive_unpool_backward(dy, switches, duplicates):
    owner = {}
    for b, k, o, q in np.ndindex(switches.shape):
        owner[b, k, switches.indices[b, k, o, q]] = (o, q)
    dx = np.zeros(switches.shape, dy.dtype)
    for b, k, o, q in np.ndindex(switches.shape):
        place = switches.indices[b, k, o, q]
        if duplicates == "add" or owner[b, k, place] == (o, q):
            dx[b, k, o, q] = dy[b, k].flat[place]
    return dx


def plane_shape(switches):
    return (*switches.shape[:2], *switches.plane_shape)


def check_forward(unpool, switches, duplicates, seed):
    x = values(switches.shape, seed)
    assert np.array_equal(unpool(x, switches, duplicates), naive_unpool(x, switches, duplicates))


def check_backward(backward, switches, duplicates, seed):
    dy = values(plane_shape(switches), seed)
    want = naive_unpool_backward(dy, switches, duplicates)
    assert np.array_equal(backward(dy, switches, duplicates), want)


# --- switches of a pooling ---------------------------------------------------------------------


@given(pool_geometries(), seeds(), duplicates)
def test_equals_the_loop(g, seed, duplicates):
    check_forward(max_unpool2d, switches_of(g, seed), duplicates, seed)


@given(pool_geometries(overlap=True, max_kernel=4), seeds(), duplicates)
def test_overlapping_windows_equal_the_loop(g, seed, duplicates):
    switches = switches_of(g, seed)
    check_forward(max_unpool2d, switches, duplicates, seed)
    check_backward(max_unpool2d_backward, switches, duplicates, seed)


@given(pool_geometries(), seeds(), duplicates)
def test_backward_equals_the_loop(g, seed, duplicates):
    check_backward(max_unpool2d_backward, switches_of(g, seed), duplicates, seed)


@given(pool_geometries(), seeds(), duplicates)
def test_backward_is_the_adjoint(g, seed, duplicates):
    switches = switches_of(g, seed)
    check_adjoint(
        lambda x: max_unpool2d(x, switches, duplicates),
        lambda dy: max_unpool2d_backward(dy, switches, duplicates),
        values(g.y_shape, seed + 1),
        values(g.x_shape, seed + 2),
        exact=True,
    )


@given(pool_geometries(max_out=2, max_batch=1, max_channels=1), seeds(), duplicates)
def test_the_two_matrices_are_transposes(g, seed, duplicates):
    switches = switches_of(g, seed)
    forward = as_matrix(lambda x: max_unpool2d(x, switches, duplicates), g.y_shape)
    backward = as_matrix(lambda dy: max_unpool2d_backward(dy, switches, duplicates), g.x_shape)
    assert np.array_equal(forward.T, backward)


@given(pool_geometries(), seeds(), duplicates)
def test_backward_is_the_gradient(g, seed, duplicates):
    switches = switches_of(g, seed)
    check_gradients(
        lambda x: max_unpool2d(x, switches, duplicates),
        [values(g.y_shape, seed, "normal")],
        lambda dy: (max_unpool2d_backward(dy, switches, duplicates),),
        seed=seed,
    )


@given(pool_geometries(), seeds(), duplicates)
def test_keeps_the_promises_of_an_op(g, seed, duplicates):
    switches = switches_of(g, seed)
    x, dy = values(g.y_shape, seed), values(g.x_shape, seed)
    check_contract(lambda a: max_unpool2d(a, switches, duplicates), [x], shape=g.x_shape)
    check_contract(lambda a: max_unpool2d_backward(a, switches, duplicates), [dy], shape=g.y_shape)


@given(pool_geometries(), seeds())
def test_add_is_the_backward_of_pooling(g, seed):
    switches, x = switches_of(g, seed), values(g.y_shape, seed, "normal")
    assert np.array_equal(max_unpool2d(x, switches, "add"), max_pool2d_backward(x, switches))


@given(pool_geometries(), seeds())
def test_the_backward_of_add_is_pooling_itself(g, seed):
    x = values(g.x_shape, seed, "ties")
    y, switches = max_pool2d(x, **g.kwargs, return_switches=True)
    assert np.array_equal(max_unpool2d_backward(x, switches, "add"), y)


@given(pool_geometries(overlap=False), seeds())
def test_pooling_undoes_unpooling_of_what_is_not_negative(g, seed):
    switches, x = switches_of(g, seed), np.abs(values(g.y_shape, seed))
    for mode in ("assign", "add"):
        unpooled = max_unpool2d(x, switches, mode)
        assert np.count_nonzero(unpooled) == x.size
        assert np.array_equal(max_pool2d(unpooled, **g.kwargs), x)


def test_duplicates_around_one_peak():
    """Nine windows see one peak: assign keeps the last of them, add counts all nine."""
    image = np.zeros((1, 1, 5, 5))
    image[0, 0, 2, 2] = 5
    y, switches = max_pool2d(image, 3, stride=1, return_switches=True)
    assert max_unpool2d(y, switches)[0, 0, 2, 2] == 5
    assert max_unpool2d(y, switches, "add")[0, 0, 2, 2] == 45
    numbered = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    assert max_unpool2d(numbered, switches)[0, 0, 2, 2] == 9
    assert max_unpool2d(numbered, switches, "add")[0, 0, 2, 2] == 45


def test_the_adjoint_that_other_libraries_miss():
    """Gathering for every window is not the adjoint of writing: here 9 windows share 1 pixel."""
    image = np.zeros((1, 1, 5, 5))
    image[0, 0, 2, 2] = 5
    switches = max_pool2d(image, 3, stride=1, return_switches=True)[1]
    dx = max_unpool2d_backward(np.full((1, 1, 5, 5), 7.0), switches)
    assert dx.ravel().tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 7]


@given(pool_geometries(), seeds(), duplicates, st.sampled_from([np.inf, -np.inf, np.nan]))
def test_an_infinite_value_stays_at_its_pixel(g, seed, duplicates, odd):
    switches, x = switches_of(g, seed), values(g.y_shape, seed)
    x[-1, -1, -1, -1] = odd  # the last window always wins
    hit = np.zeros(g.x_shape, bool)
    hit[-1, -1].flat[switches.indices[-1, -1, -1, -1]] = True
    assert np.array_equal(~np.isfinite(max_unpool2d(x, switches, duplicates)), hit)


# --- switches that have only the plane --------------------------------------------------------


@given(arbitrary, seeds(), duplicates)
def test_arbitrary_indices_equal_the_loop(switches, seed, duplicates):
    check_forward(max_unpool2d, switches, duplicates, seed)
    check_backward(max_unpool2d_backward, switches, duplicates, seed)


@given(arbitrary, seeds(), duplicates)
def test_arbitrary_indices_have_exact_adjoints(switches, seed, duplicates):
    check_adjoint(
        lambda x: max_unpool2d(x, switches, duplicates),
        lambda dy: max_unpool2d_backward(dy, switches, duplicates),
        values(switches.shape, seed),
        values(plane_shape(switches), seed + 1),
        exact=True,
    )


@given(arbitrary, seeds(), duplicates)
def test_arbitrary_indices_keep_the_promises_of_an_op(switches, seed, duplicates):
    x, dy = values(switches.shape, seed), values(plane_shape(switches), seed)
    check_contract(lambda a: max_unpool2d(a, switches, duplicates), [x])
    check_contract(lambda a: max_unpool2d_backward(a, switches, duplicates), [dy])


@given(pool_geometries(), seeds(), duplicates)
def test_the_window_is_only_a_shortcut(g, seed, duplicates):
    switches = switches_of(g, seed)
    plain, x, dy = without_geometry(switches), values(g.y_shape, seed), values(g.x_shape, seed)
    assert np.array_equal(max_unpool2d(x, switches, duplicates), max_unpool2d(x, plain, duplicates))
    assert np.array_equal(
        max_unpool2d_backward(dy, switches, duplicates),
        max_unpool2d_backward(dy, plain, duplicates),
    )


def test_many_windows_on_one_pixel():
    """The sorted sum takes ten doublings here, and loses nothing."""
    shape = (1, 2, 25, 40)
    switches = Switches.from_plane(np.full(shape, 3), (2, 3))
    x = values(shape, 0)
    assert max_unpool2d(x, switches, "add")[0, :, 1, 0].tolist() == x.sum((0, 2, 3)).tolist()
    assert max_unpool2d(x, switches)[0, :, 1, 0].tolist() == x[0, :, -1, -1].tolist()


# --- refusals --------------------------------------------------------------------------------


def test_misuse_is_refused_in_words():
    switches = switches_of(PoolGeometry(2, 3, (8, 6), (2, 2)), 0)
    y, plane = np.zeros((2, 3, 4, 3)), np.zeros((2, 3, 8, 6))
    with pytest.raises(
        ValueError, match=r"max_unpool2d: x has shape \(2, 3, 8, 6\) but .* \(2, 3, 4, 3\); there"
    ):
        max_unpool2d(plane, switches)
    with pytest.raises(
        ValueError, match=r"max_unpool2d_backward: dy has shape .* planes of shape \(2, 3, 8, 6\)"
    ):
        max_unpool2d_backward(y, switches)
    with pytest.raises(TypeError, match=r"max_unpool2d: x has dtype int64"):
        max_unpool2d(y.astype(np.int64), switches)
    for function, argument in ((max_unpool2d, y), (max_unpool2d_backward, plane)):
        with pytest.raises(ValueError, match=r"duplicates is 'mean'; it must be 'assign' or 'add'"):
            function(argument, switches, "mean")


# --- wrong versions that the checks above must reject ------------------------------------------

OVERLAPPING = PoolGeometry(2, 3, (6, 7), (3, 2), (1, 1), (1, 1))
DISJOINT = PoolGeometry(1, 2, (5, 9), (2, 3), (2, 3))


def first_wins(x, switches, duplicates):
    if duplicates == "add":
        return max_unpool2d(x, switches, duplicates)
    y = np.zeros(plane_shape(switches))
    for place in reversed(list(np.ndindex(x.shape))):
        y[place[:2]].flat[switches.indices[place]] = x[place]
    return y


def indices_of_the_transposed_plane(x, switches, duplicates):
    h, w = switches.plane_shape
    turned = switches.indices % w * h + switches.indices // w
    return max_unpool2d(x, Switches(turned, (h, w)), duplicates)


def top_left(x, switches, duplicates):
    """Unpool without switches: the top left pixel of each window."""
    constant, s = np.zeros(plane_shape(switches)), switches
    corners = max_pool2d(constant, s.kernel_size, s.stride, s.padding, return_switches=True)[1]
    return max_unpool2d(x, corners, duplicates)


FORWARD_MUTANTS = {
    "first wins": first_wins,
    "always add": lambda x, s, d: max_unpool2d(x, s, "add"),
    "always assign": lambda x, s, d: max_unpool2d(x, s, "assign"),
    "switches ignored": top_left,
    "rows and columns swapped": indices_of_the_transposed_plane,
    "zeros": lambda x, s, d: np.zeros(plane_shape(s)),
}
BACKWARD_MUTANTS = {
    "gathers without respecting the winners": lambda dy, s, d: max_unpool2d_backward(dy, s, "add"),
    "sends nothing to duplicates in add": lambda dy, s, d: max_unpool2d_backward(dy, s, "assign"),
    "max pooling of dy": lambda dy, s, d: max_pool2d(dy, s.kernel_size, s.stride, s.padding),
    "zeros": lambda dy, s, d: np.zeros(s.shape),
}


def every_check(forward, backward):
    for g in (OVERLAPPING, DISJOINT):
        for mode in ("assign", "add"):
            check_forward(forward, switches_of(g, 0), mode, 0)
            check_backward(backward, switches_of(g, 0), mode, 0)


def test_the_right_version_passes_the_checks_for_mutants():
    every_check(max_unpool2d, max_unpool2d_backward)


@pytest.mark.parametrize("name", FORWARD_MUTANTS)
def test_wrong_forwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(FORWARD_MUTANTS[name], max_unpool2d_backward)


@pytest.mark.parametrize("name", BACKWARD_MUTANTS)
def test_wrong_backwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(max_unpool2d, BACKWARD_MUTANTS[name])


def test_the_adjoint_check_rejects_pytorch_s_backward():
    """Write forward, gather backward: caught by the dot test alone, without any oracle."""
    switches = switches_of(OVERLAPPING, 0)
    with pytest.raises(AdjointError):
        check_adjoint(
            lambda x: max_unpool2d(x, switches, "assign"),
            lambda dy: max_unpool2d_backward(dy, switches, "add"),
            values(OVERLAPPING.y_shape, 1),
            values(OVERLAPPING.x_shape, 2),
        )


@pytest.mark.parametrize("mode", ["assign", "add"])
def test_forgetting_that_windows_overlap_is_caught(monkeypatch, mode):
    """The shortcut for disjoint windows, taken where they overlap."""
    window = type(switches_of(OVERLAPPING, 0)._window)
    monkeypatch.setattr(window, "overlaps", False)
    with pytest.raises(AssertionError):
        check_forward(unpooling_module.max_unpool2d, switches_of(OVERLAPPING, 0), mode, 0)
