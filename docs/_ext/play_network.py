"""The small network of the page to play with: trained, folded, and written as docs/play/weights.js.

    python docs/_ext/play_network.py            a few minutes on two CPU cores; prints the IoU

A DeconvNet of three poolings and width 8 learns to fill in drawn circles, triangles and rectangles
(see `play_drawings`). For the page, each batch normalisation is folded into the weights in front
of it, and weights are stored as signed bytes with one scale for each output channel. All that is
said of the network is measured with those weights, by `forward`, which the page's JavaScript
computes too.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from play_drawings import CLASSES, SIZE, drawings

from minideconv import Tensor, models, no_grad, ops, optim, random
from minideconv import functional as F
from minideconv.files.atomic import replacing
from minideconv.segmentation import ConfusionMatrix

__all__ = [
    "corners",
    "evaluate",
    "exported",
    "folded",
    "forward",
    "main",
    "read",
    "read_floats",
    "train",
]

WEIGHTS = Path(__file__).resolve().parents[1] / "play" / "weights.js"
NAME = "const NETWORK = "
STAGES, LEVELS = 3, 127  # poolings; the largest stored byte
UPDATES, BATCH, RATE = 1200, 24, 3e-3
TRAIN, TEST = (0, 4000), (1, 400)  # seed and number of drawings

Step = dict[str, Any]


def train(updates: int = UPDATES, drawn: int = TRAIN[1], **changes: Any) -> Any:
    """Return the trained network; every random source is seeded."""
    random.manual_seed(0)
    options = {"num_classes": len(CLASSES), "width": 8, "input_size": SIZE, "fc": 64}
    net = models.deconvnet(**{**options, "stages": STAGES, "in_channels": 1, **changes})
    ink, masks = drawings(TRAIN[0], drawn)
    optimizer = optim.AdamW(net.parameters(), lr=RATE)
    rng = np.random.default_rng(0)
    for step in range(updates):
        warm = min(1.0, (step + 1) / 100)
        optimizer.param_groups[0]["lr"] = RATE * warm * 0.5 * (1 + np.cos(np.pi * step / updates))
        chosen = rng.integers(len(ink), size=BATCH)
        x, target = ink[chosen], masks[chosen]
        if rng.random() < 0.5:
            x, target = x[..., ::-1], target[..., ::-1]
        loss = F.cross_entropy(net(Tensor(np.ascontiguousarray(x))), np.ascontiguousarray(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1} of {updates}: loss {loss.item():.4f}", flush=True)
    return net.eval()


def folded(net: Any) -> Iterator[Step]:
    """Yield the network's steps in order, batch normalisation folded into the weights.

    In evaluation it multiplies each channel by ``g = weight / sqrt(running_var + eps)`` and adds
    ``bias - g * running_mean``: the weights in front times g, and a bias, do the same.
    """
    for name, block in net.named_children():
        if name.startswith(("pool", "unpool")):
            yield {"name": name, "kind": name.rstrip("0123456789"), "level": int(name[-1])}
            continue
        layer = getattr(block, "layer", block)
        transposed = "deconv" in name
        weight = layer.weight.numpy().astype(np.float64)
        bias = 0.0 if layer.bias is None else layer.bias.numpy().astype(np.float64)
        norm = getattr(block, "bn", None)
        if norm is not None:
            g = norm.weight.numpy() / np.sqrt(norm.running_var + np.float64(norm.eps))
            bias = (bias - norm.running_mean) * g + norm.bias.numpy()
            weight = weight * (g[:, None, None] if transposed else g[:, None, None, None])
        yield {
            "name": name,
            "kind": "conv_transpose" if transposed else "conv",
            "weight": weight.astype(np.float32),
            "bias": np.broadcast_to(bias, weight.shape[transposed]).astype(np.float32),
            "padding": int(layer.padding[0]),
            "relu": block is not layer,
        }


def _bytes(step: Step) -> Step:
    """Return a step as JSON: weights as signed bytes, a scale for each output channel."""
    if "weight" not in step:
        return step
    axis = 1 if step["kind"] == "conv_transpose" else 0  # of the output channels
    others = tuple(i for i in range(4) if i != axis)
    scale = np.abs(step["weight"]).max(axis=others, keepdims=True) / LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    levels = np.rint(step["weight"] / scale).astype(np.int8)
    return {
        **step,
        "shape": list(levels.shape),
        "weight": _base64(levels),
        "scale": _base64(scale),
        "bias": _base64(step["bias"]),
    }


def _base64(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def read_floats(text: str) -> np.ndarray:
    """Return stored float32 numbers."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def exported(net: Any) -> dict[str, Any]:
    """Return the network as JSON, without what is measured with it."""
    return {"classes": list(CLASSES), "size": SIZE, "steps": [_bytes(s) for s in folded(net)]}


