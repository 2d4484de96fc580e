"""`check`: an ONNX file in onnxruntime beside the network that it was made of.

Two programs round differently, so float32 scores differ in their last digits, by less than 1e-5 of
their range. Switches can do more: where two pixels of a window differ by less than rounding, one
program takes the one and the other program the other, and unpooling puts the value there. Where
that happens, a second look is taken: the network is computed with onnxruntime's switches in the
place of its own. The scores must then be equal as above, and each switch must point to a pixel
that is as large as the maximum, up to rounding.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array, get_xp, to_cpu, to_device
from minideconv.errors import UsageError
from minideconv.export.onnx_model import OnnxModel, Port
from minideconv.nn import Module
from minideconv.nn.utils import device_of_module
from minideconv.ops.switches import Switches

__all__ = ["Agreement", "Switched", "agreement", "scores_of", "second_look", "session"]

CLOSE = 1e-5
"""Of the range of the scores, or of a pooled map: what counts as equal in float32."""


@dataclass(frozen=True)
class Agreement:
    """How far the scores of two programs agree.

    Attributes
    ----------
    difference : float
        The largest absolute difference, divided by the range of the network's own scores.
    far : int
        Scores that differ by more than `CLOSE` of that range.
    labels : int
        Pixels whose best class is another one.
    scores, pixels : int
        How many there were.
    """

    difference: float
    far: int
    labels: int
    scores: int
    pixels: int

    @property
    def good(self) -> bool:
        """Whether all scores are close."""
        return self.far == 0

    def __str__(self) -> str:
        return (
            f"scores within {self.difference:.1e} of their range, {self.far:,} of {self.scores:,}"
            f" further than {CLOSE:g}; {self.labels:,} of {self.pixels:,} labels differ"
        )


@dataclass(frozen=True)
class Switched:
    """What a second look found.

    Attributes
    ----------
    agreement : Agreement
        With the other program's switches.
    others : int
        Switches that are another pixel than the network's own.
    switches : int
        How many there were.
    gap : float
        By how much a pixel that was chosen is below the maximum, at most, of its map's range.
    """

    agreement: Agreement
    others: int
    switches: int
    gap: float

    @property
    def good(self) -> bool:
        """Whether only ties up to rounding were decided otherwise, and the rest is equal."""
        return self.agreement.good and self.gap <= CLOSE

    def __str__(self) -> str:
        return (
            f"{self.others:,} of {self.switches:,} switches are another pixel, at most"
            f" {self.gap:.1e} of its map's range below the maximum; with the same switches:"
            f" {self.agreement}"
        )


def session(file: str | Path | bytes, threads: int = 0) -> Any:
    """Return onnxruntime's session for a file or its content, on the CPU.

    Raises
    ------
    UsageError
        If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "--check needs onnxruntime, which is not installed here (pip install onnxruntime)"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    given = file if isinstance(file, bytes) else str(file)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def scores_of(network: Module, images: np.ndarray) -> np.ndarray:
    """Return what a network in evaluation mode computes from its own input (N, C, H, W)."""
    with no_grad():
        return to_cpu(network(Tensor(images, device=device_of_module(network))).data)


def agreement(ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    """Compare scores (N, classes, ...)."""
    spread = float(np.ptp(ours)) or 1.0
    apart = np.abs(ours.astype(np.float64) - theirs) / spread
    far = int(ours.size - (apart <= CLOSE).sum())  # NaN is far
    other = ours.argmax(axis=1) != theirs.argmax(axis=1)
    return Agreement(float(apart.max()), far, int(other.sum()), ours.size, other.size)


def second_look(
    network: Module, model: OnnxModel, given: np.ndarray, images: np.ndarray, threads: int = 0
) -> Switched | None:
    """Compare a network that uses onnxruntime's switches with onnxruntime.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    model : OnnxModel
        What was exported.
    given, images : array
        The same images, as the model takes them and as the network does.
    threads : int
        As for `session`.

    Returns
    -------
    Switched, or None if the network has no switches that can be replaced
    """
    names = {
        f"{name}.indices": module
        for name, module in network.named_modules()
        if any(f"{name}.indices" in node.outputs for node in model.nodes)
    }
    if not names:
        return None
    outputs = [*model.outputs, *(Port(name, "int64", ("n", "c", "h", "w")) for name in names)]
    extended = OnnxModel(model.name, model.inputs, outputs, model.nodes, model.initialisers)
    running = session(b"".join(extended.message().parts), threads)
    theirs, *indices = running.run(["scores", *names], {running.get_inputs()[0].name: given})
    counts: list[tuple[int, int, float]] = []
    with ExitStack() as stack:
        for module, index in zip(names.values(), indices, strict=True):
            hook = partial(_replace, index, counts)
            stack.callback(module.register_forward_hook(hook).remove)
        ours = scores_of(network, images)
    others, switches, gaps = zip(*counts, strict=True)
    return Switched(agreement(ours, theirs), sum(others), sum(switches), max(gaps))


def _replace(
    index: np.ndarray, counts: list[Any], module: Any, args: tuple[Any, ...], output: Any
) -> Any:
    """Give a pooling the other program's switches; count those that are other pixels."""
    x: Array = args[0].data
    y, own = output
    window = (own.kernel_size, own.stride, own.padding, own.dilation)
    switches = Switches.from_tensor(to_device(index, own.device), own.plane_shape, *window)
    xp = get_xp(x)
    flat = x.reshape(*x.shape[:2], -1)
    places = switches.to_plane().reshape(*x.shape[:2], -1)
    chosen = xp.take_along_axis(flat, places, axis=2).reshape(y.shape)
    spread = float(x.max() - x.min()) or 1.0
    gap = float((y.data - chosen).max()) / spread
    counts.append((int((switches.indices != own.indices).sum()), index.size, gap))
    return y, switches
