"""What VGG-16's and DeconvNet's parameters are called in each program, and how they lie there.

The names on the left of every table are this library's own, those of `models.deconvnet`:
``conv1_1.layer.weight``, ``conv1_1.bn.running_mean``, ``fc6.layer.bias``, ``seg_score.weight``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from minideconv.errors import UsageError
from minideconv.interop.conventions import CAFFE, DECONVNET, TORCHVISION, InputConvention

__all__ = ["BLOCKS", "CONVOLUTIONS", "DECONVOLUTIONS", "NAMINGS", "Naming", "naming"]

CONVOLUTIONS = tuple(
    f"conv{stage}_{i}"
    for stage, count in enumerate((2, 2, 3, 3, 3), 1)
    for i in range(1, count + 1)
)
"""VGG-16's thirteen, in the order of computation."""

DECONVOLUTIONS = tuple(
    f"deconv{stage}_{i}"
    for stage, count in zip((5, 4, 3, 2, 1), (3, 3, 3, 2, 2), strict=True)
    for i in range(1, count + 1)
)
"""DeconvNet's, behind the unpoolings."""

BLOCKS = (*CONVOLUTIONS, "fc6", "fc7", "fc6_deconv", *DECONVOLUTIONS)
"""All that have a batch normalisation in DeconvNet; ``seg_score`` has none."""

_BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Naming:
    """How one program calls the parameters, and how it lays them out.

    Attributes
    ----------
    title : str
        The program and its network.
    names : dict of str to str
        This library's name to that program's; which of them a file has may vary.
    layout : {"OIHW", "HWIO"}
        Of a convolution's weight. The fully connected layers follow: in the first they are
        (4096, C*H*W), in the second (H*W*C, 4096).
    convention : InputConvention or None
        What the program feeds, unless a file was trained otherwise; None if names do not tell.
    matrices : bool
        Whether fc6 and fc7 are fully connected there; otherwise they are convolutions as here.
    folded_norm : bool
        Whether batch normalisation has a scale and a shift alone, the statistics being in them.
    """

    title: str
    names: dict[str, str]
    layout: str = "OIHW"
    convention: InputConvention | None = CAFFE
    matrices: bool = True
    folded_norm: bool = False


def _table(block: Callable[[str], Iterator[tuple[str, str]]], *blocks: str) -> dict[str, str]:
    return {f"{name}.{own}": theirs for name in blocks for own, theirs in block(name)}


def _torchvision(*, norm: bool) -> dict[str, str]:
    """``features.N``: every layer is counted, ReLU and pooling too; ``classifier.N`` likewise."""
    names, number = {}, 0
    for block in CONVOLUTIONS:
        if block.endswith("_1") and block != "conv1_1":
            number += 1  # the pooling before it
        for kind in ("weight", "bias"):
            names[f"{block}.layer.{kind}"] = f"features.{number}.{kind}"
        if norm:
            names |= {f"{block}.bn.{kind}": f"features.{number + 1}.{kind}" for kind in _BN}
        number += 3 if norm else 2  # with the ReLU
    for block, place in (("fc6", 0), ("fc7", 3)):
        for kind in ("weight", "bias"):
            names[f"{block}.layer.{kind}"] = f"classifier.{place}.{kind}"
    return names


def _caffe(layer: str) -> Iterator[tuple[str, str]]:
    yield "layer.weight", f"{layer}/0"
    yield "layer.bias", f"{layer}/1"


def _pytorch_fcn(layer: str) -> Iterator[tuple[str, str]]:
    yield "layer.weight", f"{layer}.weight"
    yield "layer.bias", f"{layer}.bias"


def _deconvnet(block: str) -> Iterator[tuple[str, str]]:
    """Caffe with the fork's BN, whose two blobs are the scale and the shift."""
    layer = block.replace("fc6_deconv", "fc6-deconv")
    norm = {"fc6": "bnfc6", "fc7": "bnfc7", "fc6_deconv": "fc6-deconv-bn"}.get(block)
    norm = norm or block.replace("deconv", "debn").replace("conv", "bn")
    yield from _caffe(layer)
    yield "bn.weight", f"{norm}/0"
    yield "bn.bias", f"{norm}/1"


