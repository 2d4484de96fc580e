"""`set_algorithm`, per layer and by environment, and the functions that it lets in."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

import minideconv as md
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.backend import algorithms
from minideconv.backend.choice import ContextValue
from minideconv.errors import UsageError
from minideconv.ops import conv


@pytest.fixture
def entered(monkeypatch):
    """A made-up faster "conv2d" that notes under which algorithm it was asked."""
    asked = []

    def faster(*arguments):
        asked.append(md.get_algorithm())
        return None

    monkeypatch.setitem(conv.conv2d_core.ways, "cpu", faster)
    return asked


def accelerated_functions():
    """All functions that the engine may compute, by their names."""
    found = {}
    for module in [m for name, m in sys.modules.items() if name.startswith("minideconv.")]:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and hasattr(value, "ways"):
                found[f"{value.__module__}.{name}"] = value
    return found


def test_faster_functions_take_the_arguments_of_the_readable_one():
    """As many, and with the same defaults: all from the first that may be left out."""
    functions = accelerated_functions()
    ways = [(name, f, way) for name, f in functions.items() for way in f.ways.values()]
    assert len({id(f) for _, f, _ in ways}) > 40
    for name, function, way in ways:
        assert name.startswith(
            ("minideconv.ops", "minideconv.optim", "minideconv.nn", "minideconv.segmentation")
        ), name
        core = inspect.signature(function).parameters.values()
        own = inspect.signature(way)
        least = sum(p.default is p.empty for p in core)
        for count in {least, len(core)}:
            own.bind(*range(count))  # a TypeError, if it cannot be called like that
        defaults = [p.default for p in core if p.default is not p.empty]
        assert [p.default for p in own.parameters.values()][least : len(core)] == defaults, name


def run_conv():
    md.ops.conv2d(np.ones((1, 2, 5, 4)), np.ones((3, 2, 3, 3)))


def test_the_reference_does_not_enter_the_engine(entered):
    with md.algorithm("reference"):
        run_conv()
    assert entered == []
    for name in ("exact", "fast"):
        with md.algorithm(name):
            run_conv()
    assert entered == ["exact", "fast"]


def test_the_context_restores_what_was_before():
    before = md.get_algorithm()
    with md.algorithm("exact"):
        with md.algorithm("reference"):
            assert md.get_algorithm() == "reference"
        with md.algorithm(None):
            assert md.get_algorithm() == "exact"
        with pytest.raises(RuntimeError, match="stop"), md.algorithm("reference"):
            raise RuntimeError("stop")
        assert md.get_algorithm() == "exact"
    assert md.get_algorithm() == before


@pytest.mark.parametrize("call", [md.set_algorithm, lambda name: md.algorithm(name).__enter__()])
def test_an_unknown_name_is_refused(call):
    before = md.get_algorithm()
    with pytest.raises(UsageError, match="'quick'; it must be one of 'reference', 'exact', 'fast'"):
        call("quick")
    assert md.get_algorithm() == before


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_layer_may_differ_from_the_rest(entered, monkeypatch, layer):
    for core in (conv.conv_transpose2d_core, conv.conv2d_weight_grad_core):
        monkeypatch.setitem(core.ways, "cpu", conv.conv2d_core.ways["cpu"])
    x = Tensor(np.ones((1, 2, 5, 4), np.float32), requires_grad=True)
    layer(2, 3, 3, algorithm="exact")(x).sum().backward()
    assert entered == ["exact"] * 3, "forward, gradient by the input and by the weight"
    entered.clear()
    layer(2, 3, 3, algorithm="reference")(x).sum().backward()
    assert entered == []
    with pytest.raises(UsageError, match=r"Conv.*'slow'"):
        layer(2, 3, 3, algorithm="slow")


def test_backward_goes_the_way_forward_came(entered):
    x = Tensor(np.ones((1, 2, 5, 4)), requires_grad=True)
    weight = Tensor(np.ones((2, 3, 3, 3)), requires_grad=True)
    with md.algorithm("exact"):
        y = md.functional.conv_transpose2d(x, weight).sum()
    with md.algorithm("reference"):
        y.backward()
    assert entered == ["exact"]


def test_convolution_weights_are_stored_taps_first_and_stay_so():
    layer = nn.Conv2d(3, 5, (3, 2))
    kept = layer.weight.data
    assert kept.transpose(2, 3, 1, 0).flags.c_contiguous
    state = layer.state_dict()
    state["weight"] = np.arange(90, dtype=np.float32).reshape(5, 3, 3, 2)
    layer.load_state_dict(state)
    assert layer.weight.data is kept
    assert (kept == state["weight"]).all()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "fast"),
        ({"MINIDECONV_ALGORITHM": "exact"}, "exact"),
        ({"MINIDECONV_ALGORITHM": "tidy"}, "MINIDECONV_ALGORITHM: the algorithm is 'tidy'"),
        ({"MINIDECONV_COMPILED": "0"}, "fast False"),
    ],
)
def test_the_environment_chooses(monkeypatch, variables, expected):
    monkeypatch.delenv("MINIDECONV_ALGORITHM", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code = (
        "import minideconv as md; from minideconv.backend.algorithms import compiled;"
        "print(md.get_algorithm(), compiled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert expected in done.stdout + done.stderr


def test_wanting_compiled_kernels_without_numba(monkeypatch):
    unknown = ContextValue("compiled kernels", None)
    monkeypatch.setattr(algorithms, "_compiled", unknown)  # put back, whatever happens here
    monkeypatch.setattr(algorithms, "find_spec", lambda name: None)
    assert not algorithms.compiled()
    with pytest.raises(UsageError, match=r"numba is not installed; pip install minideconv\[fast\]"):
        md.use_compiled(True)
    assert md.use_compiled(False) is False
