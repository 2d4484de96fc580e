"""Optimisers on a device as a program uses them: the numbers of NumPy, and what it costs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor, optim
from minideconv.backend import Device
from minideconv.engine.cuda.streams import computing_on
from minideconv.nn.utils import clip_grad_norm_
from minideconv.testing import seeds, values

KINDS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    "damped": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.1),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "centered": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.8, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.2),
}
WITHOUT_KERNELS = {"amsgrad", "RMSprop", "centered", "Adagrad"}
SHAPES = ((4, 3, 3, 2), (7,), (5, 130), (1,), (66,))


class Host:
    """NumPy where the tests below want a device."""

    xp, put, get, kind = np, staticmethod(np.asarray), staticmethod(np.asarray), "numpy"


def tensor(gpu, array, **options):
    """Make a tensor on a device, whatever the default device of the session is."""
    return Tensor(array, device="cpu" if gpu is Host else "gpu", **options)


def build(gpu, kind, shapes=SHAPES, flat=True, dtype=np.float32, seed=0):
    """Return parameters and optimiser, two groups; those with four axes are stored taps first."""
    arrays = [np.asarray(values(s, seed + i, "normal", dtype)) for i, s in enumerate(shapes)]
    arrays = [
        np.ascontiguousarray(a.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1) if a.ndim == 4 else a
        for a in arrays
    ]
    params = [tensor(gpu, a.copy(order="K"), requires_grad=True) for a in arrays]
    parts = [{"params": part} for part in (params[::2], params[1::2]) if part]
    parts[-1]["lr"] = 0.03
    optimizer = KINDS[kind](parts)
    if flat:
        optimizer.flatten()
    return params, optimizer


def gradient(gpu, p, seed):
    """Return a gradient on the parameter's device, in the parameter's order in memory."""
    array = np.asarray(values(p.shape, seed, "normal", p.dtype))
    axes = sorted(range(p.ndim), key=lambda axis: -p.data.strides[axis])
    turned = array.transpose(axes).copy() if axes else array
    return gpu.put(turned.transpose(np.argsort(axes)) if axes else turned)


def backward(gpu, params, step):
    for i, p in enumerate(params):
        p._receive(gradient(gpu, p, 100 * step + i))


def same(gpu, params, others, tolerance=1e-6):
    for p, q in zip(params, others, strict=True):
        found, want = gpu.get(p.data), q.data
        difference = np.linalg.norm(found.astype(np.float64) - want)
        assert difference <= tolerance * max(1e-3, np.linalg.norm(want))


@pytest.fixture
def counts(cupy_device):
    """Return a function that returns what the device did since the last call."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("only the device that is this CPU counts")
    fakecuda = sys.modules["fakecuda"]

    def since():
        found = fakecuda.stats()
        fakecuda.reset()
        return found

    since()
    return since


