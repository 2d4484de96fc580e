"""What an optimiser changes: groups of parameters, and their gradients.

A *group* is a dict: its parameters under ``"params"`` and one value per hyper-parameter, so that
biases, for example, can have another learning rate or no weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from operator import is_
from typing import Any, Self

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
        self._known: list[list[Tensor]] = []  # the parameters of each group, as they are numbered
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
        self._renumber()
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ValueError(f"{self.name}: a parameter group has no parameters")
        self._check_parameters([*self._parameters(), *params])
        new = {**self.defaults, **group, "params": params}
        self.check(new)
        self.param_groups.append(new)
        self._known.append(list(params))
        if self._flat is not None:
            self.flatten()

    def _check_parameters(self, params: Iterable[Any]) -> None:
        """Raise unless all of `params` are leaf tensors, each once."""
        known: set[int] = set()
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

    def _renumber(self) -> None:
        """Follow what was changed in `param_groups` by hand.

        What is remembered stays with its parameter, what is new begins anew, and flat arrays are
        made again.

        Raises
        ------
        ValueError, TypeError
            If something there is no parameter, or is there twice, or a group has no options.
        """
        if self._as_known():
            return
        for number, group in enumerate(self.param_groups):
            if missing := sorted({"params", *self.defaults} - set(group)):
                raise ValueError(
                    f"{self.name}: param_groups[{number}] was put in by hand and has no"
                    f" {missing[0]!r}; call add_param_group(), which fills in what a group lacks"
                )
            if not isinstance(group["params"], list):
                group["params"] = list(group["params"])
        self._check_parameters(self._parameters())
        if next(self._parameters(), None) is None:
            raise ValueError(f"{self.name}: param_groups has no parameters left")
        before = {id(p): number for number, p in enumerate(chain(*self._known))}
        self._known = [list(group["params"]) for group in self.param_groups]
        self._keep([before.get(id(p)) for p in self._parameters()])
        if self._flat is not None:
            self.flatten()

    def _as_known(self) -> bool:
        """Return whether the groups hold exactly the parameters that were numbered, in order."""
        if len(self.param_groups) != len(self._known):
            return False
        for group, known in zip(self.param_groups, self._known, strict=True):
            now = group.get("params")
            if type(now) is not list or len(now) != len(known) or not all(map(is_, now, known)):
                return False
        return True

    def _keep(self, before: list[int | None]) -> None:
        """Give each parameter what is remembered under the number it had before, None: nothing."""
        raise NotImplementedError

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
        self.bump_grad_versions()

    def bump_grad_versions(self) -> None:
        """Tell the tape that all gradients were changed in place: see `Tensor.bump_version`."""
        for p in self._parameters():
            if p.grad is not None:
                p.grad.bump_version()

    def gradients(self) -> list[Array]:
        """Return the arrays of all gradients there are: a single one, of one axis, if flat.

        Between the gradients, and where there is none yet, the flat array holds zeros.
        """
        self._renumber()
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
        self._renumber()
        groups = [group["params"] for group in self.param_groups]
        if self._flat is None or not self._flat.holds(groups):
            self._flat = FlatParameters(self.name, groups)
            self._move_state(self._flat)

    def __copy__(self) -> Self:
        """Return another optimiser of the same parameters, groups, states and flat arrays."""
        new = type(self).__new__(type(self))
        vars(new).update(vars(self))
        return new

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
        written here is in ``p.grad``, and each of those counts as changed in place.
        """
        flat = self._needs_flat("flat_grad")
        flat.clear_missing()
        self.bump_grad_versions()
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
        self._renumber()
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