def read(found: dict[str, Any]) -> list[Step]:
    """Return the steps of an exported network, weights as float32 again."""
    steps = []
    for step in found["steps"]:
        if "weight" in step:
            levels = np.frombuffer(base64.b64decode(step["weight"]), "i1").reshape(step["shape"])
            scale = read_floats(step["scale"])
            across = (-1, 1, 1) if step["kind"] == "conv_transpose" else (-1, 1, 1, 1)
            weight = levels.astype(np.float32) * scale.reshape(across)
            step = {**step, "weight": weight, "bias": read_floats(step["bias"])}
        steps.append(step)
    return steps


def forward(
    steps: list[Step],
    x: np.ndarray,
    fc7: np.ndarray | None = None,
    switches: str | dict[int, ops.Switches] = "own",
) -> dict[str, np.ndarray]:
    """Return what every step computes, by name.

    Parameters
    ----------
    steps : list
        From `read`.
    x : array, shape (N, 1, 48, 48)
        Ink.
    fc7 : array, shape (fc,), optional
        Takes the place of what fc7 computes.
    switches : "own", "corner" or dict
        What unpooling goes by: what pooling found, the upper left pixel of each window, or the
        switches of another drawing, by the pooling's number.
    """
    outputs: dict[str, np.ndarray] = {}
    own: dict[int, ops.Switches] = {}
    for step in steps:
        kind, level = step["kind"], step.get("level", 0)
        if kind == "pool":
            x, own[level] = ops.max_pool2d(x, 2, return_switches=True)
        elif kind == "unpool" and isinstance(switches, dict):
            x = ops.max_unpool2d(x, switches[level])
        elif kind == "unpool":
            x = ops.max_unpool2d(x, own[level] if switches == "own" else corners(own[level]))
        else:
            op = ops.conv2d if kind == "conv" else ops.conv_transpose2d
            x = op(x, step["weight"], step["bias"], padding=step["padding"])
            x = np.maximum(x, 0) if step["relu"] else x
        if step["name"] == "fc7" and fc7 is not None:
            x = np.broadcast_to(fc7[:, None, None], x.shape).copy()
        outputs[step["name"]] = x
    return outputs


def corners(switches: ops.Switches) -> ops.Switches:
    """Return switches to the upper left pixel of each window of 2 x 2."""
    height, width = switches.plane_shape
    upper_left = 2 * width * np.arange(height // 2)[:, None] + 2 * np.arange(width // 2)
    return ops.Switches(np.broadcast_to(upper_left, switches.shape).copy(), (height, width))


def evaluate(steps: list[Step]) -> dict[str, Any]:
    """Measure the mean IoU on drawings that training has not seen, with and without parts."""
    ink, masks = drawings(*TEST)
    mean = forward(steps, ink)["fc7"].mean(axis=(0, 2, 3))
    measured = {}
    for name, vector in (("own", None), ("mean", mean)):
        for switches in ("own", "corner"):
            found = forward(steps, ink, vector, switches)["seg_score"].argmax(axis=1)
            confusion = ConfusionMatrix(len(CLASSES))
            for truth, labels in zip(masks, found, strict=True):
                confusion.update(truth, labels)
            ious = [round(float(v), 4) for v in confusion.iou]
            row = {"fc7": name, "switches": switches, "mean": round(confusion.mean_iou, 4)}
            measured[f"{name} {switches}"] = {**row, "classes": ious}
    return {"fc7_mean": _base64(mean.astype(np.float32)), "measured": list(measured.values())}


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--updates", type=int, default=UPDATES, help=f"steps of training [{UPDATES}]"
    )
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="the file [docs/play]")
    options = parser.parse_args(arguments)
    network = exported(train(options.updates))
    with no_grad():
        network |= evaluate(read(network))
    network |= {"updates": options.updates, "drawings": TRAIN[1], "test_drawings": TEST[1]}
    about = "// Written by docs/_ext/play_network.py; to be read by machines.\n"
    text = f"{about}{NAME}{json.dumps(network, indent=0)};\n"
    with replacing(options.output) as file:
        file.write(text.encode())
    for row in network["measured"]:
        print(f"fc7 {row['fc7']:5} switches {row['switches']:7} mean IoU {row['mean']:.4f}")
        print(
            "  " + ", ".join(f"{c} {v:.3f}" for c, v in zip(CLASSES, row["classes"], strict=True))
        )
    print(f"{options.output}: {len(text) / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
