"""SGD, Adam and AdamW against scalar loops; groups, accumulation, saving, and their messages."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor
from minideconv.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from minideconv.optim import blocks as blocks_module
from minideconv.optim.blocks import blocks
from minideconv.testing import seeds, values

SHAPES = ((3, 4), (5,), ())


def parameters(seed, shapes=SHAPES, dtype=np.float64):
    return [
        Tensor(np.asarray(values(s, seed + i, "normal", dtype)), requires_grad=True)
        for i, s in enumerate(shapes)
    ]


def give_gradients(params, seed, step):
    for i, p in enumerate(params):
        p.grad = Tensor(np.asarray(values(p.shape, seed + 1000 * step + i + 7, "normal", p.dtype)))


def run(optimizer, params, seed, steps, first=0):
    for step in range(first, first + steps):
        give_gradients(params, seed, step)
        optimizer.step()
    return [p.numpy().copy() for p in params]


# ---------------------------------------------------------------------------------------------
# One weight at a time, from the formulas


def loop_sgd(w, grads, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    v = None
    for g in grads:
        d = g + weight_decay * w
        v = d if v is None else momentum * v + (1 - dampening) * d
        w -= lr * (d + momentum * v if nesterov else v if momentum else d)
    return w


def loop_adam(w, grads, lr, betas, eps, weight_decay, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(grads, 1):
        if decoupled:
            w -= lr * weight_decay * w
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        corrected = v / (1 - betas[1] ** t)
        w -= lr * m / (1 - betas[0] ** t) / (math.sqrt(corrected) + eps)
    return w


def check_against_loop(make, loop, seed, steps=5):
    params = parameters(seed)
    before = [p.numpy().copy() for p in params]
    history = [[] for _ in params]
    optimizer = make(params)
    for step in range(steps):
        give_gradients(params, seed, step)
        for kept, p in zip(history, params, strict=True):
            kept.append(p.grad.numpy().copy())
        optimizer.step()
        for kept, p in zip(history, params, strict=True):
            assert (p.grad.numpy() == kept[-1]).all(), "a step changed the gradient"
    for w, grads, p in zip(before, history, params, strict=True):
        for at in np.ndindex(w.shape):
            want = loop(float(w[at]), [float(g[at]) for g in grads])
            np.testing.assert_allclose(p.numpy()[at], want, rtol=1e-11, atol=1e-13)


rates = st.floats(1e-4, 0.5)
sgd_options = st.one_of(
    st.fixed_dictionaries({"lr": rates}, optional={"weight_decay": st.floats(0, 0.5)}),
    st.fixed_dictionaries(
        {"lr": rates, "momentum": st.floats(0.05, 1.2)},
        optional={"dampening": st.floats(-0.5, 1), "weight_decay": st.floats(0, 0.5)},
    ),
    st.fixed_dictionaries(
        {"lr": rates, "momentum": st.floats(0.05, 0.99), "nesterov": st.just(True)},
        optional={"weight_decay": st.floats(0, 0.5)},
    ),
)
betas = st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999))
adam_options = st.fixed_dictionaries(
    {"lr": rates, "betas": betas, "eps": st.floats(1e-10, 1e-2), "weight_decay": st.floats(0, 0.5)}
)


@given(sgd_options, seeds())
def test_sgd_equals_the_loops(options, seed):
    check_against_loop(lambda p: SGD(p, **options), lambda w, g: loop_sgd(w, g, **options), seed)


@pytest.mark.parametrize("kind", [Adam, AdamW])
@given(adam_options, seeds())
def test_adam_equals_the_loops(kind, options, seed):
    check_against_loop(
        lambda p: kind(p, **options),
        lambda w, g: loop_adam(w, g, **options, decoupled=kind is AdamW),
        seed,
    )


MUTANTS = {
    "dampened at the first step": lambda w, g: loop_sgd(w, [0.6 * g[0], *g[1:]], 0.1, 0.9, 0.4),
    "decay forgotten": lambda w, g: loop_sgd(w, g, 0.1, 0.9, 0.4),
    "decay twice": lambda w, g: loop_sgd(w, g, 0.1, 0.9, 0.4, 0.4),
    "rate inside the momentum, halved": lambda w, g: loop_sgd(w, g, 0.05, 0.9, 0.4, 0.2),
    "no momentum": lambda w, g: loop_sgd(w, g, 0.1, 0, 0, 0.2),
    "Nesterov": lambda w, g: loop_sgd(w, g, 0.1, 0.9, 0.4, 0.2, nesterov=True),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_rejects(mutant):
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.2}
    with pytest.raises(AssertionError):
        check_against_loop(lambda p: SGD(p, **options), MUTANTS[mutant], 0)


def test_a_first_step_of_adam_has_the_length_of_the_rate():
    (p,) = parameters(0, [(50,)])
    before = p.numpy().copy()
    p.grad = Tensor(values((50,), 1, "normal") * 1e-5)
    Adam([p], lr=0.25, eps=0.0).step()
    np.testing.assert_allclose(np.abs(p.numpy() - before), 0.25, rtol=1e-12)


# ---------------------------------------------------------------------------------------------
# What a step leaves alone, and what it works on


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_parameters_without_a_gradient_are_left_alone(kind):
    params = parameters(1)
    optimizer = kind(params, lr=0.1)
    before = [p.numpy().copy() for p in params]
    params[1].grad = Tensor(np.ones(5))
    optimizer.step()
    assert (params[0].numpy() == before[0]).all()
    assert (params[1].numpy() != before[1]).all()
    assert params[2].numpy() == before[2]
    assert set(optimizer.state) <= {1}  # nothing is allocated for the others


def test_a_step_is_in_place_and_counts_as_a_change():
    (p,) = parameters(0, [(3, 4)])
    array, view = p.data, p.detach()
    loss = (p * p).sum()
    p.grad = Tensor(np.ones((3, 4)))
    SGD([p], lr=0.1).step()
    assert p.data is array
    assert (view.data == array).all()
    with pytest.raises(RuntimeError, match="in place"):  # the tape saved the weight of before
        loss.backward()


def test_zero_grad():
    params = parameters(0)
    optimizer = SGD(params, lr=0.1)
    give_gradients(params, 0, 0)
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_float32_stays_float32(kind):
    params = parameters(0, dtype=np.float32)
    optimizer = kind(params, lr=0.1, weight_decay=0.01)
    run(optimizer, params, 0, 3)
    saved = optimizer.state_dict().values()
    assert all(p.dtype == np.float32 for p in params)
    assert all(v.dtype == np.float32 for v in saved if isinstance(v, np.ndarray))


def layouts(array):
    """Return four copies of the array with different strides."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))
    wide[..., ::2] = array
    return [array.copy(), array.copy(order="F"), wide[..., ::2], array[::-1].copy()[::-1]]


