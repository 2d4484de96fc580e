"""`Module`: a layer or a network, that is, named parameters, named buffers and a forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import (
    Array,
    Device,
    as_device,
    check_state,
    check_writable,
    device_of,
    saved_array,
    to_cpu,
    to_default_device,
    to_device,
)
from minideconv.backend.device_guard import on_device_of
from minideconv.engine.layout import assign
from minideconv.nn.attributes import buffer_array, check_name

__all__ = ["Module", "Parameter"]


class Parameter(Tensor):
    """A Tensor that a module learns: it requires a gradient and appears in ``parameters()``."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)


class Module:
    """Base class of layers and networks.

    Attributes that are a `Parameter`, a `Module`, or were given to `register_buffer` are found by
    name, in the order in which the names were first assigned; the names of a module inside a module
    are joined by dots. Subclasses define ``forward``; calling the module calls it.

    An attribute is one thing, whatever it was before: it is kept in one place, and what it is
    decides where it is found. None takes a parameter or a module out; anything else in its place
    would still look like it and is refused. Modules in a list or a dict are not found, so such an
    attribute is refused too, unless they are attributes of their own as well: use `Sequential`, or
    ``setattr(self, f"block{i}", block)``. What is found has a name of its own: not empty, without
    dots, and not that of a method.
    """

    training: bool

    def __init__(self) -> None:
        self._buffer_names: tuple[str, ...] = ()
        self.training = True

    # -- attributes -------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter | Module):
            if "training" not in self.__dict__:
                raise RuntimeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
                )
            check_name(type(self), name)
            self._forget_buffer(name)
        else:
            value = self._checked(name, value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget_buffer(name)

    def __getattr__(self, name: str) -> Any:
        """Say what is missing; what is there is found without this method."""
        hint = "" if "training" in self.__dict__ else "; call super().__init__() first"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _checked(self, name: str, value: Any) -> Any:
        """Return what is no parameter and no module as attribute `name` may hold it, or raise."""
        who = f"{type(self).__name__}: {name!r}"
        if name in self.__dict__.get("_buffer_names", ()):
            return buffer_array(who, value)
        if value is not None:
            self._check_free(name, value)
        if found := list(_held(value)):
            known = {id(known) for known in (*self.modules(), *self.parameters())}
            lost = [type(one).__name__ for one in found if id(one) not in known]
            if lost:
                raise TypeError(
                    f"{who} is a {type(value).__name__} with a {lost[0]} in it, which would be"
                    " neither learned nor saved; use Sequential(*layers), or make each of them an"
                    " attribute"
                )
        return value

    def _check_free(self, name: str, value: Any) -> None:
        """Raise if `value`, no parameter and no module, would take the place of one."""
        before = self.__dict__.get(name)
        if isinstance(before, Parameter | Module):
            kind = "Parameter" if isinstance(before, Parameter) else "Module"
            raise TypeError(
                f"{type(self).__name__}: {name!r} is a {kind}; it may become a Parameter, a Module"
                f" or None, and not a {type(value).__name__}: change parameter.data, or `del` the"
                " attribute first"
            )

    def _forget_buffer(self, name: str) -> None:
        names = self.__dict__.get("_buffer_names", ())
        self.__dict__["_buffer_names"] = tuple(other for other in names if other != name)

    @property
    def _parameters(self) -> dict[str, Parameter]:
        return {name: v for name, v in vars(self).items() if isinstance(v, Parameter)}

    @property
    def _modules(self) -> dict[str, Module]:
        return {name: v for name, v in vars(self).items() if isinstance(v, Module)}

    @property
    def _buffers(self) -> dict[str, Array]:
        return {name: vars(self)[name] for name in vars(self).get("_buffer_names", ())}

    def register_buffer(self, name: str, array: Array) -> None:
        """Name an array that belongs to the state but is not learned, as a running mean.

        Like a parameter, it is kept on the default device (`set_default_device`). What is assigned
        to the name later must be an array too.

        Raises
        ------
        TypeError
            If it is no array, or the name is that of a parameter or a module.
        ValueError
            If the name is empty, has dots, or is that of a method.
        """
        array = to_default_device(buffer_array(f"{type(self).__name__}: {name!r}", array))
        if "training" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() before registering {name!r}"
            )
        check_name(type(self), name)
        self._check_free(name, array)
        self._forget_buffer(name)
        object.__setattr__(self, name, array)
        self._buffer_names += (name,)

    # -- forward ----------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every subclass says what that is."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*args, **kwargs)

    # -- walking ----------------------------------------------------------------------------

    def children(self) -> Iterator[Module]:
        """Yield the modules directly inside this one."""
        yield from self._modules.values()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for this module, named ``""``, and all inside it, outer first."""
        yield prefix, self
        for name, module in self._modules.items():
            yield from module.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), each parameter once even if two modules share it."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, parameter in module._parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield f"{prefix}.{name}" if prefix else name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield (name, array) of the state that is not learned."""
        for prefix, module in self.named_modules():
            for name, array in module._buffers.items():
                yield f"{prefix}.{name}" if prefix else name, array

    def num_parameters(self) -> int:
        """Return the number of learned values."""
        return sum(parameter.size for parameter in self.parameters())

    # -- modes, gradients, devices ------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training (or evaluation) and return it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to evaluation and return it."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Drop every parameter's gradient."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, device: Device | str | None = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a device, or to another floating dtype, in place.

        Gradients are dropped; make the optimiser after moving, or call its ``flatten()`` again.
        Integer buffers keep their dtype.
        """

        def moved(array: Array) -> Array:
            if device is not None:
                array = to_device(array, device)
            with on_device_of(array):
                wanted = dtype is not None and array.dtype.kind == "f"
                return array.astype(dtype) if wanted else array

        device = None if device is None else as_device(device)
        for module in self.modules():
            for parameter in module._parameters.values():
                parameter.grad = None
                data = moved(parameter.data)
                if data is not parameter.data:  # it leaves an optimiser's flat array
                    parameter._move(data, [0])
            for name, array in module._buffers.items():
                setattr(module, name, moved(array))
        return self

    # -- state --------------------------------------------------------------------------------

    def arrays(self) -> dict[str, Array]:
        """Return all parameters and buffers by name: the arrays themselves, where they are."""
        return {
            **{name: p.data for name, p in self.named_parameters()},
            **dict(self.named_buffers()),
        }

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, by name, as NumPy arrays."""
        return {name: np.array(to_cpu(array)) for name, array in self.arrays().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy values from what `state_dict` returned; if they do not fit, nothing changes.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs; the message names the first and
            counts the rest. Also if an array of this module is read-only.
        TypeError
            If the state is no mapping, or something in it holds no real numbers.
        """
        check_state("load_state_dict", state)
        own = self.arrays()
        kind = type(self).__name__
        missing = [name for name in own if name not in state]
        unknown = [name for name in state if name not in own]
        if missing or unknown:
            what = (
                f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is not in the network"
            )
            raise ValueError(
                f"load_state_dict: the state does not fit {kind}: {what}"
                f" ({len(missing)} missing, {len(unknown)} unknown names)"
            )
        new = {
            name: saved_array("load_state_dict", repr(name), state[name], array)
            for name, array in own.items()
        }
        wrong = [name for name in own if new[name].shape != own[name].shape]
        if wrong:
            name = wrong[0]
            raise ValueError(
                f"load_state_dict: {name!r} has shape {new[name].shape} in the state but"
                f" {own[name].shape} in this {kind} ({len(wrong)} of {len(own)} shapes differ)"
            )
        check_writable("load_state_dict", ((repr(name), array) for name, array in own.items()))
        for name, array in own.items():
            assign(array, to_device(new[name], device_of(array)))
        for parameter in self.parameters():
            parameter.bump_version()

    # -- printing -----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what stands between the brackets when the module is printed."""
        return ""

    def __repr__(self) -> str:
        """Return an indented outline of the module and all inside it."""
        head = f"{type(self).__name__}({self.extra_repr()}"
        if not self._modules:
            return head + ")"
        lines = [
            f"  ({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        return "\n".join([head, *lines, ")"])


def _held(value: Any) -> Iterator[Parameter | Module]:
    """Yield the parameters and modules in a list, a tuple, a dict, or such inside such."""
    if isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, Parameter | Module):
                yield one
            else:
                yield from _held(one)
