"""Strips of maps, masks with a legend, and curves."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.data.voc_colors import overlay, voc_palette
from minideconv.visualize import feature_strip, mask_overlay, training_curves
from minideconv.visualize.boards import activation_picture
from minideconv.visualize.figures.picture import Box, Line, Pixels, Words


def of(picture, kind):
    return [mark for mark in picture.marks if isinstance(mark, kind)]


def test_a_strip_shows_each_layers_strongest_map():
    rng = np.random.default_rng(0)
    maps = {f"layer{n}": rng.random((3, n, n)) for n in (2, 3, 4, 5, 6)} | {"plane": np.eye(7)}
    picture = feature_strip(maps, columns=4)
    panels = of(picture, Pixels)
    assert [panel.about for panel in panels] == list(maps)
    assert min(panel.width for panel in panels) >= 150
    assert np.array_equal(panels[0].image, activation_picture(maps["layer2"], len(panels[0].image)))
    assert panels[4].y > panels[3].y
    assert "7 × 7" in [mark.text for mark in of(picture, Words)]
    assert picture.width <= 720


def test_an_overlay_has_a_legend_of_what_is_there():
    image = np.full((4, 6, 3), 200, np.uint8)
    mask = np.array([[0, 0, 2, 2, 255, 255]] * 4)
    picture = mask_overlay(image, mask, ["background", "cat", "dog"])
    assert [mark.text for mark in of(picture, Words)] == ["background", "dog", "void"]
    fills = [box.fill for box in of(picture, Box)]
    assert fills[1] == "#" + "".join(f"{part:02x}" for part in voc_palette()[2])
    assert np.array_equal(of(picture, Pixels)[0].image, overlay(image, mask))
    with pytest.raises(ValueError, match=r"mask has label 3; classes names 0\.\.2, and 255"):
        mask_overlay(image, np.full((4, 6), 3), ["background", "cat", "dog"])


def test_curves_are_in_proportion_and_named():
    lines = {"train": [(0, 2.0), (50, 1.0), (100, 0.5)], "validation": [(0, 2.0), (100, 0.5)]}
    picture = training_curves(lines, x_axis="step", y_axis="loss")
    train, validation = (line for line in of(picture, Line) if line.about)
    (x0, y0), (x1, y1), (x2, y2) = train.points
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert (y1 - y0) / (y2 - y1) == pytest.approx(2)
    assert validation.dashed
    assert not train.dashed
    assert train.colour != validation.colour
    named = {mark.text: mark for mark in of(picture, Words) if mark.text in lines}
    assert abs(named["train"].y - named["validation"].y) >= 16, "the names do not meet"
    for wrong in ({}, {"a": []}, {name: [(0, 1)] for name in "abcde"}):
        with pytest.raises(ValueError, match=r"it must be 1\.\.4"):
            training_curves(wrong)