@pytest.mark.parametrize("block", [1, 7, 64 * 1024])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_blocks_of_any_size_and_arrays_of_any_layout(kind, block, monkeypatch):
    shape = (4, 3, 5)
    options = {"lr": 0.1, "weight_decay": 0.1, **({"momentum": 0.9} if kind is SGD else {})}
    want = run(kind(p := parameters(0, [shape]), **options), p, 0, 4)[0]
    monkeypatch.setattr(blocks_module, "BLOCK", block)
    for weight in layouts(parameters(0, [shape])[0].numpy()):
        p = Tensor(weight, requires_grad=True)
        optimizer = kind([p], **options)
        for step in range(4):
            give_gradients([p], 0, step)
            p.grad = Tensor(layouts(p.grad.numpy())[step])
            optimizer.step()
        assert (p.numpy() == want).all()


shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@given(shapes, st.booleans(), st.integers(1, 20), st.sampled_from([None, 0, 1]))
def test_blocks_cover_everything_once(shape, strided, block, skipped):
    a, b = np.zeros(shape), np.zeros((*shape, 2))[..., 0] if strided else np.zeros(shape)
    old, blocks_module.BLOCK = blocks_module.BLOCK, block
    try:
        skip = None if skipped is None else np.array([skipped, 0])
        for x, nothing, y in blocks(a, None, b, skip=skip):
            assert nothing is None
            assert x.shape == y.shape
            assert strided or x.size <= block
            x += 1
            y += 2
    finally:
        blocks_module.BLOCK = old
    assert (a == (not skipped)).all()
    assert (b == 2 * (not skipped)).all()


