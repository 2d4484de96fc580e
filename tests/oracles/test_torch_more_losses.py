"""Losses besides cross entropy with labels: PyTorch in float64, and formulas where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from torch_orders import compare

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.testing import check_gradients, check_second_gradients, values

SHAPE = (3, 4, 2, 5)
REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape, seed=0):
    return values(shape, seed, "normal")


def fractions(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def labels(ignored=True):
    rng = np.random.default_rng(5)
    found = rng.integers(0, 4, (3, 2, 5))
    found[rng.random(found.shape) < 0.3 * ignored] = 255
    return found


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_distances(torch, name, reduction):
    theirs = getattr(torch.nn.functional, name)
    compare(
        torch,
        lambda a, b: getattr(F, name)(a, b, reduction),
        lambda a, b: theirs(a, b, reduction=reduction),
        [normal(*SHAPE), normal(*SHAPE, seed=1)],
        0,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [True, False])
def test_binary_cross_entropy(torch, weighted, reduction):
    target = fractions(*SHAPE)
    target[0] = 0.0
    target[1] = 1.0
    weight = fractions(5, seed=1) if weighted else None
    wanted, their_weight = torch.tensor(target), None if weight is None else torch.tensor(weight)
    compare(
        torch,
        lambda p: F.binary_cross_entropy(p.sigmoid(), target, weight, reduction),
        lambda p: torch.nn.functional.binary_cross_entropy(
            p.sigmoid(), wanted, their_weight, reduction=reduction
        ),
        [normal(*SHAPE, seed=2)],
        0,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [True, False])
def test_binary_cross_entropy_with_logits(torch, weighted, reduction):
    target = fractions(*SHAPE)
    target[0] = 0.0
    target[1] = 1.0
    z = 3 * normal(*SHAPE, seed=2)
    z[2, 0] = 0.0  # where networks start
    weight, positive = (fractions(5, seed=1), 3 * fractions(4, 1, 1)) if weighted else (None, None)
    theirs = [None if a is None else torch.tensor(a) for a in (weight, positive)]
    compare(
        torch,
        lambda z: F.binary_cross_entropy_with_logits(z, target, weight, reduction, positive),
        lambda z: torch.nn.functional.binary_cross_entropy_with_logits(
            z, torch.tensor(target), theirs[0], reduction=reduction, pos_weight=theirs[1]
        ),
        [z],
        0,
    )


@pytest.mark.parametrize("z", [-1000.0, -60.0, 0.0, 60.0, 1000.0])
def test_scores_far_out_keep_their_digits(z):
    """-log(sigmoid(z)): e^-z on the right, -z on the left; nothing overflows."""
    x = Tensor(np.array([z]), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, np.ones(1))
    want = max(-z, 0.0) + np.log1p(np.exp(-abs(z)))
    assert loss.item() == pytest.approx(want, rel=1e-15, abs=0)
    loss.backward()
    slope = -1 / (1 + np.exp(z)) if z < 700 else 0.0
    assert x.grad.item() == pytest.approx(slope, rel=1e-14, abs=0)


def test_certain_probabilities_have_a_finite_loss():
    p = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    loss = F.binary_cross_entropy(p, np.array([1.0, 0.0]), reduction="none")
    np.testing.assert_allclose(loss.numpy(), 100.0)
    loss.sum().backward()
    assert p.grad.numpy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [True, False])
def test_nll_loss(torch, weighted, reduction):
    weight = np.array([0.5, 1.0, 2.0, 3.0]) if weighted else None
    target = torch.tensor(labels())
    their_weight = None if weight is None else torch.tensor(weight)
    compare(
        torch,
        lambda z: F.nll_loss(z * z, labels(), weight, reduction=reduction),
        lambda z: torch.nn.functional.nll_loss(
            z * z, target, their_weight, ignore_index=255, reduction=reduction
        ),
        [normal(*SHAPE)],
        0,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), SHAPE])
def test_cross_entropy_with_probabilities(torch, shape, weighted, smoothing, reduction):
    weight = np.array([0.5, 1.0, 2.0, 3.0]) if weighted else None
    their_weight = None if weight is None else torch.tensor(weight)
    compare(
        torch,
        lambda z, q: F.cross_entropy(z, q, weight, 255, reduction, smoothing),
        lambda z, q: torch.nn.functional.cross_entropy(
            z, q, their_weight, reduction=reduction, label_smoothing=smoothing
        ),
        [normal(*shape), fractions(*shape, seed=1)],
        0,
    )


def test_one_hot_probabilities_are_labels():
    one_hot = np.moveaxis(np.eye(4)[labels(ignored=False)], -1, 1)
    z = Tensor(normal(*SHAPE))
    soft, hard = F.cross_entropy(z, one_hot), F.cross_entropy(z, labels(ignored=False))
    assert soft.item() == pytest.approx(hard.item(), rel=1e-14)


def focal(torch, z, target, gamma, weight, reduction):
    """Equation 5 of the paper, pixel by pixel."""
    log_p = torch.log_softmax(z, 1)
    losses, total = [], 0.0
    for n, i, j in np.ndindex(*target.shape):
        t = int(target[n, i, j])
        if t == 255:
            losses.append(torch.zeros((), dtype=z.dtype))
            continue
        w = 1.0 if weight is None else weight[t]
        losses.append(-w * (1 - log_p[n, t, i, j].exp()) ** gamma * log_p[n, t, i, j])
        total += w
    losses = torch.stack(losses).reshape(target.shape)
    return losses if reduction == "none" else losses.sum() / (total if reduction == "mean" else 1)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weighted", [True, False])
def test_focal_loss(torch, weighted, gamma, reduction):
    weight = [0.5, 1.0, 2.0, 3.0] if weighted else None
    compare(
        torch,
        lambda z: F.focal_loss(z, labels(), gamma, weight, reduction=reduction),
        lambda z: focal(torch, z, labels(), gamma, weight, reduction),
        [normal(*SHAPE)],
        0,
        orders=2,
    )


def test_focal_loss_of_a_certain_pixel_is_zero_with_zero_gradient():
    z = Tensor(np.array([[900.0, 0.0]]), requires_grad=True)
    loss = F.focal_loss(z, np.array([0]), gamma=0.5)
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.numpy().any()


def test_dice_loss(torch):
    """The formula, class by class."""
    target = labels()

    def theirs(z):
        p, counts = torch.softmax(z, 1), torch.tensor(target != 255)
        scores = []
        for c in range(4):
            t, own = torch.tensor(target == c).double(), p[:, c] * counts
            scores.append((2 * (own * t).sum() + 0.5) / (own.sum() + t.sum() + 0.5))
        return 1 - sum(scores) / 4

    compare(torch, lambda z: F.dice_loss(z, target, smooth=0.5), theirs, [normal(*SHAPE)], 0)


def test_dice_loss_of_the_right_and_the_wrong_answer():
    target = np.array([[0, 0, 0, 1, 255]])
    right = 100.0 * np.stack([target == 0, target == 1], 1)
    assert F.dice_loss(Tensor(right), target).item() == pytest.approx(0.0, abs=1e-12)
    assert F.dice_loss(Tensor(-right), target, smooth=0.0).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: F.focal_loss(z, labels(), 0.5),
        lambda z: F.dice_loss(z, labels()),
        lambda z: F.nll_loss(z * z, labels()),
        lambda z: F.binary_cross_entropy_with_logits(z, fractions(*SHAPE)),
    ],
)
def test_numerically(loss):
    check_gradients(loss, [normal(*SHAPE)])
    check_second_gradients(loss, [normal(*SHAPE)])


@pytest.mark.parametrize("function", [F.nll_loss, F.focal_loss])
def test_nothing_counts(function):
    z = Tensor(normal(*SHAPE), requires_grad=True)
    loss = function(z, np.full((3, 2, 5), 255))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.numpy().any()


MODULES = {
    "CrossEntropyLoss": (F.cross_entropy, {"label_smoothing": 0.1, "ignore_index": 1}),
    "NLLLoss": (F.nll_loss, {"weight": [1.0, 2.0, 3.0, 4.0]}),
    "FocalLoss": (F.focal_loss, {"gamma": 1.0}),
    "DiceLoss": (F.dice_loss, {"smooth": 2.0}),
    "MSELoss": (F.mse_loss, {"reduction": "sum"}),
    "L1Loss": (F.l1_loss, {"reduction": "none"}),
    "BCELoss": (F.binary_cross_entropy, {"reduction": "sum"}),
    "BCEWithLogitsLoss": (F.binary_cross_entropy_with_logits, {"pos_weight": 3.0}),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_call_their_functions(name):
    function, options = MODULES[name]
    of_labels = name in ("CrossEntropyLoss", "NLLLoss", "FocalLoss", "DiceLoss")
    target = labels() if of_labels else fractions(*SHAPE, seed=1)
    z = Tensor(fractions(*SHAPE, seed=2))
    if name == "CrossEntropyLoss":
        target = labels(ignored=False)
    loss = getattr(nn, name)(**options)
    np.testing.assert_array_equal(loss(z, target).numpy(), function(z, target, **options).numpy())
    plain = getattr(nn, name)()
    np.testing.assert_array_equal(plain(z, target).numpy(), function(z, target).numpy())
    assert next(iter(options)) in repr(loss)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda z: F.mse_loss(z, np.ones(4)), ValueError, "they must be equal"),
        (lambda z: F.mse_loss(z, z, "average"), ValueError, "reduction is 'average'"),
        (lambda z: F.l1_loss(Tensor([1, 2]), Tensor([1, 2])), TypeError, "must be floating point"),
        (lambda z: F.binary_cross_entropy(z, z), ValueError, "probabilities in 0..1"),
        (lambda z: F.nll_loss(z, labels()[:1]), ValueError, "need one label per pixel"),
        (lambda z: F.nll_loss(z, labels() + 9), ValueError, "nll_loss: target has"),
        (lambda z: F.nll_loss(z, np.ones((3, 2, 5))), TypeError, "integer class labels"),
        (lambda z: F.focal_loss(z, labels(), -1.0), ValueError, "gamma is -1.0"),
        (lambda z: F.focal_loss(z, labels(), reduction="x"), ValueError, "reduction is 'x'"),
        (lambda z: F.dice_loss(z, labels(), smooth=-1.0), ValueError, "smooth is -1.0"),
        (lambda z: F.dice_loss(z[:, :1], labels()), ValueError, "outside 0..0"),
        (lambda z: F.cross_entropy(z, np.ones((3, 2, 5))), ValueError, "probability for each"),
    ],
)
def test_refusals(call, kind, message):
    with pytest.raises(kind, match=message):
        call(Tensor(normal(*SHAPE)))
