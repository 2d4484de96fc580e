"""Each thing that a GPU needs and may miss: one sentence, exit code 2, and never a silent CPU.

CuPy and its libraries are made up here, so that every answer can be had on every machine.
"""

from __future__ import annotations

import sys
import threading
import types
from types import SimpleNamespace

import pytest

from minideconv import backend, evaluate, predict, train
from minideconv.backend import CPU, Device, as_device, describe_device, gpu_probe
from minideconv.errors import DeviceError

INSUFFICIENT = RuntimeError(
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NO_DEVICE = RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
LIBRARIES = "cupy_backends.cuda.libs"


def answer(value):
    """A function that returns `value`, or raises it."""

    def function(*_):
        if isinstance(value, Exception):
            raise value
        return value

    return function


@pytest.fixture
def cupy(monkeypatch):
    """Install a made-up CuPy with one good GPU; the test spoils what it is about."""

    def stream(*_):
        raise AssertionError("a probe must not make a stream: without a driver it complains twice")

    runtime = SimpleNamespace(
        getDeviceCount=answer(1),
        driverGetVersion=answer(13000),
        runtimeGetVersion=answer(13020),
        getDeviceProperties=answer({"name": b"NVIDIA Example"}),
    )
    module = types.ModuleType("cupy")
    module.ndarray = type("ndarray", (), {})
    nvrtc = SimpleNamespace(getVersion=answer((13, 0)))
    module.cuda = SimpleNamespace(runtime=runtime, nvrtc=nvrtc, Stream=stream)
    monkeypatch.setitem(sys.modules, "cupy", module)
    for name in ("cupy_backends", "cupy_backends.cuda", LIBRARIES, "cuda.pathfinder"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.delitem(sys.modules, f"{LIBRARIES}.cublas", raising=False)
    module.loaded_first = []
    cublas(module, monkeypatch, types.ModuleType(f"{LIBRARIES}.cublas"))
    sys.modules["cuda.pathfinder"].find_nvidia_header_directory = answer("/include")
    packages(monkeypatch, "numpy", "cupy-cuda13x", "cupy-xarray")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return module


def cublas(cupy, monkeypatch, found):
    """Give CuPy its module for cuBLAS as version 14 does, or an error.

    Read as an attribute, CuPy loads the library from its wheel and then imports the module;
    the module alone does not find a library that is on no path.
    """

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == f"{LIBRARIES}.cublas":
                raise ImportError("libcublas.so.13: cannot open shared object file")

    def attribute(name):
        if name != "cublas":
            raise AttributeError(name)
        if isinstance(found, Exception):
            raise found
        cupy.loaded_first.append(name)
        return found

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    sys.modules[LIBRARIES].__getattr__ = attribute


def packages(monkeypatch, *names):
    """Pretend that these and no others are installed."""
    gpu_probe._cupy_packages.cache_clear()
    found = [SimpleNamespace(name=name) for name in names]
    monkeypatch.setattr(gpu_probe.metadata, "distributions", answer(found))


@pytest.fixture(autouse=True)
def _forget():
    yield
    gpu_probe._cupy_packages.cache_clear()


def test_nothing_missing_is_no_problem(cupy):
    assert backend.gpu_problem() is None
    assert as_device("gpu") == Device("gpu", 0)
    assert cupy.loaded_first == ["cublas"]


def no_cupy(cupy, patch):
    patch.setitem(sys.modules, "cupy", None)  # makes `import cupy` raise ImportError


def broken_cupy(cupy, patch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise ImportError("libstdc++.so.6: version not found.\nA second line", name="core")

    patch.delitem(sys.modules, "cupy")
    patch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])


def two_cupys(cupy, patch):
    packages(patch, "cupy-cuda13x", "numpy", "cupy-cuda12x")


def no_driver(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(INSUFFICIENT)
    cupy.cuda.runtime.driverGetVersion = answer(0)


def old_driver(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(INSUFFICIENT)
    cupy.cuda.runtime.driverGetVersion = answer(11040)


def driver_for_cuda_12(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(INSUFFICIENT)
    cupy.cuda.runtime.driverGetVersion = answer(12080)


def strange_driver(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(RuntimeError("cudaErrorSystemNotReady: no"))


def forked(cupy, patch):
    failed = RuntimeError("cudaErrorInitializationError: initialization error")
    cupy.cuda.runtime.getDeviceCount = answer(failed)
    assert "answers cudaErrorInitializationError;" in backend.gpu_problem()
    patch.setattr(gpu_probe, "_forked", threading.Event())
    gpu_probe._forked.set()


def hidden_device(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(NO_DEVICE)
    patch.setenv("CUDA_VISIBLE_DEVICES", "")


def no_device(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(NO_DEVICE)


def zero_devices(cupy, patch):
    cupy.cuda.runtime.getDeviceCount = answer(0)


def no_nvrtc(cupy, patch):
    cupy.cuda.nvrtc.getVersion = answer(RuntimeError('Failure finding "libnvrtc.so"'))


def no_cublas(cupy, patch):
    cublas(cupy, patch, ImportError("libcublas.so.13: cannot open shared object file"))


def no_cublas_12(cupy, patch):
    cupy.cuda.runtime.runtimeGetVersion = answer(12090)
    no_cublas(cupy, patch)


def no_headers(cupy, patch):
    sys.modules["cuda.pathfinder"].find_nvidia_header_directory = answer(None)


INSTALL = "pip install 'minideconv[gpu]' (driver for CUDA 12) or 'minideconv[gpu-cuda13]'"
SENTENCES = {
    no_cupy: f"CuPy is not installed; {INSTALL}",
    broken_cupy: "CuPy is installed but does not import (libstdc++.so.6: version not found); "
    f"reinstall it with {INSTALL}",
    two_cupys: "cupy-cuda12x and cupy-cuda13x are installed together and overwrite each other's "
    f"files; pip uninstall cupy-cuda12x cupy-cuda13x, then {INSTALL}",
    no_driver: "no NVIDIA driver is installed; a GPU needs one, and nvidia-smi then shows it",
    old_driver: "the NVIDIA driver is too old: it is made for CUDA 11.4 and this CuPy for "
    "CUDA 13.2; update the driver",
    driver_for_cuda_12: "the NVIDIA driver is too old: it is made for CUDA 12.8 and this CuPy for "
    "CUDA 13.2; update the driver, or pip uninstall cupy-cuda13x and pip install 'minideconv[gpu]'",
    strange_driver: "the NVIDIA driver answers cudaErrorSystemNotReady; see whether nvidia-smi "
    "works",
    forked: "this process was forked from one that uses the GPU, which CUDA does not allow; start "
    "it by 'spawn', as multiprocessing.get_context('spawn') does",
    hidden_device: "no CUDA device is visible; CUDA_VISIBLE_DEVICES is '': unset it, or name a "
    "device there that nvidia-smi lists",
    no_device: "no CUDA device is visible; see whether nvidia-smi lists one",
    zero_devices: "no CUDA device is visible; see whether nvidia-smi lists one",
    no_nvrtc: "NVRTC, which compiles kernels, is missing; pip install 'nvidia-cuda-nvrtc>=13,<14'",
    no_cublas: "cuBLAS, which multiplies matrices, is missing; pip install 'nvidia-cublas>=13,<14'",
    no_cublas_12: "cuBLAS, which multiplies matrices, is missing; pip install nvidia-cublas-cu12",
    no_headers: "the CUDA headers, which kernels need, are missing; pip install "
    "'nvidia-cuda-runtime>=13,<14'",
}


@pytest.mark.parametrize("spoil", SENTENCES, ids=lambda spoil: spoil.__name__)
def test_what_is_missing_is_one_sentence(cupy, monkeypatch, spoil):
    spoil(cupy, monkeypatch)
    sentence = SENTENCES[spoil]
    assert backend.gpu_problem() == sentence
    assert "\n" not in sentence
    with pytest.raises(DeviceError) as raised:
        as_device("gpu:0")
    assert str(raised.value) == f"device gpu: {sentence}"
    assert raised.value.exit_code == 2
    assert as_device("auto") == CPU
    reason = sentence.partition(";")[0]
    assert describe_device("auto", CPU, "1 thread") == f"cpu (1 thread, auto: {reason})"


@pytest.mark.parametrize("spoil", [no_cupy, no_driver, hidden_device], ids=lambda s: s.__name__)
def test_programs_end_with_2_and_do_not_turn_to_the_cpu(cupy, monkeypatch, capsys, tmp_path, spoil):
    spoil(cupy, monkeypatch)
    checkpoint = tmp_path / "net.npz"
    checkpoint.write_bytes(b"")  # the device is opened before the file is read
    runs = {
        train: ["--output-dir", str(tmp_path / "run"), "--train-images", "2", "--val-images", "2"],
        evaluate: [str(checkpoint)],
        predict: [str(checkpoint), "photo.png", "-o", str(tmp_path / "out")],
    }
    for program, arguments in runs.items():
        assert program.main([*arguments, "--device", "gpu"]) == 2
        printed = capsys.readouterr()
        assert printed.err == f"{program.__name__}: --device gpu: {SENTENCES[spoil]}\n"
        assert printed.out == ""
    assert not (tmp_path / "run").exists()


def test_the_text_of_a_device_and_whether_it_was_chosen(cupy):
    gpu = as_device("auto")
    assert gpu == Device("gpu", 0)
    assert describe_device("auto", gpu) == "gpu:0 (auto: NVIDIA Example)"
    assert describe_device("gpu", gpu) == "gpu:0 (NVIDIA Example)"
    assert describe_device("cpu", CPU) == "cpu"
    assert describe_device("cpu", CPU, "fast", "2 threads") == "cpu (fast, 2 threads)"