def test_a_large_layer_needs_no_large_temporaries():
    import tracemalloc

    n = 2_000_000
    p = Tensor(np.ones(n, np.float32), requires_grad=True)
    p.grad = Tensor(np.ones(n, np.float32))
    optimizer = SGD([p], lr=0.1, momentum=0.9, weight_decay=1e-4)
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # the layer has 8,000,000 bytes


# ---------------------------------------------------------------------------------------------
# Groups and accumulation


def test_groups_have_their_own_options():
    a, b = parameters(3, [(3,), (3,)]), parameters(3, [(3,), (3,)])
    groups = [{"params": [a[0]], "lr": 0.3}, {"params": a[1], "weight_decay": 0.0, "momentum": 0.0}]
    together = SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.2)
    apart = [SGD([b[0]], lr=0.3, momentum=0.9, weight_decay=0.2), SGD([b[1]], lr=0.1)]
    for step in range(4):
        give_gradients(a, 0, step)
        give_gradients(b, 0, step)
        together.step()
        for optimizer in apart:
            optimizer.step()
    for p, q in zip(a, b, strict=True):
        assert (p.numpy() == q.numpy()).all()
    assert [g["lr"] for g in together.param_groups] == [0.3, 0.1]


def test_a_group_that_is_added_later():
    first, second = parameters(0, [(3,), (4,)])
    optimizer = SGD([first], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": [second], "lr": 0.0})
    before = second.numpy().copy()
    give_gradients([first, second], 0, 0)
    optimizer.step()
    assert (second.numpy() == before).all()
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert (second.numpy() != before).all()


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_accumulated_micro_batches_equal_one_batch_with_the_same_decay(kind):
    """Two backward passes, one step. Caffe's rule would halve the weight decay here."""
    x, w = values((6, 3), 1), values((3,), 2, "normal")
    options = {"lr": 0.1, "weight_decay": 0.5}
    whole, parts = Tensor(w.copy(), requires_grad=True), Tensor(w.copy(), requires_grad=True)
    one, two = kind([whole], **options), kind([parts], **options)
    for _ in range(3):
        one.zero_grad()
        two.zero_grad()
        ((Tensor(x) @ whole) ** 2).mean().backward()
        for half in (x[:3], x[3:]):
            (((Tensor(half) @ parts) ** 2).mean() / 2).backward()
        one.step()
        two.step()
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), rtol=1e-13)


# ---------------------------------------------------------------------------------------------
# Saving


