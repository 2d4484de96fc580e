"""``python -m minideconv.ablate``: train DeconvNet without its parts, and compare."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from minideconv.ablate import ABLATIONS
from minideconv.ablate.folder import Folder, RunSet
from minideconv.ablate.variants import DECIDED, configurations, equal_updates
from minideconv.errors import UsageError
from minideconv.settings import command_line
from minideconv.settings.options import add_options, given_options
from minideconv.settings.run import data_of
from minideconv.settings.setting import Setting
from minideconv.training.config import TrainConfig
from minideconv.training.run.lock import run_lock

__all__ = ["main"]

_DESCRIPTION = """\
Train DeconvNet with each of its parts taken away or replaced, with several seeds, and compare: two
stages of training or one, batch normalisation or none, upsampling by switches or otherwise, wide or
narrow fc6 and fc7. All variants have as many updates, and each is trained from the start.
"""

_EPILOG = """\
examples:
  python -m minideconv.ablate
  python -m minideconv.ablate --only upsampling --seeds 5 --output runs/upsampling
  python -m minideconv.ablate --resume runs/upsampling --seeds 8

It writes results.json, table.md and ablations.svg into the folder, anew after each run. Ctrl-C
saves; --resume goes on, and repeats no run that is done. Other settings are those of training.
Exit codes: 0 done, 1 a run failed, 2 wrong usage, 130 or 143 stopped by a signal.
"""

_DEFAULTS: dict[str, Any] = {
    "train_images": 1200,
    "val_images": 200,
    "image_size": 32,
    "input_size": 32,
    "width": 8,
    "depth": 2,
    "fc": 64,
    "epochs": 8,
    "final_images": 0,
    "images": 0,
}
"""Where a set differs from a run of ``minideconv.train``, unless its options are given.

Small, so that a run takes some 20 seconds of one core, and easy enough that 1200 updates teach a
network more than the background: on harder pictures all variants would be alike.
"""

_NOT_OFFERED = (*DECIDED, "output_dir", "quiet", "communication", "wait_limit", "val_every")


def _settings() -> dict[str, Setting]:
    """Return the settings that a set may choose, with its own defaults."""
    return {
        name: dataclasses.replace(setting, default=_DEFAULTS.get(name, setting.default))
        for name, setting in TrainConfig.settings().items()
        if name not in _NOT_OFFERED
    }


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser("ablate", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=tuple(ABLATIONS),
                        action=command_line.Distinct,
                        help=f"which ablations, of {', '.join(ABLATIONS)} [all]")  # fmt: skip
    parser.add_argument("--seeds", metavar="N", type=command_line.positive,
                        help="how often each variant is trained, 2 or more [3]")  # fmt: skip
    parser.add_argument("--output", metavar="DIR", help="folder of the set [runs/ablations]")
    parser.add_argument("--resume", metavar="DIR", help="go on with a set; --seeds may add seeds")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    add_options(parser, _settings())
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.ablate", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    given = given_options(options, _settings())
    with contextlib.ExitStack() as held:
        if options.resume is not None:
            folder = Folder(options.resume)
            planned = _resumed(folder, options, given)
            held.enter_context(run_lock(folder.path))
            folder.write_set(planned)
        else:
            folder = Folder(options.output or "runs/ablations")
            base = TrainConfig(**{**_defaults(given), **given, "stage": "whole"})
            base.refuse_ignored(given)
            names = _in_order(options.only or ABLATIONS)
            planned = RunSet(base, names, _seeds(options.seeds or 3))
            held.enter_context(folder.new(planned))
            given = {}  # the set has them
        return _run(folder, planned, given, options.quiet)


def _resumed(folder: Folder, options: argparse.Namespace, given: dict[str, Any]) -> RunSet:
    """Return the set of a folder, perhaps with more seeds, and elsewhere computed."""
    planned, offered = folder.read_set(), _settings()
    if options.output is not None:
        raise UsageError(f"--resume {folder.path}: the set stays there; leave --output out")
    asked = {} if options.only is None else {"only": (planned.names, _in_order(options.only))}
    for name, value in given.items():
        # Training may change some when it goes on, but not its length here.
        if not offered[name].resume or name == "epochs":
            asked[name] = (getattr(planned.base, name), value)
    folder.refuse_changes(asked)
    return dataclasses.replace(planned, seeds=folder.seeds_of(planned, options.seeds))


def _defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the set's own defaults, without the size of drawn pictures where none are drawn."""
    drawn = data_of(given.get("data", "auto"), given.get("data_root")) == "shapes"
    return {name: v for name, v in _DEFAULTS.items() if drawn or name != "image_size"}


def _in_order(names: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in ABLATIONS if name in names)


def _seeds(seeds: int) -> int:
    if seeds < 2:
        raise UsageError(f"--seeds is {seeds}; a spread over seeds needs at least 2")
    return seeds


def _run(folder: Folder, planned: RunSet, machine: dict[str, Any], quiet: bool) -> int:
    # Imported late, so that --help and usage errors are quick.
    from minideconv.ablate.picture import draw
    from minideconv.ablate.results import collect, markdown
    from minideconv.run_sets.training import PlannedRun, train_and_write

    configs = equal_updates(configurations(planned.base, planned.names))
    # All variants with the first seed, then with the next.
    runs = [
        PlannedRun(name, seed, partial(configs.__getitem__, name))
        for seed in planned.all_seeds
        for name in configs
    ]
    results = partial(collect, folder, planned)
    train_and_write(folder, runs, "ablate", machine, quiet, results, markdown, draw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
