"""Twelve photographs with objects of three own classes, as the programs for labelling export them.

Every object is a convex polygon, so that the true masks are known without any code of the
library's: a point lies inside of one where it is on the same side of all edges.
"""

from __future__ import annotations

import io
import json
import zipfile
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = ("background", "leaf", "stick", "stone")
CATEGORY_IDS = {"leaf": 3, "stick": 17, "stone": 40}
COLOURS = {"background": (0, 0, 0), "leaf": (20, 160, 30), "stick": (250, 125, 187),
           "stone": (102, 102, 255)}  # fmt: skip
_SHADES = {"leaf": (60, 170, 70), "stick": (150, 95, 40), "stone": (130, 130, 150)}
ORIENTED = 5
"""The photograph that was taken with the camera held sideways."""


class Scene(NamedTuple):
    """A photograph's name, its upright pixels, its objects from the back to the front."""

    name: str
    image: np.ndarray
    objects: list[tuple[str, np.ndarray]]


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels' centres lie on one side of all edges of a convex polygon."""
    y, x = np.mgrid[:height, :width] + 0.5
    sides = [
        (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
        for p, q in zip(points, np.roll(points, -1, axis=0), strict=True)
    ]
    return np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)


def true_mask(scene: Scene) -> np.ndarray:
    """The mask (H, W) uint8 of a scene, classes numbered as in CLASSES."""
    mask = np.zeros(scene.image.shape[:2], np.uint8)
    for label, points in scene.objects:
        mask[inside(points, *mask.shape)] = CLASSES.index(label)
    return mask


def scenes(count: int = 12) -> list[Scene]:
    """Scenes by a fixed seed, each of another size; the last one shows nothing."""
    rng = np.random.default_rng(14)
    made = []
    for number in range(count):
        height, width = 40 + 2 * number, 64 - number
        objects = [] if number == count - 1 else _objects(rng, height, width)
        image = rng.integers(190, 230, (height, width, 3)).astype(np.uint8)
        for label, points in objects:
            pixels = inside(points, height, width)
            image[pixels] = rng.integers(-15, 16, (pixels.sum(), 3)) + np.array(_SHADES[label])
        made.append(Scene(f"field {number:02d}", image, objects))
    return made


def _objects(rng: np.random.Generator, height: int, width: int) -> list[tuple[str, np.ndarray]]:
    """A large stone, a leaf that may lie on it, and a thin stick over both."""
    corners = {"stone": (16, 14.0, 12.0), "leaf": (4, 9.0, 5.0), "stick": (4, 10.0, 2.0)}
    objects = []
    for label, (count, a, b) in corners.items():
        angles = np.arange(count) * 2 * np.pi / count + 0.3
        turn = rng.uniform(0, np.pi)
        centre = rng.uniform((14, 14), (width - 14, height - 14))
        x, y = a * np.cos(angles), b * np.sin(angles)
        spun = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])
        objects.append((label, np.round(spun.T + centre, 3)))
    return objects


def photograph(scene: Scene) -> bytes:
    """A scene as a JPEG; one of them stored sideways, with EXIF orientation 6."""
    sideways = int(scene.name[-2:]) == ORIENTED
    picture = Image.fromarray(np.rot90(scene.image) if sideways else scene.image)
    exif = Image.Exif()
    if sideways:
        exif[274] = 6  # to be turned by 90 degrees clockwise
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, exif=exif.tobytes())
    return file.getvalue()


def write(path: Path, content: bytes | str | dict) -> None:
    """Write a file and the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """An array as a PNG, with a palette if there is one."""
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def labelme(root: Path, made: list[Scene]) -> Path:
    """A JSON file beside each photograph."""
    for scene in made:
        height, width = scene.image.shape[:2]
        shapes = [
            {"label": label, "points": points.tolist(), "group_id": None, "shape_type": "polygon",
             "flags": {}}
            for label, points in scene.objects
        ]  # fmt: skip
        write(root / f"{scene.name}.jpg", photograph(scene))
        write(root / f"{scene.name}.json", {
            "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{scene.name}.jpg",
            "imageData": None, "imageHeight": height, "imageWidth": width,
        })  # fmt: skip
    return root


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
