"""One-walk steps of the optimisers against the same steps in NumPy and in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor
from minideconv.backend import parallel
from minideconv.engine.cpu import optimizers as engine
from minideconv.optim import SGD, Adam, AdamW
from minideconv.optim.blocks import in_memory_order
from minideconv.testing import seeds

pytest.importorskip("numba", reason="numba is not installed (extra fast)")

CASES = {
    "plain": (SGD, {}),
    "decay": (SGD, {"weight_decay": 0.1}),
    "momentum": (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "damped": (SGD, {"momentum": 0.9, "dampening": 0.3}),
    "Nesterov": (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adam": (Adam, {"weight_decay": 0.1}),
    "AdamW": (AdamW, {"weight_decay": 0.1}),
}
shapes = st.one_of(
    st.lists(st.integers(0, 40), max_size=1).map(tuple),
    st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
)


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "PART", 37)
        yield


def turned(array, seed):
    """The same array with its axes in another order in memory."""
    order = np.random.default_rng(seed).permutation(array.ndim)
    return array.transpose(order).copy().transpose(np.argsort(order))


def steps(case, shape, seed, dtype=np.float32, compiled=True, layout=None, grad_layout=None):
    """Take three steps and return weight and state."""
    kind, options = CASES[case]
    rng = np.random.default_rng(seed)
    layout = layout or (lambda a: a)
    p = Tensor(layout(rng.normal(size=shape).astype(dtype)), requires_grad=True)
    optimizer = kind([p], lr=0.05, **options)
    before = md.use_compiled(compiled)
    try:
        with md.algorithm("exact"):
            for _ in range(3):
                grad = np.asarray(rng.normal(size=shape)).astype(np.float32).astype(dtype)
                p.grad = Tensor((grad_layout or layout)(grad))
                kept = p.grad.data.copy()
                optimizer.step()
                assert np.array_equal(p.grad.data, kept)
    finally:
        md.use_compiled(before)
    state = optimizer.state.get(0, {})
    return [p.data, *(state[name] for name in sorted(state) if name != "step")]


def close(found, exact):
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
@given(shapes, seeds())
def test_equals_the_step_in_float64(case, shape, seed):
    close(steps(case, shape, seed), steps(case, shape, seed, np.float64))


@pytest.mark.parametrize("case", ["Nesterov", "Adam", "plain"])
@given(shapes, seeds())
def test_the_order_in_memory_changes_nothing(case, shape, seed):
    def layout(a):
        return turned(a, seed)

    def other(a):
        return turned(a, seed + 1)

    want = steps(case, shape, seed)
    for layouts in ((layout, layout), (layout, other), (None, other)):
        found = steps(case, shape, seed, layout=layouts[0], grad_layout=layouts[1])
        assert all(np.array_equal(a, b) for a, b in zip(found, want, strict=True))


def test_weights_stored_taps_first_are_not_copied():
    weight = np.zeros((3, 3, 4, 5), np.float32).transpose(3, 2, 0, 1)
    flat = in_memory_order(weight, np.zeros_like(weight), np.zeros_like(weight))
    assert all(a.ndim == 1 for a in flat)
    assert np.shares_memory(flat[0], weight)


def test_what_cannot_be_flat_is_left_to_numpy():
    wide = np.zeros((4, 6), np.float32)
    assert in_memory_order(wide[:, ::2], wide[:, 1::2])[0].ndim == 2
    assert engine.sgd(wide[:, ::2], wide[:, ::2], None, (0.1, 0), 0, 0, False) is None
    assert engine.sgd(*[np.zeros(3)] * 2, None, (0.1, 0), 0, 0, False) is None
    close(
        steps("momentum", (4, 3), 0, layout=lambda a: np.repeat(a, 2, 1)[:, ::2]),
        steps("momentum", (4, 3), 0, np.float64),
    )


@pytest.mark.parametrize("case", ["Nesterov", "AdamW"])
def test_the_number_of_threads_changes_nothing(case):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    before = parallel.get_num_threads()
    try:
        parallel.set_num_threads(1)
        one = steps(case, (31, 29), 0)
        parallel.set_num_threads(2)
        two = steps(case, (31, 29), 0)
    finally:
        parallel.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_loaded_state_has_the_layout_of_its_parameter():
    p = Tensor(np.zeros((3, 3, 4, 5), np.float32).transpose(3, 2, 0, 1), requires_grad=True)
    optimizer = SGD([p], lr=0.1, momentum=0.9)
    p.grad = Tensor(np.ones_like(p.data))
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[0]["momentum_buffer"].strides == p.data.strides


@pytest.mark.parametrize("case", CASES)
def test_the_engine_is_called(case, monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "_parts", lambda *arrays: asked.append(len(arrays)))
    steps(case, (3, 4), 0)
    assert len(asked) == 3


# --- wrong versions that the checks above must reject ------------------------------------------


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        ("momentum", {"momentum": 0.8, "weight_decay": 0.1}),
        ("momentum", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
        ("damped", {"momentum": 0.9}),
        ("decay", {}),
        ("Adam", {"weight_decay": 0.1, "eps": 1e-2}),
        ("Adam", {"weight_decay": 0.1, "betas": (0.9, 0.99)}),
        ("AdamW", {"weight_decay": 0.2}),
    ],
)
def test_another_step_is_rejected(case, wrong, monkeypatch):
    want = steps(case, (3, 4), 0, np.float64)
    close(steps(case, (3, 4), 0), want)
    monkeypatch.setitem(CASES, case, (CASES[case][0], wrong))
    with pytest.raises(AssertionError):
        close(steps(case, (3, 4), 0), want)
