"""NVIDIA's own compiler on a machine without a GPU: registers, shared memory, spills, warnings.

    python tests/support/nvrtc.py            the table of all kernels
    python tests/support/nvrtc.py im2col.cu  of one file
    python tests/support/nvrtc.py --all      all macros for all architectures: some minutes

CuPy compiles a kernel when it is first called, for the GPU at hand. NVRTC needs no GPU for that, so
every kernel can be compiled here for every GPU there is, with the options that CuPy passes, and
with each set of macros that its file names in a line ``// compile: NAME=VALUE ...``. A file that
has ``// needs: sm_80`` is left out for older GPUs.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from minideconv.engine.cuda import module

ARCHITECTURES = (70, 75, 80, 86, 89, 90, 100, 120)
FAMILIES = (70, 80, 90, 120)
"""One of each generation: with further sets of macros, the others hardly differ from these."""

# Those of CuPy 14, after the macros; only its folders for headers are left out, because a kernel
# includes nothing. A float32 below 1.2e-38 becomes 0 (ftz).
CUPY_OPTIONS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")

REGISTERS = 65536  # of a multiprocessor, for all threads of a block
REGISTERS_PER_THREAD = 255
SHARED = 48 << 10  # bytes of a block, unless the launch sets more

_FIGURES = ("registers", "shared", "stack", "spilled")
_KEPT = os.environ.get("MINIDECONV_NVRTC_CACHE") or Path(tempfile.gettempdir()) / "nvrtc-reports"
CACHE = Path(_KEPT)
_HARMLESS = re.compile(r"Architectures prior to .* are deprecated")


@dataclass(frozen=True)
class Job:
    """One compilation: the file's name, its text, the macros and the architecture."""

    file: str
    text: str
    macros: tuple[str, ...]
    architecture: int

    def __str__(self) -> str:
        return f"{self.file} {' '.join(self.macros)} sm_{self.architecture}"


@dataclass(frozen=True)
class Kernel:
    """What the compiler made of one kernel."""

    name: str
    registers: int
    shared: int
    stack: int
    spilled: int
    threads: int = module.BLOCK
    blocks: int = 1


@dataclass(frozen=True)
class Report:
    """The compiler's log: the kernels, and every line that is a complaint."""

    kernels: tuple[Kernel, ...]
    complaints: tuple[str, ...]


def jobs(files: Iterable[str] | None = None, every: bool = False) -> Iterator[Job]:
    """Yield what to compile: the first set of macros for all GPUs, the others for each generation.

    With `every`, all sets for all GPUs, which takes minutes.
    """
    for path in sorted(module.KERNELS.glob("*.cu")):
        if files is not None and path.name not in files:
            continue
        body = path.read_text(encoding="utf-8")
        sets = re.findall(r"^// compile: (.+)$", body, re.M)
        if not sets:
            raise ValueError(f"{path.name}: no line '// compile: NAME=VALUE ...'")
        needs = re.search(r"^// needs: sm_(\d+)$", body, re.M)
        oldest = int(needs[1]) if needs else 0
        for number, macros in enumerate(sets):
            for architecture in ARCHITECTURES if every or number == 0 else FAMILIES:
                if architecture >= oldest:
                    yield Job(path.name, module.source(path.name), (*macros.split(),), architecture)


def run_all(every: Iterable[Job], workers: int | None = None) -> dict[Job, Report]:
    """Compile, several at a time: the compiler lets go of Python's lock."""
    every = list(every)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return dict(zip(every, pool.map(run, every), strict=True))


def run(job: Job) -> Report:
    """Compile once; an unchanged source is not compiled again."""
    options = (*(f"-D{macro}" for macro in job.macros), *CUPY_OPTIONS)
    options = (*options, f"-arch=sm_{job.architecture}", "--ptxas-options=-v")
    key = repr((version(), job.text, options)).encode()
    kept = CACHE / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return Report(tuple(Kernel(**k) for k in found["kernels"]), tuple(found["complaints"]))
    report = read(*compile_text(job.text, options))
    CACHE.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(asdict(report)), encoding="utf-8")
    part.replace(kept)
    return report


def compile_text(text: str, options: Iterable[str]) -> tuple[str, str]:
    """Return the compiler's log, errors included, and the portable assembler that it made."""
    nvrtc, program = _library(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"k.cu", 0, None, None))
    words = [option.encode() for option in options]
    failed = nvrtc.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
    ptx = "" if failed else _text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    _check(nvrtc.nvrtcDestroyProgram(ctypes.byref(program)))
    return log, ptx


