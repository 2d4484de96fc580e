"""A layer of the hierarchical model: its operator, shrinkage, the maps' steps and the filters'."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend import to_cpu, to_default_device
from minideconv.sparse_coding.hierarchy import (
    Layer,
    connect,
    decode,
    find_maps,
    normalize_planes,
    power_shrink,
    stamps,
)
from minideconv.sparse_coding.hierarchy.layer import BETAS, conjugate_gradients
from minideconv.testing import as_matrix, check_adjoint, seeds, values

SIZE = (7, 9)
KERNEL = (3, 2)


def on(*arrays):
    return [to_default_device(a) for a in arrays]


@st.composite
def geometries(draw):
    """Images, channels, maps, a kernel and a size that holds it."""
    n, c, m = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return n, c, m, kernel, tuple(k + draw(st.integers(0, 5)) for k in kernel)


def drawn(geometry, seed):
    """Return a layer with half of its connections, maps and inputs, all of whole numbers."""
    n, c, m, kernel, (h, w) = geometry
    table = (values((m, c), seed) > 0).astype(np.float64)
    table[0, 0] = 1  # a layer without any connection would prove nothing
    filters = values((m, c, *kernel), seed + 1)
    filters = (filters + (filters == 0)) * table[:, :, None, None]
    maps = values((n, m, h + kernel[0] - 1, w + kernel[1] - 1), seed + 2)
    layer = Layer(*on(filters, table))
    return layer, *on(maps, values((n, c, h, w), seed + 3))


def naive(maps, filters, size):
    """Stamp every filter everywhere on a larger sheet; cut the sheet's middle out."""
    (n, _, h, w), (_, c, kh, kw) = maps.shape, filters.shape
    sheet = np.zeros((n, c, h + kh - 1, w + kw - 1))
    for i in range(kh):
        for j in range(kw):
            stamped = np.einsum("nmhw,mc->nchw", maps, filters[:, :, i, j])
            sheet[:, :, i : i + h, j : j + w] += stamped
    return sheet[:, :, kh - 1 : kh - 1 + size[0], kw - 1 : kw - 1 + size[1]]


def check_partials(layer, maps, inputs):
    """<A z, r> = <z, A^T r> = <f, gradient>, in whole numbers and by ==."""
    check_adjoint(layer.synthesis, layer.analysis, maps, inputs, exact=True)
    masked = layer.connections[:, :, None, None]

    def by_filters(f):
        return replace(layer, filters=f * masked).synthesis(maps)

    every = layer.filters + (layer.filters == 0)  # also where there is no connection
    check_adjoint(by_filters, lambda r: layer.filter_gradient(r, maps), every, inputs, exact=True)


@given(geometries(), seeds())
def test_synthesis_is_a_sum_of_stamps_cut_off_at_the_border(geometry, seed):
    layer, maps, _ = drawn(geometry, seed)
    found = to_cpu(layer.synthesis(maps))
    np.testing.assert_array_equal(found, naive(to_cpu(maps), to_cpu(layer.filters), geometry[-1]))


@given(geometries(), seeds())
def test_each_is_the_others_transpose(geometry, seed):
    check_partials(*drawn(geometry, seed))


def test_wrong_operators_are_rejected():
    class NoBorder(Layer):
        def analysis(self, inputs):  # the first row and column are lost
            found = super().analysis(inputs)
            found[:, :, :1], found[..., :1] = 0, 0
            return found

    class Turned(Layer):
        def analysis(self, inputs):
            return replace(self, filters=self.filters[:, :, ::-1, ::-1]).analysis_of(inputs)

        def analysis_of(self, inputs):
            return super().analysis(inputs)

    class Unmasked(Layer):
        def filter_gradient(self, inputs, maps):
            whole = replace(self, connections=self.connections * 0 + 1)
            return Layer.filter_gradient(whole, inputs, maps)

    layer, maps, inputs = drawn((2, 3, 4, (3, 4), (6, 8)), 0)
    check_partials(layer, maps, inputs)
    for wrong in (NoBorder, Turned, Unmasked):
        with pytest.raises(AssertionError):
            check_partials(wrong(layer.filters, layer.connections), maps, inputs)


# ---------------------------------------------------------------------------------------------
# The shrinkage


