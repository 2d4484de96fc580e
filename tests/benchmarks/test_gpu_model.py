"""The floors of a GPU, against numbers worked out by hand, and the pages made of results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu_model, gpu_tables
from benchmarks.gpu_model import H200, Rates, floor_ms, works
from benchmarks.layers import Layer
from benchmarks.plans import Net

LAYER = Layer("conv", False, 2, 3, 4, 3, 1, 5)  # 5 images of 4 x 4, 2 -> 3 channels, 3x3


def test_the_work_of_a_layer_by_hand():
    columns, implicit = works(LAYER)
    x, y, w = 5 * 2 * 16, 5 * 3 * 16, 3 * 2 * 9
    assert columns.flop == implicit.flop == 2 * 5 * 16 * 3 * 2 * 9
    assert implicit.bytes == 4 * (x + y + w)
    assert columns.bytes - implicit.bytes == 2 * 4 * (5 * 16 * 2 * 9)
    assert works(LAYER, 2)[0].bytes == 4 * (x + y) + 2 * w + 2 * 2 * (5 * 16 * 2 * 9)


def test_a_transposed_layer_has_the_columns_of_its_result():
    turned = Layer("deconv", True, 3, 2, 4, 3, 1, 5)
    assert works(turned)[0].bytes == works(LAYER)[0].bytes


def test_no_columns_where_the_image_is_its_own():
    for layer in (Layer("fc7", False, 8, 8, 4, 1, 0, 2), Layer("fc6", False, 8, 8, 4, 4, 0, 2)):
        columns, implicit = works(layer)
        assert columns.bytes == implicit.bytes


def test_products_and_columns_come_one_after_the_other_and_overlap_without_columns():
    rates = Rates("made up", {"fp32": 1e-12}, 1e-12)  # one flop and one byte a second
    columns, implicit = works(LAYER)
    assert floor_ms(columns, rates, "fp32") == 1e3 * (columns.flop + columns.bytes)
    assert floor_ms(implicit, rates, "fp32") == 1e3 * max(implicit.flop, implicit.bytes)


def test_columns_cost_361_over_k_of_a_tf32_product_where_an_image_is_large():
    layer = Layer("conv1_2", False, 64, 64, 224, 3, 1, 1)
    columns, implicit = works(layer)
    memory = (columns.bytes - implicit.bytes) / H200.copy
    assert memory / (layer.flop / H200.tflops["tf32"]) == pytest.approx(361 / 64, rel=0.05)


def test_the_rates_are_those_that_were_measured():
    results = json.loads(
        (Path(gpu_model.__file__).parent / "results/gpu-nvidia-h200.json").read_text()
    )
    rates = {row["name"]: row["rate"] for row in results["sections"]["rates"]}
    for precision, rate in H200.tflops.items():
        assert rate == pytest.approx(rates[f"product, {precision}"], rel=1e-3)
    copied = rates["copy on the device (read + write)"] / 1000
    assert H200.copy == pytest.approx(copied, rel=1e-3)


def test_the_table_and_the_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    net = Net("small", 2, width=4, input_size=32, fc=8)
    text = gpu_model.table(net, H200)
    assert text.count("\n| conv") == 9  # conv3_2 and conv3_3 are one, as are the fourth and fifth's
    gpu_model.plot(net, H200, tmp_path / "roof.png")
    assert (tmp_path / "roof.png").stat().st_size > 10_000


MACHINE = {"date": "2026-01-01", "device": "a GPU"}
ROW = {"name": "conv1_1", "pass": "forward", "flop": 4e9, "ms": {"ours": 2.0, "cudnn": 3.0}}


def test_the_page_shows_times_speed_and_rate():
    page = gpu_tables.render({"machine": MACHINE, "sections": {"layers": [ROW], "ops": []}})
    assert "| conv1_1 | forward | 2 | 3 | 1.50 | 2.0 |" in page
    assert "Nothing was measured." in page
    assert "Measured on 2026-01-01" in page


def test_without_a_peer_there_is_no_speed():
    row = {**ROW, "ms": {"ours": 2.0}}
    page = gpu_tables.render({"machine": MACHINE, "sections": {"layers": [row]}})
    assert "| conv1_1 | forward | 2 | - | 2.0 |" in page
    assert "speed" not in gpu_tables.line("layers", row)
    assert "speed 1.50 of the peer's" in gpu_tables.line("layers", ROW)
