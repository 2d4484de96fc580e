"""A network's start from a weight file: `load_pretrained`.

The weights are put into the network, and the run's input becomes what they were trained with: the
order of the colours, the scale and the mean of `Normalize`, which every checkpoint holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend.environment import cache_folder
from minideconv.data.transforms import Normalize
from minideconv.errors import CheckpointError, UsageError
from minideconv.interop.conventions import CAFFE, DECONVNET, TORCHVISION, InputConvention
from minideconv.interop.fitting import ShapeConflict, fit, to_input
from minideconv.interop.known import KNOWN, fetch, recognise
from minideconv.interop.npz import NETWORK
from minideconv.interop.weight_file import WeightFile, read_weights
from minideconv.models.score_start import start_from_scores
from minideconv.nn import Module
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import find_checkpoint

__all__ = ["Pretrained", "find_weights", "load_pretrained", "normalization_for"]

_CONVENTIONS = {"caffe": CAFFE, "deconvnet": DECONVNET, "torchvision": TORCHVISION}


@dataclass(frozen=True)
class Pretrained:
    """What became of a weight file.

    Attributes
    ----------
    report : str
        All of it for a person: which parameters, and what the network is fed.
    normalize : Normalize
        The network's input from now on.
    about : dict
        For a checkpoint's header: the file's name, its network, input, source and licence.
    """

    report: str
    normalize: Normalize
    about: dict[str, Any]


def find_weights(name: str, say: Callable[[str], None]) -> Path:
    """Return the file that a name means: a file, a run folder, or a file known by name.

    A known one is downloaded, once, into `backend.environment.cache_folder`.

    Raises
    ------
    UsageError
        If it is none of them.
    CheckpointError
        If it is a folder without checkpoints.
    DataError
        If a known file cannot be fetched.
    """
    if Path(name).exists():
        return find_checkpoint(name)
    if name in KNOWN:
        return fetch(name, cache_folder(), say)
    raise refusal(
        lambda shown: (
            f"{shown('pretrained')} is {name!r}, which is no file, and no file is known by that"
            " name; `python -m minideconv.weights list` shows those that are"
        )
    )


def load_pretrained(network: Module, config: TrainConfig, path: str | Path) -> Pretrained:
    """Put a file's weights into a network; what the file has not stays as it is.

    Raises
    ------
    UsageError
        If nothing fits, VGG-16's convolutions have other shapes, or it is not known what the
        weights were trained with.
    CheckpointError
        If the file cannot be read.
    """
    weights = read_weights(path)
    weights, left_out = _without_foreign_decoder(network, weights)
    key = recognise(path)
    convention = None if key is None else KNOWN[key].convention
    if config.pretrained_input is not None:
        convention = _CONVENTIONS[config.pretrained_input]
    state = network.state_dict()
    try:
        found = fit(weights, {name: array.shape for name, array in state.items()}, convention)
    except ShapeConflict as conflict:
        raise _conflict(conflict, config) from conflict
    except CheckpointError as error:
        raise _refused(str(error)) from error
    if found.convention is None:
        wrong = f"weights {path}: it is not known what input they were trained with; "
        raise refusal(lambda name: f"{wrong}say it with {name('pretrained_input')}")
    normalize, target = normalization_for(found.convention)
    try:
        to_input(found, target)
    except UsageError as error:
        raise _refused(f"weights {path}: {error}") from error
    network.load_state_dict({**state, **found.arrays})
    if getattr(config.network, "decoder_init", "he") == "scores":
        found.notes.append(_start_decoder(network, weights))
    found.notes += left_out
    lines, about = found.report(), {"file": Path(path).name, "network": found.title}
    about["input"] = str(found.convention)
    if key is not None:
        known = KNOWN[key]
        about |= {"source": known.source, "licence": known.licence}
        lines += f"\nthis is {known.file}; by {known.source}; licence: {known.licence}"
    return Pretrained(f"pretrained weights {path}\n{lines}", normalize, about)


def normalization_for(convention: InputConvention) -> tuple[Normalize, InputConvention]:
    """Return the input that a network with such weights is given.

    It is the convention's own where `Normalize` can be that, which divides all colours by one
    number; else one with the same mean, and the mean of the three divisors, as a convention to
    which the first convolution is converted.
    """
    divisor = float(np.mean(convention.std))
    target = replace(convention, std=(divisor,) * 3)
    if np.allclose(convention.std, divisor, rtol=1e-12, atol=0):
        target = convention
    red, green, blue = (float(value) for value in target.black_at)
    scale = divisor * 255 / target.white
    return Normalize((red, green, blue), scale, bgr=target.channels == "BGR"), target


def _without_foreign_decoder(network: Module, weights: WeightFile) -> tuple[WeightFile, list[str]]:
    """Leave out the decoder of a checkpoint that undoes its poolings otherwise than the network.

    Its layers may have the same names and shapes, as an auto-encoder's and a DeconvNet's have, but
    learned behind enlarged maps, or behind unpooled ones that are zero at three of four pixels.
    Returns what is left, and a note about it.
    """
    here = getattr(network, "upsampling", None)
    try:
        arguments = json.loads(weights.metadata.get(NETWORK, "{}")).get("arguments", {})
        there = arguments.get("upsampling", "switches")
    except (AttributeError, ValueError):  # of no network that this library writes
        return weights, []
    kept = {k: a for k, a in weights.arrays.items() if not re.match(r"(deconv|unpool)\d", k)}
    if here is None or here == there or not kept or len(kept) == len(weights.arrays):
        return weights, []
    note = f"left out: the decoder, which undoes poolings by {there} in the file, by {here} here"
    return replace(weights, arrays=kept), [note]


def _start_decoder(network: Module, weights: WeightFile) -> str:
    """Start the decoder from the file's scores of fc7; return a note for the report."""
    arrays = [weights.arrays.get(f"score_fr.{name}") for name in ("weight", "bias")]
    weight, bias = arrays
    if weight is None or bias is None:
        raise refusal(
            lambda name: (
                f"{name('decoder_init')} is scores, but the weights {weights.path} have no"
                f" score_fr; it must be a run of fcn32s, fcn16s or fcn8s"
            )
        )
    try:
        start_from_scores(network, np.asarray(weight), np.asarray(bias))
    except ValueError as error:
        problem = str(error).removeprefix("start_from_scores: ")
        raise refusal(lambda name: f"{name('decoder_init')} scores: {problem}") from error
    return "the decoder begins as an enlargement of the file's score_fr"


def _refused(sentence: str) -> Exception:
    return refusal(lambda name: f"{name('pretrained')}: {sentence}")


def _conflict(conflict: ShapeConflict, config: TrainConfig) -> Exception:
    """Return the error, with the options that would fit."""
    options = config.network.settings()

    def sentence(name: Callable[[str], str]) -> str:
        fitting = []
        if "width" in options and config.width != conflict.width:
            fitting.append(f"{name('width')} {conflict.width}")
            if "batch_norm" in options and config.batch_norm == "all" and not conflict.batch_norm:
                fitting.append(f"{name('batch_norm')} fc")
        hint = f"; {' '.join(fitting)} would fit" if fitting else ""
        return f"{name('pretrained')}: {conflict}{hint}"

    return refusal(sentence)
