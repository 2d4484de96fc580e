"""Every compiled kernel is behind the gate, and the gate lets no operand through that it must not.

`tests/ops/test_layouts_in_memory.py` tests the same from outside, operation by operation.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba is not installed (extra fast)")

import kernel_operands  # noqa: E402 (needs numba)
from kernel_operands import (  # noqa: E402
    OPERATIONS,
    WRITABLE,
    between_words,
    read_only,
    same,
    stored_otherwise,
)
from numba.core.dispatcher import Dispatcher  # noqa: E402

from minideconv import use_compiled  # noqa: E402
from minideconv.backend.algorithms import algorithm  # noqa: E402
from minideconv.engine.cpu import compiled  # noqa: E402
from minideconv.engine.cpu.compiled import optimizers, shrinkage, winograd  # noqa: E402
from minideconv.engine.cpu.compiled.kernel import Kernel, kernel  # noqa: E402

PACKAGE = Path(compiled.__file__).parents[3]


@pytest.fixture(autouse=True)
def _compiled():
    before = use_compiled(True)
    with algorithm("fast"):
        yield
    use_compiled(before)


def all_dispatchers():
    """All functions of the library that numba compiles, those of factories as far as called."""
    for module in pkgutil.iter_modules(compiled.__path__, f"{compiled.__name__}."):
        importlib.import_module(module.name)
    gc.unfreeze()  # what was frozen (see `isolation`) is not among all objects
    return [
        each
        for each in gc.get_objects()
        if issubclass(type(each), Dispatcher)
        and each.py_func.__module__.startswith(compiled.__name__)
    ]


def called_by(function):
    """The kernels that a kernel calls."""
    names = function.py_func.__code__.co_names
    closed = [cell.cell_contents for cell in function.py_func.__closure__ or ()]
    known = [*closed, *(function.py_func.__globals__.get(name) for name in names)]
    return {id(each) for each in known if isinstance(each, Kernel)}


def test_nothing_is_compiled_without_the_gate():
    assert len(all_dispatchers()) > 60
    assert all(isinstance(each, Kernel) for each in all_dispatchers())
    others = ("njit", "jit(", "vectorize", "cfunc", "generated_jit", "CPUDispatcher(")
    for path in PACKAGE.glob("minideconv/**/*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in others if word in text.replace("CPUDispatcher):", "")], path


def test_every_kernel_that_python_calls_takes_its_operands_from_any_memory():
    """And what it changes gets to where it was to be changed."""
    reached: set[str] = set()
    for operation in OPERATIONS:
        want = operation()
        for layout in (*WRITABLE, read_only):
            with stored_otherwise(layout) as called:
                assert same(operation(), want), (operation.__name__, layout.__name__)
            reached |= called
    kernels = all_dispatchers()
    inner = set().union(*map(called_by, kernels))
    left = {
        f"{each.__module__}.{each.__name__}"
        for each in kernels
        if id(each) not in inner and not each.__name__.startswith("only_here")
    }
    assert left <= reached, "kernels that no operation of kernel_operands reaches"
    for each in kernels:
        for signature in each.signatures:
            for array in filter(lambda t: isinstance(t, numba.types.Array), signature):
                assert (array.layout, array.mutable) == ("C", True), each


def test_no_kernel_has_an_operand_of_the_other_byte_order():
    """numba does not look at it; the functions that call kernels compare types, which have one."""
    for operation in OPERATIONS:
        want = operation()
        with kernel_operands.inputs(kernel_operands.swapped_bytes), stored_otherwise(None):
            found = operation()
        for one, other in zip(found, want, strict=True):
            scale = max(1.0, np.abs(other).max())  # another algorithm: another order of sums
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)


def test_operations_take_numbers_that_begin_between_two_words():
    for operation in OPERATIONS:
        want = operation()
        with kernel_operands.inputs(between_words):
            assert same(operation(), want), operation.__name__


def test_kernels_write_only_what_they_name():
    """What they read is on pages here to which the system lets nobody write."""
    script = kernel_operands.__file__
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_wrong_declaration_is_seen():
    """A kernel that writes more than it names loses that, and one with protected operands ends."""

    @kernel
    def only_here_forgets(y):
        y[0] = 5

    plain, strided = np.zeros(4, np.float32), np.zeros(8, np.float32)[::2]
    only_here_forgets(plain)
    only_here_forgets(strided)
    assert plain[0] == 5
    assert strided[0] == 0


@pytest.mark.parametrize(
    ("call", "name", "place"),
    [
        (lambda w: optimizers.plain_sgd(w, np.ones(4, np.float32), 0.1, 0.0), "plain_sgd", 0),
        (lambda w: optimizers.sgd(*[np.ones(4, np.float32)] * 2, w, *[0.1] * 4, True), "sgd", 2),
        (lambda w: shrinkage.admm_update(np.ones(4, np.float32), w, 0.1, 1.0), "admm_update", 1),
    ],
)
def test_a_read_only_array_is_not_written_to(call, name, place):
    for array in (np.frombuffer(bytes(16), np.float32), np.broadcast_to(np.float32(0), 4)):
        with pytest.raises(ValueError, match=rf"{name}: argument {place} .* is read-only, .* copy"):
            call(array)
        assert (array == 0).all()


@pytest.mark.parametrize("layout", [*WRITABLE, between_words, read_only])
@pytest.mark.parametrize("turned", [False, True])
def test_a_bias_of_winograds_kernels_may_have_any_layout(layout, turned):
    """The kernels' own functions, without what `engine.cpu.conv` does before it calls them."""
    from minideconv.engine.layout import taps_first, to_channels_last
    from minideconv.ops.im2col import conv_window

    window = conv_window("test", (9, 8), (3, 3), 1, 1, 1)
    x = to_channels_last(kernel_operands.f32(2, 16, 9, 8))
    w = taps_first(kernel_operands.f32(16, 16, 3, 3))
    bias = kernel_operands.f32(16)
    function = winograd.input_grad if turned else winograd.forward
    want = function(x, w, bias, window)
    assert (function(x, w, layout(bias), window) == want).all()
    repeated = np.broadcast_to(np.float32(0.5), 16)
    assert (function(x, w, repeated, window) == function(x, w, repeated.copy(), window)).all()


def test_an_array_of_another_type_is_no_operand():
    """Vectors of float32 would be made of its bytes."""
    y = np.zeros(32, np.float64)
    with pytest.raises(numba.TypingError, match="it must be an array of float32"):
        optimizers.sgd(y, y, y, 0.1, 0.9, 1.0, 0.0, False)
