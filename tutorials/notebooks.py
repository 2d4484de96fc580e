"""Keep the notebooks equal to their percent scripts, and run them.

    python tutorials/notebooks.py write            mend the scripts, make every NAME.ipynb from NAME.py
    python tutorials/notebooks.py check            fail if one is stale or holds outputs
    python tutorials/notebooks.py run [--out DIR] [--limit SECONDS] [NAME ...]

The scripts are the source: they are what is reviewed, linted and edited. The notebooks are what a
reader opens; they are written by this file, byte for byte the same each time, and hold no outputs.
Two things of a script are not written by hand: the beginning of its first cell (`first_cell`), and
the line numbers in its links to the library (`code_links`), which those of the pages in docs/ have, too.
Needs the dependency group ``docs``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import alt_texts
import code_links
import first_cell
from scripts import answers

HERE = Path(__file__).resolve().parent
LIMIT = 60.0  # seconds of processor time that one notebook may take
_STUCK = 10  # a cell that takes so many times the limit by the clock hangs


def all_scripts() -> list[Path]:
    """Return the percent scripts, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def pages() -> list[Path]:
    """Return the pages of docs/, which link to lines of the library, too."""
    return sorted(HERE.parent.glob("docs/**/*.md"))


def notebook(script: Path) -> Any:
    """Return the notebook of a percent script: no outputs, and cell ids that do not change."""
    import jupytext

    made = jupytext.read(script, fmt="py:percent")
    made.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    made.nbformat, made.nbformat_minor = 4, 5
    for number, cell in enumerate(made.cells):
        cell["id"] = f"{script.stem[:2]}-{number:03d}"
        tags = cell["metadata"].get("tags")  # such as hide-input: the site folds the cell's code
        cell["metadata"] = {"tags": tags} if tags else {}
    return made


def text(script: Path) -> str:
    """Return the content that the notebook file of a script must have."""
    return json.dumps(notebook(script), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def mended(source: str) -> str:
    """Return the text that a script must have: its first cell and its line numbers as they are now."""
    source = first_cell.put_in(source, first_cell.address(HERE.parent / "pyproject.toml"))
    return code_links.refreshed(source, HERE.parent)


def write() -> int:
    """Mend every script, and write its notebook."""
    for script in all_scripts():
        source = script.read_text(encoding="utf-8")
        if (now := mended(source)) != source:
            script.write_text(now, encoding="utf-8")
        script.with_suffix(".ipynb").write_text(text(script), encoding="utf-8")
    for page in pages():
        source = page.read_text(encoding="utf-8")
        if (now := code_links.refreshed(source, HERE.parent)) != source:
            page.write_text(now, encoding="utf-8")
    return 0


def check() -> int:
    """Report notebooks that differ from their script, or have none, and links; return how many."""
    wrong = 0
    for script in all_scripts():
        source = script.read_text(encoding="utf-8")
        for fault in code_links.faults(source, HERE.parent):
            print(f"{script.name}: {fault}")
            wrong += 1
        if source != mended(source):
            print(f"{script.name} is stale: run python tutorials/notebooks.py write")
            wrong += 1
        file = script.with_suffix(".ipynb")
        if not file.exists() or file.read_text(encoding="utf-8") != text(script):
            print(
                f"{file.name} differs from {script.name}: run python tutorials/notebooks.py write"
            )
            wrong += 1
    for file in HERE.glob("*.ipynb"):
        if not file.with_suffix(".py").exists():
            print(f"{file.name} has no script")
            wrong += 1
    return wrong


# Ends a notebook before its answers: a busy machine alters processor time little.
_CLOCK = "import time\n\nprint(time.process_time())"
# What compiles the kernels of training: once for a machine, and no notebook's own time.
_COMPILE = """minideconv.train -q --epochs 1 --train-images 4 --val-images 2 --image-size 32 --input-size 16
    --width 4 --fc 8 --depth 3 --fc-kernel 0 -b 2 --device cpu --images 0 --output-dir"""

COMPILING = "compiling kernels for this processor"


def _compile_kernels() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = [*_COMPILE.split(), str(Path(folder) / "run")]
        subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL)


def leave_out_compiling(made: Any) -> None:
    """Take out what is printed where a kernel is compiled: it depends on the machine's cache."""
    for cell in made.cells:
        if cell.get("outputs"):
            cell.outputs = [o for o in cell.outputs if not o.get("text", "").startswith(COMPILING)]


def _seconds(clock: Any) -> float:
    """Return what the cell of the clock has printed; 0 if the notebook did not get there."""
    return float(clock.outputs[0]["text"]) if clock.get("outputs") else 0.0


class _Run(NamedTuple):
    """An executed notebook, with the seconds by the clock and of the processor."""

    made: Any
    seconds: float
    used: float
    verdict: str


def _execute(script: Path, limit: float) -> _Run:
    """Execute a notebook, and behind its cells its folded answers, which are not kept."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    made = nbformat.from_dict(notebook(script))
    own = len(made.cells)
    clock, *folded = map(nbformat.v4.new_code_cell, [_CLOCK, *answers(script)])
    made.cells += [clock, *folded]
    client = NotebookClient(
        made,
        timeout=int(_STUCK * limit),
        kernel_name="python3",
        resources={"metadata": {"path": HERE}},
    )
    start = time.perf_counter()
    try:
        client.execute()
        verdict = "ok"
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        verdict = f"FAILED\n{error}"
    seconds, used = time.perf_counter() - start, _seconds(made.cells[own])
    if verdict == "ok" and used > limit:
        verdict = f"FAILED: more than {limit:g} s of processor time"
    if verdict == "ok" and (silent := alt_texts.faults(made)):
        verdict = "FAILED: " + "; ".join(silent)
    del made.cells[own:]
    leave_out_compiling(made)
    return _Run(made, seconds, used, verdict)


def run(names: list[str], out: Path | None, limit: float) -> int:
    """Execute notebooks, each in a kernel of its own; return how many failed or were too slow.

    Other work beside it only makes a notebook's time longer: one that is too slow runs once more,
    and the shorter time counts. One with a figure that has no alt text, or is too wide for a page,
    has failed too.
    """
    import nbformat

    # A kernel started in this folder must find the package of this checkout.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # the limit is for one core
    os.environ.pop("MPLBACKEND", None)  # the kernel's own one puts the figures into the notebook
    _compile_kernels()
    wrong = 0
    for script in all_scripts():
        if names and not any(script.stem.startswith(name) for name in names):
            continue
        done = _execute(script, limit)
        if done.used > limit:
            done = min(done, _execute(script, limit), key=lambda each: each.used)
        wrong += done.verdict != "ok"
        print(
            f"{script.stem:40s} {done.seconds:6.1f} s ({done.used:.1f} s of it computing)"
            f"  {done.verdict}"
        )
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            nbformat.write(done.made, out / f"{script.stem}.ipynb")
    return wrong


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write", help="make the notebooks from the scripts")
    commands.add_parser("check", help="fail if a notebook is stale or holds outputs")
    runner = commands.add_parser("run", help="execute the notebooks")
    runner.add_argument("names", nargs="*", help="beginnings of names; all if none is given")
    runner.add_argument("--out", type=Path, help="folder for the executed notebooks")
    runner.add_argument(
        "--limit", type=float, default=LIMIT, help="processor seconds of a notebook"
    )
    args = parser.parse_args()
    if args.command == "write":
        return write()
    if args.command == "check":
        return int(check() > 0)
    return int(run(args.names, args.out, args.limit) > 0)


if __name__ == "__main__":
    sys.exit(main())
