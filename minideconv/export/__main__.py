"""``python -m minideconv.export``: a trained network as a file for other programs."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend import as_device
from minideconv.data.pictures import read_image
from minideconv.data.resize import resize_image
from minideconv.data.transforms import Normalize
from minideconv.errors import MinideconvError, UsageError
from minideconv.export.check import agreement, scores_of, second_look, session
from minideconv.export.listing import listing
from minideconv.export.onnx import onnx_model
from minideconv.export.onnx_model import OPSET_VERSION, OnnxModel, write_model
from minideconv.export.processing import LAYOUTS, POSTPROCESSING, Preprocessing
from minideconv.files.outputs import check_outputs
from minideconv.nn import Module
from minideconv.settings import command_line
from minideconv.training.enough_memory import check_network_memory
from minideconv.training.run.checkpoint import find_checkpoint
from minideconv.training.run.trained import load_network

__all__ = ["main"]

_DESCRIPTION = f"""\
Write a trained network as an ONNX file (opset {OPSET_VERSION}), for onnxruntime and other programs.
What the network computes is found by tracing its operations, whatever network it is; an operation
that cannot be said in ONNX is named, and nothing is written.

The file takes any number of images. Without --with-preprocessing they are the network's own input,
float32 (N, 3, H, W), already normalised. The first output is "scores".
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser(
        "export",
        _DESCRIPTION,
        epilog="Exit codes: 0 done, 1 unreadable checkpoint or failed check, 2 wrong usage.",
    )
    parser.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help="a run folder or an .npz file")
    parser.add_argument("--onnx", metavar="FILE", required=True, help="the file to write")
    parser.add_argument("--which", choices=("best", "last"), default="best",
                        help="which checkpoint of a run folder [best]")  # fmt: skip
    parser.add_argument("--size", metavar="H[xW]", type=_size,
                        help="height and width of the images [the run's input size]")  # fmt: skip
    parser.add_argument("--dynamic-size", action="store_true",
                        help="let the file take larger images, too")  # fmt: skip
    parser.add_argument(
        "--with-preprocessing",
        choices=LAYOUTS,
        nargs="?",
        const="nhwc",
        help='take grey levels, uint8 RGB, as the input "images": (N, H, W, 3) or (N, 3, H, W)'
        " [nhwc]",
    )
    parser.add_argument(
        "--with-postprocessing",
        choices=tuple(POSTPROCESSING),
        nargs="?",
        const="both",
        help='give "probabilities" (softmax) and "labels" (argmax) beside the scores [both]',
    )
    parser.add_argument(
        "--check",
        metavar="IMAGE",
        nargs="*",
        help="compute photographs, or noise if none is named, by onnxruntime and by this library,"
        " and compare",
    )
    parser.add_argument("--list", action="store_true", help="print what the file computes")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--allow-non-finite", action="store_true",
                        help="write weights that are NaN or infinite, too")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None or not (int(found[1]) and int(found[2] or 1)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; it must be like 320 or 240x320")
    return int(found[1]), int(found[2] or found[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.export", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    output = Path(options.onnx)
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise UsageError(f"--onnx {output} is a folder, or would be in one that does not exist")
    found = find_checkpoint(options.checkpoint, options.which)
    check_outputs([output], output.parent, options.overwrite, [found], "--onnx")
    photographs = [read_image(Path(path)) for path in options.check or ()]
    cpu = as_device("cpu")
    finite = not options.allow_non_finite
    _, network, header = load_network(found, cpu, finite, "--allow-non-finite")
    preprocessing = None
    if options.with_preprocessing:
        about = header.get("normalization", {})
        preprocessing = Preprocessing.of(about, options.with_preprocessing)
    size = _chosen_size(options, header)
    check_network_memory(network, int(header["input_size"]), size, cpu)
    model = onnx_model(
        network,
        size,
        options.dynamic_size,
        preprocessing,
        POSTPROCESSING.get(options.with_postprocessing, ()),
        _metadata(found, header, size),
        options.allow_non_finite,
    )
    length = write_model(output, model)
    if not options.quiet:
        if options.list:
            print(listing(model))
        print(f"{output}: {found} as ONNX, opset {OPSET_VERSION}, {length:,} bytes")
    if options.check is not None:
        _check(options, network, header, model, photographs)
    return 0


def _chosen_size(options: argparse.Namespace, header: dict[str, Any]) -> tuple[int, int]:
    side = int(header["input_size"])
    size: tuple[int, int] = options.size or (side, side)
    return size


def _metadata(path: Path, header: dict[str, Any], size: tuple[int, int]) -> dict[str, str]:
    """Return what the file says about itself."""
    about = {
        "checkpoint": path.name,
        "network": json.dumps(header["model"]),
        "size": f"{size[0]}x{size[1]}",
        "normalization": json.dumps(header.get("normalization")),
    }
    if "classes" in header:
        about["classes"] = json.dumps(header["classes"])
    return about


def _check(
    options: argparse.Namespace,
    network: Module,
    header: dict[str, Any],
    model: OnnxModel,
    photographs: Sequence[np.ndarray],
) -> None:
    """Compare the file with the network, on images that the file is given as it takes them."""
    size = _chosen_size(options, header)
    if photographs:
        images = np.stack([resize_image(image, size) for image in photographs])
    else:
        images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    about = header.get("normalization") or {"mean": (128,) * 3, "scale": 58.0, "bgr": False}
    x = Normalize(tuple(about["mean"]), about["scale"], about["bgr"]).batch(images)
    given = np.ascontiguousarray(x)
    if options.with_preprocessing:
        nhwc = options.with_preprocessing == "nhwc"
        given = images if nhwc else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    running = session(options.onnx)
    theirs = running.run(["scores"], {running.get_inputs()[0].name: given})[0]
    found = agreement(scores_of(network, x), theirs)
    good, text = found.good, f"onnxruntime on {len(images)} images: {found}"
    if not good and (again := second_look(network, model, given, x)) is not None:
        good, text = again.good, f"{text}\n{again}"
    if not good:
        raise MinideconvError(f"{options.onnx} does not compute what the network computes: {text}")
    if not options.quiet:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