def check_shrink(function, p, kappa, beta):
    """No w of a fine grid is better than what the function returns."""
    z = np.concatenate([np.linspace(-4, 4, 161), [0.0, 1e-6, -1e-6]])
    found = to_cpu(function(to_default_device(z), p, kappa, beta))
    grid = np.concatenate([np.linspace(-5, 5, 20001), [0.0]])

    def cost(w, at):
        return kappa * np.abs(w) ** p + beta / 2 * (w - at) ** 2

    best = np.array([cost(grid, at).min() for at in z])
    step = 10 / 20000
    slack = 1e-12 + beta * step**2  # of the grid
    assert (cost(found, z) <= best + 1e-12).all()
    assert (cost(found, z) >= best - slack - kappa * step).all()


@pytest.mark.parametrize("p", [1.0, 0.95, 0.8, 2 / 3, 0.5, 0.2, 0.05])
@pytest.mark.parametrize(("kappa", "beta"), [(1.0, 1.0), (0.3, 2.0), (0.1, 30.0), (2.0, 0.5)])
def test_the_shrinkage_is_the_minimum(p, kappa, beta):
    check_shrink(power_shrink, p, kappa, beta)


def test_wrong_shrinkages_are_rejected():
    def soft(z, p, kappa, beta):
        return power_shrink(z, 1.0, kappa, beta)

    def few_steps(z, p, kappa, beta):  # one step of Newton's
        size, ratio = abs(z), kappa / beta
        slope = ratio * p * np.maximum(size, 1e-9) ** (p - 1)
        w = np.maximum(size - slope, 0)
        return np.where(size > power_threshold(p, ratio), w, 0) * np.sign(z)

    def late(z, p, kappa, beta):  # jumps where the other minimum begins to exist, not where equal
        return np.where(abs(z) > 1.2 * power_threshold(p, kappa / beta),
                        to_cpu(power_shrink(to_default_device(z), p, kappa, beta)), 0)  # fmt: skip

    for wrong in (soft, few_steps, late):
        with pytest.raises(AssertionError):
            check_shrink(lambda z, *a, f=wrong: to_default_device(f(to_cpu(z), *a)), 0.5, 1.0, 1.0)


def power_threshold(p, ratio):
    jump = (2 * ratio * (1 - p)) ** (1 / (2 - p))
    return jump + ratio * p * jump ** (p - 1)


def test_the_shrinkage_at_the_edges():
    z = to_default_device(np.array([np.nan, 3.0, -3.0], np.float32))
    found = to_cpu(power_shrink(z, 1.0, 1.0, 1.0))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [np.nan, 2, -2])
    np.testing.assert_array_equal(to_cpu(power_shrink(z, 0.5, 0.0, 1.0)), to_cpu(z))
    assert (to_cpu(power_shrink(z * 0, 0.3, 1.0, 1.0))[1:] == 0).all()
    for p in (0, -1, 1.2, float("nan")):
        with pytest.raises(ValueError, match=rf"p is {p}; it must be above 0 and at most 1"):
            power_shrink(z, p, 1.0, 1.0)
    for kappa, beta in ((-1, 1), (1, 0), (1, float("inf")), (float("nan"), 1)):
        with pytest.raises(ValueError, match=f"kappa is {kappa} and beta {beta}; they must be"):
            power_shrink(z, 0.5, kappa, beta)


# ---------------------------------------------------------------------------------------------
# Maps and filters


def problem(seed=0, maps=3, channels=2, count=2, **options):
    """Return a layer with random filters, and inputs that few random maps make."""
    rng = np.random.default_rng(seed)
    table = connect(2, maps, channels, rng, np.float64)
    filters = rng.standard_normal((maps, channels, *KERNEL))
    size = [n + k - 1 for n, k in zip(SIZE, KERNEL, strict=True)]
    truth = 3 * rng.standard_normal((count, maps, *size)) * (rng.random((count, maps, *size)) < 0.1)
    filters, table, truth = on(filters, table, truth)
    layer = Layer(normalize_planes(filters, table), table, **options)
    return layer, layer.synthesis(truth)


def check_maps_step(solve, steps=30):
    """Conjugate gradients end at the solution of the dense system, image by image."""
    layer, inputs = problem(lam=0.7)
    beta, sparse = 0.8, np.random.default_rng(1).standard_normal((2, 3, 9, 10))
    target = layer.lam * layer.analysis(inputs) + beta * to_default_device(sparse)

    def normal(z):
        return layer.lam * layer.analysis(layer.synthesis(z)) + beta * z

    a = as_matrix(lambda z: to_cpu(layer.synthesis(to_default_device(z))), (1, 3, 9, 10))
    dense = layer.lam * a.T @ a + beta * np.eye(a.shape[1])
    found = to_cpu(solve(normal, target, target * 0, steps))
    expected = np.linalg.solve(dense, to_cpu(target).reshape(2, -1).T).T
    error = np.abs(found.reshape(2, -1) - expected).max()
    assert error < 1e-9, error
    exact = 0.0 * target
    np.testing.assert_array_equal(to_cpu(solve(normal, exact, exact, 3)), to_cpu(exact))


