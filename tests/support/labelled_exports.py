"""Twelve photographs with objects of three own classes, as the programs for labelling export them.

The photographs and their true masks are `own_scenes`.
"""

from __future__ import annotations

import io
import zipfile
from itertools import groupby
from pathlib import Path

import numpy as np
from own_scenes import CLASSES, Scene, inside, labelme, photograph, scenes, true_mask, write
from PIL import Image

__all__ = [
    "CLASSES",
    "COLOURS",
    "EXPORTS",
    "Scene",
    "inside",
    "labelme",
    "photograph",
    "png",
    "runs_of",
    "scenes",
    "text_of",
    "true_mask",
    "write",
]

CATEGORY_IDS = {"leaf": 3, "stick": 17, "stone": 40}
COLOURS = {"background": (0, 0, 0), "leaf": (20, 160, 30), "stick": (250, 125, 187),
           "stone": (102, 102, 255)}  # fmt: skip


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """An array as a PNG, with a palette if there is one."""
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def labelme_masks(root: Path, made: list[Scene]) -> Path:
    """What labelme2voc.py makes."""
    palette = np.zeros((256, 3), np.uint8)
    palette[1:4] = [(128, 0, 0), (0, 128, 0), (128, 128, 0)]
    for scene in made:
        write(root / "JPEGImages" / f"{scene.name}.jpg", photograph(scene))
        write(root / "SegmentationClassPNG" / f"{scene.name}.png", png(true_mask(scene), palette))
        write(root / "SegmentationClassVisualization" / f"{scene.name}.jpg", photograph(scene))
    write(root / "class_names.txt", "_background_\n" + "\n".join(CLASSES[1:]))
    return root


def coloured(scene: Scene) -> bytes:
    """A scene's mask in COLOURS, as an RGB PNG."""
    return png(np.array([COLOURS[name] for name in CLASSES], np.uint8)[true_mask(scene)])


def cvat(archive: Path, made: list[Scene]) -> Path:
    """CVAT's "Segmentation mask 1.1", with the photographs; classes in alphabetical order."""
    lines = "".join(f"{name}:{','.join(map(str, COLOURS[name]))}::\n" for name in CLASSES)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labelmap.txt", f"# label:color_rgb:parts:actions\n{lines}")
        names = "".join(f"{scene.name}\n" for scene in made)
        file.writestr("ImageSets/Segmentation/default.txt", names)
        for scene in made:
            file.writestr(f"JPEGImages/{scene.name}.jpg", photograph(scene))
            file.writestr(f"SegmentationClass/{scene.name}.png", coloured(scene))
            file.writestr(f"SegmentationObject/{scene.name}.png", coloured(scene))
    return archive


def rgb(root: Path, made: list[Scene]) -> Path:
    """``images/`` and ``masks/``, and a classes.txt with colours."""
    for scene in made:
        write(root / "images" / f"{scene.name}.jpg", photograph(scene))
        write(root / "masks" / f"{scene.name}.png", coloured(scene))
    lines = [f"{name} #{bytes(COLOURS[name]).hex()}" for name in CLASSES]
    write(root / "classes.txt", "\n".join(lines))
    return root


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO's runs of a mask: column by column, zeros first."""
    groups = [(value, len(list(group))) for value, group in groupby(mask.T.ravel().tolist())]
    return [0] * (bool(groups) and groups[0][0]) + [length for _, length in groups]


def text_of(runs: list[int]) -> str:
    """COCO's text of runs: the digits of base 32, lowest first, as a string of bits would give."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        digits = 1
        while not -(16 * 32 ** (digits - 1)) <= value < 16 * 32 ** (digits - 1):
            digits += 1
        bits = format(value % 32**digits, f"0{5 * digits}b")  # two's complement
        parts = [bits[k : k + 5] for k in range(0, len(bits), 5)][::-1]
        more = ["1"] * (digits - 1) + ["0"]
        text += "".join(chr(48 + int(m + p, 2)) for m, p in zip(more, parts, strict=True))
    return text


def coco(root: Path, made: list[Scene], outlines: str = "polygons") -> Path:
    """``images/`` and ``annotations/instances_default.json``; category ids have gaps."""
    images, annotations = [], []
    for number, scene in enumerate(made):
        height, width = scene.image.shape[:2]
        write(root / "images" / f"{scene.name}.jpg", photograph(scene))
        images.append({"id": 100 + number, "file_name": f"{scene.name}.jpg", "width": width,
                       "height": height})  # fmt: skip
        for label, points in scene.objects[::-1]:  # the order in the file does not matter
            pixels = inside(points, height, width)
            runs = runs_of(pixels)
            outline = {
                "polygons": [points.ravel().tolist()],
                "runs": {"size": [height, width], "counts": runs},
                "text": {"size": [height, width], "counts": text_of(runs)},
            }[outlines]
            annotations.append({
                "id": len(annotations) + 1, "image_id": 100 + number, "segmentation": outline,
                "category_id": CATEGORY_IDS[label], "iscrowd": int(outlines != "polygons"),
                "area": int(pixels.sum()), "bbox": [0, 0, 1, 1],
            })  # fmt: skip
    categories = [{"id": key, "name": name, "supercategory": ""}
                  for name, key in CATEGORY_IDS.items()][::-1]  # fmt: skip
    write(root / "annotations" / "instances_default.json", {
        "licenses": [], "info": {}, "categories": categories, "images": images,
        "annotations": annotations,
    })  # fmt: skip
    return root


EXPORTS = {
    "labelme": lambda root, made: labelme(root / "labelled", made),
    "labelme-masks": lambda root, made: labelme_masks(root / "exported", made),
    "cvat": lambda root, made: cvat(root / "cvat.zip", made),
    "rgb": lambda root, made: rgb(root / "coloured", made),
    "coco": lambda root, made: coco(root / "coco", made),
    "coco-runs": lambda root, made: coco(root / "coco", made, "runs"),
    "coco-text": lambda root, made: coco(root / "coco", made, "text"),
}
