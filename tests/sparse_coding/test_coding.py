"""FISTA and ADMM: the lines they stand for, the same minimum, masks, smooth parts, stopping."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.backend import to_cpu, to_default_device
from minideconv.ops import soft_threshold
from minideconv.sparse_coding import Admm, Fista, Problem, analysis, code, synthesis
from minideconv.sparse_coding.dictionary import random_filters

SIZE = (11, 14)
LAMBDA = 0.2


def drawn(channels=1, images=2, dtype=np.float64):
    """Return images and filters on the device."""
    rng = np.random.default_rng(channels)
    filters = random_filters(5, channels, (3, 4), rng, dtype)
    images = rng.standard_normal((images, channels, *SIZE)).astype(dtype)
    return to_default_device(images), to_default_device(filters)


def mask_of(channels=1):
    return to_default_device(np.random.default_rng(3).random((1, channels, *SIZE)) > 0.3)


def systems_matrix(filters, size):
    """Return A as a matrix, from maps to the image (one channel)."""
    m = len(filters)
    unit = np.eye(m * size[0] * size[1]).reshape(-1, m, *size)
    return to_cpu(synthesis(to_default_device(unit), filters)).reshape(len(unit), -1).T


def test_admm_by_the_book():
    """Its lines, with x from the dense linear system of all maps' pixels."""
    images, filters = drawn(images=1)
    rho, alpha = 1.5, 1.7
    ours = Admm(Problem(images, LAMBDA), filters, rho, alpha, adapt_every=0)
    a, s = systems_matrix(filters, SIZE), to_cpu(images).reshape(-1)
    system = a.T @ a + rho * np.eye(a.shape[1])
    y = u = np.zeros(a.shape[1])
    for _ in range(7):
        x = np.linalg.solve(system, a.T @ s + rho * (y - u))
        r = alpha * x + (1 - alpha) * y
        new = soft_threshold(r + u, LAMBDA / rho)
        u = u + r - new
        y = new
        ours.step()
    np.testing.assert_allclose(to_cpu(ours.maps).reshape(-1), y, atol=1e-12)
    assert (y == 0).any()
    assert (y != 0).any()


def test_fista_by_the_book():
    images, filters = drawn(images=1)
    ours = Fista(Problem(images, LAMBDA), filters)
    a, s = systems_matrix(filters, SIZE), to_cpu(images).reshape(-1)
    constant = np.linalg.norm(a, 2) ** 2
    assert ours.lipschitz == pytest.approx(constant, rel=1e-10)
    x = y = np.zeros(a.shape[1])
    t = 1.0
    for _ in range(7):
        new = soft_threshold(y - a.T @ (a @ y - s) / constant, LAMBDA / constant)
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y = new + (t - 1) / t_new * (new - x)
        x, t = new, t_new
        ours.step()
    np.testing.assert_allclose(to_cpu(ours.maps).reshape(-1), x, atol=1e-10)


def check_optimal(problem, filters, maps, tolerance=1e-4):
    """The gradient of the smooth term is -lambda sign(x) where x is not 0, and small elsewhere."""
    residual = synthesis(maps, filters) - problem.images
    if problem.mask is not None:
        residual = residual * problem.mask
    slope = to_cpu(analysis(problem.rough(residual), filters))
    x = to_cpu(maps)
    active = np.abs(x) > 1e-3
    assert active.any()
    assert np.abs(slope[active] + problem.sparsity * np.sign(x[active])).max() < tolerance
    assert np.abs(slope).max() < problem.sparsity + tolerance


