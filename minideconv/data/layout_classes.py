"""The classes of data sets other than VOC, and the numbers that their masks hold for them.

Sources: the Cityscapes benchmark's table of labels (Cordts et al., CVPR 2016): 19 of its 34 numbers
are evaluated. The 11 classes of CamVid (Brostow et al., 2009) that Badrinarayanan et al. (SegNet,
2017) train on; 11 is void. ADE20K's scene parsing benchmark (Zhou et al., CVPR 2017): 0 is void and
150 classes are 1..150. None of the three has a background.
"""

from __future__ import annotations

from pathlib import Path

from minideconv.data.classes import Classes
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError

__all__ = [
    "ADE20K_NUMBERS",
    "CAMVID",
    "CAMVID_NUMBERS",
    "CITYSCAPES",
    "CITYSCAPES_NUMBERS",
    "ade20k_classes",
]

_CITYSCAPES = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
CITYSCAPES = Classes(
    [name for name, _ in _CITYSCAPES.values()],
    [colour for _, colour in _CITYSCAPES.values()],
    void=(0, 0, 0),
)
CITYSCAPES_NUMBERS = dict.fromkeys((*range(34), VOID), VOID) | {
    number: index for index, number in enumerate(_CITYSCAPES)
}

_CAMVID = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
CAMVID = Classes(tuple(_CAMVID), list(_CAMVID.values()), void=(0, 0, 0))
CAMVID_NUMBERS = {k: k for k in range(11)} | {11: VOID, VOID: VOID}

_ADE20K = 150
ADE20K_NUMBERS = {0: VOID, VOID: VOID} | {k + 1: k for k in range(_ADE20K)}


def ade20k_classes(root: Path) -> Classes:
    """Return ADE20K's 150 classes; their names are in objectInfo150.txt, if that is there."""
    path = root / "objectInfo150.txt"
    names = [f"class {k + 1}" for k in range(_ADE20K)]
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()[1:]
            names = [line.rstrip().split("\t")[-1].strip() for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if len(names) != _ADE20K:
            raise DataError(f"{path} names {len(names)} classes; there must be {_ADE20K}")
    return Classes(names)
