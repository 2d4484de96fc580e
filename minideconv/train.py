"""``python -m minideconv.train``: train a network and leave a run folder behind."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

from minideconv.distributed import Communicator, Mpi, on_rank_zero, processes, run_processes
from minideconv.errors import UsageError
from minideconv.models import MODELS
from minideconv.settings.command_line import HelpFormatter, naming_options, run_program
from minideconv.settings.options import add_options, given_options
from minideconv.settings.run import DEFAULT_MODEL
from minideconv.training.config import TrainConfig, check_names, networks_with, read_config

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
    parser = argparse.ArgumentParser(
        prog="python -m minideconv.train",
        usage="python -m minideconv.train [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
        add_help=model is not None,
    )
    parser.add_argument("--config", metavar="FILE", help="settings from a TOML file")
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with a run folder (or one of its checkpoints)"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print all settings as TOML and stop"
    )
    add_options(parser, TrainConfig.settings(model))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.train", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    comm = processes()
    if isinstance(comm, Mpi):
        return run_processes(comm, "minideconv.train", lambda: _train(arguments, comm))
    return _train(arguments, comm)


def _train(arguments: Sequence[str], comm: Communicator) -> int:
    """Do what the command line says, in one process or, like all others, in one of several."""
    with naming_options():
        first, _ = make_parser(None).parse_known_args(arguments)
        if first.resume is not None:
            return _resume(arguments, first, comm)
        asked = getattr(first, "model", None)
        from_file = read_config(first.config, asked) if first.config is not None else {}
        model = asked or from_file.get("model", DEFAULT_MODEL)
        config = TrainConfig(**{**from_file, **_given(arguments, model)})
        if first.print_config:
            print(config.to_toml(), end="")
            return 0
        return _start(config, comm)


def _given(arguments: Sequence[str], model: str) -> dict[str, Any]:
    """Return the settings on the command line of a run that trains `model`."""
    parser = make_parser(model)
    options, unknown = parser.parse_known_args(arguments)
    names = [text[2:].partition("=")[0].replace("-", "_") for text in unknown if text[:2] == "--"]
    check_names(filter(networks_with, names), model)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return given_options(options, TrainConfig.settings(model))


def _start(config: TrainConfig, comm: Communicator) -> int:
    """Begin a new run."""
    # Imported late, so that --help and usage errors are quick.
    from minideconv.training.run.claim import new_run
    from minideconv.training.run.folder import RunFolder
    from minideconv.training.session import run_session

    _set_limit(comm, config)
    with contextlib.ExitStack() as claim:
        path = on_rank_zero(comm, lambda: str(claim.enter_context(new_run(config)).path))
        return run_session(config, RunFolder(path), comm=comm)


def _set_limit(comm: Communicator, config: TrainConfig) -> None:
    if isinstance(comm, Mpi):
        comm.limit = config.wait_limit


def _resume(arguments: Sequence[str], first: argparse.Namespace, comm: Communicator) -> int:
    """Go on with a run: its own settings, but for those that cannot change its numbers."""
    from minideconv.training.run.checkpoint import find_checkpoint, read_header
    from minideconv.training.run.claim import existing_run
    from minideconv.training.run.folder import RunFolder
    from minideconv.training.session import run_session

    if first.config is not None:
        raise UsageError("--resume goes on with the run's own settings; leave --config out")
    path = find_checkpoint(first.resume, prefer="last")
    saved: dict[str, Any] = read_header(path)["config"]
    model = saved.get("model", DEFAULT_MODEL)
    settings, given = TrainConfig.settings(model), _given(arguments, model)
    for name, value in given.items():
        if not settings[name].resume and value != saved.get(name):
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"--resume {first.resume}: {option} is {saved.get(name)} in this run and cannot "
                f"become {value}; start a new run for that"
            )
    config = TrainConfig.from_dict({**saved, **given})
    if first.print_config:
        print(config.to_toml(), end="")
        return 0
    _set_limit(comm, config)
    with contextlib.ExitStack() as claim:
        folder = on_rank_zero(comm, lambda: str(claim.enter_context(existing_run(path)).path))
        return run_session(config, RunFolder(folder), path, comm)


if __name__ == "__main__":
    sys.exit(main())
