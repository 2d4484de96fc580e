"""Store what few labels gave: ``python -m benchmarks.few_labels RUN [RUN]``

Each RUN is the folder of a finished `minideconv.few_labels`, on drawn pictures or on photographs.
Its results.json goes into benchmarks/results/few_labels.json, under "shapes", "voc" or "voc-probe"
(the network `probe`), with the command that makes it again; what is stored under other names
stays. Date and machine are those
of the run. The page docs/few_labels.md shows what is in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.voc_recipe import DOCUMENTED
from minideconv.errors import DataError, UsageError
from minideconv.few_labels import FewLabels
from minideconv.few_labels.__main__ import command_of
from minideconv.few_labels.results import markdown
from minideconv.settings import command_line
from minideconv.training.run.folder import write_text

__all__ = ["RESULTS", "SETS", "main", "page", "read_run", "stored"]

RESULTS = Path(__file__).parent / "results" / "few_labels.json"
SETS = {"shapes": "pictures", "voc": "photographs", "voc-probe": "photographs"}
"""The names in the file, after the data and, if it is no DeconvNet, the network; and the images."""


def stored(path: Path = RESULTS) -> dict[str, Any]:
    """Return what is stored, by the names of `SETS`; nothing if there is no file.

    Raises
    ------
    DataError
        If the file is no such results.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, results in found.items():
            page(name, results)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_results(path, error) from error
    return found


def _no_results(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} holds no results of minideconv.few_labels ({error!r})")


def read_run(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of a run's data, and its results as they are stored.

    Raises
    ------
    DataError
        If its results.json is none.
    UsageError
        If there is no results.json, not all of its runs are done, or there is no place for it.
    """
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        planned = FewLabels.from_dict(results)
        markdown(results)
        missing = sum(
            planned.seeds - run["done"]
            for group in results["results"]
            for run in group["starts"].values()
        )
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UsageError as error:  # a setting that this version does not know
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_results(path, error) from error
    if missing:
        total = planned.seeds * len(planned.labels) * len(planned.starts)
        raise UsageError(
            f"{folder}: {missing} of {total} runs are not done; go on with:"
            f" python -m minideconv.few_labels --resume {folder}"
        )
    base = planned.base
    name = base.data if base.model == "deconvnet" else f"{base.data}-{base.model}"
    if name not in SETS:
        raise UsageError(f"{folder} is a set of {name}; those stored are {', '.join(SETS)}")
    if base.data != "shapes":  # the command names no one's folders
        base = replace(base, data_root=DOCUMENTED["data"])
    planned = replace(planned, base=base)
    return name, {**results, **planned.to_dict(), "command": command_of(planned)}


def page(name: str, results: Mapping[str, Any]) -> str:
    """Return what the documentation shows of stored results, as Markdown.

    Parameters
    ----------
    name : str
        Of `SETS`. The picture is expected in generated/few-labels-NAME.svg.
    results : mapping
        What is `stored` under this name.
    """
    machine = results["machine"]
    return (
        f"{markdown(results)}\n"
        f"```{{image}} /generated/few-labels-{name}.svg\n"
        f":alt: {results['metric']} over the number of labelled {SETS[name]}, a line for each"
        " start, a dot for each seed\n:width: 100%\n```\n\n"
        f"Made on {results['date']} by minideconv {results['minideconv']} on {machine['cores']}"
        f" cores ({machine['system']}, Python {machine['python']}, NumPy {machine['numpy']}) with"
        f"\n\n```sh\n{results['command']}\n```\n"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_labels",
        description=__doc__,
        formatter_class=command_line.HelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="a folder of a set")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where it goes")
    given = parser.parse_args(arguments)
    if not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out}: there is no folder {given.out.absolute().parent}")
    results = stored(given.out)
    made: dict[str, Any] = {}
    for folder in given.runs:
        name, found = read_run(folder)
        if name in made:
            raise UsageError(f"{folder} is a set of {name}, as is {made[name]}; name one of them")
        made[name], results[name] = folder, found
    write_text(given.out, json.dumps(results, indent=1) + "\n")
    print(f"{', '.join(made)}: stored in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.few_labels", main, sys.argv[1:]))