def test_the_maps_step_solves_the_dense_system():
    check_maps_step(conjugate_gradients)


def test_wrong_conjugate_gradients_are_rejected():
    def steepest(matrix, target, start, steps):
        for _ in range(steps):
            residual = target - matrix(start)
            image = matrix(residual)
            start = start + (residual**2).sum() / ((residual * image).sum() or 1) * residual
        return start

    def few(matrix, target, start, steps):
        return conjugate_gradients(matrix, target, start, steps // 10)

    for wrong in (steepest, few):
        with pytest.raises(AssertionError):
            check_maps_step(wrong)


@pytest.mark.parametrize("p", [1.0, 0.8, 0.5])
def test_at_a_fixed_beta_no_step_makes_the_objective_larger(p):
    layer, inputs = problem(p=p, kappa=0.3)
    seen: dict[float, list[float]] = {}

    def report(beta, maps, sparse):
        seen.setdefault(beta, []).append(layer.split_objective(inputs, maps, sparse, beta))

    found = layer.infer(inputs, [b for b in (0.1, 1.0, 10.0) for _ in range(5)], report)
    for at_beta in seen.values():
        assert len(at_beta) == 10
        for before, after in pairwise(at_beta):
            assert after <= before * (1 + 1e-12)
        assert at_beta[-1] < at_beta[0]
    assert layer.objective(inputs, found) < layer.objective(inputs, found * 0)


def test_images_are_coded_each_by_itself():
    layer, inputs = problem(count=3)
    together = to_cpu(layer.infer(inputs))
    for k in range(3):
        np.testing.assert_allclose(
            together[k], to_cpu(layer.infer(inputs[k : k + 1]))[0], atol=1e-12
        )
    np.testing.assert_allclose(to_cpu(find_maps([layer], inputs)), together, atol=1e-12)
    assert (together == 0).any()
    assert BETAS == (1, 10, 100, 1e3, 1e4, 1e5)


def test_a_step_of_the_filters_fits_better_and_keeps_what_is_not_connected():
    layer, inputs = problem(channels=3, maps=5)
    maps = layer.infer(inputs)
    solved = replace(layer, steps=200).learn(inputs, maps)
    # The best filters, densely; then the same scaling.
    table = to_cpu(layer.connections)
    free = np.repeat(table.ravel() > 0, 6)

    def apply(f):
        return to_cpu(replace(layer, filters=to_default_device(f)).synthesis(maps))

    matrix = as_matrix(apply, layer.filters.shape)[:, free]
    best = np.zeros(free.shape)
    best[free] = np.linalg.lstsq(matrix, to_cpu(inputs).ravel(), rcond=None)[0]
    expected = best.reshape(layer.filters.shape)
    expected /= np.maximum(np.sqrt((expected**2).sum(axis=(2, 3), keepdims=True)), 1e-30)
    np.testing.assert_allclose(to_cpu(solved.filters), expected, atol=1e-6)
    norms = np.sqrt((to_cpu(layer.learn(inputs, maps).filters) ** 2).sum(axis=(2, 3)))
    np.testing.assert_allclose(norms, table, atol=1e-12)


def test_planes_of_zeros_stay():
    filters, table = on(np.zeros((2, 1, 3, 3)), np.ones((2, 1)))
    np.testing.assert_array_equal(to_cpu(normalize_planes(filters, table)), 0)


def planted_likeness(betas):
    """Learn from pictures of few stamps; return how like the planted filters what is found is."""
    rng = np.random.default_rng(0)
    planted = np.zeros((2, 1, 5, 5))
    planted[0, 0, 2] = 1
    planted[1, 0, :, 2] = 1, -1, 1, -1, 1
    table = np.ones((2, 1))
    truth = Layer(*on(planted, table), kappa=2.0)
    truth = replace(truth, filters=normalize_planes(truth.filters, truth.connections))
    maps = 5.0 * (rng.random((8, 2, 20, 20)) < 0.015)
    inputs = truth.synthesis(to_default_device(maps))
    start = normalize_planes(*on(rng.standard_normal(planted.shape), table))
    layer = replace(truth, filters=start)
    for k in range(8):
        picture = inputs[k : k + 1]
        layer = layer.learn(picture, layer.infer(picture, betas))
    found, before, known = (to_cpu(f) for f in (layer.filters, start, truth.filters))
    assert alike(before, known).max() < 0.6
    return alike(found, known)


def test_planted_filters_are_found():
    """Each of them, up to its sign and place."""
    likeness = planted_likeness([b for b in (0.1, 0.3, 1, 3, 10) for _ in range(3)])
    assert sorted(likeness.argmax(axis=0)) == [0, 1]
    assert likeness.max(axis=0).min() > 0.95


def test_with_the_authors_continuation_they_are_not():
    """What the page says: six values of beta, once each, are too few here."""
    assert planted_likeness(BETAS).max(axis=0).min() < 0.8


def alike(found, truth):
    """Return the largest |correlation| of each pair over all displacements: (found, truth)."""
    table = np.zeros((len(found), len(truth)))
    for i, f in enumerate(found[:, 0]):
        for j, t in enumerate(truth[:, 0]):
            sheet = np.pad(t, 4)
            windows = np.lib.stride_tricks.sliding_window_view(sheet, f.shape)
            table[i, j] = np.abs((windows * f).sum(axis=(2, 3))).max()
    return table


# ---------------------------------------------------------------------------------------------
# Layers on each other


def test_stamps_are_whole_and_decode_is_every_layer_in_turn():
    first, _ = problem(0, maps=1, channels=1)
    first = replace(first, filters=to_default_device(values((2, 1, 3, 2), 0)),
                    connections=to_default_device(np.ones((2, 1))))  # fmt: skip
    second, _ = problem(1, maps=3, channels=2)
    found = to_cpu(stamps([first, second]))
    assert found.shape == (3, 1, 5, 3)
    expected = np.zeros(found.shape)
    f, g = to_cpu(first.filters), to_cpu(second.filters)
    for m in range(3):
        for k in range(2):  # the full convolution of two filters
            for i in range(3):
                for j in range(2):
                    expected[m, 0, i : i + 3, j : j + 2] += g[m, k, i, j] * f[k, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    maps = to_default_device(np.random.default_rng(0).standard_normal((1, 3, 11, 12)))
    np.testing.assert_array_equal(
        to_cpu(decode([first, second], maps)), to_cpu(first.synthesis(second.synthesis(maps)))
    )


def test_connections():
    rng = np.random.default_rng(0)
    assert connect(1, 4, 3, rng, np.float32).tolist() == [[1, 1, 1]] * 4
    assert connect(2, 6, 3, rng, np.float32).tolist() == [
        [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1],
    ]  # fmt: skip
    assert connect(2, 45, 9, rng, np.float64).sum() == 9 + 2 * 36
    third = connect(3, 30, 10, rng, np.float64)
    assert (third.sum(axis=1) == 2).all()
    assert len({tuple(row) for row in third}) == 30
    with pytest.raises(ValueError, match="7 maps; 3 below make at most 6 connections"):
        connect(2, 7, 3, rng, np.float32)


def test_layers_and_inputs_that_do_not_fit():
    filters, table = on(np.ones((2, 3, 3, 2)), np.ones((2, 3)))
    for wrong, message in [
        ({"p": 0}, "p is 0; it must be above 0 and at most 1"),
        ({"p": 1.5}, "p is 1.5"),
        ({"kappa": 0}, "kappa is 0; it must be a number above 0"),
        ({"lam": float("nan")}, "lam is nan"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"connections": table[:1]}, r"connections have shape \(1, 3\); filters of shape"),
        ({"filters": filters[0]}, r"filters have shape \(3, 3, 2\); they must have 4 axes"),
    ]:
        with pytest.raises(ValueError, match=message):
            Layer(**{"filters": filters, "connections": table, **wrong})
    layer = Layer(filters, table)
    bad = np.ones((1, 3, 5, 5))
    bad[0, 0, 0, 0] = np.nan
    for inputs, message in [
        (np.ones((1, 2, 5, 5)), r"shape \(1, 2, 5, 5\); they must have 4 axes, with 3 channels"),
        (np.ones((1, 3, 1, 1)), "filters of 3x2 are larger than the input of 1x1"),
        (bad, "inputs hold numbers that are not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            layer.infer(to_default_device(inputs))
