"""``python -m minideconv.visualize``: what a network computes inside, as pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend import as_device
from minideconv.data.pictures import picture_files, read_image
from minideconv.data.shard import spread
from minideconv.errors import DataError, UsageError
from minideconv.files.outputs import check_outputs, refuse_same_folder
from minideconv.settings import command_line
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import add_options
from minideconv.training.computing import computing
from minideconv.training.run.folder import write_bytes
from minideconv.training.run.progress import Progress, make_progress
from minideconv.training.run.subject import WEIGHTS_SIZE, load_subject
from minideconv.visualize import activation_maps, saliency_board, unit_boards
from minideconv.visualize.animation.command import add_animate, animate
from minideconv.visualize.boards import enlarged, png_bytes
from minideconv.visualize.relu_rules import RELU_RULES
from minideconv.visualize.slider import slider_page
from minideconv.visualize.subject import Subject

__all__ = ["main"]

_DESCRIPTION = """\
Look inside a network, or animate a convolution. NETWORK is a run folder, a checkpoint, a file with
VGG-16's weights of any program, or the name of a known one (`python -m minideconv.weights list`);
of a weight file the convolutions can be looked at, and fc6 and fc7 if it has them.
"""

_EPILOG = """\
examples:
  python -m minideconv.visualize activations runs/shapes-1 photograph.jpg
  python -m minideconv.visualize units vgg16-trunk-onnx photograph.jpg --layer conv4_3
  python -m minideconv.visualize top9 vgg16-trunk-onnx photographs --layer conv5_3 --units 3,88
  python -m minideconv.visualize saliency runs/shapes-1 photograph.jpg --methods guided,grad-cam
  python -m minideconv.visualize animate conv --size 5 --kernel 3 --stride 2 --padding 1 -o a.gif

