"""What all optimisers share: parameter groups, hyper-parameters, state, saving and loading.

A *group* is a dict: its parameters under ``"params"`` and one value per hyper-parameter, so that
biases, for example, can have another learning rate or no weight decay. The *state* is what an
optimiser remembers of each parameter (a momentum, a count of steps); it is made at the parameter's
first update.

Gradients add up over backward passes until ``zero_grad``; a step uses the sum and never changes it.
To train on k micro-batches as on one batch, divide each loss by k, and call ``step`` once behind
the k-th ``backward``. Weight decay is applied inside ``step``, so once per step and at its full
strength however many backward passes there were. (DeconvNet's Caffe divides the learning rate by k
behind the decay: its effective decay is k times weaker than the number in its solver file.)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp, to_cpu, to_device

__all__ = ["Optimizer", "check_count", "check_range"]

Group = dict[str, Any]
State = dict[str, Any]


class Optimizer:
    """Base class: a subclass names its hyper-parameters, checks them, and updates one parameter.

    Attributes
    ----------
    param_groups : list of dict
        The groups; change ``group["lr"]`` and the next step uses it.
    state : dict of int to dict
        What is remembered of each parameter, by its number in the order of the groups.
    """

    options: ClassVar[tuple[str, ...]]
    """The names of the hyper-parameters that a group has."""

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], **defaults: Any) -> None:
        self.name = type(self).__name__
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[int, State] = {}
        if isinstance(params, Tensor | Mapping):
            raise TypeError(
                f"{self.name}: params is one {type(params).__name__}; it must be an iterable of"
                " parameters, or of dicts that hold groups of them, such as [p]"
            )
        try:
            given: list[Any] = list(params)
        except TypeError:
            raise TypeError(
                f"{self.name}: params is {type(params).__name__}, which cannot be iterated over;"
                " pass model.parameters()"
            ) from None
        if not given:
            raise ValueError(f"{self.name}: params is empty; there is nothing to optimise")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    # What a subclass provides

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        raise NotImplementedError

    def update(self, weight: Array, grad: Array, group: Group, state: State) -> None:
        """Change the parameter's array `weight` in place; leave `grad` as it is."""
        raise NotImplementedError

    # What a user calls

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group: a dict with ``"params"`` and any hyper-parameters of its own.

        Raises
        ------
        ValueError, TypeError
            If it has no parameters, one that is already here, an unknown name, or a value out of
            range.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(
                f"{self.name}: a parameter group is {group!r}; it must be a dict with 'params'"
            )
        unknown = sorted(set(group) - {"params", "initial_lr", *self.options})
        if unknown:
            raise ValueError(
                f"{self.name}: a parameter group has {', '.join(map(repr, unknown))}; it may have"
                f" {', '.join(map(repr, self.options))}"
            )
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ValueError(f"{self.name}: a parameter group has no parameters")
        known = {id(p) for p in self._parameters()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{self.name}: params has a {type(p).__name__}; all of it must be parameters"
                    " (leaf Tensors), as model.parameters() gives them"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"{self.name}: params has a Tensor of shape {p.shape} that is the result of an"
                    " operation; only leaves can be optimised"
                )
            if id(p) in known:
                raise ValueError(f"{self.name}: a parameter of shape {p.shape} is in params twice")
            known.add(id(p))
        new = {**self.defaults, **group, "params": params}
        self.check(new)
        self.param_groups.append(new)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients: they become None, or zeros with ``set_to_none=False``."""
        for p in self._parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad.data[...] = 0

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        number = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state.setdefault(number, {})
                    self.update(p.data, p.grad.data, group, state)
                    p.bump_version()
                number += 1

    def state_dict(self, copy: bool = True) -> dict[str, Any]:
        """Return hyper-parameters and state as a flat dict of plain values and NumPy arrays.

        The keys are ``kind``, ``groups.G.NAME`` and ``state.N.NAME``: ready for JSON and ``.npz``.
        With ``copy=False`` the arrays on the CPU are the optimiser's own: the next step changes
        them.
        """
        saved: dict[str, Any] = {"kind": self.name}
        for g, group in enumerate(self.param_groups):
            saved[f"groups.{g}.size"] = len(group["params"])
            for name in (*self.options, "initial_lr"):
                if name in group:
                    saved[f"groups.{g}.{name}"] = _plain(group[name])
        for n, state in sorted(self.state.items()):
            for name, value in sorted(state.items()):
                if hasattr(value, "shape"):
                    value = to_cpu(value).copy() if copy else to_cpu(value)
                saved[f"state.{n}.{name}"] = value
        return saved

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; nothing changes if it does not fit.

        Raises
        ------
        ValueError
            If it is another optimiser's, or of other numbers or shapes of parameters.
        """
        kind = str(state.get("kind"))
        if kind != self.name:
            raise ValueError(
                f"{self.name}: the saved state is of {kind}; it must be of {self.name}"
            )
        parameters = list(self._parameters())
        fields: dict[str, dict[int, dict[str, Any]]] = {"groups": {}, "state": {}}
        try:
            for key in set(state) - {"kind"}:
                part, number, name = key.split(".", 2)
                fields[part].setdefault(int(number), {})[name] = state[key]
            saved = [fields["groups"][g] for g in range(len(fields["groups"]))]
            there = [int(group["size"]) for group in saved]
        except (KeyError, ValueError):
            raise ValueError(
                f"{self.name}: the saved state is not of state_dict(); its keys are {list(state)}"
            ) from None
        here = [len(group["params"]) for group in self.param_groups]
        if here != there:
            raise ValueError(
                f"{self.name}: the saved state has groups of {there} parameters but this optimiser"
                f" has {here}"
            )
        pairs = zip(self.param_groups, saved, strict=True)
        groups = [self._restored(group, old) for group, old in pairs]
        states = {
            n: {name: self._fitting(parameters[n], n, name, old[name]) for name in sorted(old)}
            for n, old in sorted(fields["state"].items())
        }
        for group, new in zip(self.param_groups, groups, strict=True):
            group.update(new)
        self.state = states

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def _restored(self, group: Group, saved: Group) -> Group:
        new = {name: _plain(value) for name, value in saved.items() if name != "size"}
        new = {name: tuple(v) if isinstance(v, list) else v for name, v in new.items()}
        self.check({**group, **new})
        return new

    def _fitting(self, p: Tensor, number: int, name: str, value: Any) -> Any:
        if name == "step":
            return int(value)
        if value.shape != p.shape:
            raise ValueError(
                f"{self.name}: the saved {name} of parameter {number} has shape {value.shape} but"
                f" the parameter has {p.shape}"
            )
        fitting: Array = get_xp(p.data).empty_like(p.data)  # lies as the parameter does
        fitting[...] = to_device(value, p.device)
        return fitting


def _plain(value: Any) -> Any:
    """Return a hyper-parameter as Python's own bool, int, float or list of them."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def check_range(op: str, name: str, value: Any, low: float = 0.0, below: float = math.inf) -> None:
    """Raise ValueError unless `value` is a number with ``low <= value < below``."""
    try:
        good = low <= float(value) < below
    except (TypeError, ValueError):
        good = False
    if not good:
        legal = f"a finite number >= {low:g}" if below == math.inf else f"in [{low:g}, {below:g})"
        raise ValueError(f"{op}: {name} is {value!r}; it must be {legal}")


def check_count(op: str, name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int, or raise unless it is an integer of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is {value!r}; it must be an integer") from None
    if number < least:
        raise ValueError(f"{op}: {name} is {number}; it must be at least {least}")
    return number
