"""The gallery of units: which are chosen, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace

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
from minideconv.visualize.receptive_field import Box
from minideconv.visualize.unit_boards import Peak, Projection

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
    """Photographs of noise: a dog on the even ones, background on the others; a person on one."""
    root, names = tmp_path / "VOC2012", [f"2008_{i:06}" for i in range(11)]
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (36, 44, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg")
        mask = np.full((36, 44), 12 if i % 2 == 0 else 0, np.uint8)
        if i == 10:
            mask[-1, -1] = 15  # beside the square that the network sees, too
        save_palette_png(root / f"SegmentationClass/{name}.png", mask)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(names) + "\n")
    return root


def test_a_gallery(weights, voc, tmp_path, capsys):
    out = tmp_path / "units.png"
    arguments = [str(voc), "--weights", str(weights), "--split", "train", "--size", "32"]
    assert inside.main([*arguments, "--output", str(out)]) == 0
    assert "10 photographs" in capsys.readouterr().out
    about = json.loads(out.with_suffix(".json").read_text())
    # The widths of the layers, as wide as the network: 8, 16, 32, 64, 64 units.
    assert [[unit["unit"] for unit in units] for units in about["layers"].values()] == [
        [*range(8)],
        [0, 2, 5, 8, 10, 12, 15],
        [0, 8, 16, 23, 31],
        [0, 21, 42, 63],
        [0, 21, 42, 63],
    ]
    dogs = about["classes"]["dog"]
    shown = [unit["peaks"] for units in about["layers"].values() for unit in units]
    for peaks in (*shown, dogs["peaks"]):
        values = [peak["activation"] for peak in peaks]
        assert values == sorted(values, reverse=True)
        assert len({peak["photograph"] for peak in peaks} - {"2008_000010"}) == 9
    even = sum(int(peak["photograph"].split("_")[-1]) % 2 == 0 for peak in dogs["peaks"])
    assert dogs["hits"] == even >= 4  # of nine of ten photographs, five with dogs
    assert (dogs["photographs"], dogs["share_of_pixels"]) == (5, 0.5)
    # Of a dog's unit the count is above chance's, of a class that no photograph has it is 0.
    counts = [fact["photographs"] for fact in about["classes"].values()]
    assert counts == [5, *[0] * 7]
    assert all(fact["hits"] == 0 for name, fact in about["classes"].items() if name != "dog")
    with Image.open(out) as picture:
        side = 3 * inside.LAYERS["conv1_2"][1] + 2 * 4
        assert picture.size[0] == 8 * side + 7 * 4
    rows = inside.table(about).splitlines()
    assert len(rows) == 12
    assert "of 10 photographs" in rows[-1]
    assert rows[2].startswith(f"| dog | 5 | 50.0 % | {dogs['unit']} | {even} | ")


def test_the_units_of_classes():
    """The classes on most photographs, and for each the unit with most peaks on it."""
    dog, cat = map(inside.VOC_CLASSES.index, ("dog", "cat"))
    masks = {name: np.zeros((32, 32), np.uint8) for name in ("one", "two")}
    masks["one"][:16, :16] = masks["two"][:16, :16] = dog
    masks["two"][16:, 16:] = cat
    masks["two"][0, 0] = 255

    def peaks(unit, value, *places):
        return [Peak("one", unit, value, place) for place in places]

    units = [  # conv5_3's map is 2 x 2
        peaks(0, 9.0, (1, 1), (0, 1), (0, 0)),
        peaks(1, 1.0, (0, 0), (0, 0), (1, 0)),
        [*peaks(2, 2.0, (0, 0), (1, 1), (0, 0)), *(Peak("two", 2, 2.0, (0, 0)) for _ in range(6))],
        peaks(3, 1.0, *[(0, 0)] * 8),
        [Peak("two", 4, 1.0, (1, 1))],
    ]
    found = inside.by_class(32, inside.Found({inside.LAST: units}, {}, masks))
    assert [*found][:2] == ["dog", "cat"]
    assert found["dog"] == {
        "photographs": 2,
        "share_of_pixels": round(511 / 2048, 4),
        "unit": 2,  # as many as unit 3, and stronger
        "hits": 8,
        "units_with_many": 2,
    }
    assert (found["cat"]["unit"], found["cat"]["hits"]) == (4, 1)


def test_the_middle_of_a_projection():
    """Of a drawn signal: where the unit is, and the share of the squares that is there."""
    colours = np.random.default_rng(0).standard_normal((20, 30, 3))
    patch = np.arange(20 * 30 * 3, dtype=np.uint16).astype(np.uint8).reshape(20, 30, 3)
    whole = Projection(Peak("one", 3, 1.0, (0, 1)), Box(0, 4, 19, 33), colours, patch)
    cut, share = inside.middle(whole, 64, 20)  # a map of 4 x 4: the unit is at pixel 8, 24
    assert cut.box == Box(0, 14, 17, 33)
    np.testing.assert_array_equal(cut.colours, colours[0:18, 10:30])
    np.testing.assert_array_equal(cut.patch, patch[0:18, 10:30])
    assert share == pytest.approx((cut.colours**2).sum() / (colours**2).sum())
    _, share = inside.middle(replace(whole, colours=0 * colours), 64, 20)
    assert share == 1.0


def test_the_stored_picture_is_of_this_program():
    """The facts beside the documentation's picture, of which its table is made."""
    path = inside.Path(__file__).parents[2] / "docs/images/inside-vgg16.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    assert {layer: len(units) for layer, units in about["layers"].items()} == {
        layer: count for layer, (count, _) in inside.LAYERS.items()
    }
    for fact in about["classes"].values():
        assert len({peak["photograph"] for peak in fact["peaks"]}) == 9 >= fact["hits"]
        assert (fact["hits"] >= inside.OFTEN) == (fact["units_with_many"] > 0)
    assert len(about["classes"]) == inside.CLASSES
    assert 0.5 < about["in_the_middle"] < 1
    with Image.open(path.with_suffix(".png")) as picture:
        assert picture.size[0] > 1000


def test_wrong_outputs_are_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"must end in \.png"):
        inside.main(["DIR", "--output", "units.jpg"])
    with pytest.raises(UsageError, match="there is no folder"):
        inside.main(["DIR", "--output", str(tmp_path / "no" / "units.png")])
