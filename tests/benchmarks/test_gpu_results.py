"""The stored results of a GPU: the page is theirs, and the table's choices follow from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_choices, layers
from benchmarks.plans import PAPER
from minideconv.engine.cuda.table import is_implicit
from minideconv.settings.command_line import run_program

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "gpu-nvidia-h200.json"
PAGE = ROOT / "docs" / "engine" / "gpu_results.md"


def test_the_documentations_page_is_the_stored_files(tmp_path):
    assert gpu.main(["--out", str(RESULTS), "--page", str(tmp_path / "page.md")]) == 0
    made = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert made == PAGE.read_text(encoding="utf-8"), (
        "make it again: python -m benchmarks.gpu --page docs/engine/gpu_results.md"
    )
    assert "| DeconvNet | 16 | 224 | tf32 |" in made


@pytest.mark.parametrize("text", [None, "{", "{}", "[]"])
def test_a_file_without_results_is_wrong_usage(tmp_path, capsys, text):
    file = tmp_path / "gpu.json"
    if text is not None:
        file.write_text(text)
    arguments = ["--out", str(file), "--page", str(tmp_path / "page.md")]
    assert run_program("benchmarks.gpu", gpu.main, arguments) == 2
    assert "holds no results of this program" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def row(which, shape, precision, **ms):
    return {"name": "one, two", "pass": which, "shape": shape, "precision": precision, "ms": ms}


def test_every_layer_is_read_back_from_its_row():
    for layer in layers.layers_of(PAPER):
        for which in ("forward", "input gradient", "weight gradient"):
            question = gpu_choices.problem_of(row(which, str(layer), "bf16"))
            sizes = [layer.size, layer.out_size]
            channels = [layer.c_in, layer.c_out]
            operation = {"f": "forward", "i": "input_grad", "w": "weight_grad"}[which[0]]
            if layer.transposed:
                sizes.reverse(), channels.reverse()
                swap = {"forward": "input_grad", "input_grad": "forward"}
                operation = swap.get(operation, operation)
            assert question.operation == operation
            assert [question.window.size[0], question.window.out[0]] == sizes, layer
            assert [question.c, question.k] == channels
            assert question.window.kernel == (layer.kernel, layer.kernel)


def test_the_cost_of_choices_is_added_up():
    wide, deep = "64 -> 64, 3x3, 224x224, N=16", "512 -> 512, 3x3, 28x28, N=16"
    ours = {"im2col_gemm": 5.0, "implicit_gemm 64x64": 2.0, "implicit_gemm 128x64": 1.0}
    rows = [
        row("forward", wide, "tf32", ours=1.0, cudnn=0.5, **ours),
        row("forward", deep, "tf32", ours=1.0, cudnn=0.5, **ours),
        row(
            "forward", deep, "tf32", ours=0.1, cudnn=0.5, im2col_gemm=0.1, **{"implicit_gemm x": 9}
        ),
        row("forward", deep, "fp32", ours=1.0, cudnn=0.5, im2col_gemm=1.0),
    ]
    assert is_implicit(gpu_choices.problem_of(rows[0]))
    assert not is_implicit(gpu_choices.problem_of(rows[1]))
    # two layers a row; the table takes the first tile of the one and the columns of the other
    want = {"table": 2 * (2.0 + 5.0), "fastest": 4.0, "cudnn": 2.0, "layers": 4}
    assert gpu_choices.costs(rows, 0.3) == {"tf32": pytest.approx(want)}


def test_the_table_s_rates_are_those_of_the_stored_times():
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["sections"]["layers"]
    found = gpu_choices.costs(rows, 0.3)
    assert set(found) == {"tf32", "bf16"}
    for name, total in found.items():
        assert total["layers"] >= 10, name
        assert total["table"] <= 1.02 * total["fastest"], name
