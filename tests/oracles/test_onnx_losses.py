"""The ONNX node tests of the losses, softmax, relu, dropout and momentum, run on our functions.

Every case of the generators applies except Adam's, which start at step 0 without bias correction.
Two kinds need a word on how:

* NegativeLogLikelihoodLoss takes any numbers for log-probabilities. An extra class that takes up
  what is missing to a total probability of 1 turns them into scores (`as_scores`).
* Dropout in training: the generator that draws is ours to replace, so the drawn mask is given.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, ops
from minideconv.optim import SGD

GENERATORS = {
    "SoftmaxCrossEntropyLoss": "softmax_cross_entropy_loss",
    "NegativeLogLikelihoodLoss": "negativeloglikelihoodloss",
    "LogSoftmax": "logsoftmax",
    "Softmax": "softmax",
    "Relu": "relu",
    "Dropout": "dropout",
    "Momentum": "momentum",
    "Adam": "adam",
}
APPLIED = {  # how many cases there are, all of which are run
    "SoftmaxCrossEntropyLoss": 34,
    "NegativeLogLikelihoodLoss": 18,
    "LogSoftmax": 7,
    "Softmax": 7,
    "Relu": 1,
    "Dropout": 12,
    "Momentum": 3,
}
NOT_APPLIED = {
    "test_adam": "step 0: no bias correction, which ours cannot leave out",
    "test_adam_multiple": "step 0: no bias correction, which ours cannot leave out",
}


def options(case):
    return {
        "ignore_index": case.attributes.get("ignore_index", -100),
        "reduction": case.attributes["reduction"].decode(),
    }


def softmax_cross_entropy_loss(case):
    loss, log_probs = ops.cross_entropy(*case.inputs, **options(case), return_saved=True)
    if not isinstance(log_probs, np.ndarray):  # a GPU saves something else
        log_probs = ops.log_softmax(case.inputs[0], 1)
    return [loss, log_probs][: len(case.outputs)]


def as_scores(x):
    """Return scores (N, C + 1, ...) whose log-softmax is x - shift in the first C classes."""
    shift = x.max() + np.log(2 * x.shape[1])
    rest = np.log1p(-np.exp(x - shift).sum(axis=1, keepdims=True))
    return np.concatenate([x - shift, rest], axis=1), shift


def negative_log_likelihood_loss(case):
    x, target, *weight = case.inputs
    w = weight[0] if weight else np.ones(x.shape[1], np.float32)
    scores, shift = as_scores(x.astype(np.float64))
    extended = np.append(w, 1.0)
    loss = ops.cross_entropy(scores, target, extended, **options(case))
    # The shift added itself to every pixel's loss, times the pixel's weight.
    counts = target != options(case)["ignore_index"]
    w_t = np.where(counts, w[np.where(counts, target, 0)], 0)
    added = {"none": w_t, "sum": w_t.sum(), "mean": 1.0}[options(case)["reduction"]]
    return [(loss - shift * added).astype(np.float32)]


def softmax(case):
    return [ops.softmax(*case.inputs, dim=case.attributes.get("axis", -1))]


def log_softmax(case):
    return [ops.log_softmax(*case.inputs, dim=case.attributes.get("axis", -1))]


def relu(case):
    return [ops.relu(*case.inputs)]


class Drawn:
    """A generator that draws above every probability where `kept`, and 0 elsewhere."""

    def __init__(self, kept):
        self.kept = kept

    def random(self, shape, dtype):
        assert shape == self.kept.shape
        return self.kept.astype(dtype)


def dropout(case):
    x, *more = case.inputs
    p = float(more[0]) if more else case.attributes.get("ratio", 0.5)
    training = bool(more[1]) if len(more) > 1 else False
    kept = case.outputs[1] if len(case.outputs) > 1 else case.outputs[0] != 0
    y, mask = ops.dropout(x, p, training, Drawn(kept), return_mask=True)
    everything = np.ones(x.shape, bool) if mask is None else mask != 0
    return [y, everything][: len(case.outputs)]


def momentum(case):
    """ONNX's alpha is our momentum; at T = 0 its beta, our 1 - dampening, does not act."""
    rate, step, *arrays = case.inputs
    assert step == 0
    n = len(arrays) // 3
    params = [Tensor(a.copy(), requires_grad=True) for a in arrays[:n]]
    optimizer = SGD(
        params,
        lr=float(rate),
        momentum=case.attributes["alpha"],
        weight_decay=case.attributes["norm_coefficient"],
        nesterov=case.attributes["mode"] == b"nesterov",
    )
    buffers = {f"state.{i}.momentum_buffer": v for i, v in enumerate(arrays[2 * n :])}
    optimizer.load_state_dict({**optimizer.state_dict(), **buffers})
    for p, grad in zip(params, arrays[n : 2 * n], strict=True):
        p.grad = Tensor(grad)
    optimizer.step()
    after = optimizer.state_dict()
    return [p.numpy() for p in params] + [after[key] for key in buffers]


RUN = {
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy_loss,
    "NegativeLogLikelihoodLoss": negative_log_likelihood_loss,
    "LogSoftmax": log_softmax,
    "Softmax": softmax,
    "Relu": relu,
    "Dropout": dropout,
    "Momentum": momentum,
}


@pytest.mark.parametrize("operator", RUN)
def test_cases(onnx_cases, operator):
    cases = onnx_cases(GENERATORS[operator], operator)
    assert len(cases) == APPLIED[operator]
    for name, case in cases.items():
        got = RUN[operator](case)
        assert len(got) == len(case.outputs), name
        for result, want in zip(got, case.outputs, strict=True):
            assert result.dtype == want.dtype, name
            assert result.shape == want.shape, name
            np.testing.assert_allclose(result, want, rtol=1e-5, atol=2e-6, err_msg=name)


def test_every_case_is_accounted_for(onnx_cases):
    everything = {op: list(onnx_cases(file, op)) for op, file in GENERATORS.items()}
    assert {op: len(names) for op, names in everything.items() if op != "Adam"} == APPLIED
    assert sorted(everything["Adam"]) == sorted(NOT_APPLIED)
    assert sum(APPLIED.values()) == 82
