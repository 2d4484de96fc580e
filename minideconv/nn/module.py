"""`Module`: a layer or a network, that is, named parameters, named buffers and a forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, Self

import numpy as np

from minideconv.autograd import RemovableHandle, Tensor
from minideconv.autograd.conversions import device_and_dtype
from minideconv.backend import Array, Device, as_device, to_cpu, to_default_device, to_device
from minideconv.backend.checks import check_flag, shown
from minideconv.backend.dispatch import on_device_of
from minideconv.nn.attributes import Attributes, Parameter, buffer_array, no_such
from minideconv.nn.hooks import Hook, Hooks, call_with_hooks
from minideconv.nn.mode import forced_mode
from minideconv.nn.state import IncompatibleKeys, load_state

__all__ = ["Module", "Parameter"]


class Module(Attributes):
    """Base class of layers and networks.

    Attributes that are a `Parameter`, a `Module`, or were given to `register_buffer` are found by
    name, in the order in which the names were first assigned; the names of a module inside a module
    are joined by dots. Subclasses define ``forward``; calling the module calls it.

    An attribute is one thing, whatever it was before: it is kept in one place, and what it is
    decides where it is found. None takes a parameter or a module out; anything else in its place
    would still look like it and is refused. Modules in a list, a set or a dict are not found, so
    such an attribute is refused too, unless they are attributes of their own as well, and what is
    put into it later goes unnoticed: use `ModuleList` or `Sequential`. What is found has a name of
    its own: not empty, without dots, and not that of a method.
    """

    _hooks = Hooks()  # of a module without any; never written to

    def __init__(self) -> None:
        self._buffer_names: tuple[str, ...] = ()
        self.training = True

    # -- buffers -----------------------------------------------------------------------------

    def register_buffer(self, name: str, array: Array | Tensor) -> None:
        """Name an array that belongs to the state but is not learned, as a running mean.

        Like a parameter, it is kept on the default device (`set_default_device`). What is assigned
        to the name later must be an array too. Of a tensor it is the array, ``tensor.data``, that
        becomes the buffer.

        Raises
        ------
        TypeError
            If it is neither, or a tensor that requires gradients, or if the name is that of a
            parameter or a module.
        ValueError
            If the name is empty, has dots, or is that of a method.
        """
        array = to_default_device(buffer_array(f"{type(self).__name__}: {name!r}", array))
        self._check_name(name, "registering")
        self._check_free(name, array)
        self._forget_buffer(name)
        object.__setattr__(self, name, array)
        self._buffer_names += (name,)

    # -- forward ----------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``, and the hooks in front of and behind it."""
        if not self._hooks:
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, self._hooks, args, kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward; see `register_forward_hook`.

        `args` is the tuple of the positional arguments. The hook returns None, or what takes their
        place: a tuple, or one value. With `with_kwargs` it is called as ``hook(module, args,
        kwargs)`` and returns None or a pair ``(args, kwargs)``.
        """
        return self._register(hook, True, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward of this module.

        Hooks are called in the order in which they were registered, each with what the one before
        has made of the arguments or the output. An exception in one passes through, and ends the
        call. They are not part of the state, and not pickled; ``copy.deepcopy`` copies them with
        the module, and the handle stays with the original.

        Parameters
        ----------
        hook : callable
            Returns None, or what takes the place of the output.
        with_kwargs : bool
            Whether to call it as ``hook(module, args, kwargs, output)``.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook away again. While the module is being called that is
            possible too; its hooks of the same kind are then still called this once.

        Raises
        ------
        TypeError
            If `hook` cannot be called.

        Notes
        -----
        A hook sees the calls that Python makes. A forward that `checkpoint` carries out a second
        time calls it a second time (`DeconvNet` with ``recompute`` keeps what a hooked stage
        computes, so that there it is called once); a step that a GPU repeats as a recorded graph
        does not call it at all. Modules that are otherwise computed in one pass (`no_fusion`) are
        called one by one where one of them has a hook.

        Examples
        --------
        >>> layer = Module()
        >>> layer.forward = lambda x: 2 * x
        >>> handle = layer.register_forward_hook(lambda module, args, output: print(args, output))
        >>> layer(3)
        (3,) 6
        6
        >>> handle.remove()
        >>> layer(3)
        6
        """
        return self._register(hook, False, with_kwargs)

    def _register(
        self, hook: Callable[..., Any], before: bool, with_kwargs: bool
    ) -> RemovableHandle:
        if not callable(hook):
            raise TypeError(
                f"{type(self).__name__}: a hook is a {type(hook).__name__}; "
                "it must be a function or another callable"
            )
        hooks: Hooks = vars(self).setdefault("_hooks", Hooks())
        entry: Any = Hook(hook, before, with_kwargs)
        return RemovableHandle(hooks, entry)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set what a copy or a pickle contains, with a list of hooks of its own."""
        vars(self).update(state)
        if "_hooks" in state:
            vars(self)["_hooks"] = Hooks(state["_hooks"])

    # -- walking ----------------------------------------------------------------------------

    def children(self) -> Iterator[Module]:
        """Yield the modules directly inside this one."""
        yield from self._modules.values()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for each module directly inside this one."""
        yield from self._modules.items()

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for this module, named ``""``, and all inside it, outer first.

        A module in several places comes once, under its first name; with ``remove_duplicate=False``
        under all its names, except inside itself.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"named_modules: prefix is {shown(prefix)}; it must be a string")
        todo: list[tuple[str, Module, set[int]]] = [(prefix, self, set())]
        while todo:
            path, module, seen = todo.pop()
            if id(module) in seen:
                continue
            seen = seen if remove_duplicate else set(seen)  # or only those that it is inside of
            seen.add(id(module))
            yield path, module
            join = f"{path}." if path else ""
            for name, child in reversed(vars(module).items()):
                if isinstance(child, Module):
                    todo.append((join + name, child, seen))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it, each once."""
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, target: str) -> Module:
        """Return the module with this name, as `named_modules` gives it; ``""`` is this one.

        Raises
        ------
        AttributeError
            If there is none; the message names the part that is missing, and what there is.
        """
        module, path = self, ""
        for name in target.split(".") if target else ():
            modules = module._modules
            if name not in modules:
                raise no_such("module", target, type(module), path, name, modules)
            module, path = modules[name], f"{path}.{name}" if path else name
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put another module in the place of the one with this name.

        Raises
        ------
        AttributeError
            If there is none, as `get_submodule`.
        ValueError
            If `target` is empty: a module cannot replace itself.
        TypeError
            If `module` is no Module.
        """
        caller = f"{type(self).__name__}.set_submodule"
        if not target:
            raise ValueError(f"{caller}: the name is empty; a module cannot replace itself")
        if not isinstance(module, Module):
            raise TypeError(f"{caller}: {target!r} must be a Module, not a {type(module).__name__}")
        self.get_submodule(target)
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter with this name; `AttributeError` as `get_submodule` if none is."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        parameters = module._parameters
        if name not in parameters:
            raise no_such("parameter", target, type(module), path, name, parameters)
        return parameters[name]

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), each parameter once even if two modules share it."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, parameter in vars(module).items():
                if isinstance(parameter, Parameter) and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield f"{prefix}.{name}" if prefix else name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield (name, array) of the state that is not learned."""
        for prefix, module in self.named_modules(remove_duplicate=False):
            for name, array in module._buffers.items():
                yield f"{prefix}.{name}" if prefix else name, array

    def num_parameters(self) -> int:
        """Return the number of learned values."""
        return sum(parameter.size for parameter in self.parameters())

    # -- modes, gradients, devices ------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether it is in training mode: its own, or that of a block of `nn.mode`."""
        forced = forced_mode()
        if forced is not None:
            return forced
        own: bool | None = self.__dict__.get("training")
        return self.__getattr__("training") if own is None else own

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["training"] = mode

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training (or evaluation) and return it."""
        check_flag("train", "mode", mode)
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

    def to(
        self, place: Any = None, dtype: Any = None, *, device: Device | str | None = None
    ) -> Self:
        """Move parameters and buffers to a device, or to another floating dtype, in place.

        ``net.to("gpu")``, ``net.to("float64")`` and ``net.to("gpu", "float64")`` are possible.
        Gradients are dropped; make the optimiser after moving, or call its ``flatten()`` again.
        Integer buffers keep their dtype.

        Raises
        ------
        TypeError
            If `dtype` is not one of floating-point numbers.
        """
        device, dtype = device_and_dtype(f"{type(self).__name__}.to", place, device, dtype)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(
                f"{type(self).__name__}: to() got dtype {dtype}; "
                "weights can only become floating-point numbers, as float32 or float64"
            )

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

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True) -> IncompatibleKeys:
        """Copy values from what `state_dict` returned; if they do not fit, nothing changes.

        Parameters
        ----------
        state : mapping of str to array
        strict : bool
            With False what the state lacks stays as it is, and what only the state has is left out.

        Returns
        -------
        IncompatibleKeys
            The names of either, ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        ValueError
            If a name is missing or unknown (unless not `strict`), or a shape differs; the message
            names the first and counts the rest. Also if an array of this module is read-only.
        TypeError
            If the state is no mapping, or something in it holds no real numbers.
        """
        return load_state(self, state, strict)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function(module)`` for every module inside, then for this one; return this one.

        Such as ``net.apply(start)`` with a function that fills each layer's weights.
        """
        seen: set[int] = set()

        def visit(module: Module) -> None:
            if id(module) not in seen:
                seen.add(id(module))
                for child in module.children():
                    visit(child)
                function(module)

        visit(self)
        return self

    # -- printing -----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what is printed between the module's brackets."""
        return ""

    @recursive_repr("...")  # a module inside itself
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
