"""The GPU's table: what it chooses and why, and the choice by measurement."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend import Device
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import benchmark, conv, implicit_gemm, table
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.streams import computing_on
from minideconv.engine.cuda.table import candidates, choices, choose
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, values

pytestmark = pytest.mark.usefixtures("tensor_cores")

F4 = np.dtype(np.float32)
OPERATIONS = ("forward", "input_grad", "weight_grad")


@pytest.fixture(autouse=True)
def not_measuring():
    """Every test begins and ends with the table's own choice."""
    benchmark.set_benchmark(False)
    yield
    benchmark.set_benchmark(False)


def ask(operation, c, k, size, precision="bf16", n=64, kernel=3, stride=1, padding=1, groups=1):
    window = conv_window("test", (size, size), kernel, stride, padding, 1)
    return ConvProblem(operation, window, n, c, k, groups, F4, precision)


def chosen(*problem, **more):
    return candidates(ask(*problem, **more))[0].name.split()[0]


# ---------------------------------------------------------------------------------------------
# The rows


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_few_output_channels_go_without_a_patch_matrix(operation, precision):
    is_slow = (operation, precision) == ("weight_grad", "tf32")
    shapes = [(64, 64, 224), (128, 128, 112), (256, 256, 56), (256, 512, 28), (512, 512, 14)]
    few = 1 if is_slow else 3
    for c, k, size in shapes[:few]:
        assert chosen(operation, c, k, size, precision) == "implicit_gemm", (c, k)
    for c, k, size in shapes[few:]:
        assert chosen(operation, c, k, size, precision) == "im2col_gemm", (c, k)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_goes_to_the_product_of_cublas(operation):
    for problem in [
        ask(operation, 3, 64, 224),  # vectors of channels that are not there
        ask(operation, 64, 64, 224, "fp32"),
        ask(operation, 64, 64, 224)._replace(dtype=np.dtype(np.float64)),
        ask(operation, 64, 64, 224, groups=2),
        ask(operation, 64, 64, 224, kernel=1, padding=0),  # the image is its own patch matrix
        ask(operation, 64, 4096, 7, kernel=7, padding=0),
        ask(operation, 512, 512, 14, n=1),
    ]:
        assert candidates(problem)[0].name == "im2col_gemm", problem
    assert candidates(ask(operation, 0, 64, 9)) == ()
    assert candidates(ask(operation, 8, 8, 9)._replace(dtype=np.dtype(np.float16))) == ()


def test_the_arithmetic_of_the_table():
    """Where the columns' share falls below what our product loses, the choice changes."""
    for operation, rate in (("forward", table.RATE), ("weight_grad", table.RATE_WEIGHT_TF32)):
        limit = table._COLUMNS / (1 / rate - 1)
        assert 64 < limit < 512
        for k in range(64, 513, 64):
            name = chosen(operation, 64, k, 224, "tf32")
            assert name == ("implicit_gemm" if k < limit else "im2col_gemm"), (operation, k)


def test_tiles_follow_the_shape():
    def tile(*problem, **more):
        names = [way.name for way in candidates(ask(*problem, **more))]
        assert len(set(names)) == len(names)
        return next(name.split()[1] for name in names if " " in name)

    assert tile("forward", 64, 64, 224) == "256x64"
    assert tile("forward", 64, 128, 112) == "128x128"
    assert tile("forward", 64, 64, 56, n=4) == "64x64"  # small: many small blocks
    assert tile("weight_grad", 64, 64, 224) == "128x64"
    assert tile("weight_grad", 8, 128, 224) == "64x64"
    assert tile("input_grad", 64, 128, 112) == "256x64"


def test_every_candidate_computes_the_same(cupy_device):
    xp = cupy_device.xp
    rng = np.random.default_rng(0)
    window = conv_window("test", (6, 5), 3, 1, 1, 1)
    x, dy = (xp.asarray(rng.integers(-2, 3, (2, 6, 5, c)).astype(F4)) for c in (16, 8))
    w = xp.asarray(rng.integers(-2, 3, (3, 3, 16, 8)).astype(F4))
    arguments = {"forward": (x, w, None), "input_grad": (dy, w, None), "weight_grad": (x, dy)}
    for operation in OPERATIONS:
        algorithms = candidates(ConvProblem(operation, window, 2, 16, 8, 1, F4, "bf16"))
        assert len(algorithms) == (4 if operation == "weight_grad" else 5)
        with precision("bf16"):
            results = [
                getattr(way, operation)(*arguments[operation], window, 1) for way in algorithms
            ]
        for result in results[1:]:
            np.testing.assert_array_equal(cupy_device.get(result), cupy_device.get(results[0]))


