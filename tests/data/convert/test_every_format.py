"""The same photographs as each program exports them become the same folder."""

from __future__ import annotations

import labelled_exports as made_up
import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main
from minideconv.data.classes import read_classes


def names_of(root, split):
    return (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()


@pytest.mark.parametrize("kind", made_up.EXPORTS)
def test_masks_are_the_true_ones(kind, tmp_path, capsys):
    scenes = made_up.scenes()
    source = made_up.EXPORTS[kind](tmp_path, scenes)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    root = tmp_path / "made" / "field"
    assert main(["convert", str(source), "--output", str(root)]) == 0
    assert before == {p: p.read_bytes() for p in before}
    for scene in scenes:
        name = scene.name.replace(" ", "_")
        with Image.open(root / "SegmentationClass" / f"{name}.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.array(mask), made_up.true_mask(scene))
        photograph = root / "JPEGImages" / f"{name}.jpg"
        assert photograph.read_bytes() == made_up.photograph(scene)
    classes = read_classes(root / "classes.txt")
    assert classes.names == made_up.CLASSES
    if kind in ("cvat", "rgb"):
        assert classes.colours.tolist() == [list(made_up.COLOURS[n]) for n in made_up.CLASSES]
    train, val = names_of(root, "train"), names_of(root, "val")
    assert (len(train), len(val)) == (10, 2)
    assert sorted(train + val) == names_of(root, "trainval")
    out = capsys.readouterr().out
    assert f"{root}: 12 photographs and masks" in out
    assert "1 leaf: in 11 photographs" in out
    assert [p.name for p in root.parent.iterdir()] == ["field"]