@pytest.mark.parametrize("algorithm", ["reference", "exact"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_device", [False, True])
def test_a_device_takes_numpys_steps(cupy_device, kind, algorithm, on_device):
    """Flat or not, numbers in the device's memory or not, with a schedule that changes the rate."""
    runs = [(Host, *build(Host, kind, flat=False), False)]
    runs += [
        (cupy_device, *build(cupy_device, kind, flat=flat), on_device) for flat in (False, True)
    ]
    schedules = [optim.StepLR(optimizer, 2, 0.3) for _, _, optimizer, _ in runs]
    with md.algorithm(algorithm):
        for step in range(5):
            for (device, params, optimizer, sends_numbers), schedule in zip(
                runs, schedules, strict=True
            ):
                backward(device, params, step)
                if sends_numbers:
                    optimizer.step(device.put(optimizer.next_numbers()))
                else:
                    optimizer.step()
                optimizer.zero_grad()
                schedule.step()
    for _, params, _, _ in runs[1:]:
        same(cupy_device, params, runs[0][1])


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=3).map(tuple), min_size=1, max_size=5),
    seeds(),
    st.sampled_from(["damped", "AdamW"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_shapes(cupy_device, shapes, seed, kind, dtype):
    host = build(Host, kind, shapes, False, dtype, seed)
    device = build(cupy_device, kind, shapes, True, dtype, seed)
    for step in range(2):
        for where, (params, optimizer) in ((Host, host), (cupy_device, device)):
            optimizer.zero_grad()
            backward(where, params, step)
            backward(where, params, step + 50)
            optimizer.step()
    same(cupy_device, device[0], host[0], 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - WITHOUT_KERNELS))
@pytest.mark.parametrize("on_device", [False, True])
def test_a_step_is_one_launch_for_each_group_and_nothing_else(cupy_device, counts, kind, on_device):
    params, optimizer = build(cupy_device, kind)
    sent = cupy_device.xp.zeros((2, 2), np.float32)
    for step in range(3):
        optimizer.zero_grad()
        backward(cupy_device, params, step)
        if on_device:
            sent.set(optimizer.next_numbers())
        counts()
        optimizer.step(sent if on_device else None)
        found = counts()
        if step > 0:
            assert found["launches"] == 2
            assert not any(found[name] for name in ("h2d", "d2h", "d2d", "syncs", "mallocs"))


def test_a_gradient_stored_as_its_weight_is_copied_in_one_piece(cupy_device, counts):
    params, optimizer = build(cupy_device, "SGD")
    sent = [gradient(cupy_device, p, i) for i, p in enumerate(params)]
    counts()
    for p, grad in zip(params, sent, strict=True):
        p._receive(grad)
    found = counts()
    assert (found["launches"], found["d2d"], found["mallocs"]) == (0, len(params), 0)
    for p, grad in zip(params, sent, strict=True):
        p._receive(grad)
    assert counts()["launches"] == len(params)
    optimizer.zero_grad()
    assert counts()["launches"] == 0


def test_a_state_travels_between_devices(cupy_device):
    there, here = build(cupy_device, "Adam"), build(Host, "Adam", flat=False)
    for where, (params, optimizer) in ((cupy_device, there), (Host, here)):
        backward(where, params, 0)
        optimizer.step()
    saved = [optimizer.state_dict() for _, optimizer in (there, here)]
    assert saved[0].keys() == saved[1].keys()
    for name, value in saved[0].items():
        assert type(value) is type(saved[1][name])
        assert np.allclose(value, saved[1][name], rtol=1e-5) if name != "kind" else True
    there[1].load_state_dict(saved[1])
    here[1].load_state_dict(saved[0])
    for where, (params, optimizer) in ((cupy_device, there), (Host, here)):
        optimizer.zero_grad()
        backward(where, params, 1)
        optimizer.step()
    same(cupy_device, there[0], here[0])


def test_the_order_in_which_threads_run_changes_nothing(cupy_device):
    """More blocks than are added up by one pass of a block, and the last pack not full."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("the order of threads can be set on the emulated device only")
    fakecuda, found = sys.modules["fakecuda"], []
    for order in ("forward", "reverse", "shuffle"):
        fakecuda.set_order(order, 3)
        try:
            params, optimizer = build(cupy_device, "AdamW", [(523, 577), (3,)])
            scaler = optim.GradScaler(init_scale=8.0)
            backward(cupy_device, params, 0)
            scaler.scale(tensor(cupy_device, np.float32(0)))
            scaler.unscale_(optimizer)
            norm = clip_grad_norm_(params, 3.0)
            scaler.step(optimizer)
            scaler.update()
        finally:
            fakecuda.set_order("forward")
        found.append([cupy_device.get(a).tobytes() for a in (norm.data, *(p.data for p in params))])
    assert found[0] == found[1] == found[2]


# --- recorded as a graph ------------------------------------------------------------------------


def recorded(xp, work):
    """Return a function that starts `work` as a graph; the current stream is not the null one."""
    stream = xp.cuda.get_current_stream()
    pool = xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        work()
        graph = stream.end_capture()
    return lambda: (graph.launch(stream), pool)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_step_replays_with_new_numbers(cupy_device, kind):
    """Gradients written, clipped and used in one graph; rates and step counts come from memory."""
    xp = cupy_device.xp
    params, optimizer = build(cupy_device, kind)
    others, plain = build(Host, kind, flat=False)
    schedules = [optim.CosineLR(o, 9) for o in (optimizer, plain)]
    sent, inputs = xp.zeros((2, 2), np.float32), [xp.zeros_like(p.data) for p in params]

    def work():
        optimizer.zero_grad()
        for p, grad in zip(params, inputs, strict=True):
            p._receive(grad)
        clip_grad_norm_(params, 2.0)
        optimizer.step(sent)

    with computing_on(Device("gpu")):
        stream, replay = xp.cuda.get_current_stream(), None
        for step in range(6):
            for i, (p, grad) in enumerate(zip(params, inputs, strict=True)):
                grad[...] = gradient(cupy_device, p, 100 * step + i)
            sent.set(optimizer.next_numbers())
            if step < 2:
                work()
            else:
                replay = replay or recorded(xp, work)
                replay()
            stream.synchronize()
            plain.zero_grad()
            backward(Host, others, step)
            clip_grad_norm_(others, 2.0)
            plain.step()
            same(cupy_device, params, others)
            for schedule in schedules:
                schedule.step()
            if step == 3:  # loaded in place: the graph goes on with what it reads there
                optimizer.load_state_dict(optimizer.state_dict())


# --- clipping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("most", [0.5, 1e6])
def test_clipping_on_a_device(cupy_device, counts, flat, most):
    params, optimizer = build(cupy_device, "SGD", flat=flat)
    others, _ = build(Host, "SGD", flat=False)
    backward(cupy_device, params, 0)
    backward(Host, others, 0)
    want = float(clip_grad_norm_(others, most))
    counts()
    norm = clip_grad_norm_(params, most)
    found = counts()
    assert norm.shape == ()
    assert not any(found[name] for name in ("h2d", "d2h", "syncs"))
    if flat:
        assert found["launches"] == 2
        optimizer.flat_extra[...] = 1e9  # belongs to no parameter
        assert float(clip_grad_norm_(params, 1e9)) == pytest.approx(min(most, want), rel=1e-5)
        assert (optimizer.flat_extra == 1e9).all()
    assert float(norm) == pytest.approx(want, rel=1e-6)
    for p, q in zip(params, others, strict=True):
        np.testing.assert_allclose(cupy_device.get(p.grad.data), q.grad.data, rtol=2e-6)


def test_a_part_of_the_parameters_is_clipped_alone(cupy_device):
    params, optimizer = build(cupy_device, "SGD")
    backward(cupy_device, params, 0)
    before = cupy_device.get(optimizer.flat_grad).copy()
    norm = float(clip_grad_norm_(params[:1] * 5, 1e9))  # the same one five times counts once
    assert norm == pytest.approx(np.linalg.norm(cupy_device.get(params[0].grad.data)))
    norm = float(clip_grad_norm_(params[1:], 1e-3))
    want = [np.linalg.norm(values(p.shape, i, "normal", p.dtype)) for i, p in enumerate(params)][1:]
    assert norm == pytest.approx(np.linalg.norm(want), rel=1e-5)
    size = params[0].size
    assert (cupy_device.get(optimizer.flat_grad)[:size] == before[:size]).all()


# --- loss scaling -------------------------------------------------------------------------------

FINITE = [True, False, True, True, False, False, True, True, True]


def scaled_step(device, params, optimizer, scaler, step, finite, numbers=None, clip=None):
    optimizer.zero_grad()
    size = sum(p.size for p in params)
    loss = sum(((p * p * p).sum() for p in params), tensor(device, np.float32(0))) / size
    if not finite:
        loss = loss * tensor(device, np.array(np.inf, np.float32))
    scaler.scale(loss).backward()
    if clip:
        scaler.unscale_(optimizer)
        clip_grad_norm_(params, clip)
    scaler.step(optimizer, numbers)
    scaler.update()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("algorithm", ["reference", "exact"])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("kind", ["Nesterov", "AdamW"])
def test_a_loss_scaled_run_on_a_device_is_numpys(cupy_device, kind, flat, algorithm):
    host, device = build(Host, kind, flat=False), build(cupy_device, kind, flat=flat)
    scalers = [optim.GradScaler(growth_interval=2) for _ in range(2)]
    with md.algorithm(algorithm):
        for step, finite in enumerate(FINITE):
            for where, (params, optimizer), scaler in (
                (Host, host, scalers[0]),
                (cupy_device, device, scalers[1]),
            ):
                scaled_step(where, params, optimizer, scaler, step, finite, clip=0.05)
            assert scalers[0].get_scale() == scalers[1].get_scale()
    same(cupy_device, device[0], host[0])
    assert scalers[0].state_dict() == scalers[1].state_dict()
    saved = [optimizer.state_dict() for _, optimizer in (host, device)]
    assert [s.get("state.0.step") for s in saved] == [6 if kind == "AdamW" else None] * 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_scaled_step_reads_nothing_from_the_device(cupy_device, counts):
    params, optimizer = build(cupy_device, "AdamW")
    scaler = optim.GradScaler()
    sent = cupy_device.xp.zeros((2, 2), np.float32)
    for step in range(4):
        optimizer.zero_grad()
        backward(cupy_device, params, step)
        sent.set(optimizer.next_numbers())
        counts()
        scaler.step(optimizer, sent)
        scaler.update()
        found = counts()
        if step > 1:
            assert found["launches"] == 1 + 2 + 1
            assert not any(found[name] for name in ("h2d", "d2h", "d2d", "syncs", "mallocs"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_recorded_loss_scaled_step(cupy_device):
    """One graph is replayed through overflows and growth of the scale."""
    xp = cupy_device.xp
    params, optimizer = build(cupy_device, "Adam")
    others, plain = build(Host, "Adam", flat=False)
    scalers = [optim.GradScaler(init_scale=256.0, growth_interval=2) for _ in range(2)]
    sent, factor = xp.zeros((2, 2), np.float32), xp.ones((), np.float32)
    size = sum(p.size for p in params)

    def work():
        optimizer.zero_grad()
        loss = sum((p * p * p).sum() for p in params) / size * Tensor(factor)
        scalers[0].scale(loss).backward()
        scalers[0].step(optimizer, sent)
        scalers[0].update()

    with computing_on(Device("gpu")):
        stream, replay = xp.cuda.get_current_stream(), None
        for step, finite in enumerate(FINITE):
            factor.fill(1 if finite else np.inf)
            sent.set(optimizer.next_numbers())
            if step == 0:
                work()
            else:
                replay = replay or recorded(xp, work)
                replay()
            stream.synchronize()
            scaled_step(Host, others, plain, scalers[1], step, finite)
            assert scalers[0].get_scale() == scalers[1].get_scale()
            same(cupy_device, params, others)
    assert optimizer.state_dict()["state.0.step"] == plain.state_dict()["state.0.step"] == 6
