"""Section `optim`: SGD and Adam, on one long list of numbers and on a small network's arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.contenders import SGD
from benchmarks.convolutions import check_equal
from benchmarks.modes import ours, the_torch
from benchmarks.plans import DEFAULT, Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv import Tensor, models, optim
from minideconv.nn import Parameter

__all__ = ["OPTIONS", "PASSES_OVER", "our_step", "rows", "values_of"]

ADAM = {"lr": 1e-3, "weight_decay": 1e-4}
OPTIONS: dict[str, dict[str, float]] = {"SGD": SGD, "Adam": ADAM}
PASSES_OVER = {"SGD": (3, 2), "Adam": (4, 3)}  # arrays read and written
MODES = ("fast", "numpy")
Values = list[tuple[np.ndarray, np.ndarray]]


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure both optimisers on both lists of parameters."""
    quarter = (plan.parameters // 4 // 1024, 1024)
    small = [p.shape for p in models.deconvnet(**DEFAULT.arguments()).parameters()]
    for name in OPTIONS:
        for what, shapes in (("large arrays", [quarter] * 4), (DEFAULT.name, small)):
            times = _times(name, shapes, plan.rounds, threads)
            numbers = sum(int(np.prod(shape)) for shape in shapes)
            read, written = (4 * numbers * count for count in PASSES_OVER[name])
            yield {
                "name": name,
                "what": what,
                "parameters": numbers,
                "arrays": len(shapes),
                "read": read,
                "written": written,
                "times": times,
            }


def _times(name: str, shapes: list[tuple[int, ...]], rounds: int, threads: int) -> dict[str, Any]:
    prepare = ours(MODES)
    values = values_of(shapes)
    built = {mode: our_step(name, values) for mode in prepare}
    built["torch_default"] = _torchs(name, values, fused=False)
    built["torch_fused"] = _torchs(name, values, fused=True)
    for label, (step, _) in built.items():
        prepare.get(label, lambda: None)()
        step()
    expected = built["torch_default"][1]
    for label, (_, weights) in built.items():
        for found, array in zip(weights, expected, strict=True):
            check_equal(f"{name}, {label}", found, array)
    contenders = {
        label: Timed(step, prepare.get(label, lambda: None)) for label, (step, _) in built.items()
    }
    samples = alternate(contenders, rounds, threads)
    return {label: summary(got, threads) for label, got in samples.items()}


def values_of(shapes: list[tuple[int, ...]]) -> Values:
    """Return a weight and a gradient of each shape."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32))
        for shape in shapes
    ]


def our_step(name: str, values: Values) -> tuple[Callable[[], None], list[np.ndarray]]:
    """Return the step of our optimiser of that name, and the arrays that it changes."""
    parameters = []
    for weight, grad in values:
        parameters.append(Parameter(weight.copy()))
        parameters[-1].grad = Tensor(grad)
    optimizer = getattr(optim, name)(parameters, **OPTIONS[name])
    return optimizer.step, [p.data for p in parameters]


def _torchs(name: str, values: Values, fused: bool) -> tuple[Callable[[], None], list[np.ndarray]]:
    torch = the_torch()
    parameters = []
    for weight, grad in values:
        parameters.append(torch.nn.Parameter(torch.from_numpy(weight.copy())))
        parameters[-1].grad = torch.from_numpy(grad)
    optimizer = getattr(torch.optim, name)(parameters, **OPTIONS[name], fused=fused)
    return optimizer.step, [p.detach().numpy() for p in parameters]
