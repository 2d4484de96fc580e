"""`inference`: a network's inference plan, which computes what the network computes, in less time.

    plan = minideconv.inference(net)
    scores = plan(x)                        # net.eval()(x), to rounding

A forward of a network does the same things at every call: it looks at shapes, chooses algorithms,
brings weights into their order, makes arrays, and writes down what gradients would need. A plan
does them once for each shape of input, and keeps the list of what is left (`program`). It is made
from the operations of one traced forward (`nn.trace`), whatever the network is.

Where there can be no plan the network itself is called, without a tape, and `reason` says why: on a
GPU; for a network that cannot be traced, or has an operation that is not known here; while a module
has a hook, which is to see each call; and inside `detect_anomaly` or another trace.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np

from minideconv.autograd import Tensor, no_grad
from minideconv.autograd.grad_mode import mode
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.backend.checks import check_integer, shown
from minideconv.backend.parallel import hold_at_fork
from minideconv.errors import UsageError
from minideconv.nn import Module
from minideconv.nn.mode import evaluating
from minideconv.nn.trace import trace
from minideconv.runtime.fusing import fused
from minideconv.runtime.listing import listing
from minideconv.runtime.program import Program, WrongShape
from minideconv.runtime.watch import Watch

__all__ = ["InferencePlan", "inference"]

_MOST = 1 << 28
"""Bytes of the arrays of all plans of one network together; one may have more."""

_HOOKED = "a module has a hook, which is to see each call"


def inference(network: Module, plans: int = 4, after: int = 0) -> InferencePlan:
    """Return a network's inference plan: called, it gives the scores of ``network.eval()``.

    Parameters
    ----------
    network : Module
        Its forward takes one Tensor (N, C, H, W) and returns one. It is left as it is, its mode
        too, and may be used and trained meanwhile.
    plans : int
        For how many shapes of input a plan is kept, or fewer if their arrays take more than 256
        MiB; the one that was not used for longest goes.
    after : int
        How many calls with a shape are the network's own forward before its plan is made. To make
        one takes about as long as three images do: with 3 it is made for a shape that comes often.

    Raises
    ------
    TypeError
        If `network` is no Module.
    ValueError
        If `plans` is below 1, or `after` below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> plan = inference(net)
    >>> plan(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 4, 6, 6)
    >>> print(plan.listing((1, 3, 8, 8)))  # doctest: +ELLIPSIS
    0, 1, 2  conv2d + relu ...
    """
    if not isinstance(network, Module):
        raise TypeError(f"inference: network is {shown(network)}; it must be a Module")
    check_integer("inference", "plans", plans, 1)
    check_integer("inference", "after", after, 0)
    return InferencePlan(network, plans, after)


class InferencePlan:
    """What `inference` returns: call it as the network is called.

    Attributes
    ----------
    network : Module
    reason : str
        Why the last call was the network's own forward; empty if it was a plan.

    Notes
    -----
    The result is a Tensor for a Tensor, and an array for an array. It has no gradient, and memory
    of its own, which no later call changes. Dropout does nothing and batch normalisation uses the
    running statistics, whatever mode the network is in.

    The first call with a shape of image traces three images and makes the plan. If the network has
    changed since, in its numbers or in its layers, all plans are made anew (`watch` says what is
    noticed; `forget` makes them anew in any case).

    Several threads may call one plan at once; each has arrays of its own.
    """

    def __init__(self, network: Module, plans: int = 4, after: int = 0) -> None:
        self.network, self.reason = network, ""
        self._most, self._after = plans, after
        self._changing = threading.RLock()
        hold_at_fork(self._changing)
        self.forget()

    def __repr__(self) -> str:
        shapes = ", ".join(str(key[0]) for key in self._programs) or "none yet"
        return f"InferencePlan of {type(self.network).__name__}: {shapes}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the network, which makes its plans where it is."""
        return InferencePlan, (self.network, self._most, self._after)

    def __call__(self, x: Tensor | Array) -> Any:
        """Return the network's scores of `x`, in evaluation mode.

        Parameters
        ----------
        x : Tensor or array, shape (N, C, H, W)

        Raises
        ------
        TypeError
            If `x` is neither.
        """
        array = x.data if isinstance(x, Tensor) else x
        if not isinstance(array, np.ndarray):
            self.reason = "the input is on a GPU"
        else:
            program = self._program(array)
            if program is not None:
                try:
                    y = program(array)
                except WrongShape as error:
                    self._refuse(array, error)
                else:
                    self.reason = ""
                    return wrap(y) if isinstance(x, Tensor) else y
        return self._forward(x)

    def forget(self) -> None:
        """Drop all plans: the next call makes its own from the network as it is then."""
        with self._changing:
            self._watch: Watch | None = None
            self._graphs: dict[Any, Any] = {}
            self._programs: OrderedDict[Any, Program | str] = OrderedDict()
            self._calls: Counter[Any] = Counter()

    def listing(self, shape: tuple[int, int, int, int], dtype: Any = np.float32) -> str:
        """Return the steps for inputs of a shape, one a line, with what each of them is made of.

        Raises
        ------
        UsageError
            If there can be no plan; the message says why.
        """
        program = self._program(np.zeros(shape, dtype), at_once=True)
        if program is None:
            raise UsageError(f"inference: there is no plan: {self.reason}")
        return listing(program)

    def _refuse(self, x: np.ndarray, error: WrongShape) -> None:
        """Use no plan for inputs like this one any more."""
        self.reason = str(error)
        with self._changing:
            self._keep((x.shape, x.dtype, get_algorithm(), compiled()), self.reason)

    def _forward(self, x: Tensor | Array) -> Any:
        """Return what the network's own forward gives."""
        if isinstance(x, Tensor):
            with no_grad(), evaluating():
                return self.network(x)
        if not (isinstance(x, np.ndarray) or get_xp(x) is not np):
            raise TypeError(
                f"inference: x is {shown(x)}; it must be a Tensor or an array (N, C, H, W)"
            )
        y = self._forward(wrap(x))
        return y.data if isinstance(y, Tensor) else y

    def _program(self, x: np.ndarray, at_once: bool = False) -> Program | None:
        """Return the program for an input, or None, with the reason, if there can be none."""
        now = mode.now()
        if now.anomaly or now.calls is not None:
            self.reason = "each operation is looked at (detect_anomaly, or a trace)"
            return None
        watch = self._watch
        if watch is not None and not watch.same():
            with self._changing:
                if self._watch is watch:  # no other thread has noticed it, too
                    self.forget()
            watch = None
        key = (x.shape, x.dtype, get_algorithm(), compiled())
        found = None if watch is None else self._programs.get(key)
        if watch is None or found is None:
            if not at_once and self._too_few_calls(key):
                return None
            with self._changing:
                found, watch = self._made(key, x)
        elif len(self._programs) > 1:
            with self._changing:
                if key in self._programs:
                    self._programs.move_to_end(key)
        if watch is not None and watch.hooked:
            found = _HOOKED
        if isinstance(found, str):
            self.reason = found
            return None
        return found

    def _too_few_calls(self, key: Any) -> bool:
        """Count a call without a plan, and return whether there shall be more of them."""
        if self._after:
            with self._changing:
                self._calls[key] += 1
                if self._calls[key] <= self._after:
                    self.reason = f"a plan is made after {self._after} calls with a shape"
                    return True
        return False

    def _made(self, key: Any, x: np.ndarray) -> tuple[Program | str, Watch | None]:
        """Make the program for a key, and keep it; or why there is none."""
        if any(not isinstance(array, np.ndarray) for array in self.network.arrays().values()):
            return "the network is on a GPU", None
        if self._watch is None:
            self._watch = Watch(self.network)
        if self._watch.hooked:
            return _HOOKED, self._watch
        found = self._programs.get(key)
        if found is None:
            try:
                found = self._recorded(x)
            except UsageError as error:
                found = str(error)
            # It may take drawn images for bad ones, or have no memory for two of them.
            except Exception as error:
                what = f"{type(self.network).__name__} cannot be traced"
                found = f"inference: {what}: {' '.join(str(error).split())}"
            self._keep(key, found)
        return found, self._watch

    def _keep(self, key: Any, found: Program | str) -> None:
        """Keep what is used last, as much as may be kept."""
        kept = self._programs
        kept[key] = found
        while len(kept) > 1 and (len(kept) > self._most or _nbytes(kept.values()) > _MOST):
            kept.popitem(last=False)

    def _recorded(self, x: np.ndarray) -> Program:
        """Return the program for an input.

        Raises
        ------
        UsageError
            If there can be none.
        """
        if x.ndim != 4 or not x.size:
            raise UsageError(f"inference: x has shape {x.shape}; plans are for images (N, C, H, W)")
        place = x.shape[1:]
        if place not in self._graphs:
            graph = trace(self.network, x.shape[2:], in_channels=x.shape[1])
            self._graphs = {
                **dict(list(self._graphs.items())[1 - self._most :]),
                place: (graph.input, *fused(graph)),
            }
        image, steps, output, constants = self._graphs[place]
        if image.dtype != x.dtype:
            raise UsageError(f"inference: x is {x.dtype}, and the network's numbers {image.dtype}")
        return Program(steps, image, output, constants, len(x))


def _nbytes(programs: Iterable[Program | str]) -> int:
    return sum(0 if isinstance(each, str) else each.nbytes for each in programs)