def _text(program: Any, ask_size: Any, ask_text: Any) -> str:
    size = ctypes.c_size_t()
    _check(ask_size(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(ask_text(program, buffer))
    return buffer.value.decode()


def read(log: str, ptx: str) -> Report:
    """Take the figures out of the log; what is no figure is a complaint."""
    kernels: list[dict[str, Any]] = []
    complaints = []
    for line in filter(None, map(str.strip, log.splitlines())):
        if _HARMLESS.search(line):
            continue
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            kernels.append({"name": entry[1], **dict.fromkeys(_FIGURES, 0)})
        elif frame := re.search(r"(\d+) bytes stack frame, (\d+) .* stores, (\d+) .* loads", line):
            if kernels:
                kernels[-1]["stack"] = max(kernels[-1]["stack"], int(frame[1]))
                kernels[-1]["spilled"] += int(frame[2]) + int(frame[3])
        elif used := re.search(r"Used (\d+) registers", line):
            kernels[-1]["registers"] = int(used[1])
            shared = re.search(r"(\d+) bytes smem", line)
            kernels[-1]["shared"] = int(shared[1]) if shared else 0
        elif not line.startswith("ptxas info"):
            complaints.append(line)
    for kernel in kernels:
        kernel["threads"], kernel["blocks"] = _launch_bounds(ptx, kernel["name"])
    return Report(tuple(Kernel(**kernel) for kernel in kernels), tuple(complaints))


def _launch_bounds(ptx: str, kernel: str) -> tuple[int, int]:
    """Return the most threads of a block, and the blocks that must fit side by side.

    They are the kernel's ``__launch_bounds__``; without, `module.BLOCK` and 1.
    """
    head = ptx.partition(f".entry {kernel}(")[2].partition("{")[0]
    threads = re.search(r"\.maxntid (\d+)(?:, (\d+), (\d+))?", head)
    blocks = re.search(r"\.minnctapersm (\d+)", head)
    each = [int(n) for n in threads.groups(default="1")] if threads else [module.BLOCK]
    return math.prod(each), int(blocks[1]) if blocks else 1


def register_limit(threads: int, blocks: int = 1) -> int:
    """Return how many registers a thread may have: they are given out 8 a thread, by warps."""
    warps = -(-threads // 32) * blocks
    return min(REGISTERS_PER_THREAD, REGISTERS // (32 * warps) // 8 * 8)


def problems(job: Job, report: Report) -> list[str]:
    """Say what is wrong with a compilation, in words; nothing if all is well."""
    found = [f"{job}: {line}" for line in report.complaints]
    for kernel in report.kernels:
        limit = register_limit(kernel.threads, kernel.blocks)
        if kernel.spilled:
            found.append(f"{job}: {kernel.name} spills {kernel.spilled} bytes of registers")
        elif kernel.stack:
            found.append(f"{job}: {kernel.name} keeps {kernel.stack} bytes in slow local memory")
        if kernel.registers > limit:
            found.append(f"{job}: {kernel.name} needs {kernel.registers} registers of {limit}")
        if kernel.shared > SHARED:
            found.append(f"{job}: {kernel.name} needs {kernel.shared} bytes of shared memory")
    return found


def table(reports: dict[Job, Report]) -> str:
    """One line for each kernel: most registers (and bytes of shared memory) over its macros."""
    most: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    for job, report in reports.items():
        for kernel in report.kernels:
            row = most.setdefault((job.file, kernel.name), {})
            old = row.get(job.architecture, (0, 0))
            row[job.architecture] = (max(old[0], kernel.registers), max(old[1], kernel.shared))
    width = max((len(name) for _, name in most), default=0)
    lines = [" " * width + "".join(f"{f'sm_{a}':>11}" for a in ARCHITECTURES)]
    file = ""
    for (where, name), row in most.items():
        if where != file:
            lines.append(where)
            file = where
        cells = (
            f"{r} + {s}" if s else str(r) for r, s in (row.get(a, (0, 0)) for a in ARCHITECTURES)
        )
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join([*lines, "registers a thread + bytes of shared memory a block, the most"])


@cache
def _library() -> Any:
    from cuda.pathfinder import load_nvidia_dynamic_lib

    library = ctypes.CDLL(load_nvidia_dynamic_lib("nvrtc").abs_path)
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


@cache
def version() -> tuple[int, int]:
    """Return the compiler's version; 12 has all of `ARCHITECTURES`, 13 begins with sm_75."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC: {_library().nvrtcGetErrorString(status).decode()}")


def main(files: list[str]) -> int:
    """Print the table and what is wrong; return the exit code."""
    names = [file for file in files if file != "--all"]
    reports = run_all(jobs(names or None, every="--all" in files))
    print(table(reports))
    wrong = [line for job, report in reports.items() for line in problems(job, report)]
    print("\n".join(wrong) or f"{len(reports)} compilations by NVRTC {version()}, nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
