"""``python -m minideconv.compare``: FCN-8s, DeconvNet, both together and a CRF, on one page."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.compare import drawn
from minideconv.compare.bootstrap import CONFIDENCE, RESAMPLES
from minideconv.compare.budget import BUDGETS, NETWORKS, network_configs, train_networks
from minideconv.compare.measure import measure
from minideconv.compare.members import Member, load_members
from minideconv.compare.report import report_html
from minideconv.compare.results import markdown, results
from minideconv.data.shard import spread
from minideconv.errors import UsageError
from minideconv.files.outputs import check_outputs, refuse_same_folder
from minideconv.settings import command_line
from minideconv.settings.machine import MachineSettings, OutputSettings
from minideconv.settings.options import add_options, given_options
from minideconv.settings.setting import Setting, option_name
from minideconv.tasks.segmentation.inference import SegmentationInference
from minideconv.training.computing import computing
from minideconv.training.config import TrainConfig
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.folder import write_text
from minideconv.training.run.progress import make_progress

__all__ = ["main", "make_parser"]

_DESCRIPTION = """\
Compare networks that segment on the same images: each alone, all together (ensemble), and each of
these behind a dense CRF, from one forward pass of each network.

  python -m minideconv.compare RUN RUN      networks that are trained already
  python -m minideconv.compare              train FCN-8s and DeconvNet first, under one budget

It writes comparison.html, .json and .md: mean IoU, mean IoU around outlines, IoU by the objects'
sizes, intervals of the differences, what each network cost, masks side by side; and, where the
networks know the drawn shapes, two limits of such networks on pictures that are made to show them.
"""

_EPILOG = """\
The same command goes on with a comparison that was stopped while it trained.
Exit codes: 0 done, 1 the comparison failed, 2 wrong usage, 130 or 143 stopped by a signal.
"""

_DATA = ("data", "data_root", "val_split")
"""Settings of training that are about the images of the comparison too."""
_BATCH = 16


def _training_settings() -> dict[str, Setting]:
    """Return the settings of training that networks share, those of the machine left out."""
    own = {"task", "model", "seed", *OutputSettings.settings(), *MachineSettings.settings()}
    return {name: each for name, each in TrainConfig.settings(None).items() if name not in own}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser(
        "compare",
        _DESCRIPTION,
        epilog=_EPILOG,
        usage="python -m minideconv.compare [RUN RUN ...] [options]",
    )
    parser.add_argument("runs", metavar="RUN|CHECKPOINT", nargs="*", help="trained networks")
    parser.add_argument("-o", "--output", metavar="DIR", default="comparison",
                        help="folder of the report, and of the runs [comparison]")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report there")
    parser.add_argument("--which", choices=("best", "last"), default="last",
                        help="which checkpoint of a run folder; the best one was chosen by the "
                        "validation images [last]")  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=command_line.positive,
                        help="only N images, spread evenly over the list [all]")  # fmt: skip
    parser.add_argument("--no-crf", action="store_true", help="leave out the rows behind a CRF")
    parser.add_argument("--resamples", metavar="N", type=command_line.positive, default=RESAMPLES,
                        help=f"draws of the bootstrap [{RESAMPLES}]")  # fmt: skip
    parser.add_argument("--shown", metavar="N", type=command_line.natural, default=6,
                        help="images shown side by side [6]")  # fmt: skip
    parser.add_argument("--drawn", metavar="N", type=command_line.natural, default=drawn.PICTURES,
                        help="pictures of each series that shows a limit; 0 leaves them out "
                        f"[{drawn.PICTURES}]")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    group = parser.add_argument_group("training, where no RUN is named")
    group.add_argument("--networks", metavar="NAME|FILE", nargs="+", default=None,
                       help="networks by name, or by a TOML file of settings as --config of a "
                       f"training run takes [{' '.join(NETWORKS)}]")  # fmt: skip
    group.add_argument("--seeds", metavar="N,...", default=None,
                       type=command_line.commas(command_line.natural),
                       help="train each network once with each of them; metrics are averaged "
                       "[0]")  # fmt: skip
    group.add_argument("--budget", choices=BUDGETS, default=None,
                       help="what all networks have alike: updates, or multiply-accumulates, of "
                       "which --epochs sets those of the most expensive [updates]")  # fmt: skip
    add_options(
        parser,
        {**_training_settings(), **tasks.inference_settings(), **MachineSettings.settings()},
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.compare", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    folder = Path(options.output)
    outputs = [folder / f"comparison.{ending}" for ending in ("html", "json", "md")]
    inputs = [Path(run) for run in options.runs]
    refuse_same_folder("--output", folder, {f"RUN {run}": run for run in options.runs})
    check_outputs(outputs, folder, options.overwrite, inputs, "--output")
    given = given_options(options, tasks.inference_settings())
    inference = tasks.inference_of(tasks.Segmentation, _with_crf(options, given))
    assert isinstance(inference, SegmentationInference)
    crf = inference.dense_crf()
    alone = {k: v for k, v in given.items() if not k.startswith(("crf", "ensemble"))}
    machine = MachineSettings(**given_options(options, MachineSettings.settings()))
    groups = _runs(options, machine, folder)
    members = [
        load_members(paths, machine.device, options.which, _BATCH, **alone) for paths in groups
    ]
    first = members[0][0]
    data, what = evaluation_data(first.trained, None, given_options(options, _DATA), options.limit)
    chosen = spread(len(data), options.limit or len(data))
    shown = spread(len(chosen), options.shown)
    with (
        contextlib.closing(make_progress(options.quiet)) as progress,
        computing(first.trained.device, machine.threads, machine.algorithm, machine.precision),
    ):

        def each(done: int, total: int) -> None:
            progress.work("segmenting", done, total)

        measured = []
        for group in members:
            predictors = {member.name: member.predictor for member in group}
            measured.append(measure(predictors, data, chosen, inference.rule, crf, each, shown))
        limits = _limits(members[0], options.drawn, lambda d, t: progress.work("drawing", d, t))
        more = {
            "title": " and ".join(member.name for member in members[0]) + " compared",
            "data": what,
            "inference": inference.given(),
            "limits": limits,
        }
        found = results(members, measured, data, options.resamples, CONFIDENCE, **more)
        html = report_html(found, measured[0], data, shown)
    _write(folder, outputs, (html, json.dumps(found, indent=1) + "\n", markdown(found)))
    progress.message(markdown(found))
    progress.message(f"report in {outputs[0]}")
    return 0


def _with_crf(options: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of inference, with the default CRF unless none is wanted."""
    if not options.no_crf:
        return {"crf": "default", **given}
    if asked := [name for name in given if name.startswith("crf")]:
        raise UsageError(f"{option_name(asked[0])} is about the CRF that --no-crf leaves out")
    return given


