"""``python -m minideconv.few_labels``: starts without labels, against random ones and ImageNet."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from minideconv.errors import UsageError
from minideconv.few_labels.folder import Folder
from minideconv.few_labels.plan import NETWORKS, STARTS, FewLabels, PretextSettings
from minideconv.settings import command_line
from minideconv.settings.options import add_options, given_options
from minideconv.settings.setting import Setting, option_name
from minideconv.training.config import TrainConfig
from minideconv.training.run.lock import run_lock

__all__ = ["command_of", "main"]

_DESCRIPTION = """\
Train one network that segments from several starts (random weights, an auto-encoder, a what-where
auto-encoder, VGG-16 of ImageNet) with 10, 50, 100 and 220 labelled images, several times each, and
compare. The auto-encoders are trained first, on the same kind of images without labels.
"""

_EPILOG = """\
examples:
  python -m minideconv.few_labels
  python -m minideconv.few_labels --network probe --output runs/probe
  python -m minideconv.few_labels --data voc --data-root VOCdevkit/VOC2012 --output runs/few-voc
  python -m minideconv.few_labels --resume runs/few-voc --seeds 5

It writes results.json, table.md and few_labels.svg into the folder, anew after each run. Ctrl-C
saves; --resume goes on, and repeats no run that is done. Other settings are those of training.
Exit codes: 0 done, 1 a run failed, 2 wrong usage, 130 or 143 stopped by a signal.
"""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "shapes": {
        "val_images": 200,
        "image_size": 32,
        "input_size": 32,
        "width": 8,
        "depth": 2,
        "fc": 64,
        "unlabelled": 1200,
    },
    "voc": {
        "input_size": 64,
        "width": 64,  # that of VGG-16's weights
        "depth": 3,
        "fc": 64,
        "pretext_epochs": 12,
    },
}
_ALIKE: dict[str, Any] = {
    "epochs": 1,
    "epoch_steps": 300,
    "optimizer": "adamw",
    "lr": 0.002,
    "final_images": 0,
    "images": 0,
}
"""Where a set differs from a run of ``minideconv.train``, unless its options are given."""

_LABELS, _SEEDS = (10, 50, 100, 220), 3

_DECIDED = (
    *("task", "model", "pretrained", "pretrained_input", "decoder_init", "train_images"),
    *("sample_images", "repeats", "stage", "epochs_stage2", "lr_stage2", "windows", "freeze"),
    *("class_balance", "output_dir", "quiet", "communication", "wait_limit", "val_every"),
)
"""Settings that the set decides, or that it has no use for."""


def _settings(network: str, data: str) -> dict[str, Setting]:
    """Return the settings that a set may choose, with its own defaults."""
    defaults = {**_ALIKE, **_DEFAULTS[data]}
    every = {**PretextSettings.settings(), **TrainConfig.settings(network)}
    return {
        name: dataclasses.replace(setting, default=defaults.get(name, setting.default))
        for name, setting in every.items()
        if name not in _DECIDED
    }


def make_parser(network: str = "deconvnet", data: str = "shapes") -> argparse.ArgumentParser:
    """Return the parser; the options and their defaults are those of a network and a data set."""
    parser = command_line.make_parser("few_labels", _DESCRIPTION, epilog=_EPILOG)
    _add_first(parser)
    parser.add_argument("--labels", metavar="N", nargs="+", type=command_line.positive,
                        action=command_line.Distinct,
                        help="numbers of labelled images [10 50 100 220]")  # fmt: skip
    parser.add_argument("--starts", metavar="NAME", nargs="+", choices=tuple(STARTS),
                        action=command_line.Distinct,
                        help=f"of {', '.join(STARTS)} [all; imagenet with voc]")  # fmt: skip
    parser.add_argument("--seeds", metavar="N", type=command_line.positive,
                        help="how often each is trained, 2 or more [3]")  # fmt: skip
    parser.add_argument("--output", metavar="DIR", help="folder of the set [runs/few-labels]")
    parser.add_argument("--resume", metavar="DIR", help="go on with a set; --seeds may add seeds")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    settings = _settings(network, data)
    del settings["data"]  # is there already
    add_options(parser, settings)
    return parser


def _add_first(parser: argparse.ArgumentParser) -> None:
    """Add the options on which others, and their defaults, depend."""
    parser.add_argument("--network", choices=NETWORKS,
                        help="deconvnet, all of which learns; or probe, a linear one behind frozen"
                        " features [deconvnet]")  # fmt: skip
    parser.add_argument("--data", choices=tuple(_DEFAULTS),
                        help="shapes: pictures drawn by this program; voc: a VOCdevkit folder"
                        " [shapes]")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.few_labels", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    first = command_line.make_parser("few_labels", _DESCRIPTION, add_help=False)
    _add_first(first)
    chosen, _ = first.parse_known_args(arguments)
    network, data = chosen.network or "deconvnet", chosen.data or "shapes"
    options = make_parser(network, data).parse_args(arguments)
    given = given_options(options, _settings(network, data).keys() - {"data"})
    with contextlib.ExitStack() as held:
        if options.resume is not None:
            folder = Folder(options.resume)
            planned = _resumed(folder, options, given)
            held.enter_context(run_lock(folder.path))
            folder.write_set(planned)
        else:
            folder = Folder(options.output or "runs/few-labels")
            planned = _new(network, data, options, given)
            held.enter_context(folder.new(planned))
            given = {}  # the set has them
        return _run(folder, planned, given, options.quiet)


def _new(
    network: str, data: str, options: argparse.Namespace, given: Mapping[str, Any]
) -> FewLabels:
    """Return the set that the command line asks for."""
    known = _settings(network, data)
    values = {name: setting.default for name, setting in known.items()} | dict(given)
    pretext = PretextSettings(**{name: values.pop(name) for name in PretextSettings.settings()})
    values |= {"model": network, "data": data}
    if network == "probe":
        values["freeze"] = values["depth"]
    base = TrainConfig(**values)
    base.refuse_ignored(given)
    return FewLabels(
        base,
        pretext,
        tuple(options.labels or _LABELS),
        tuple(options.starts or _starts(data)),
        options.seeds or _SEEDS,
    )


def _starts(data: str) -> tuple[str, ...]:
    """Return the starts of a set, unless they are given."""
    return tuple(name for name in STARTS if data == "voc" or name != "imagenet")


def command_of(planned: FewLabels) -> str:
    """Return the command that begins such a set, but for where it is kept and computed."""
    base = planned.base
    words = ["python", "-m", "minideconv.few_labels"]
    for option, value, default in (
        ("--network", (base.model,), ("deconvnet",)),
        ("--data", (base.data,), ("shapes",)),
        ("--labels", planned.labels, _LABELS),
        ("--starts", planned.starts, _starts(base.data)),
        ("--seeds", (planned.seeds,), (_SEEDS,)),
    ):
        if value != default:
            words += [option, *map(str, value)]
    values = base.to_dict() | dataclasses.asdict(planned.pretext)
    for name, setting in _settings(base.model, base.data).items():
        computed = setting.resume and name not in ("data_root", "epochs")
        if name == "data" or computed or values[name] == setting.default:
            continue
        if setting.kind is bool:
            words.append(option_name(name if values[name] else f"no_{name}"))
        else:
            words += [option_name(name), str(values[name])]
    return shlex.join(words)


def _resumed(folder: Folder, options: argparse.Namespace, given: Mapping[str, Any]) -> FewLabels:
    """Return the set of a folder, perhaps with more seeds, and elsewhere computed."""
    planned = folder.read_set()
    settings = TrainConfig.settings(planned.base.model)
    if options.output is not None:
        raise UsageError(f"--resume {folder.path}: the set stays there; leave --output out")
    own = {**planned.base.to_dict(), **dataclasses.asdict(planned.pretext)}
    own |= {"network": own["model"], "labels": planned.labels, "starts": planned.starts}
    asked = {
        name: (own[name], getattr(options, name))
        for name in ("network", "data", "labels", "starts")
        if getattr(options, name) is not None
    }
    for name, value in given.items():
        # Training may change some when it goes on, but not its length here.
        if name not in settings or not settings[name].resume or name == "epochs":
            asked[name] = (own.get(name), value)
    folder.refuse_changes(asked)
    return dataclasses.replace(planned, seeds=folder.seeds_of(planned, options.seeds))


def _run(folder: Folder, planned: FewLabels, machine: Mapping[str, Any], quiet: bool) -> int:
    # Imported late, so that --help and usage errors are quick.
    from minideconv.few_labels.picture import draw
    from minideconv.few_labels.results import collect, markdown
    from minideconv.few_labels.runs import check_data, runs
    from minideconv.run_sets.training import train_and_write

    check_data(planned)
    planned_runs = list(runs(folder, planned))
    results = partial(collect, folder, planned)
    train_and_write(folder, planned_runs, "few_labels", machine, quiet, results, markdown, draw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
