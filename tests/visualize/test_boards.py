"""Boards, activation pictures, palette masks and charts."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from minideconv.data.voc_colors import voc_palette
from minideconv.models import deconvnet
from minideconv.visualize.boards import (
    activation_picture,
    board,
    fit,
    heat,
    png_bytes,
    sample_row,
)
from minideconv.visualize.charts import Line, line_chart, nice_ticks
from minideconv.visualize.layers import decoder_layers
from minideconv.visualize.masks import save_palette_png

pytestmark = pytest.mark.cpu


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_palette_png_holds_the_labels_themselves(tmp_path):
    labels = np.array([[0, 1, 20], [255, 15, 7]])
    save_palette_png(tmp_path / "mask.png", labels)
    with Image.open(tmp_path / "mask.png") as file:
        assert file.mode == "P"
        assert (np.array(file) == labels).all()
        assert (np.array(file.convert("RGB")) == voc_palette()[labels]).all()


def test_small_pictures_grow_by_whole_pixels_and_large_ones_shrink():
    small = picture(3, 5)
    grown = fit(small, 16)
    assert grown.shape == (9, 15, 3)
    assert (grown[::3, ::3] == small).all()
    assert (grown[1::3, 2::3] == small).all()
    assert fit(picture(40, 100), 50).shape == (20, 50, 3)
    assert fit(picture(1, 300), 30).shape == (1, 30, 3)


def test_a_row_is_image_truth_prediction_and_overlay():
    image = picture(4, 6)
    truth = np.zeros((4, 6), np.uint8)
    truth[0] = 255
    prediction = np.zeros((4, 6), np.uint8)
    prediction[2:, :3] = 15
    shown, true, predicted, laid = sample_row(image, truth, prediction, side=6)
    assert (shown == image).all()
    assert (true == voc_palette()[truth]).all()
    assert (predicted == voc_palette()[prediction]).all()
    assert (laid[:2] == image[:2]).all()
    assert (laid[2:, 3:] == image[2:, 3:]).all()
    assert (laid[2:, :3] != image[2:, :3]).any()


def test_a_board_lays_pictures_of_different_sizes_out():
    rows = [[picture(4, 6, 1), picture(2, 3, 2)], [picture(3, 9, 3), picture(5, 5, 4)]]
    sheet = board(rows)
    assert sheet.shape == (4 + 4 + 5, 9 + 4 + 5, 3)
    assert (sheet[:4, :6] == rows[0][0]).all()
    assert (sheet[:2, 13:16] == rows[0][1]).all()
    assert (sheet[8:11, :9] == rows[1][0]).all()
    assert (sheet[8:13, 13:18] == rows[1][1]).all()
    assert (sheet[:4, 6:9] == 255).all()
    assert (sheet[4:8] == 255).all()


def test_the_most_active_channel_is_drawn_dark_to_yellow():
    maps = np.zeros((3, 2, 4), np.float32)
    maps[0] = 0.1
    maps[2] = [[0, 1, 2, 3], [4, 5, 6, 7]]
    drawn = activation_picture(maps, 8)
    assert drawn.shape == (8, 8, 3)
    assert (drawn == heat(maps[2] / 7)[np.arange(8) // 4][:, np.arange(8) // 2]).all()
    assert drawn[0, 0].tolist() == [68, 1, 84]
    assert drawn[-1, -1].tolist() == [253, 231, 37]
    brightness = heat(np.linspace(0, 1, 50)[None])[0] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > 0).all()  # the order can be seen without colours
    flat = activation_picture(np.full((1, 3, 3), 5.0), 3)
    assert (flat == flat[0, 0]).all()


def test_the_decoder_s_layers_of_the_real_network():
    net = deconvnet(num_classes=3, width=2, input_size=16, fc=4, stages=3).eval()
    names = list(net.activations(np.zeros((1, 3, 16, 16), np.float32)))
    assert decoder_layers(net, names) == [
        *("fc6_deconv", "unpool3", "deconv3_3"),
        *("unpool2", "deconv2_2", "unpool1", "deconv1_2"),
    ]


def test_png_bytes_open_as_the_same_picture():
    drawn = picture(5, 9)
    with Image.open(io.BytesIO(png_bytes(drawn))) as file:
        assert (np.array(file) == drawn).all()


@pytest.mark.parametrize("high", [0.0007, 0.83, 1.0, 7.0, 99.0, 1234.0, 5e6])
def test_ticks_are_few_round_and_cover_the_data(high):
    ticks = nice_ticks(high)
    assert ticks[0] == 0.0
    assert high <= ticks[-1] < 2.1 * high
    assert 3 <= len(ticks) <= 7
    step = ticks[1]
    assert re.fullmatch(r"[125]0*(\.0)?", f"{step / 10 ** np.floor(np.log10(step)):.1f}")
    np.testing.assert_allclose(np.diff(ticks), step, rtol=1e-9)


def test_a_chart_places_points_and_leaves_out_what_is_not_finite():
    points = [(0.0, 0.0), (50.0, float("nan")), (100.0, 1.0)]
    svg = line_chart("loss", [Line("a", points, "train", dots=True)], [(50.0, "stage 2")], top=1.0)
    (path,) = re.findall(r'<polyline class="line train" points="([^"]*)"', svg)
    assert path == "52.0,196.0 368.0,12.0"  # the two corners of the plotting area
    assert svg.count("<circle") == 2
    assert 'd="M210.0 12V196.0"' in svg  # half way
    assert "nan" not in svg
    assert ">stage 2<" in svg


def test_words_that_would_meet_stand_below_each_other():
    marks = [(0.0, "stage 1"), (5.0, "stage 2"), (80.0, "stage 3")]
    svg = line_chart("loss", [Line("a", [(0.0, 0.0), (100.0, 1.0)], "train")], marks)
    heights = re.findall(r'class="word" x="[^"]*" y="([^"]*)"', svg)
    assert heights == ["21.0", "33.0", "21.0"]


def test_an_empty_chart_has_a_note():
    assert "no points yet for a &lt; b" in line_chart("a < b", [Line("x", [], "train")])
    assert "<polyline" in line_chart("one", [Line("x", [(0.0, 0.0)], "train")])