def test_problems_that_were_chosen_for_are_listed(cupy_device):
    problem = ask("forward", 64, 64, 221)
    assert choose(problem) is choose(problem)
    listed = dict(choices())
    assert listed[problem] == choose(problem).name
    assert str(problem).startswith("forward float32 bf16 n 64 c 64 221x221 k 64 221x221 kernel")


@pytest.mark.parametrize("precision_name", ["tf32", "bf16"])
def test_both_gradients_share_the_rounded_dy(cupy_device, monkeypatch, precision_name):
    """Through the public operations, with small shapes given to the product without columns."""
    monkeypatch.setattr(table, "_BLOCKS", 0)
    monkeypatch.setattr(table, "RATE", 1e3)
    monkeypatch.setattr(table, "RATE_WEIGHT_TF32", 1e3)
    table._algorithms.cache_clear()
    g = ConvGeometry(2, 16, 8, (7, 6), (3, 2), (2, 1), (1, 1))
    x, w, dy = (
        values(s, i, dtype=np.float32) for i, s in enumerate((g.x_shape, g.w_shape, g.y_shape))
    )
    put = cupy_device.put
    rounded = []
    real = implicit_gemm.rounded
    for module in (conv, implicit_gemm):
        monkeypatch.setattr(module, "rounded", lambda a, kind: rounded.append(a) or real(a, kind))
    with precision(precision_name):
        dx, dw, _ = ops.conv2d_backward(put(dy), put(x), put(w), g.stride, g.padding)
        count = sum(a.dtype == np.float32 for a in rounded)
        dy_t, dw_t, _ = ops.conv_transpose2d_backward(put(x), put(dy), put(w), g.stride, g.padding)
    table._algorithms.cache_clear()
    assert precision_name == "tf32" or count == 3  # dy, w and x, each once
    want = ops.conv2d_backward(dy, x, w, g.stride, g.padding)
    np.testing.assert_array_equal(cupy_device.get(dx), want[0])
    np.testing.assert_array_equal(cupy_device.get(dw), want[1])
    want = ops.conv_transpose2d_backward(x, dy, w, g.stride, g.padding)
    np.testing.assert_array_equal(cupy_device.get(dy_t), want[0])
    np.testing.assert_array_equal(cupy_device.get(dw_t), want[1])


# ---------------------------------------------------------------------------------------------
# By measurement


class Clock:
    """Algorithms that take as long as we say, and what was called."""

    def __init__(self, monkeypatch, **milliseconds):
        self.milliseconds, self.calls = milliseconds, []
        monkeypatch.setattr(benchmark, "_one_run", self.run)

    def ways(self):
        def function(name):
            def call(*arguments):
                self.calls.append(name)
                if self.milliseconds[name] is None:
                    import cupy

                    raise cupy.cuda.memory.OutOfMemoryError(1 << 40, 0, 0)
                return name

            return call

        return tuple(table.Algorithm(n, *[function(n)] * 3) for n in self.milliseconds)

    def run(self, call):
        return self.milliseconds[call()]


PROBLEM = ask("forward", 64, 64, 224)


def test_the_fastest_is_kept(monkeypatch):
    clock = Clock(monkeypatch, slow=3.0, fast=1.0, middle=2.0)
    algorithms = clock.ways()
    benchmark.set_benchmark(True)
    first = benchmark.fastest(PROBLEM, algorithms)
    assert first.name == "to be measured"
    assert first.forward() == "fast"
    runs = benchmark.RUNS + 1  # and once to warm up
    assert clock.calls == ["slow"] * runs + ["fast"] * runs + ["middle"] * runs + ["fast"]
    assert benchmark.fastest(PROBLEM, algorithms) is algorithms[1]
    assert benchmark.measured(PROBLEM) == {"slow": 3.0, "fast": 1.0, "middle": 2.0}
    assert benchmark.fastest(PROBLEM._replace(n=2), algorithms).name == "to be measured"
    benchmark.set_benchmark(True)  # begins anew
    assert benchmark.fastest(PROBLEM, algorithms).name == "to be measured"


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch):
    clock = Clock(monkeypatch, large=None, small=1.0)
    algorithms = clock.ways()
    benchmark.set_benchmark(True)
    assert benchmark.fastest(PROBLEM, algorithms).forward() == "small"
    assert benchmark.fastest(PROBLEM, algorithms) is algorithms[1]
    clock.milliseconds["small"] = None
    another = benchmark.fastest(PROBLEM._replace(n=2), algorithms)
    with pytest.raises(MemoryError):
        another.forward()


