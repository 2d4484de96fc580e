"""How good are the tests of the kernels? Spoil one token of a kernel at random and see who notices.

    python tests/support/mutation_run.py [--count 40] [--seed 0] [--file pooling.cu]

A mutant is a copy of the project with one token of one kernel file changed: an operator, a
constant, a bound, a barrier. Its tests must fail. Mutants that survive are printed with their
line: each is either a gap in the tests or a change that makes no difference (a bound that is never
reached, a hint to the compiler). It takes some ten seconds a mutant, so it is no part of CI; run it
when kernels have changed.

Exit codes: 0 done (whatever survived), 1 the tests fail without a mutant, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = Path("minideconv/engine/cuda/kernels")
TOOLS = os.environ.get("MINIDECONV_TEST_TOOLS") or ROOT.parent / "shared" / "tools"

# Which test files know a kernel file, by the beginning of its name; on which device.
BATCH_NORM = ("batch_norm_kernels", "batch_norm_pool_kernels", "sync_batch_norm_kernels")
KNOWN_BY = {
    "batch_norm_pool": (("batch_norm_pool_kernels",), "cpu"),
    "batch_norm": (BATCH_NORM, "cpu"),
    "channel": (BATCH_NORM, "cpu"),
    "confusion": (("confusion",), "cpu"),
    "cross_entropy": (("cross_entropy_kernels",), "cpu"),
    "exchange": (("conv_columns",), "cpu"),
    "gradients": (("optimizer_kernels",), "cpu"),
    "im2col": (("conv_columns",), "cpu"),
    "images": (("images",), "cpu"),
    "implicit": (("implicit_gemm",), "fakecuda"),
    "lattice": (("permutohedral",), "cpu"),
    "losses": (("losses",), "cpu"),
    "mean_field": (("mean_field",), "cpu"),
    "optimizers": (("optimizer_kernels",), "cpu"),
    "pooling": (("pooling_kernels",), "cpu"),
    "products": (("conv_columns",), "cpu"),
    "scan": (("sort",), "cpu"),
    "sort": (("sort",), "cpu"),
    "unpooling": (("unpooling_kernels",), "cpu"),
}

OPERATORS = {
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<": "<=", "<=": "<", ">": ">=", ">=": ">",
    "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+=": "-=", "<<": ">>", ">>": "<<",
    "++": "--", "__syncthreads();": ";", "continue": "break", "break": "continue",
}  # fmt: skip
TOKEN = re.compile(
    r"__syncthreads\(\);|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|->|[-+*/%<>]"
    r"|\b(?:continue|break)\b|(?<![\w.])\d+(?![\w.])"
)


@dataclass(frozen=True)
class Mutant:
    """One change: in which file and line, of what, into what."""

    file: str
    line: int
    start: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Return every mutant of a kernel file: not of its comments, macros, types and signatures."""
    found = []
    code = re.sub(r"//[^\n]*", lambda match: " " * len(match.group()), text)
    code = re.sub(
        r"(?m)^\s*#[^\n]*|__global__[^{]*|__device__[^{;]*|template[^\n]*|\w+\s*\*\s*(?=__restrict__)",
        lambda match: re.sub(r"[^\n]", " ", match.group()),
        code,
    )
    for match in TOKEN.finditer(code):
        token = match.group()
        after = str(int(token) + 1) if token.isdigit() else OPERATORS.get(token)
        if after is not None:
            line = text.count("\n", 0, match.start()) + 1
            found.append(Mutant(file, line, match.start(), token, after))
    return found


def tests_of(file: str) -> tuple[list[str], str]:
    """Return the test files that know a kernel file, and the device they need."""
    for beginning, (names, device) in KNOWN_BY.items():
        if file.startswith(beginning):
            return [f"tests/cuda/test_{name}.py" for name in names], device
    if file == "common.cuh":
        return tests_of("pooling.cu")
    # a file that is put in front of others: the tests of the first of these
    for path in sorted((ROOT / KERNELS).glob("*.cu")):
        if f"// with: {file}\n" in path.read_text(encoding="utf-8"):
            return tests_of(path.name)
    return [], "cpu"


def survives(copy: Path, mutant: Mutant | None, file: str) -> bool:
    """Return whether the tests of `file` pass with this change, or without any."""
    path = copy / KERNELS / file
    original = path.read_text(encoding="utf-8")
    if mutant is not None:
        end = mutant.start + len(mutant.before)
        path.write_text(original[: mutant.start] + mutant.after + original[end:], encoding="utf-8")
    names, device = tests_of(file)
    environment = os.environ | {
        "MINIDECONV_TEST_DEVICE": device,
        "MINIDECONV_TEST_TOOLS": str(TOOLS),
        "HYPOTHESIS_PROFILE": "fresh",
    }
    without = "not wrong and not slip and not mistake and not mutant"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", without]
    try:
        done = subprocess.run(
            [*command, *names],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        return False  # a loop that does not end is noticed, too
    finally:
        path.write_text(original, encoding="utf-8")
    return done.returncode == 0


def main() -> int:
    """Make mutants, run their tests, print the score and who survived."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=40, help="mutants [40]")
    parser.add_argument("--seed", type=int, default=0, help="of their choice [0]")
    parser.add_argument("--file", help="of this kernel file only")
    options = parser.parse_args()
    files = [path.name for path in sorted((ROOT / KERNELS).iterdir()) if tests_of(path.name)[0]]
    if options.file is not None and options.file not in files:
        parser.error(f"--file {options.file}: choose one of {', '.join(files)}")
    files = [options.file] if options.file else files
    everyone = [m for f in files for m in mutants_of(f, (ROOT / KERNELS / f).read_text())]
    chosen = random.Random(options.seed).sample(everyone, min(options.count, len(everyone)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        ignored = shutil.ignore_patterns("__pycache__", ".git", "runs", "_build", ".hypothesis")
        shutil.copytree(ROOT, copy, ignore=ignored)
        for file in sorted({mutant.file for mutant in chosen}):
            if not survives(copy, None, file):
                print(f"the tests of {file} fail, or none ran, without a mutant")
                return 1
        alive = []
        for number, mutant in enumerate(chosen, 1):
            if survives(copy, mutant, mutant.file):
                alive.append(mutant)
                print(f"{number:3d} SURVIVED {mutant}", flush=True)
            else:
                print(f"{number:3d} killed   {mutant}", flush=True)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants killed (seed {options.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
