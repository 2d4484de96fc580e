"""The optimisers' kernels against the readable steps in float64, and all that runs on a device."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor, optim
from minideconv.engine.cuda import gradients, module
from minideconv.engine.cuda import optimizers as kernels
from minideconv.testing import seeds, values

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}

OPTIONS = {
    "plain": (optim.SGD, {"weight_decay": 0.1}),
    "momentum": (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "damped": (optim.SGD, {"momentum": 0.9, "dampening": 0.3}),
    "Nesterov": (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adam": (optim.Adam, {"weight_decay": 0.1}),
    "Adam with other rates": (optim.Adam, {"betas": (0.0, 0.5), "eps": 1e-3}),
    "AdamW": (optim.AdamW, {"weight_decay": 0.1}),
}
sizes = st.integers(0, 40) | st.sampled_from([1023, 1024, 1025, 4096 + 3])


def near(found, want, dtype):
    assert found.dtype == dtype
    difference = np.linalg.norm(found.astype(np.float64) - want)
    assert difference <= TOLERANCE[dtype] * max(1e-3, np.linalg.norm(want))


def call(case, arrays, step, on_device, skip=(0, 0)):
    """Call the engine's function for a step as the optimiser does; `on_device` sends numbers.

    Return whether it did it.
    """
    kind, options = OPTIONS[case]
    group = {**kind([Tensor([0.0])], lr=0.05, **options).param_groups[0], "lr": 0.05 / step}
    if kind is optim.SGD:
        undamped = 1 if step == 1 else 1 - group["dampening"]
        fixed = (group["momentum"], group["weight_decay"], group["nesterov"])
        if on_device is None:
            return kernels.sgd(*arrays, (group["lr"], undamped), *fixed)
        numbers = on_device(np.array([group["lr"], undamped], np.float32))
        return kernels.sgd(*arrays, numbers, *fixed, on_device(np.array(skip, np.float32)))
    fixed = (group["betas"], group["eps"], group["weight_decay"], kind.decoupled)
    if on_device is None:
        return kernels.adam(*arrays, (group["lr"], step), *fixed)
    numbers = on_device(np.array([group["lr"], step], np.float32))
    return kernels.adam(*arrays, numbers, *fixed, on_device(np.array(skip, np.float32)))


def readable(case, weight, grads):
    """Return weight and memory after steps in float64, as the readable code takes them."""
    kind, options = OPTIONS[case]
    p = Tensor(weight.astype(np.float64), requires_grad=True, device="cpu")
    optimizer = kind([p], lr=0.05, **options)
    with md.algorithm("reference"):
        for step, grad in enumerate(grads, 1):
            optimizer.param_groups[0]["lr"] = 0.05 / step
            p.grad = Tensor(grad.astype(np.float64), device="cpu")
            optimizer.step()
    state = optimizer.state[0]
    return [p.data, *(state[name] for name in optimizer.remembers(optimizer.param_groups[0]))]


def memories(case):
    kind, options = OPTIONS[case]
    optimizer = kind([Tensor([0.0])], lr=0.05, **options)
    return len(optimizer.remembers(optimizer.param_groups[0]))


def steps(gpu, case, size, dtype, seed, on_device, offset=0, count=3):
    """Take steps with the kernels; return what they made of weight and memory."""

    def place(array):
        """Lay an array `offset` numbers behind the beginning of an allocation."""
        whole = gpu.put(np.concatenate([np.zeros(offset, dtype), array, np.ones(3, dtype)]))
        return whole[offset : offset + size], whole

    weight, *grads = (values((size,), seed + i, "normal", dtype) for i in range(count + 1))
    w, around = place(weight)
    memory = [place(np.zeros(size, dtype))[0] for _ in range(memories(case))]
    for step, grad in enumerate(grads, 1):
        g = place(grad)[0]
        arrays = [w, g, *memory] if memory else [w, g, None]
        assert call(case, arrays, step, gpu.put if on_device else None)
        np.testing.assert_array_equal(gpu.get(g), grad)
    assert (gpu.get(around)[:offset] == 0).all()
    assert (gpu.get(around)[offset + size :] == 1).all()
    return [gpu.get(a) for a in (w, *memory)], readable(case, weight, grads)


def check(gpu, case, size, dtype, seed, on_device, offset=0):
    found, want = steps(gpu, case, size, dtype, seed, on_device, offset)
    # a rate that was sent as float32 is as good as float32
    dtype_of_rates = np.float32 if on_device else dtype
    for a, b in zip(found, want, strict=True):
        assert a.dtype == dtype
        near(a.astype(dtype_of_rates), b, dtype_of_rates)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", OPTIONS)
@given(size=sizes, seed=seeds(), offset=st.sampled_from([0, 0, 1, 2, 4]))
@example(size=1027, seed=0, offset=3)
def test_a_step_equals_the_readable_one(gpu, case, dtype, on_device, size, seed, offset):
    check(gpu, case, size, dtype, seed, on_device, offset)


@pytest.mark.parametrize("case", OPTIONS)
def test_numbers_by_value_and_from_memory_make_the_same_step(gpu, case):
    by_value, _ = steps(gpu, case, 37, np.float32, 3, on_device=False)
    from_memory, _ = steps(gpu, case, 37, np.float32, 3, on_device=True)
    for a, b in zip(by_value, from_memory, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("case", ["plain", "damped", "AdamW"])
def test_a_step_to_be_left_out_changes_nothing(gpu, case):
    arrays = [gpu.put(values((9,), i, "normal", np.float32)) for i in range(2 + memories(case))]
    arrays += [None] * (3 - len(arrays))
    before = [None if a is None else gpu.get(a).copy() for a in arrays]
    for skip in ((1, 0), (1, 5)):
        assert call(case, arrays, 2, gpu.put, skip)
        for a, b in zip(arrays, before, strict=True):
            assert a is None or (gpu.get(a) == b).all()
    assert call(case, arrays, 7, gpu.put, (0, 5))
    assert (gpu.get(arrays[0]) != before[0]).any()


def test_steps_left_out_do_not_count_for_adam(gpu):
    found = []
    for step, skip in ((2, (0, 0)), (7, (0, 5))):
        arrays = [gpu.put(np.full(5, x, np.float32)) for x in (1, 2, 0.5, 0.25)]
        numbers, skip = (gpu.put(np.array(x, np.float32)) for x in ((0.1, step), skip))
        kernels.adam(*arrays, numbers, (0.9, 0.999), 1e-8, 0.0, False, skip)
        found.append(gpu.get(arrays[0]))
    assert (found[0] == found[1]).all()


def test_what_the_kernels_cannot_have_is_declined(gpu):
    wide = gpu.put(np.zeros((4, 6), np.float32))
    half = gpu.put(np.zeros(4, np.float16))
    one, two = gpu.put(np.zeros(4, np.float32)), gpu.put(np.zeros(4))
    rest = ((0.1, 1), 0, 0, False)
    assert kernels.sgd(wide[:, ::2], wide[:, ::2], None, *rest) is None
    assert kernels.sgd(half, half, None, *rest) is None
    assert kernels.sgd(one, two, None, *rest) is None
    assert kernels.sgd(one, one[:3], None, *rest) is None
    assert gradients.unscale(half, one, one) is None
    assert gradients.clip_norm(half, 1.0) is None


# --- gradients: loss scale, norm, clipping -----------------------------------------------------

special = st.sampled_from([None, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    size=sizes.filter(bool), seed=seeds(), bad=special, scale=st.sampled_from([0.125, 1024.0, 3.0])
)
def test_unscale_divides_and_finds_what_is_not_finite(gpu, dtype, size, seed, bad, scale):
    want = values((size,), seed, "normal", dtype)
    if bad is not None:
        want[seed % size] = bad
    grad, skip = gpu.put(want.copy()), gpu.put(np.array([0, 4], np.float32))
    assert gradients.unscale(grad, gpu.put(np.array([scale, 1], np.float32)), skip)
    want = want * dtype(np.float32(1) / np.float32(scale))
    np.testing.assert_allclose(gpu.get(grad), want, rtol=0 if scale != 3 else 1e-6)
    assert gpu.get(skip).tolist() == [float(bad is not None), 4.0]


@given(
    found=st.booleans(),
    counts=st.booleans(),
    scale=st.sampled_from([1.0, 1.5, 3e38]),
    good=st.integers(0, 3),
)
def test_update_scale_equals_the_readable_one(gpu, found, counts, scale, good):
    from minideconv.optim.grad_scaler import update_scale

    state, skip = (np.array(x, np.float32) for x in ((scale, good), (found, 7)))
    on_device = gpu.put(state.copy()), gpu.put(skip.copy())
    state_there, skip_there = on_device
    gradients.update_scale(state_there, [(skip_there, counts)], 1.7, 0.3, 4)
    with md.algorithm("reference"):
        update_scale(state, [(skip, counts)], 1.7, 0.3, 4)
    assert gpu.get(on_device[0]).tolist() == state.tolist()
    assert gpu.get(on_device[1]).tolist() == skip.tolist()
    assert skip.tolist() == [0.0, 7.0 + (found and counts)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(size=sizes.filter(bool), seed=seeds(), share=st.sampled_from([0.3, 0.999, 2.0]))
@example(size=300_001, seed=0, share=0.5)
def test_clipping_equals_its_definition_and_has_the_same_bits_twice(gpu, dtype, size, seed, share):
    want = values((size,), seed, "normal", dtype)
    norm = np.linalg.norm(want.astype(np.float64))
    found = []
    for _ in range(2):
        grad = gpu.put(want.copy())
        returned = gradients.clip_norm(grad, share * norm)
        assert float(returned) == pytest.approx(norm, rel=1e-12)
        found.append((gpu.get(grad).tobytes(), float(returned)))
    assert found[0] == found[1]
    factor = share * norm / (norm + 1e-6) if share < 1 else 1
    near(gpu.get(grad), want.astype(np.float64) * factor, dtype)
    if share > 1:
        assert (gpu.get(grad) == want).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_clips_nothing(gpu, bad):
    want = np.array([3, bad, 4], np.float32)
    grad = gpu.put(want.copy())
    assert np.isnan(float(gradients.clip_norm(grad, 1.0)))
    np.testing.assert_array_equal(gpu.get(grad), want)


def test_squares_neither_overflow_nor_vanish(gpu):
    grad = gpu.put(np.array([3e30, 4e30], np.float32))
    assert float(gradients.clip_norm(grad, 1e31)) == pytest.approx(5e30, rel=1e-6)
    grad = gpu.put(np.array([3e-30, 4e-30], np.float32))
    assert float(gradients.clip_norm(grad, 1.0)) == pytest.approx(5e-30, rel=1e-6)


# --- wrong kernels that the comparisons must reject ---------------------------------------------

MUTANTS = [
    ("optimizers.cu", "multiply_add(decay, w, g)", "g"),
    ("optimizers.cu", "multiply_add(momentum, v, undamped * d)", "multiply_add(momentum, v, d)"),
    ("optimizers.cu", "nesterov ? multiply_add(momentum, v, d) : v", "v"),
    ("optimizers.cu", "if (step.momentum != 0)", "if (step.momentum > 1)"),
    ("optimizers.cu", "multiply_add(b2, v, new2 * d * d)", "multiply_add(b2, v, new2 * d)"),
    ("optimizers.cu", "sqrt(v) + least", "sqrt(v + least)"),
    ("optimizers.cu", "shrink * w)", "w)"),
    ("optimizers.cu", "started(t, log_b2)", "started(t + 1, log_b2)"),
    ("optimizers.cu", "numbers[1] - skip[1]", "numbers[1]"),
    ("optimizers.cu", "{lr * root / started(t, log_b1), eps * root", "{lr * root, eps * root"),
    ("optimizers.cu", "if (skip[0] != 0) return;", ""),
    ("optimizers.cu", "const i64 done = packs * LANES", "const i64 done = 0"),
    ("optimizers.cu", "GRID_STRIDE(i, count - done) {", "GRID_STRIDE(i, count - done - 1) {"),
    ("optimizers.cu", "((Pack*)second)[i] = b;", ";"),
    ("gradients.cu", "good = good && is_finite(g.at[j]);", ""),
    ("gradients.cu", "good = good && is_finite(g);", ""),
    ("gradients.cu", "1 / (REAL)scale[0]", "(REAL)scale[0]"),
    ("gradients.cu", "if (found) state[0] = (float)(state[0] * backoff);", ""),
    ("gradients.cu", "good == interval && is_finite(grown)", "good == interval"),
    ("gradients.cu", "state[1] = good == interval ? 0 : good", "state[1] = good"),
    ("gradients.cu", "if (count_skips) skip[1]", "skip[1]"),
    ("gradients.cu", "skip[0] = 0;", ""),
    ("gradients.cu", "i < blocks; i += THREADS", "i < 1; i += THREADS"),
    ("gradients.cu", "if (found > most)", "if (found > 0)"),
    ("gradients.cu", "sqrt(sum) : sum - sum", "sqrt(sum) : sum"),
    ("gradients.cu", "half > 0; half /= 2", "half > 1; half /= 2"),
]


def all_steps(gpu):
    """Run each comparison of steps on a few cases."""
    for case in OPTIONS:
        for on_device in (False, True):
            check(gpu, case, 1031, np.float32, 0, on_device)
    for case in ("plain", "damped", "AdamW"):
        test_a_step_to_be_left_out_changes_nothing(gpu, case)
    test_steps_left_out_do_not_count_for_adam(gpu)


def all_of_gradients(gpu):
    """Run each comparison of what is done with gradients on a few cases."""
    unscale = test_unscale_divides_and_finds_what_is_not_finite.hypothesis.inner_test
    for size, seed, bad in ((7, 0, None), (7, 1, np.inf), (7, 6, np.nan)):
        unscale(gpu, np.float32, size, seed, bad, 1024.0)
    update = test_update_scale_equals_the_readable_one.hypothesis.inner_test
    for found, counts, scale, good in (
        (True, True, 1, 2),
        (True, False, 1, 3),
        (False, True, 1, 3),
        (False, True, 3e38, 3),
    ):
        update(gpu, found, counts, scale, good)
    clip = test_clipping_equals_its_definition_and_has_the_same_bits_twice.hypothesis.inner_test
    for size, share in ((5000, 0.5), (5, 0.5), (5000, 2.0)):
        clip(gpu, np.float32, size, 0, share)
    for bad in (np.nan, np.inf):
        test_a_norm_that_is_not_finite_clips_nothing(gpu, bad)


ALL = {"optimizers.cu": all_steps, "gradients.cu": all_of_gradients}


@pytest.mark.parametrize("file", ALL)
def test_the_right_kernels_pass(gpu, file):
    ALL[file](gpu)


@pytest.mark.parametrize(("file", "old", "new"), MUTANTS)
def test_a_wrong_kernel_is_rejected(gpu, slip, file, old, new):
    with slip(file, old, new, everywhere=True), pytest.raises(AssertionError):
        ALL[file](gpu)


def test_the_kernels_add_without_atomics():
    for file in ALL:
        assert not re.search("atomic[A-Z]", module.source(file))