No file is replaced without --overwrite. Exit codes: 0 done, 1 a file that cannot be read, 2 wrong
usage.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = command_line.make_parser("visualize", _DESCRIPTION, epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    activations = _command(
        commands, "activations", "the most active map of each layer of the decoder, with switches",
        ("IMAGE", "a photograph"),
    )  # fmt: skip
    activations.add_argument("--layers", type=command_line.commas(), metavar="NAME,...", default=(),
                             help="these layers [those of the decoder]")  # fmt: skip
    units = _command(
        commands, "units", "what units of a layer saw in a photograph, projected to its pixels",
        ("IMAGE", "a photograph"),
    )  # fmt: skip
    top9 = _command(
        commands, "top9", "the nine photographs of a folder that excite a unit most, projected",
        ("FOLDER", "a folder with JPEG or PNG files"),
    )  # fmt: skip
    for one, count, which in ((units, 9, "most active"), (top9, 8, "evenly spread")):
        one.add_argument("--layer", required=True, metavar="NAME", help="where the units are")
        one.add_argument("--units", type=command_line.commas(command_line.natural),
                         metavar="N,...", help="these units")  # fmt: skip
        one.add_argument("--count", type=command_line.positive, metavar="N", default=count,
                         help=f"without --units: so many, the {which} [{count}]")  # fmt: skip
        one.add_argument("--rule", choices=tuple(RELU_RULES), default="deconvnet",
                         help="what ReLUs do to the signal [deconvnet]")  # fmt: skip
    top9.add_argument("--no-photographs", action="store_true",
                      help="draw the projections alone, no part of a photograph")  # fmt: skip
    top9.add_argument("--limit", type=command_line.positive, metavar="N",
                      help="only N photographs, spread evenly over the folder [all]")  # fmt: skip
    saliency = _command(
        commands, "saliency", "which pixels a score depends on, by several methods",
        ("IMAGE", "a photograph"),
    )  # fmt: skip
    saliency.add_argument("--target", metavar="CLASS|N",
                          help="a class, by name or number; with --layer a unit")  # fmt: skip
    saliency.add_argument("--layer", metavar="NAME", help="explain a unit of this layer instead")
    saliency.add_argument("--methods", type=command_line.commas(), metavar="NAME,...",
                          default=saliency_board.METHODS,
                          help=f"of {', '.join(saliency_board.METHODS)} [all]")  # fmt: skip
    saliency.add_argument("--cam-layer", metavar="NAME",
                          help="whose maps Grad-CAM shows [the last convolution]")  # fmt: skip
    saliency.add_argument("--steps", type=command_line.positive, metavar="N", default=32,
                          help="points of the integral of integrated gradients [32]")  # fmt: skip
    add_animate(commands)
    return parser


def _command(
    commands: Any, name: str, help_: str, argument: tuple[str, str]
) -> argparse.ArgumentParser:
    """Add a command that looks into a network, with what these four have in common."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_, description=f"Draw {help_}.", allow_abbrev=False,
        formatter_class=command_line.HelpFormatter,
    )  # fmt: skip
    parser.add_argument("network", metavar="NETWORK", help="a run, a checkpoint or weights")
    parser.add_argument("source", metavar=argument[0], type=Path, help=argument[1])
    parser.add_argument("-o", "--output-dir", metavar="DIR", type=Path, default=Path("inside"),
                        help="where the pictures go [inside]")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace earlier pictures")
    parser.add_argument("--which", choices=("best", "last"), default="best",
                        help="which checkpoint of a run folder [best]")  # fmt: skip
    parser.add_argument("--size", type=command_line.positive, metavar="PIXELS",
                        help="side of the square that the network is shown "
                             f"[a checkpoint's own, {WEIGHTS_SIZE} for weights]")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    settings = MachineSettings.settings()
    settings["threads"] = dataclasses.replace(settings["threads"], default=0)
    add_options(parser, settings)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.visualize", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    if options.command == "animate":
        return animate(options)
    machine = command_line.machine_settings(options)
    device = as_device(machine.device)
    if options.command == "top9":
        refuse_same_folder("--output-dir", options.output_dir, {"FOLDER": options.source})
    outputs = _outputs(options)
    read = [options.source] if options.command != "top9" else []
    check_outputs(
        outputs, options.output_dir, options.overwrite, [*read, Path(options.network)],
        "--output-dir",
    )  # fmt: skip
    if options.command == "top9":
        picture_files(options.source)  # an empty folder is reported before the network is read
    for method in getattr(options, "methods", ()):
        if method not in saliency_board.METHODS:
            known = ", ".join(saliency_board.METHODS)
            raise UsageError(f"--methods: {method!r} is unknown; there are {known}")
    progress = make_progress(options.quiet)
    try:
        with computing(device, machine.threads, machine.algorithm, machine.precision):
            subject = load_subject(
                options.network, device, options.which, options.size, progress.message
            )
            contents, failed = _COMMANDS[options.command](subject, options, progress)
        try:
            options.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--output-dir {options.output_dir}: {error.strerror}") from error
        for path, content in zip(outputs, contents, strict=True):
            write_bytes(path, content)
            progress.message(str(path))
    finally:
        progress.close()
    return 1 if failed else 0


def _outputs(options: argparse.Namespace) -> list[Path]:
    """Return the files that a command will write."""
    stem = f"{options.source.stem or options.source.resolve().name}_{options.command}"
    if options.command in ("units", "top9"):
        stem += f"_{options.layer}"
    endings = (".png", ".html") if options.command == "activations" else (".png", ".json")
    return [options.output_dir / f"{stem}{ending}" for ending in endings]


def _square(subject: Subject, path: Path) -> Any:
    try:
        return subject.square(read_image(path))
    except DataError as error:
        text = str(error)
        raise DataError(text if str(path) in text else f"{path}: {text}") from error


def _activations(
    subject: Subject, options: argparse.Namespace, progress: Progress
) -> tuple[list[bytes], int]:
    square = _square(subject, options.source)
    panels, prediction = activation_maps.activation_panels(subject, square, options.layers)
    heading = f"{subject.name}: {options.source.name}"
    picture = activation_maps.activation_board(heading, square, panels, prediction)
    shown = enlarged(square, activation_maps.SIDE)
    page = slider_page(heading, shown, panels, prediction)
    progress.message(f"{len(panels)} layers, {panels[0].layer} to {panels[-1].layer}")
    return [png_bytes(picture), page.encode()], 0


def _units(
    subject: Subject, options: argparse.Namespace, progress: Progress
) -> tuple[list[bytes], int]:
    square = _square(subject, options.source)
    found = unit_boards.peaks(subject, square, options.layer, options.source.name)
    chosen = options.units
    if chosen is None:
        chosen = sorted(range(len(found)), key=lambda unit: -found[unit].value)[: options.count]
    for unit in chosen:
        subject.check_unit(options.layer, unit, len(found))
    projections = []
    for done, unit in enumerate(chosen):
        progress.work("projecting", done, len(chosen))
        projections.append(
            unit_boards.project_peak(subject, square, options.layer, found[unit], options.rule)
        )
    heading = f"{subject.name}, {options.layer}, rule {options.rule}: {options.source.name}"
    picture = unit_boards.unit_board(heading, projections)
    return [png_bytes(picture), _facts(subject, options, [[p] for p in projections])], 0


def _top9(
    subject: Subject, options: argparse.Namespace, progress: Progress
) -> tuple[list[bytes], int]:
    files = picture_files(options.source)
    files = [files[at] for at in spread(len(files), options.limit or len(files))]
    blank = np.zeros((subject.input_size, subject.input_size, 3), np.uint8)
    count = len(unit_boards.peaks(subject, blank, options.layer))
    chosen = spread(count, options.count) if options.units is None else options.units
    for unit in chosen:
        subject.check_unit(options.layer, unit, count)
    failed = 0

    def squares() -> Any:
        nonlocal failed
        for done, path in enumerate(files):
            progress.work("looking for the largest", done, len(files))
            try:
                yield path.name, _square(subject, path)
            except DataError as error:
                failed += 1
                print(f"minideconv.visualize: {error}", file=sys.stderr)

    best = unit_boards.top_peaks(subject, squares(), options.layer)
    if not best:
        raise DataError(f"{options.source}: none of its {len(files)} pictures can be used")
    total = sum(len(best[unit]) for unit in chosen)
    units: list[list[unit_boards.Projection]] = []
    for unit in chosen:
        projections: list[unit_boards.Projection] = []
        for peak in best[unit]:
            done = sum(len(each) for each in units) + len(projections)
            progress.work("projecting", done, total)
            square = _square(subject, options.source / peak.photograph)
            projections.append(
                unit_boards.project_peak(subject, square, options.layer, peak, options.rule)
            )
        units.append(projections)
    heading = f"{subject.name}, {options.layer}, rule {options.rule}: {len(files)} photographs"
    picture = unit_boards.top_board(heading, units, not options.no_photographs)
    return [png_bytes(picture), _facts(subject, options, units)], failed


def _facts(subject: Subject, options: argparse.Namespace, units: Any) -> bytes:
    """Return what is drawn, as JSON."""
    about = {
        "network": options.network,
        "layer": options.layer,
        "rule": options.rule,
        "input_size": subject.input_size,
        "units": [unit_boards.facts(projections) for projections in units],
    }
    return (json.dumps(about, indent=1) + "\n").encode()


def _saliency(
    subject: Subject, options: argparse.Namespace, progress: Progress
) -> tuple[list[bytes], int]:
    square = _square(subject, options.source)
    target = saliency_board.choose_target(subject, square, options.target, options.layer)
    finished: list[str] = []

    def done(method: str) -> None:
        finished.append(method)
        progress.work("computing", len(finished), len(options.methods))

    pictures, facts = saliency_board.saliency_maps(
        subject, square, target, options.methods, options.cam_layer, options.steps, done
    )
    heading = f"{subject.name}: {target.text}, score {target.score:.4g}"
    progress.message(heading)
    facts = {"network": options.network, "image": options.source.name, **facts}
    board = saliency_board.saliency_board(heading, square, pictures)
    return [png_bytes(board), (json.dumps(facts, indent=1) + "\n").encode()], 0


_COMMANDS = {
    "activations": _activations,
    "units": _units,
    "top9": _top9,
    "saliency": _saliency,
}

if __name__ == "__main__":
    sys.exit(main())
