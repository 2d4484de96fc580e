"""Dictionary learning: gradient, projection, step size; what was planted is found; runs go on."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.backend import to_cpu, to_default_device
from minideconv.sparse_coding import (
    BatchLearner,
    OnlineLearner,
    Problem,
    project,
    random_filters,
    synthesis,
)
from minideconv.sparse_coding.dictionary import FilterStep, gradient

SIZE = (12, 15)


def drawn(channels=1, count=3, dtype=np.float64):
    rng = np.random.default_rng(7 * channels)
    filters = random_filters(4, channels, (3, 2), rng, dtype)
    images = rng.standard_normal((count, channels, *SIZE)).astype(dtype)
    maps = rng.standard_normal((count, 4, *SIZE)) * (rng.random((count, 4, *SIZE)) < 0.1)
    return [to_default_device(a) for a in (images, filters, maps.astype(dtype))]


@pytest.mark.parametrize("kind", ["plain", "masked", "smooth"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_gradient_is_the_objectives_slope(kind, channels):
    """Along random directions; the objective is a square, so central differences are exact."""
    images, filters, maps = drawn(channels)
    mask = None
    if kind == "masked":
        mask = to_default_device(np.random.default_rng(3).random((1, 1, *SIZE)) > 0.3)
    problem = Problem(images, 0.1, mask, 2.0 if kind == "smooth" else None)
    slope = to_cpu(gradient(problem, filters, maps))
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(filters.shape)
        d = to_default_device(direction)
        ends = [problem.objective(filters + sign * d, maps) for sign in (1, -1)]
        along = float((slope * direction).sum())
        assert (ends[0] - ends[1]) / 2 == pytest.approx(along, rel=1e-10)
        assert (ends[0] - ends[1]) / 2 != pytest.approx(1.001 * along, rel=1e-6)


def test_projections():
    rng = np.random.default_rng(0)
    scales = np.array([0.01, 0.1, 0.2, 1, 3, 0])[:, None, None, None]
    filters = scales * rng.standard_normal((6, 2, 3, 4))
    norms = np.sqrt((filters**2).sum(axis=(1, 2, 3)))
    assert (norms < 1).sum() >= 3
    assert (norms > 1).sum() >= 2
    ball, sphere = (to_cpu(project(to_default_device(filters), c)) for c in ("ball", "sphere"))
    np.testing.assert_allclose(
        np.sqrt((ball**2).sum(axis=(1, 2, 3))), np.minimum(norms, 1), rtol=1e-12
    )
    np.testing.assert_array_equal(ball[norms <= 1], filters[norms <= 1])
    np.testing.assert_allclose(
        np.sqrt((sphere**2).sum(axis=(1, 2, 3))), [1, 1, 1, 1, 1, 0], rtol=1e-12
    )
    for found in (ball, sphere):  # the direction stays
        lengths = np.sqrt((found**2).sum(axis=(1, 2, 3), keepdims=True))
        np.testing.assert_allclose(
            found * norms[:, None, None, None], filters * lengths, atol=1e-12
        )
    with pytest.raises(ValueError, match="constraint is 'cube'; it must be one of ball, sphere"):
        project(to_default_device(filters), "cube")


@pytest.mark.parametrize("constraint", ["ball", "sphere"])
def test_steps_for_fixed_maps_go_down_to_the_best_filters(constraint):
    """In the ball the minimum is known: no filter of unit norm, and none inside, is better."""
    _, filters, maps = drawn()
    truth = 0.5 * filters if constraint == "ball" else filters
    images = synthesis(maps, truth)
    problem = Problem(images, 0.0)
    start = random_filters(4, 1, (3, 2), np.random.default_rng(5), np.float64)
    step = FilterStep(to_default_device(start), constraint)
    before = problem.objective(step.filters, maps)
    for _ in range(300):
        step.step(problem, maps)
    assert problem.objective(step.filters, maps) < 1e-6 * before
    np.testing.assert_allclose(to_cpu(step.filters), to_cpu(truth), atol=1e-3)


def test_the_step_is_never_too_long():
    """L is at least the curvature along every step, also where it begins far too small."""
    images, filters, maps = drawn()
    problem = Problem(100 * images, 0.1)
    step = FilterStep(filters)
    last = problem.objective(step.filters, maps)
    for _ in range(5):
        step._t = 1.0  # no momentum: then each step must go down
        step._point = step.filters
        step.step(problem, maps)
        now = problem.objective(step.filters, maps)
        assert now <= last * (1 + 1e-12)
        last = now
    assert step.lipschitz > 1


@pytest.mark.parametrize("constraint", ["ball", "sphere"])
def test_batch_learning_lowers_the_objective(constraint):
    images, filters, _ = drawn(channels=2)
    learner = BatchLearner(Problem(images, 0.3), filters, constraint)
    values = []
    for _ in range(60):
        learner.step()
        values.append(learner.objective())
    assert values[-1] < values[20] < values[4]
    norms = np.sqrt((to_cpu(learner.filters) ** 2).sum(axis=(1, 2, 3)))
    assert (norms <= 1 + 1e-12).all()


@pytest.mark.long_on_fakecuda
def test_planted_filters_are_found():
    """Images that are sparse in two filters: learning finds them, up to sign, place and order."""
    rng = np.random.default_rng(0)
    truth = np.zeros((2, 1, 5, 5))
    truth[0, 0, 2, 1:4] = truth[1, 0, 1:4, 1] = 1
    truth[1, 0, 1, 3] = -1
    truth = project(truth, "sphere")
    maps = rng.standard_normal((6, 2, 24, 25)) * (rng.random((6, 2, 24, 25)) < 0.02)
    images = synthesis(to_default_device(maps), to_default_device(truth))
    start = to_default_device(random_filters(4, 1, (5, 5), rng, np.float64))
    learner = BatchLearner(Problem(images, 0.05), start)
    for _ in range(250):
        learner.step()

    def alike(filters):
        """The largest correlation of each planted filter with any learnt one, over shifts."""
        learnt = to_cpu(project(filters, "sphere"))
        best = []
        for t in truth[:, 0]:
            padded = np.pad(t, 4)
            best.append(max(
                abs((padded[i : i + 5, j : j + 5] * d).sum())
                for d in learnt[:, 0] for i in range(9) for j in range(9)
            ))  # fmt: skip
        return np.array(best)

    assert (alike(learner.filters) > 0.98).all()
    assert (alike(start) < 0.9).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_learning_repeats_and_goes_on_byte_for_byte(dtype):
    images, filters, _ = drawn(dtype=dtype)
    problem = Problem(images, 0.3, smoothness=2.0)
    whole = BatchLearner(problem, filters)
    for step in range(24):
        if step == 11:
            kept = copied(whole.state(), to_cpu)
        whole.step()
    again = BatchLearner(problem, filters)
    again.set_state(copied(kept, to_default_device))
    for _ in range(13):
        again.step()
    np.testing.assert_array_equal(to_cpu(whole.filters), to_cpu(again.filters))
    np.testing.assert_array_equal(to_cpu(whole.maps), to_cpu(again.maps))
    assert whole.objective() == again.objective()


def test_online_learning_repeats_and_goes_on_byte_for_byte():
    images, filters, _ = drawn(count=6)
    parts = [images[k : k + 1] for k in range(6)]
    whole = OnlineLearner(filters, 0.3, 2.0, iterations=12, eta=(0.5, 5.0))
    for k, part in enumerate(parts):
        if k == 3:
            kept = copied(whole.state(), to_cpu)
        whole.step(part)
    again = OnlineLearner(filters, 0.3, 2.0, iterations=12, eta=(0.5, 5.0))
    assert np.isnan(again.objective())
    again.set_state(copied(kept, to_default_device))
    for part in parts[3:]:
        again.step(part)
    np.testing.assert_array_equal(to_cpu(whole.filters), to_cpu(again.filters))
    assert whole.objective() == again.objective()
    assert whole.steps == again.steps == 6


def copied(tree, move):
    if isinstance(tree, dict):
        return {name: copied(value, move) for name, value in tree.items()}
    return move(tree.copy()) if hasattr(tree, "shape") else tree


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: OnlineLearner(d, 0.1, iterations=0), "iterations is 0; it must be at least 1"),
        (lambda d: OnlineLearner(d, 0.1, eta=(1.0, 0.0)), "eta is .1.0, 0.0.; both numbers"),
        (lambda d: FilterStep(d, "ball", -1.0), "lipschitz_constant is -1.0; it must be above 0"),
        (lambda d: FilterStep(d, "cube"), "constraint is 'cube'"),
    ],
)
def test_mistakes(make, message):
    filters = to_default_device(np.ones((2, 1, 3, 4)))
    with pytest.raises(ValueError, match=message):
        make(filters)
