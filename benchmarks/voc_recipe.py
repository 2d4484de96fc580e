"""The recipe of the comparison on photographs: what `benchmarks.voc_rows` trains and compares.

`ROWS` has the commands, in the order in which they can be run. The rows of the group "comparison"
are the paper's: FCN and DeconvNet, from random weights and from a VGG-16 that has seen ImageNet,
and both together. Those of the group "starts" train one DeconvNet on the frozen trunk from several
starts, to see what makes it learn.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DOCUMENTED", "EVALUATIONS", "GROUPS", "ROWS", "Row", "needed"]

DOCUMENTED = {"data": "VOCdevkit/VOC2012", "trunk": "vgg16-trunk-onnx", "output": "runs/voc"}
"""Where data and weights are in the commands that the documentation shows."""

_DATA = "train --data voc --data-root {data} --optimizer adamw --weight-decay 0.01"
_AUGMENTED = "--augment zoom --batch-size 10 --padding same --fc-kernel 3 --dropout 0.5"
_ON_TRUNK = (
    f"{_DATA} --class-weights 0.25 {_AUGMENTED} --input-size SIZE --width 64 --batch-norm WHERE"
    " --views 5 --cache-features 8GB --val-every 25"
)
ON_TRUNK = _ON_TRUNK.replace("SIZE", "320").replace("WHERE", "none")
FROM_SCRATCH = (
    f"{_DATA} --class-weights 0.3 {_AUGMENTED} --input-size 64 --warmup 100 --val-every 50"
)
DECODER = "--deconvolutions 1 --output-stride 2"
DECONVNET = f"--model deconvnet --depth 5 {DECODER}"
SMALL_DECONVNET = f"--model deconvnet --depth 3 --width 24 --batch-norm encoder {DECODER}"
_START = f"{_ON_TRUNK.replace('SIZE', '224')} {DECONVNET} --freeze 5 --warmup 100"
_RANDOM = f"{_START.replace('WHERE', 'head')} --lr 0.002 --output-dir {{own}}"

_COMPARE = (
    "compare {fcn8s} {deconvnet-tuned} --proposals 20 --proposals-for deconvnet"
    " --crf-bilateral-weight 5 --crf-bilateral-color 8 --shown 12 --overwrite"
)

GROUPS = ("comparison", "starts")


@dataclass(frozen=True)
class Row:
    """What is trained or compared."""

    title: str
    commands: tuple[str, ...]
    """Programs of `minideconv` and their options. {data}, {trunk}, {own} (this row's folder) and
    {NAME} (another row's) are filled in."""
    begins_with: tuple[str, ...] = ()
    """Rows that must be made before; their time counts."""
    group: str = "comparison"
    """The table that it is in, of `GROUPS`."""

    @property
    def is_network(self) -> bool:
        """Whether the row trains one network, which is then evaluated."""
        return self.commands[0].startswith("train ")


ROWS = {
    "fcn-scratch": Row(
        "FCN-8s of 4 stages, 64 pixels, random weights",
        (
            f"{FROM_SCRATCH} --model fcn8s --depth 4 --width 16 --batch-norm all"
            " --head-init uniform --lr 0.002 --epochs 300 --output-dir {own}",
        ),
    ),
    "fcn32s-scratch": Row(
        "FCN-32s of 3 stages, 64 pixels, random weights",
        (
            f"{FROM_SCRATCH} --model fcn32s --depth 3 --width 24 --batch-norm all"
            " --head-init uniform --lr 0.002 --epochs 250 --output-dir {own}",
        ),
    ),
    "deconvnet-scratch": Row(
        "DeconvNet of 3 stages, 64 pixels, begun with it",
        (
            f"{FROM_SCRATCH} {SMALL_DECONVNET} --decoder-init scores"
            " --pretrained {fcn32s-scratch}/checkpoints/last.npz"
            " --lr 0.001 --epochs 150 --output-dir {own}",
        ),
        begins_with=("fcn32s-scratch",),
    ),
    "deconvnet-random": Row(
        "the same DeconvNet, its decoder random too",
        (f"{FROM_SCRATCH} {SMALL_DECONVNET} --lr 0.002 --epochs 400 --output-dir {{own}}",),
    ),
    "fcn32s": Row(
        "FCN-32s, frozen trunk",
        (
            f"{ON_TRUNK} --model fcn32s --pretrained {{trunk}} --freeze 5 --head-init uniform"
            " --lr 0.0005 --warmup 200 --epochs 50 --output-dir {own}",
        ),
    ),
    "fcn8s": Row(
        "FCN-8s at 448 pixels, frozen trunk",
        (
            f"{ON_TRUNK.replace('320', '448')} --model fcn8s --pretrained {{trunk}} --freeze 5"
            " --head-init uniform --skip-scale 0.01 --lr 0.0005 --warmup 200 --epochs 50"
            " --output-dir {own}",
        ),
    ),
    "deconvnet": Row(
        "DeconvNet, frozen trunk, no skip",
        (
            f"{ON_TRUNK} {DECONVNET} --pretrained {{fcn32s}}/checkpoints/last.npz"
            " --decoder-init scores --freeze 5 --lr 0.0005 --warmup 100 --epochs 25"
            " --output-dir {own}",
        ),
        begins_with=("fcn32s",),
    ),
    "deconvnet-tuned": Row(
        "DeconvNet, conv5 tuned, no skip",
        (
            f"{ON_TRUNK} {DECONVNET} --pretrained {{fcn32s}}/checkpoints/last.npz"
            " --decoder-init scores --freeze 4 --lr-trunk 0.00002 --lr 0.0005 --warmup 100"
            " --epochs 20 --output-dir {own}",
        ),
        begins_with=("fcn32s",),
    ),
    "comparison": Row(
        "FCN-8s and DeconvNet, at 20 proposals, together + CRF, with the mirror image",
        (f"{_COMPARE} --flip --output {{own}}",),
        begins_with=("fcn8s", "deconvnet-tuned"),
    ),
    "comparison-paper": Row(
        "the same without the mirror image, as in the paper",
        (f"{_COMPARE} --output {{own}}",),
        begins_with=("fcn8s", "deconvnet-tuned"),
    ),
    "start-random": Row(
        "fc6, fc7 and decoder random, batch normalisation in all of them, 50 epochs",
        (f"{_RANDOM} --pretrained {{trunk}} --epochs 50",),
        group="starts",
    ),
    "start-stages": Row(
        "the same, 25 epochs on windows around objects, then 25 on all windows",
        (f"{_RANDOM} --pretrained {{trunk}} --stage both --epochs 25 --epoch-steps 22",),
        group="starts",
    ),
    "start-coarse": Row(
        "as the first, the scores of fc7 added to the decoder's (not the paper's)",
        (f"{_RANDOM} --pretrained {{trunk}} --coarse-scores --epochs 50",),
        group="starts",
    ),
    "start-encoder": Row(
        "fc6 and fc7 of the FCN-32s, decoder random, 25 epochs",
        (f"{_RANDOM} --pretrained {{fcn32s}}/checkpoints/last.npz --epochs 25",),
        begins_with=("fcn32s",),
        group="starts",
    ),
    "start-scores": Row(
        "fc6, fc7 and scores of the FCN-32s (--decoder-init scores), 25 epochs",
        (
            f"{_START.replace('WHERE', 'none')} --lr 0.0005 --decoder-init scores"
            " --pretrained {fcn32s}/checkpoints/last.npz --epochs 25 --output-dir {own}",
        ),
        begins_with=("fcn32s",),
        group="starts",
    ),
}
EVALUATIONS = {"plain": "evaluate {own} --which last", "flip": "evaluate {own} --which last --flip"}


def needed(name: str) -> list[str]:
    """Return the rows that must be made for a row, in order, and the row itself."""
    found: list[str] = []
    for other in ROWS[name].begins_with:
        found += [each for each in needed(other) if each not in found]
    return [*found, name]