def through_npz(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


KINDS = {
    "SGD": lambda p, lr=0.1: SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD without momentum": lambda p, lr=0.1: SGD(p, lr=lr),
    "Adam": lambda p, lr=0.1: Adam(p, lr=lr, betas=(0.8, 0.95), weight_decay=0.01),
    "AdamW": lambda p, lr=0.1: AdamW(p, lr=lr),
    "amsgrad": lambda p, lr=0.1: Adam(p, lr=lr, amsgrad=True),
    "RMSprop": lambda p, lr=0.1: RMSprop(p, lr=lr),
    "centered": lambda p, lr=0.1: RMSprop(p, lr=lr, momentum=0.8, centered=True),
    "Adagrad": lambda p, lr=0.1: Adagrad(p, lr=lr, lr_decay=0.2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [lambda state: state, through_npz])
def test_a_resumed_run_is_equal_to_the_last_bit(kind, way):
    straight = parameters(0)
    want = run(KINDS[kind](straight), straight, 0, 6)

    params = parameters(0)
    optimizer = KINDS[kind](params)
    optimizer.param_groups[0]["lr"] = 0.1
    run(optimizer, params, 0, 3)
    state = way(optimizer.state_dict())
    run(optimizer, params, 5, 1)  # what was saved must not follow
    again = parameters(0)
    other = KINDS[kind](again)
    run(other, again, 0, 3)
    fresh = KINDS[kind](again, lr=0.7)  # the saved rate replaces this one
    fresh.load_state_dict(state)
    for got, expected in zip(run(fresh, again, 0, 3, first=3), want, strict=True):
        assert (got == expected).all()
    assert type(fresh.param_groups[0]["lr"]) is float


def test_the_saved_state_is_plain():
    import json

    params = parameters(0)
    optimizer = Adam(params, lr=0.1)
    run(optimizer, params, 0, 1)
    state = optimizer.state_dict()
    arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
    assert all(isinstance(key, str) for key in state)
    assert sorted(arrays) == sorted(
        f"state.{i}.{name}" for i in range(3) for name in ("exp_avg", "exp_avg_sq")
    )
    rest = {k: v for k, v in state.items() if k not in arrays}
    assert json.loads(json.dumps(rest)) == rest
    assert rest["groups.0.betas"] == [0.9, 0.999]


def saved(shapes=SHAPES, kind="SGD", **changes):
    params = parameters(0, shapes)
    optimizer = KINDS[kind](params)
    run(optimizer, params, 0, 1)
    return {**optimizer.state_dict(), **changes}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (saved(kind="Adam"), "SGD: the saved state is of Adam; it must be of SGD"),
        ({}, "SGD: the saved state is of None; it must be of SGD"),
        (saved([(3, 4)]), r"groups of \[1\] parameters but this optimiser has \[3\]"),
        (
            saved([(3, 4), (6,), ()]),
            r"momentum_buffer of parameter 1 has shape \(6,\) but the .* \(5,",
        ),
        (saved(**{"groups.0.lr": -1.0}), "SGD: lr is -1.0; it must be a finite number >= 0"),
        ({"kind": "SGD", "lr": 3}, r"the saved state is not of state_dict\(\); its keys are"),
        ({"kind": "SGD", 3: 3}, r"the saved state is not of state_dict\(\); its keys are"),
        (saved(**{"groups.0.size": None}), r"the saved state is not of state_dict\(\)"),
        (saved(**{"groups.0.lr": None}), "SGD: lr is None; it must be a finite number >= 0"),
        (saved(**{"groups.0.initial_lr": "a"}), "SGD: initial_lr is 'a'; it must be a finite numb"),
        (saved(**{"state.7.momentum_buffer": 1.0}), "is of parameter 7, and this .* 0 to 2"),
        (saved(**{"state.-1.momentum_buffer": 1.0}), "is of parameter -1, and this .* 0 to 2"),
        *[
            (
                saved(**{"state.2.momentum_buffer": value}),
                "SGD: the saved momentum_buffer of parameter 2 is a .*; it must hold real numbers",
            )
            for value in (None, np.array("a"), np.array(1j))
        ],
        *[
            (saved(**{"state.0.step": value}), "SGD: the saved step of parameter 0 is .*; it must")
            for value in (None, "a", 1.5, -1)
        ],
        (None, "SGD: the state is a NoneType; it must be a dict"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, message):
    params = parameters(0)
    optimizer = KINDS["SGD"](params)
    run(optimizer, params, 0, 2)
    before = optimizer.state_dict()
    with pytest.raises((ValueError, TypeError), match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[k], before[k]) for k in before)


# ---------------------------------------------------------------------------------------------
# Messages


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-0.1), "SGD: lr is -0.1; it must be a finite number >= 0"),
        (lambda p: SGD(p, lr=math.nan), "SGD: lr is nan; it must be"),
        (lambda p: SGD(p, lr="fast"), "SGD: lr is 'fast'; it must be"),
        (lambda p: SGD(p, lr=0.1, momentum=-1), "SGD: momentum is -1; it must be"),
        (lambda p: SGD(p, lr=0.1, weight_decay=math.inf), "SGD: weight_decay is inf; it must be"),
        (lambda p: SGD(p, lr=0.1, dampening=math.nan), "SGD: dampening is nan; it must be"),
        (lambda p: SGD(p, lr=0.1, nesterov=True), "nesterov is True with momentum 0.0"),
        (lambda p: SGD(p, 0.1, 0.9, 0.5, nesterov=True), "dampening 0.5; it needs a momentum"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"Adam: betas\[1\] is 1.0; it must be in \[0, 1\)"),
        (lambda p: Adam(p, betas=(0.9,)), r"Adam: betas is \(0.9,\); it must be a pair"),
        (lambda p: Adam(p, betas=0.9), "Adam: betas is 0.9; it must be a pair"),
        (lambda p: RMSprop(p, alpha=1.0), r"RMSprop: alpha is 1.0; it must be in \[0, 1\)"),
        (lambda p: RMSprop(p, momentum=-1), "RMSprop: momentum is -1; it must be a finite number"),
        (lambda p: Adagrad(p, lr_decay=-1), "Adagrad: lr_decay is -1; it must be a finite number"),
        (
            lambda p: Adagrad(p, initial_accumulator_value=-1),
            "Adagrad: initial_accumulator_value is -1; it must be",
        ),
        (lambda p: AdamW(p, eps=-1e-8), "AdamW: eps is -1e-08; it must be"),
        (lambda p: SGD([], lr=0.1), "SGD: params is empty; there is nothing to optimise"),
        (lambda p: SGD([{"params": []}], lr=0.1), "SGD: a parameter group has no parameters"),
        (lambda p: SGD([p[0], p[0]], lr=0.1), r"a parameter of shape \(3, 4\) is in params twice"),
        (
            lambda p: SGD([{"params": p}, {"params": [p[1]]}], lr=0.1),
            r"a parameter of shape \(5,\) is in params twice",
        ),
        (lambda p: SGD([p[0] * 2], lr=0.1), r"a Tensor of shape \(3, 4\) that is the result of an"),
        (
            lambda p: SGD([{"params": p, "lrate": 1, "beta": 2}], lr=0.1),
            "a parameter group has 'beta', 'lrate'; it may have 'lr', 'momentum', 'dampening'",
        ),
        (lambda p: SGD([{"params": p, "lr": -1}], lr=0.1), "SGD: lr is -1; it must be"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(parameters(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p[0], lr=0.1), "SGD: params is one Tensor; it must be an iterable"),
        (lambda p: SGD({"params": p}, lr=0.1), "SGD: params is one dict; it must be an iterable"),
        (lambda p: SGD(3, lr=0.1), "SGD: params is int, which cannot be iterated over"),
        (lambda p: SGD(["conv.weight"], lr=0.1), "SGD: params has a str; all of it must be"),
        (lambda p: SGD([p[0].data], lr=0.1), "SGD: params has a ndarray; all of it must be"),
        (
            lambda p: SGD([{"lr": 1}], lr=0.1),
            "SGD: a parameter group is .*; it must be a dict with",
        ),
    ],
)
def test_wrong_types_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make(parameters(0))


def test_a_state_from_before_amsgrad_is_loaded():
    params = parameters(0)
    old = Adam(params, lr=0.1)
    run(old, params, 0, 2)
    state = {name: value for name, value in old.state_dict().items() if "amsgrad" not in name}
    new = Adam(parameters(0), lr=0.1)
    new.load_state_dict(state)
    assert new.state_dict().keys() == old.state_dict().keys()


def test_the_rate_of_amsgrad_does_not_rise_again():
    """A large gradient, then small ones: Adam forgets it, amsgrad does not."""
    moved = []
    for amsgrad in (False, True):
        p = Tensor(np.zeros(1), requires_grad=True)
        optimizer = Adam([p], lr=0.1, betas=(0.0, 0.5), amsgrad=amsgrad)
        for gradient in [100.0] + [1.0] * 30:
            before = p.numpy().copy()
            p.grad = Tensor(np.full(1, gradient))
            optimizer.step()
        moved.append(abs(p.numpy() - before)[0])
    assert moved[0] > 0.09
    assert moved[1] < 0.002