def test_nothing_is_tried_while_a_graph_is_captured(cupy_device, monkeypatch):
    clock = Clock(monkeypatch, usual=3.0, fast=1.0)
    algorithms = clock.ways()
    benchmark.set_benchmark(True)
    with computing_on(Device("gpu")):
        stream = cupy_device.xp.cuda.get_current_stream()
        stream.begin_capture()
        assert benchmark.fastest(PROBLEM, algorithms) is algorithms[0]
        stream.end_capture()
    assert not clock.calls
    assert benchmark.fastest(PROBLEM, algorithms).forward() == "fast"


def test_results_are_right_while_measuring_and_after(cupy_device):
    """Through the public operation, with the GPU's own clock."""
    rng = np.random.default_rng(1)
    x, w = (rng.integers(-2, 3, shape).astype(F4) for shape in [(2, 8, 7, 6), (16, 8, 3, 3)])
    want = ops.conv2d(x, w, padding=1)
    x, w = map(cupy_device.put, (x, w))
    benchmark.set_benchmark(True)
    with precision("bf16"):
        for _ in range(2):
            np.testing.assert_array_equal(cupy_device.get(ops.conv2d(x, w, padding=1)), want)
    window = conv_window("test", (7, 6), 3, 1, 1, 1)
    problem = ConvProblem("forward", window, 2, 8, 16, 1, F4, "bf16")
    assert len(benchmark.measured(problem)) == 5
    assert dict(choices())[problem] in benchmark.measured(problem)


def test_off_it_is_the_table_and_no_clock_is_read(cupy_device, monkeypatch):
    monkeypatch.setattr(benchmark, "fastest", None)
    monkeypatch.setattr(table, "fastest", None)
    assert choose(PROBLEM).name == "implicit_gemm 256x64"


# ---------------------------------------------------------------------------------------------
# On disk


def test_measurements_are_kept_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "times.json"
    clock = Clock(monkeypatch, slow=3.0, fast=1.0)
    algorithms = clock.ways()
    benchmark.set_benchmark(True, file)
    benchmark.fastest(PROBLEM, algorithms).forward()
    assert [path.name for path in tmp_path.iterdir()] == ["times.json"]
    benchmark.set_benchmark(True)
    assert not benchmark.measured(PROBLEM)
    clock.calls.clear()
    benchmark.set_benchmark(True, file)
    assert benchmark.fastest(PROBLEM, algorithms) is algorithms[1]
    assert not clock.calls
    found = json.loads(file.read_text())
    (here,) = found
    found = {here.replace("kernels", "other kernels"): found[here]}
    file.write_text(json.dumps(found))  # of another version: kept, but not used
    benchmark.set_benchmark(True, file)
    assert benchmark.fastest(PROBLEM, algorithms).forward() == "fast"
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"a": 1}', '{"a": {"b": {"c": "fast"}}}', '{"a": {"b": [1]}}']
)
def test_a_file_that_holds_something_else_is_ignored(monkeypatch, tmp_path, text):
    file = tmp_path / "times.json"
    file.write_text(text)
    with pytest.warns(UserWarning, match="holds no measurements"):
        benchmark.set_benchmark(True, file)
    clock = Clock(monkeypatch, slow=3.0, fast=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert benchmark.fastest(PROBLEM, clock.ways()).forward() == "fast"
    assert len(json.loads(file.read_text())) == 1


def test_a_file_that_cannot_be_written_is_no_failure(monkeypatch, tmp_path):
    clock = Clock(monkeypatch, slow=3.0, fast=1.0)
    benchmark.set_benchmark(True, tmp_path / "missing" / "times.json")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert benchmark.fastest(PROBLEM, clock.ways()).forward() == "fast"


@pytest.mark.parametrize(
    ("value", "wanted"), [("", False), ("0", False), ("no", False), ("1", True), ("True", True)]
)
def test_the_environment_switches_it_on(monkeypatch, value, wanted):
    monkeypatch.setenv("MINIDECONV_GPU_BENCHMARK", value)
    monkeypatch.setattr(benchmark, "_is_on", None)
    assert benchmark.get_benchmark() is wanted
    assert benchmark._file is None


def test_the_environment_names_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDECONV_GPU_BENCHMARK", str(tmp_path / "times.json"))
    monkeypatch.setattr(benchmark, "_is_on", None)
    assert benchmark.get_benchmark()
    assert benchmark._file == tmp_path / "times.json"