@pytest.mark.parametrize("method", ["admm", "fista"])
@pytest.mark.parametrize("kind", ["plain", "masked", "smooth"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.long_on_fakecuda
def test_both_find_the_minimum(method, kind, channels):
    images, filters = drawn(channels, images=1)
    mask = mask_of(channels) if kind == "masked" else None
    problem = Problem(images, LAMBDA, mask, 2.0 if kind == "smooth" else None)
    found = code(problem, filters, method, iterations=1500, tolerance=0)
    check_optimal(problem, filters, found.maps)
    with pytest.raises(AssertionError):
        check_optimal(problem, filters, 1.01 * found.maps)


def test_what_is_hidden_does_not_matter():
    images, filters = drawn()
    mask = mask_of()
    changed = images + 100 * (1 - mask)
    for make in (Admm, Fista):
        runs = [make(Problem(each, LAMBDA, mask), filters) for each in (images, changed)]
        for run in runs:
            for _ in range(400):
                run.step()
        known = to_cpu(mask[0, 0]) > 0
        one, two = (to_cpu(run.reconstruction())[:, 0][:, known] for run in runs)
        np.testing.assert_allclose(one, two, atol=2e-2 if make is Admm else 1e-10)


def test_a_smooth_part_takes_what_is_smooth():
    """A ramp of light that no filter has to explain: the objective counts it by its roughness."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    wave = np.cos(2 * np.pi * rows / SIZE[0]) + np.sin(2 * np.pi * columns / SIZE[1])
    images = to_default_device(2 * wave[None, None])
    _, filters = drawn()
    smooth = code(Problem(images, LAMBDA, smoothness=0.05), filters)
    assert smooth.density == 0
    np.testing.assert_allclose(to_cpu(smooth.reconstruction), to_cpu(images), atol=0.1)
    assert code(Problem(images, LAMBDA), filters).density > 0.05


def test_the_smooth_part_minimises_the_objective():
    images, filters = drawn(images=1)
    problem = Problem(images, LAMBDA, smoothness=2.0)
    coder = Admm(problem, filters)
    for _ in range(5):
        coder.step()
    maps = coder.maps
    part = to_cpu(problem.reconstruction(filters, maps) - synthesis(maps, filters))
    rest = to_cpu(images - synthesis(maps, filters))

    def cost(part):
        gradients = [part - np.roll(part, 1, axis) for axis in (2, 3)]
        return ((rest - part) ** 2).sum() / 2 + sum((g**2).sum() for g in gradients)  # mu/2 = 1

    penalty = LAMBDA * np.abs(to_cpu(maps)).sum()
    assert problem.objective(filters, maps) == pytest.approx(cost(part) + penalty, rel=1e-10)
    noise = 1e-3 * np.random.default_rng(1).standard_normal(part.shape)
    assert cost(part) < min(cost(part + noise), cost(part - noise), cost(1.001 * part))


def test_it_stops_when_the_objective_stays():
    images, filters = drawn()
    problem, seen = Problem(images, LAMBDA), []
    found = code(problem, filters, tolerance=1e-3, report=lambda *what: seen.append(what))
    assert found.converged
    assert seen == found.objectives
    values = [value for _, value in seen]
    changes = np.abs(np.diff(values)) / values[1:]
    assert changes[-1] < 1e-3
    assert (changes[:-1] >= 1e-3).all()
    short = code(problem, filters, iterations=13, tolerance=0)
    assert not short.converged
    assert [step for step, _ in short.objectives] == [10, 13]
    assert short.objectives[0] == found.objectives[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["admm", "fista"])
def test_the_type_stays_and_runs_repeat(dtype, method):
    images, filters = drawn(dtype=dtype)
    one, two = (code(Problem(images, LAMBDA), filters, method, iterations=12) for _ in range(2))
    assert one.maps.dtype == one.reconstruction.dtype == dtype
    np.testing.assert_array_equal(to_cpu(one.maps), to_cpu(two.maps))
    assert one.objectives == two.objectives


def test_a_state_goes_on_byte_for_byte():
    images, filters = drawn(dtype=np.float32)
    problem = Problem(images, LAMBDA, mask_of(), 2.0)
    whole = Admm(problem, filters)
    for step in range(25):
        if step == 13:
            kept = {k: (to_cpu(v).copy() if hasattr(v, "shape") else v)
                    for k, v in whole.state().items()}  # fmt: skip
        whole.step()
    again = Admm(problem, filters)
    again.set_state({k: to_default_device(v) if hasattr(v, "shape") else v
                     for k, v in kept.items()})  # fmt: skip
    for _ in range(12):
        again.step()
    assert again.rho == whole.rho != 50 * LAMBDA + 1
    np.testing.assert_array_equal(to_cpu(again.maps), to_cpu(whole.maps))
    np.testing.assert_array_equal(to_cpu(again.hidden), to_cpu(whole.hidden))


def test_images_of_one_pixel_and_of_nothing_but_zeros():
    d = to_default_device(np.ones((2, 1, 1, 1)))
    one = code(Problem(to_default_device(np.full((1, 1, 1, 1), 3.0)), 0.5), d, iterations=200)
    assert float(one.reconstruction[0, 0, 0, 0]) == pytest.approx(2.5, abs=0.05)
    nothing = code(Problem(to_default_device(np.zeros((1, 1, 4, 4))), 0.5), d)
    assert nothing.converged is False or nothing.density == 0
    assert nothing.density == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.ones((2, 3))}, r"images have shape \(2, 3\); they must have 4 axes"),
        ({"images": np.ones((1, 1, 0, 3))}, "none of them empty"),
        ({"images": np.full((1, 1, 5, 5), np.nan)}, "the images hold NaN or infinity"),
        ({"images": np.full((1, 1, 5, 5), np.inf)}, "all must be finite"),
        ({"images": np.full((1, 1, 5, 5), -1e300)}, r"the images hold values up to 1e\+300; in fl"),
        ({"images": np.ones((1, 1, 5, 5), int)}, "images have dtype int64; it must be float32"),
        ({"images": np.ones((1, 1, 5, 2))}, "3x4 are larger than the image, which is 5x2"),
        ({"images": np.ones((1, 1, 1, 1))}, "larger than the image, which is 1x1"),
        ({"images": np.ones((1, 2, 5, 5))}, "filters of 1 channels do not fit images of 2"),
        ({"images": np.ones((1, 1, 5, 5), np.float32)}, "filters are float64 but images float32"),
        ({"sparsity": -1.0}, "sparsity is -1.0; it must be a number of at least 0"),
        ({"sparsity": float("nan")}, "sparsity is nan"),
        ({"mask": np.ones((5, 5))}, r"the mask has shape \(5, 5\); each axis must be"),
        ({"mask": np.full((1, 1, 5, 5), 0.5)}, "must be 1 where a pixel is known, else 0"),
        ({"mask": np.zeros((1, 1, 5, 5))}, "the mask knows no pixel at all"),
        ({"smoothness": 0.0}, "smoothness is 0.0; it must be a number above 0"),
        ({"rho": 0.0}, "rho is 0.0; it must be a number above 0"),
        ({"relaxation": 2.0}, "relaxation is 2.0; it must be between 0 and 2"),
        ({"adapt_every": -1}, "adapt_every is -1; it must be a whole number >= 0"),
        ({"method": "ista"}, "method is 'ista'; it must be one of admm, fista"),
        ({"iterations": 0}, "iterations is 0; it must be at least 1"),
        ({"tolerance": -0.1}, "tolerance is -0.1; it must be at least 0"),
        ({"method": "fista", "lipschitz_constant": 0.0}, "lipschitz_constant is 0.0"),
        ({"method": "fista", "mask": np.ones((1, 1, 5, 5)), "smoothness": 1.0}, "not both"),
    ],
)  # fmt: skip
def test_mistakes(change, message):
    problem = {"images": np.ones((1, 1, 5, 5)), "sparsity": 0.1, "mask": None, "smoothness": None}
    given = {**problem, **{k: v for k, v in change.items() if k in problem}}
    for name in ("images", "mask"):
        given[name] = None if given[name] is None else to_default_device(given[name])
    options = {k: v for k, v in change.items() if k not in problem}
    filters = to_default_device(np.ones((2, 1, 3, 4)))
    with pytest.raises((ValueError, TypeError), match=message):
        code(Problem(**given), filters, **options)
