"""Recalibrated batch norm against a plain average; training and evaluation mode side by side."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import random
from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Conv2d, Dropout, ReLU, Sequential
from minideconv.nn.utils import get_buffers, set_buffers
from minideconv.optim import SGD
from minideconv.training import recalibrate_batch_norm, train_eval_agreement


def network(seed: int = 0) -> Sequential:
    random.manual_seed(seed)
    return Sequential(
        Conv2d(3, 4, 3, padding=1),
        BatchNorm2d(4),
        ReLU(),
        Dropout(0.3),
        Conv2d(4, 2, 1),
        BatchNorm2d(2, momentum=0.37),
    )


def batches(count: int, size: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    shape = (size, 3, 5, 7)
    return [rng.standard_normal(shape).astype(np.float32) * (i + 1) + i for i in range(count)]


def test_statistics_are_the_plain_average_over_the_batches():
    model = network()
    model[1].running_mean[...] = 100.0  # must be forgotten
    given = batches(4)
    assert recalibrate_batch_norm(model, given) == 4
    # Batch norm's first layer sees the first convolution's output, whatever its own statistics.
    seen = [model[0](Tensor(batch)).numpy().astype(np.float64) for batch in given]
    means = [x.mean(axis=(0, 2, 3)) for x in seen]
    variances = [x.var(axis=(0, 2, 3), ddof=1) for x in seen]
    found = model[1].state_dict()
    np.testing.assert_allclose(found["running_mean"], np.mean(means, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["running_var"], np.mean(variances, axis=0), rtol=1e-4)


def test_nothing_else_changes():
    model = network().eval()
    weights = {name: p.numpy().copy() for name, p in model.named_parameters()}
    state = random.get_state()
    recalibrate_batch_norm(model, batches(3))
    assert random.get_state() == state  # although dropout drew from it
    assert not model.training
    assert [layer.momentum for layer in (model[1], model[5])] == [0.1, 0.37]
    assert all((p.numpy() == weights[name]).all() for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


def test_no_batches_change_nothing():
    model = network()
    recalibrate_batch_norm(model, batches(2))
    before = get_buffers(model)
    assert recalibrate_batch_norm(model, []) == 0
    after = get_buffers(model)
    assert all((before[name] == after[name]).all() for name in before)


def test_momenta_come_back_after_a_failure():
    model = network()
    with pytest.raises(ValueError, match="channels"):
        recalibrate_batch_norm(model, [np.zeros((2, 9, 5, 5), np.float32)])
    assert model[1].momentum == 0.1
    assert model.training


def test_agreement_on_memorised_data():
    """Train a network on one batch until it fits: recalibrated, both modes give the same."""
    random.manual_seed(1)
    model = Sequential(Conv2d(3, 8, 3, padding=1), BatchNorm2d(8), ReLU(), Conv2d(8, 2, 1))
    images = batches(1, size=4)[0]
    truth = (images[:, 0] > images[:, 1]).astype(np.int64)
    optimizer = SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(Tensor(images)), truth).backward()
        optimizer.step()
    recalibrate_batch_norm(model, [images])
    agreement = train_eval_agreement(model, images)
    # They differ only by the unbiased variance: a factor n / (n - 1) with n = 4 * 5 * 7.
    assert agreement.labels > 0.99
    assert agreement.score_difference < 0.02
    model[1].running_var[...] *= 100
    model[1].running_mean[...] += 3
    wrong = train_eval_agreement(model, images)
    assert wrong.labels < 0.95
    assert wrong.score_difference > 0.2


def test_the_check_leaves_the_model_alone():
    model = network().train()
    before, state = get_buffers(model), random.get_state()
    train_eval_agreement(model, batches(1)[0])
    after = get_buffers(model)
    assert all((before[name] == after[name]).all() for name in before)
    assert random.get_state() == state
    assert model.training


def test_void_pixels_are_left_out_of_the_agreement():
    random.manual_seed(0)
    model = Sequential(Conv2d(3, 2, 1), BatchNorm2d(2))
    images = batches(1)[0] * 3 + 1
    evaluation = model.eval()(Tensor(images)).numpy().argmax(axis=1)
    buffers = get_buffers(model)
    training = model.train()(Tensor(images)).numpy().argmax(axis=1)
    set_buffers(model, buffers)
    different = evaluation != training
    assert 0 < different.mean() < 1
    assert train_eval_agreement(model, images).labels == 1 - different.mean()
    truth = np.where(different, 255, 0)
    assert train_eval_agreement(model, images, truth).labels == 1.0
    assert train_eval_agreement(model, images, 255 - truth).labels == 0.0
