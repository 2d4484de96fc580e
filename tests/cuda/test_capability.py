"""What a GPU has no tensor cores for is refused before anything is computed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minideconv import Tensor, nn, set_precision, train
from minideconv import functional as F
from minideconv.backend.precisions import PRECISIONS, get_precision, precision
from minideconv.engine.cuda import capability, implicit_gemm, table
from minideconv.engine.cuda.capability import check_precision
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.errors import UsageError
from minideconv.ops.im2col import conv_window

GPUS = {"P100": 60, "V100": 70, "T4": 75, "A100": 80, "H200": 90, "B200": 100}
TENSOR_CORES = ("tf32", "bf16")


@pytest.fixture
def gpu_of(cupy_device, monkeypatch):
    """Return a function that makes the GPU one of another compute capability."""

    def become(number):
        monkeypatch.setattr(capability, "_capability", lambda index: number)

    return become


def test_it_is_that_of_cuda(cupy_device):
    assert capability.capability() == int(cupy_device.xp.cuda.Device().compute_capability)


@pytest.mark.parametrize("number", GPUS.values(), ids=GPUS)
@pytest.mark.parametrize("name", PRECISIONS)
def test_which_gpu_has_which_precision(gpu_of, name, number):
    gpu_of(number)
    if number >= 80 or name not in TENSOR_CORES:
        check_precision(name, 0)
        return
    with pytest.raises(UsageError) as refused:
        check_precision(name, 0)
    assert re.fullmatch(
        rf"precision {name} needs a GPU of compute capability 8\.0, but gpu:0 \(.+\) has "
        rf"{number / 10}; there it must be fp32 or fp16",
        str(refused.value),
    )


def multiplied(operation):
    x = Tensor(np.ones((2, 8, 4, 4), np.float32), requires_grad=True, device="gpu")
    weight = Tensor(np.ones((8, 8, 1, 1), np.float32), device="gpu")
    if operation == "linear":
        return F.linear(x.transpose(0, 2, 3, 1), weight.reshape(8, 8))
    return getattr(F, operation)(x, weight)


@pytest.mark.parametrize("operation", ["linear", "conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("name", TENSOR_CORES)
def test_the_first_product_refuses(gpu_of, name, operation):
    gpu_of(75)
    with precision(name), pytest.raises(UsageError, match=f"precision {name} needs"):
        multiplied(operation)
    for legal in ("fp32", "fp16"):
        with precision(legal):
            multiplied(operation).sum().backward()


def test_it_is_so_for_a_precision_that_is_set_for_good(gpu_of):
    gpu_of(60)
    before = get_precision()
    set_precision("bf16")
    try:
        with pytest.raises(UsageError, match=r"has 6\.0; there it must be fp32 or fp16"):
            nn.Linear(3, 2).to("gpu")(Tensor(np.ones((1, 3), np.float32), device="gpu"))
    finally:
        set_precision(before)


def test_a_run_is_refused_before_it_begins(gpu_of, tmp_path, capsys, monkeypatch):
    gpu_of(75)
    folder = tmp_path / "run"
    command = ["--device", "gpu", "--output-dir", str(folder), "-q"]
    assert train.main([*command, "--precision", "bf16"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minideconv.train: precision bf16 needs a GPU of compute capability")
    assert len(error.strip().splitlines()) == 1
    assert not folder.exists()


def test_other_kernels_are_chosen_on_another_gpu_of_the_same_machine(gpu_of):
    """The product without a patch matrix needs what came with 8.0."""
    window = conv_window("test", (221, 221), 3, 1, 1, 1)
    problem = ConvProblem("forward", window, 64, 64, 64, 1, np.dtype(np.float32), "fp16")
    for number, name in ((80, "implicit_gemm"), (75, "im2col_gemm"), (90, "implicit_gemm")):
        gpu_of(number)
        assert implicit_gemm.fits(problem) == (number >= 80)
        assert table.choose(problem).name.startswith(name)