def _keras(weight: str, bias: str) -> dict[str, str]:
    """``block1_conv1`` and ``fc1``; `weight` and `bias` are the paths, with the layer as {0}."""
    layers = {block: f"block{block[4]}_conv{block[6]}" for block in CONVOLUTIONS}
    layers |= {"fc6": "fc1", "fc7": "fc2"}
    return {
        f"{block}.layer.{kind}": path.format(layer)
        for block, layer in layers.items()
        for kind, path in (("weight", weight), ("bias", bias))
    }


def _own(block: str) -> Iterator[tuple[str, str]]:
    for kind in ("weight", "bias"):
        yield f"layer.{kind}", f"{block}.layer.{kind}"
    for kind in _BN:
        yield f"bn.{kind}", f"{block}.bn.{kind}"


_SCORE = ("seg_score.weight", "seg_score.bias")
_FCN_SCORES = ("score_fr", "score_pool4", "score_pool3")
_FCN_UPSCORES = ("upscore", "upscore16", "upscore8", "upscore2", "upscore_pool4")


def _fcn_head(weight: str, bias: str) -> dict[str, str]:
    """Name what scores and enlarges in FCN-32s, -16s and -8s; {0} is the layer."""
    return {f"{layer}.weight": weight.format(layer) for layer in (*_FCN_SCORES, *_FCN_UPSCORES)} | {
        f"{layer}.bias": bias.format(layer) for layer in _FCN_SCORES
    }


NAMINGS: dict[str, Naming] = {
    "torchvision vgg16": Naming(
        "torchvision's vgg16", _torchvision(norm=False), convention=TORCHVISION
    ),
    "torchvision vgg16_bn": Naming(
        "torchvision's vgg16_bn", _torchvision(norm=True), convention=TORCHVISION
    ),
    "caffe": Naming("Oxford's VGG-16 in Caffe", _table(_caffe, *CONVOLUTIONS, "fc6", "fc7")),
    "caffe deconvnet": Naming(
        "DeconvNet's authors' network in Caffe",
        _table(_deconvnet, *BLOCKS)
        | dict(zip(_SCORE, ("seg-score-voc/0", "seg-score-voc/1"), strict=True)),
        convention=DECONVNET,
        matrices=False,
        folded_norm=True,
    ),
    "caffe fcn": Naming(
        "FCN's authors' network in Caffe",
        _table(_caffe, *CONVOLUTIONS, "fc6", "fc7") | _fcn_head("{0}/0", "{0}/1"),
        convention=DECONVNET,
        matrices=False,
    ),
    "pytorch-fcn": Naming(
        "pytorch-fcn's networks",
        _table(_pytorch_fcn, *CONVOLUTIONS, "fc6", "fc7") | _fcn_head("{0}.weight", "{0}.bias"),
        convention=DECONVNET,
        matrices=False,
    ),
    "keras": Naming("Keras' VGG16", _keras("{0}/{0}/kernel:0", "{0}/{0}/bias:0"), "HWIO"),
    "keras 3": Naming("Keras' VGG16", _keras("{0}/{0}/kernel", "{0}/{0}/bias"), "HWIO"),
    "keras nested": Naming("Keras' VGG16", _keras("{0}/kernel:0", "{0}/bias:0"), "HWIO"),
    "keras applications": Naming("Keras' VGG16", _keras("{0}/{0}_W_1:0", "{0}/{0}_b_1:0"), "HWIO"),
    "onnx of keras": Naming(
        "Keras' VGG16, converted to ONNX",
        _keras("{0}_1/convolution/ReadVariableOp:0", "{0}_1/Squeeze:0"),
    ),
    "minideconv": Naming(
        "this library's DeconvNet",
        _table(_own, *BLOCKS) | dict(zip(_SCORE, _SCORE, strict=True)),
        convention=None,
        matrices=False,
    ),
}
"""The namings by what to call them."""


def naming(name: str) -> Naming:
    """Return a naming of `NAMINGS`.

    Raises
    ------
    UsageError
        If there is none of that name; the message lists them.
    """
    if name not in NAMINGS:
        raise UsageError(f"naming {name!r} is unknown; there are {', '.join(NAMINGS)}")
    return NAMINGS[name]
