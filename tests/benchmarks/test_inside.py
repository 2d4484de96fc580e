"""The gallery of units: which are chosen, and what is said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from random_state import draw_state

from benchmarks import inside
from minideconv import models
from minideconv.errors import UsageError
from minideconv.interop import write_safetensors
from minideconv.interop.conventions import CAFFE, INPUT
from minideconv.interop.vgg_names import CONVOLUTIONS
from minideconv.visualize import save_palette_png
from minideconv.visualize.unit_boards import Peak

pytestmark = pytest.mark.cpu


@pytest.fixture
def weights(tmp_path):
    state = draw_state(
        models.vgg16(width=8, fc=1, num_classes=1, input_size=32), np.random.default_rng(0)
    )
    path = tmp_path / "trunk.safetensors"
    trunk = {name: array for name, array in state.items() if name.split(".")[0] in CONVOLUTIONS}
    write_safetensors(path, trunk, {INPUT: CAFFE.to_json()})
    return path


@pytest.fixture
def voc(tmp_path):
    """Ten photographs of noise: a dog on all of the even ones, background on the others."""
    root, names = tmp_path / "VOC2012", [f"2008_{i:06}" for i in range(10)]
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (36, 44, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg")
        mask = np.full((36, 44), 12 if i % 2 == 0 else 0, np.uint8)
        save_palette_png(root / f"SegmentationClass/{name}.png", mask)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(names) + "\n")
    return root


def test_a_gallery(weights, voc, tmp_path, capsys):
    out = tmp_path / "units.png"
    arguments = [str(voc), "--weights", str(weights), "--split", "train", "--size", "32"]
    assert inside.main([*arguments, "--output", str(out)]) == 0
    assert "10 photographs" in capsys.readouterr().out
    about = json.loads(out.with_suffix(".json").read_text())
    assert list(about["layers"]) == [*inside.LAYERS, inside.LAST]
    for units in about["layers"].values():
        assert len(units) == len(inside.CLASSES)
        for unit in units:
            values = [peak["activation"] for peak in unit["peaks"]]
            assert values == sorted(values, reverse=True)
            assert len({peak["photograph"] for peak in unit["peaks"]}) == 9
    dogs = about["layers"][inside.LAST][0]
    even = sum(int(peak["photograph"].split("_")[-1]) % 2 == 0 for peak in dogs["peaks"])
    assert dogs["class"] == "dog"
    assert dogs["peaks_on_it"] == even >= 4  # of nine of ten photographs, five with dogs
    with Image.open(out) as picture:
        side = 3 * inside._SIDE + 2 * 4
        assert picture.size[0] == 6 * side + 5 * 4


def test_the_unit_of_a_class_is_the_one_with_most_peaks_on_it():
    dog = np.zeros((32, 32), np.uint8)
    dog[:16, :16] = inside.VOC_CLASSES.index("dog")

    def peaks(unit, value, *places):
        return [Peak("one", unit, value, place) for place in places]

    class Subject:
        input_size = 32  # conv5_3's map is 2 x 2

    units = [
        peaks(0, 9.0, (1, 1), (0, 1), (0, 0)),
        peaks(1, 1.0, (0, 0), (0, 0), (1, 0)),
        peaks(2, 2.0, (0, 0), (1, 1), (0, 0)),
    ]
    found = inside._by_class(Subject, units, {"one": dog})
    assert found["dog"] == (2, 2)  # as many as unit 1, and stronger
    assert found["cat"] == (0, 0)


def test_wrong_outputs_are_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"must end in \.png"):
        inside.main(["DIR", "--output", "units.jpg"])
    with pytest.raises(UsageError, match="there is no folder"):
        inside.main(["DIR", "--output", str(tmp_path / "no" / "units.png")])
