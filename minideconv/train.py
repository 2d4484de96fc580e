"""``python -m minideconv.train``: train a network and leave a run folder behind."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minideconv.data.classes import read_classes
from minideconv.distributed import Communicator, Mpi, on_rank_zero, processes, run_processes
from minideconv.errors import DataError, UsageError
from minideconv.files.outputs import refuse_same_folder
from minideconv.models import MODELS
from minideconv.settings import command_line
from minideconv.settings.options import add_options, given_options
from minideconv.settings.run import DATA, DEFAULT_MODEL, data_of
from minideconv.settings.setting import option_name
from minideconv.training.config import TrainConfig, check_names, networks_with, read_config
from minideconv.training.run.checkpoint import find_checkpoint, read_run_header
from minideconv.training.run.claim import existing_run, forked_run, new_run, run_of
from minideconv.training.run.folder import RunFolder

__all__ = ["main"]

_DESCRIPTION = f"""\
Train a network. With no option at all {MODELS[DEFAULT_MODEL].title} learns to segment pictures that
the program draws itself:

  python -m minideconv.train

and on photographs, through the two stages of the paper:

  python -m minideconv.train --data voc --data-root VOCdevkit/VOC2012 --stage both
"""

_EPILOG = """\
Several processes, each with its part of every batch (and its GPU, with --device gpu):

  mpiexec -n 4 python -m mpi4py -m minideconv.train

Ctrl-C saves and prints the command that goes on from there; a second Ctrl-C stops at once.
Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 or 143 stopped by a signal.
"""


def make_parser(model: str | None = DEFAULT_MODEL) -> argparse.ArgumentParser:
    """Return the parser; its options come from `TrainConfig`.

    Without a `model` it has no options of a network and no ``--help``: it looks for the network.
    """
    parser = command_line.make_parser(
        "train",
        _DESCRIPTION,
        usage="python -m minideconv.train [options]",
        epilog=_EPILOG,
        add_help=model is not None,
    )
    parser.add_argument("--config", metavar="FILE", help="settings from a TOML file")
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with a run folder (or one of its checkpoints)"
    )
    parser.add_argument(
        "--reschedule",
        action="store_true",
        help="with --resume and another --epochs: go on though the learning rate rises by that",
    )
    parser.add_argument(
        "--other-data",
        action="store_true",
        help="with --resume: go on though the images are not those of the run",
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print all settings as TOML and stop"
    )
    add_options(parser, TrainConfig.settings(model))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.train", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    comm = processes()
    if isinstance(comm, Mpi):
        return run_processes(comm, "minideconv.train", lambda: _train(arguments, comm))
    return _train(arguments, comm)


def _train(arguments: Sequence[str], comm: Communicator) -> int:
    """Train as the command line demands, in one process or, like all others, in one of several."""
    first, _ = make_parser(None).parse_known_args(arguments)
    if first.resume is None:
        for name in ("reschedule", "other_data"):
            if getattr(first, name):
                raise UsageError(f"{option_name(name)} is for a run that goes on, with --resume")
        checkpoint, config = None, _new_config(arguments, first)
    elif first.config is not None:
        raise UsageError("--resume goes on with the run's own settings; leave --config out")
    else:
        checkpoint = find_checkpoint(first.resume, prefer="last")
        config = _resumed_config(arguments, first.resume, checkpoint)
    if first.print_config:
        print(config.to_toml(), end="")
        return 0
    # Imported late, so that --help and usage errors are quick.
    from minideconv.training.session import run_session

    if isinstance(comm, Mpi):
        comm.limit = config.wait_limit
    forks = checkpoint is not None and _forks(config, checkpoint)
    if config.output_dir is not None and (checkpoint is None or forks):
        folder = Path(config.output_dir)
        refuse_same_folder("--output-dir", folder, {"--data-root": config.data_root})
    claim = (
        new_run(config.data, config.output_dir)
        if checkpoint is None
        else forked_run(checkpoint, config.output_dir or "")
        if forks
        else existing_run(checkpoint)
    )
    with contextlib.ExitStack() as claimed:
        run = RunFolder(on_rank_zero(comm, lambda: str(claimed.enter_context(claim).path)))
        last = None if checkpoint is None else run.last
        allowed = {"reschedule": first.reschedule, "other_data": first.other_data}
        return run_session(config, run, last, comm, **allowed)


def _forks(config: TrainConfig, checkpoint: Path) -> bool:
    """Whether a run that goes on does so in another folder than its own."""
    own = read_run_header(checkpoint)["config"].get("output_dir")
    if config.output_dir is None or config.output_dir == own:
        return False
    return Path(config.output_dir).resolve() != run_of(checkpoint).path.resolve()


def _new_config(arguments: Sequence[str], first: argparse.Namespace) -> TrainConfig:
    """Return the settings of a new run: those of a file, and those of the command line."""
    asked = getattr(first, "model", None)
    from_file = read_config(first.config, asked) if first.config is not None else {}
    model = asked or from_file.get("model", DEFAULT_MODEL)
    given = _given(arguments, model)
    config = TrainConfig(**{**from_file, **given})
    config.refuse_ignored(given)
    return config


def _resumed_config(arguments: Sequence[str], resumed: str, checkpoint: Path) -> TrainConfig:
    """Return the settings of a run that goes on: its own, but for those that change no number."""
    saved: dict[str, Any] = read_run_header(checkpoint)["config"]
    model = saved.get("model", DEFAULT_MODEL)
    settings, given = TrainConfig.settings(model), _given(arguments, model)
    for name, value in given.items():
        if name == "output_dir":
            continue  # another one means that it goes on there
        if not settings[name].resume and _meant(
            name, value, {**saved, **given}, saved
        ) != saved.get(name):
            raise UsageError(
                f"--resume {resumed}: {option_name(name)} is {saved.get(name)} in this run "
                f"and cannot become {value}; start a new run for that"
            )
    same = {
        name: value
        for name, value in given.items()
        if settings[name].resume or name == "output_dir"
    }
    return TrainConfig.from_dict({**saved, **same})


def _meant(name: str, value: Any, now: Mapping[str, Any], saved: Mapping[str, Any]) -> Any:
    """Return a setting as a run keeps it: of the data its layout, of the classes their names."""
    root = now.get("data_root")
    if name == "data":
        return data_of(value, root)
    layout = DATA.get(str(saved.get("data")))
    if name != "classes" or layout is None:
        return value
    try:
        text, own = layout.class_text(value, root), saved.get("classes")
        same = own is not None and text is not None and read_classes(text) == read_classes(own)
        return own if same else value
    except DataError as error:
        raise UsageError(f"--classes: {error}") from error


def _given(arguments: Sequence[str], model: str) -> dict[str, Any]:
    """Return the settings on the command line of a run that trains `model`."""
    parser = make_parser(model)
    options, unknown = parser.parse_known_args(arguments)
    names = [text[2:].partition("=")[0].replace("-", "_") for text in unknown if text[:2] == "--"]
    check_names(filter(networks_with, names), model)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return given_options(options, TrainConfig.settings(model))


if __name__ == "__main__":
    sys.exit(main())
