"""The commands `code`, `denoise` and `inpaint`: pictures of a folder, one after the other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, Device, as_device, to_cpu, to_device
from minideconv.data.pictures import read_upright
from minideconv.errors import DataError, SettingError, UsageError
from minideconv.files.atomic import replace_file
from minideconv.files.outputs import plan_outputs, refuse_same_folder
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import given_options
from minideconv.sparse_coding.coding import MAP_COPIES, code
from minideconv.sparse_coding.dictionary_file import find_dictionary, read_filters
from minideconv.sparse_coding.images import list_images, read_photograph
from minideconv.sparse_coding.pictures import map_picture, to_uint8
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.restore import denoise, inpaint, psnr
from minideconv.sparse_coding.settings import CodingSettings, LearnSettings
from minideconv.training.computing import computing
from minideconv.training.enough_memory import check_memory
from minideconv.training.run.progress import Progress, make_progress
from minideconv.visualize.boards import png_bytes

__all__ = ["use"]

_ENDINGS = {
    "code": ("_maps.png", "_reconstruction.png"),
    "denoise": ("_noisy.png", "_denoised.png"),
    "inpaint": ("_known.png", "_inpainted.png"),
}


@dataclass
class _Work:
    """What all pictures of a command share."""

    options: argparse.Namespace
    coding: CodingSettings
    learnt: LearnSettings
    filters: Array
    device: Device
    progress: Progress

    @property
    def how(self) -> dict[str, Any]:
        """Arguments of `code`."""
        names = ("method", "iterations", "tolerance")
        return {name: getattr(self.coding, name) for name in names}

    def report(self, iteration: int, objective: float) -> None:
        """Show how far a picture is."""
        self.progress.work("coding", iteration, self.coding.iterations)


def use(options: argparse.Namespace, machine_options: Mapping[str, Any]) -> int:
    """Run a command on all pictures of its folder; return the exit code."""
    machine = MachineSettings(**given_options(options, machine_options))
    coding = CodingSettings(**given_options(options, CodingSettings.settings()))
    if options.command == "inpaint" and coding.method == "fista":
        raise UsageError("--method fista takes no mask beside a smooth part; inpaint by admm")
    device = as_device(machine.device)
    dictionary, folder = Path(options.dictionary), Path(options.output_dir)
    masks = getattr(options, "masks", None)
    refuse_same_folder("--output-dir", folder, {"FOLDER": options.folder, "--masks": masks})
    paths = list_images(Path(options.folder), coding.limit or None)
    filters, learnt = read_filters(dictionary)
    others = [find_dictionary(dictionary)]
    plan = plan_outputs(paths, folder, _ENDINGS[options.command], options.overwrite, others)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}") from error
    progress = make_progress(options.quiet)
    work = _Work(options, coding, learnt, to_device(filters, device), device, progress)
    try:
        with computing(device, machine.threads, machine.algorithm):
            return _all(work, plan)
    finally:
        progress.close()


def _all(work: _Work, plan: dict[Path, list[Path]]) -> int:
    """Do one picture after the other; a bad one is reported, and the others are done."""
    failed, values = 0, []
    command: Callable[[_Work, Path], Any] = _COMMANDS[work.options.command]
    for path, outputs in plan.items():
        try:
            pictures, text, value = command(work, path)
            for output, picture in zip(outputs, pictures, strict=True):
                _write(output, picture)
        except DataError as error:
            failed += 1
            print(f"minideconv.sparse_coding: {error}", file=sys.stderr)
            continue
        values += [] if value is None else [value]
        work.progress.message(f"{path} -> {outputs[-1]}: {text}")
    if len(values) > 1:
        before, after = np.mean(values, axis=0)
        work.progress.message(f"mean PSNR {before:.2f} -> {after:.2f} dB of {len(values)} pictures")
    if failed:
        print(f"minideconv.sparse_coding: {failed} of {len(plan)} files failed", file=sys.stderr)
    return 1 if failed else 0


def _write(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    try:
        replace_file(path, png_bytes(picture))
    except OSError as error:
        raise DataError(f"{path.parent}: {error.strerror or error}") from error


def _read(work: _Work, path: Path, color: bool) -> npt.NDArray[Any]:
    count, _, kh, kw = work.filters.shape
    image = read_photograph(path, color, (kh, kw), work.filters.dtype)
    # Channels that are restored one by one have maps of their own.
    alone = 3 if color and work.filters.shape[1] == 1 else 1
    copies = MAP_COPIES if work.coding.method == "admm" else MAP_COPIES // 2
    needed = copies * alone * count * image[0].size * image.itemsize
    try:
        check_memory(lambda name: f"{path} with {count} filters", needed, work.device)
    except SettingError as error:
        raise DataError(str(error)) from error
    return image


def _code(work: _Work, path: Path) -> Any:
    image = _read(work, path, work.filters.shape[1] == 3)
    sparsity = work.options.sparsity or work.learnt.sparsity
    smoothness = work.learnt.smoothness or None
    problem = Problem(to_device(image[None], work.device), sparsity, None, smoothness)
    coding = code(problem, work.filters, report=work.report, **work.how)
    found = to_cpu(coding.reconstruction[0])
    _, objective = coding.objectives[-1]
    text = (
        f"objective {objective / image[0].size:.6f} a pixel after {coding.objectives[-1][0]}"
        f" iterations{'' if coding.converged else ' (not converged)'},"
        f" {100 * coding.density:.2f} % of the maps are not 0, PSNR {psnr(found, image):.2f} dB"
    )
    return (map_picture(to_cpu(coding.maps[0])), to_uint8(found)), text, None


def _denoise(work: _Work, path: Path) -> Any:
    image = _read(work, path, _is_color(path))
    sigma, noisy = work.options.sigma / 255, image
    if work.options.add_noise:
        noise = _generator(work, path).standard_normal(image.shape)
        noisy = (image + sigma * noise).astype(image.dtype)
    found = denoise(noisy, work.filters, sigma, report=work.report, **work.how)
    text, value = "done", None
    if work.options.add_noise:
        value = psnr(noisy, image), psnr(found, image)
        text = f"PSNR {value[0]:.2f} -> {value[1]:.2f} dB"
    return (to_uint8(noisy), to_uint8(found)), text, value


def _inpaint(work: _Work, path: Path) -> Any:
    image = _read(work, path, _is_color(path))
    size = image.shape[1:]
    if work.options.masks is None:
        known = _generator(work, path).random(size) >= work.options.missing
    else:
        known = _read_mask(Path(work.options.masks) / f"{path.stem}.png", size)
    if not known.any():
        raise DataError(f"{path}: no pixel is known")
    found = inpaint(image, known, work.filters, report=work.report, **work.how)
    grey = np.where(known, image, image.dtype.type(0.5))
    text, value = f"{100 * (1 - known.mean()):.1f} % filled in", None
    if work.options.masks is None:
        value = psnr(grey, image), psnr(found, image)
        text += f", PSNR {value[0]:.2f} -> {value[1]:.2f} dB"
    return (to_uint8(grey), to_uint8(found)), text, value


_COMMANDS = {"code": _code, "denoise": _denoise, "inpaint": _inpaint}


def _is_color(path: Path) -> bool:
    """Whether a picture is in colour; filters of one channel then restore it channel by channel."""
    try:
        return read_upright(path).upright.mode not in ("1", "L", "LA")
    except DataError:
        return True  # `read_photograph` says what is wrong


def _generator(work: _Work, path: Path) -> np.random.Generator:
    """Return random numbers that depend on the seed and the picture's name alone."""
    return np.random.default_rng([work.options.seed, *path.name.encode()])


def _read_mask(path: Path, size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Read which pixels are known: all that are not black."""
    try:
        mask = np.array(read_upright(path, every_bit=True).upright.convert("L")) > 0
    except DataError as error:
        raise DataError(f"mask {error}") from error
    if mask.shape != size:
        there, here = ("x".join(map(str, shape)) for shape in (mask.shape, size))
        raise DataError(f"mask {path} has {there} pixels; its picture has {here}")
    return mask
