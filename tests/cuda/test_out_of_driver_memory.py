"""Memory that CUDA takes for itself, for a kernel's code or for cuBLAS, and has not."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from minideconv import train
from minideconv.backend import Device
from minideconv.engine.cuda import blas, memory, module
from minideconv.engine.cuda.blas import gemm
from minideconv.errors import TrainingError
from minideconv.training.computing import computing

MIB = 1 << 20
TEXTS = {
    "the driver's, for a module": "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "the runtime's": "cudaErrorMemoryAllocation: out of memory",
    "cuBLAS's": "CUBLAS_STATUS_ALLOC_FAILED",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_all_who_say_that_there_is_no_memory_are_understood(cupy_device, text):
    assert memory.bytes_asked(RuntimeError(text)) == 0
    sentence = r"out of the GPU's memory: asked for more than is left of [^;]*; try a smaller"
    with pytest.raises(TrainingError, match=sentence), computing(Device("gpu"), 1, None):
        raise RuntimeError(text)


def test_the_texts_are_theirs(cupy_device):
    xp = cupy_device.xp
    assert str(xp.cuda.runtime.CUDARuntimeError(2)) == TEXTS["the runtime's"]
    assert str(xp.cuda.cublas.CUBLASError(3)) == TEXTS["cuBLAS's"]
    if cupy_device.kind == "gpu":  # the emulated driver has names of its own
        assert str(xp.cuda.driver.CUDADriverError(2)) == TEXTS["the driver's, for a module"]


@pytest.mark.parametrize(
    "error", [RuntimeError("cudaErrorIllegalAddress"), ValueError(TEXTS["the runtime's"])]
)
def test_other_errors_are_other_errors(cupy_device, error):
    assert memory.bytes_asked(error) is None
    with pytest.raises(type(error)), computing(Device("gpu"), 1, None):
        raise error


@pytest.fixture
def loading(cupy_device, monkeypatch):
    """Return a list of errors: the next module that is loaded raises its first one."""
    real, errors = cupy_device.xp.RawModule, []

    def load(**options):
        if errors:
            raise errors.pop(0)
        return real(**options)

    monkeypatch.setattr(cupy_device.xp, "RawModule", load)
    forget()
    yield errors
    forget()


def forget():
    module._module.cache_clear()
    module._function.cache_clear()


def no_room():
    return RuntimeError(TEXTS["the driver's, for a module"])


@pytest.fixture
def launched(cupy_device):
    """Return a function that launches a kernel, whose result is 16, while the pool has 8 MiB."""
    x, parts = cupy_device.put(np.full(4, 2, np.float32)), cupy_device.xp.zeros(1)

    def launch():
        memory.release()
        cupy_device.xp.zeros(MIB)
        assert memory.held() - memory.used() >= 8 * MIB
        module.launch("gradients.cu", "squares", 4, (x, x.size, parts), grid=1)
        return float(parts[0])

    return launch


def test_a_kernel_is_loaded_into_what_the_pool_does_not_use(loading, launched):
    loading.append(no_room())
    assert launched() == 16
    assert memory.held() - memory.used() < 8 * MIB


def test_it_is_tried_once_more_and_not_for_ever(loading, launched):
    loading += [no_room(), no_room()]
    with pytest.raises(RuntimeError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        launched()
    assert loading == []
    loading.append(RuntimeError("CUDA_ERROR_INVALID_PTX"))
    with pytest.raises(RuntimeError, match="INVALID_PTX"):
        launched()


def test_nothing_is_tried_again_where_the_pool_has_nothing_to_give(loading, launched, monkeypatch):
    loading += [no_room(), RuntimeError("tried again")]
    held = memory.held
    with monkeypatch.context() as patch:
        patch.setattr(memory, "held", lambda: held() if len(loading) == 2 else memory.used())
        with pytest.raises(RuntimeError, match="CUDA_ERROR_OUT_OF_MEMORY"):
            launched()


def test_a_run_whose_kernels_cannot_be_loaded_ends_with_a_sentence(loading, tmp_path, capsys):
    loading += [no_room() for _ in range(100)]
    options = "--train-images 8 --val-images 2 --image-size 16 --input-size 16 --width 2 --fc 4"
    options += " --depth 2 --batch-size 4 --stage whole --difficulty easy --device gpu -q"
    assert train.main([*options.split(), "--output-dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"minideconv\.train: out of the GPU's memory: with --batch-size 4, a step asked for more "
        r"than is left of [^;]*; not even the smallest batch would fit\n",
        error,
    ), error


@pytest.mark.parametrize("call", ["cublasCreate_v2", "cublasGemmStridedBatchedEx"])
def test_cublas_without_memory(cupy_device, call, monkeypatch):
    library, tries = blas._library(), []

    def fail_once(*arguments):
        tries.append(call)
        return 3 if len(tries) == 1 else getattr(library, call)(*arguments)

    names = ("cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2")
    real = {n: getattr(library, n) for n in (*names, "cublasGemmStridedBatchedEx")}
    monkeypatch.setattr(blas, "_library", lambda: SimpleNamespace(**{**real, call: fail_once}))
    blas._blas.cache_clear()
    a = cupy_device.put(np.full((2, 2), 3, np.float32))
    try:
        cupy_device.xp.zeros(MIB)
        assert cupy_device.get(gemm(a, a, a.copy())).tolist() == [[18, 18], [18, 18]]
        assert tries == [call, call]
        tries.clear()
        monkeypatch.setattr(memory, "held", memory.used)  # nothing to give back
        blas._blas.cache_clear()
        with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED") as failed:
            gemm(a, a, a.copy())
        assert memory.bytes_asked(failed.value) == 0
    finally:
        blas._blas.cache_clear()
