"""What an optimiser changes: groups of parameters, and their gradients.

A *group* is a dict: its parameters under ``"params"`` and one value per hyper-parameter, so that
biases, for example, can have another learning rate or no weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from minideconv.autograd import Tensor
from minideconv.backend import Array, check_writable
from minideconv.backend.dispatch import on_device_of
from minideconv.optim.flat import EXTRA, FlatParameters

__all__ = ["Group", "ParameterGroups"]

Group = dict[str, Any]


class ParameterGroups:
    """Base class of `Optimizer`: everything but the update.

    Parameters
    ----------
    params : iterable of parameters, or of dicts (groups)
    defaults : dict
        All hyper-parameters, with the values for a group that does not have its own.

    Raises
    ------
    ValueError, TypeError
        If there are no parameters, or `params` is no iterable of them.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[Group], defaults: Mapping[str, Any]
    ) -> None:
        self.name = type(self).__name__
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._flat: FlatParameters | None = None
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

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        raise NotImplementedError

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
        unknown = sorted(set(group) - {"params", "initial_lr", *self.defaults})
        if unknown:
            raise ValueError(
                f"{self.name}: a parameter group has {', '.join(map(repr, unknown))}; it may have"
                f" {', '.join(map(repr, self.defaults))}"
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
        if self._flat is not None:
            self.flatten()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients: they become None, or zeros with ``set_to_none=False``."""
        if set_to_none:
            for p in self._parameters():
                p.grad = None
            return
        gradients = self.gradients()
        check_writable(f"{self.name}: zero_grad()", (("a gradient", g) for g in gradients))
        for gradient in gradients:
            with on_device_of(gradient):
                gradient[...] = 0

    def gradients(self) -> list[Array]:
        """Return the arrays of all gradients there are: a single one, of one axis, if flat.

        Between the gradients, and where there is none yet, the flat array holds zeros.
        """
        gradients = [p.grad.data for p in self._parameters() if p.grad is not None]
        if self._flat is None or not gradients:
            return gradients
        self._flat.clear_missing()
        return [self._flat.gradients[:-EXTRA]]

    # All parameters in one array, and their gradients in another: see `optim.flat`

    def flatten(self) -> None:
        """Move all parameters, gradients and what is remembered of them into a few flat arrays.

        From then on ``p.data`` and ``p.grad.data`` are views, a group is updated as one array, and
        `flat_grad` is there. Arrays that were taken from ``p.data`` before no longer follow. Saving
        and loading go on as before; a state saved with flat arrays fits one without, and the other
        way round. See `optim.flat`.

        Raises
        ------
        ValueError
            If the parameters are not all on one device and of one type.
        """
        groups = [group["params"] for group in self.param_groups]
        if self._flat is None or not self._flat.holds(groups):
            self._flat = FlatParameters(self.name, groups)
            self._move_state(self._flat)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: of the flat arrays only that there are some."""
        return {**vars(self), "_flat": self._flat is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy, with flat arrays of its own if there were some."""
        vars(self).update(state, _flat=None)
        if state["_flat"]:
            self.flatten()

    def _move_state(self, flat: FlatParameters) -> None:
        """Put what is remembered of the parameters into the flat arrays."""
        raise NotImplementedError

    @property
    def flat_grad(self) -> Array:
        """All gradients, then the elements of `flat_extra`, as one array of one axis.

        Where a parameter has received no gradient since `zero_grad`, there are zeros. What is
        written here is in ``p.grad``.
        """
        flat = self._needs_flat("flat_grad")
        flat.clear_missing()
        return flat.gradients

    @property
    def flat_extra(self) -> Array:
        """The last elements of `flat_grad`: of no parameter, free to use, for example for a count.

        No method reads or writes them.
        """
        return self._needs_flat("flat_extra").gradients[-EXTRA:]

    def complete_grads(self) -> None:
        """Give each parameter that has received no gradient one of zeros.

        Then `step` updates all of them: for processes that sum their gradients, of which one may
        have had no images.
        """
        self._needs_flat("complete_grads").complete()

    def _needs_flat(self, what: str) -> FlatParameters:
        if self._flat is None:
            raise RuntimeError(f"{self.name}: {what} is there once flatten() has been called")
        return self._flat

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def _numbered(self) -> list[list[tuple[int, Tensor]]]:
        """Return each group's parameters, with their numbers over all groups."""
        numbers = count()
        return [[(next(numbers), p) for p in group["params"]] for group in self.param_groups]