def _runs(
    options: argparse.Namespace, machine: MachineSettings, folder: Path
) -> list[list[str | Path]]:
    """Return the runs that are compared, for each seed; without any, train them."""
    given = given_options(options, _training_settings())
    if options.runs:
        extra = [name for name in given if name not in _DATA]
        extra += [name for name in ("networks", "seeds", "budget") if getattr(options, name)]
        if extra:
            raise UsageError(
                f"{option_name(extra[0])} is about training, but the networks are trained already;"
                " name no RUN, or leave it out"
            )
        if len(options.runs) == 1:
            raise UsageError(f"{options.runs[0]} is one network; name two at least, or none")
        return [options.runs]
    seeds = options.seeds or (0,)
    own = {**given, **given_options(options, MachineSettings.settings()), "quiet": options.quiet}
    configs = network_configs(options.networks or NETWORKS, own, options.budget or "updates")
    for config in configs.values():
        config.refuse_ignored(own)
    return [list(train_networks(configs, seed, folder / "runs")) for seed in seeds]


def _limits(members: Sequence[Member], count: int, each: drawn.Each) -> dict[str, Any] | None:
    """Return what `drawn` finds, of networks that were trained on drawn shapes."""
    configs = [member.trained.header["config"] for member in members]
    kinds = {(config["data"], config["difficulty"]) for config in configs}
    if count == 0 or kinds != {("shapes", configs[0]["difficulty"])}:
        return None
    difficulty, size = configs[0]["difficulty"], max(config["image_size"] for config in configs)
    predictors = {member.name: member.predictor for member in members}
    return {
        "note": f"{count} pictures of {size} x {size} pixels in each line, one object in each. A"
        " radius that training did not show is marked: what happens there is also a matter of what"
        " the networks have seen.",
        "sizes": drawn.sizes(predictors, difficulty, size, count, each),
        "details": drawn.details(predictors, difficulty, size, count, each),
    }


def _write(folder: Path, outputs: Sequence[Path], texts: Sequence[str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror}") from error
    for path, text in zip(outputs, texts, strict=True):
        write_text(path, text)


if __name__ == "__main__":
    sys.exit(main())
