"""``python -m minideconv.visualize``: its pictures, its facts, and its sentences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from random_state import draw_state

from minideconv import models, train
from minideconv.interop import write_safetensors
from minideconv.interop.conventions import CAFFE, INPUT
from minideconv.interop.vgg_names import CONVOLUTIONS
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint
from minideconv.visualize.__main__ import main
from minideconv.visualize.saliency_board import METHODS

pytestmark = pytest.mark.cpu

_SMALL = [
    *("--device", "cpu", "--train-images", "8", "--val-images", "4", "--epochs", "1", "-q"),
    *("--image-size", "32", "--input-size", "32", "--recalibrate", "0", "--final-images", "0"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {
        "deconvnet": ["--width", "4", "--depth", "3", "--fc", "8"],
        "fcn8s": ["--width", "4", "--fc", "8", "--fc-kernel", "3", "--padding", "same"],
    }
    for name, chosen in options.items():
        arguments = [*_SMALL, "--model", name, *chosen, "--output-dir", str(folder / name)]
        assert train.main(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with VGG-16's convolutions alone, narrow, by this library's names."""
    net = models.vgg16(width=2, fc=1, num_classes=1, input_size=32)
    state = draw_state(net, np.random.default_rng(0))
    path = tmp_path_factory.mktemp("weights") / "trunk.safetensors"
    trunk = {n: a for n, a in state.items() if n.split(".")[0] in CONVOLUTIONS}
    write_safetensors(path, trunk, {INPUT: CAFFE.to_json()})
    return path


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(11):
        pixels = np.random.default_rng(i).integers(0, 256, (30, 40 + i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def run(*arguments):
    return main([*map(str, arguments), "--device", "cpu", "-q"])


def size_of(path):
    with Image.open(path) as file:
        return file.size


class Page(HTMLParser):
    """What a page refers to, and its figures."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.figures = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.figures += tag == "figure"
        self.addresses += [value for name, value in attributes if name in ("src", "href")]


@pytest.mark.parametrize(("model", "panels"), [("deconvnet", 7), ("fcn8s", 3)])
def test_activations(runs, photographs, tmp_path, model, panels):
    out = tmp_path / "out"
    assert run("activations", runs / model, photographs / "00.png", "-o", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "00_activations.html",
        "00_activations.png",
    ]
    text = (out / "00_activations.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.figures == panels + 1  # the prediction
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    assert f'max="{panels}"' in text
    if model == "deconvnet":
        assert "unpool1: 32 x 32, map" in text
        assert text.count("switches of unpool") == 3


def test_activations_of_chosen_layers(runs, photographs, tmp_path):
    layers = "conv1_2,unpool2"
    assert run("activations", runs / "deconvnet", photographs / "00.png", "--layers", layers,
               "-o", tmp_path) == 0  # fmt: skip
    assert Page((tmp_path / "00_activations.html").read_text()).figures == 3


def test_units(runs, photographs, tmp_path):
    command = ["units", runs / "deconvnet", photographs / "01.png", "-o", tmp_path]
    assert run(*command, "--layer", "conv2_2", "--count", 4) == 0
    about = json.loads((tmp_path / "01_units_conv2_2.json").read_text())
    values = [unit["peaks"][0]["activation"] for unit in about["units"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert about["rule"] == "deconvnet"
    for unit in about["units"]:
        (peak,) = unit["peaks"]
        top, left, bottom, right = peak["box"]
        assert bottom - top + 1 <= 14
        assert right - left + 1 <= 14
    assert run(*command, "--layer", "conv1_1", "--units", "2,0", "--rule", "guided") == 0
    about = json.loads((tmp_path / "01_units_conv1_1.json").read_text())
    assert [unit["unit"] for unit in about["units"]] == [2, 0]
    # The picture is only replaced if that is wanted.
    assert run(*command, "--layer", "conv1_1") == 2
    assert run(*command, "--layer", "conv1_1", "--overwrite") == 0


def test_top9_finds_the_largest_of_a_folder(weights, photographs, tmp_path):
    # 32 pixels: of each photograph the network sees 32 x 32 of its middle.
    command = ["top9", weights, photographs, "--layer", "conv2_1", "--size", 32, "-o", tmp_path]
    assert run(*command, "--units", 1) == 0
    (unit,) = json.loads((tmp_path / "photographs_top9_conv2_1.json").read_text())["units"]
    found = [(peak["activation"], peak["photograph"]) for peak in unit["peaks"]]
    every = []
    for path in sorted(photographs.iterdir()):
        assert run("units", weights, path, "--layer", "conv2_1", "--units", 1, "--size", 32,
                   "-o", tmp_path / "each") == 0  # fmt: skip
        (one,) = json.loads((tmp_path / f"each/{path.stem}_units_conv2_1.json").read_text())[
            "units"
        ]
        every.append((one["peaks"][0]["activation"], path.name))
    assert found == sorted(every, reverse=True)[:9]
    assert found[0][0] > found[8][0] > 0
    with_them = size_of(tmp_path / "photographs_top9_conv2_1.png")
    assert run(*command, "--units", 1, "--no-photographs", "--overwrite") == 0
    without = size_of(tmp_path / "photographs_top9_conv2_1.png")
    assert with_them[0] == 2 * without[0] + 4


def test_a_picture_that_cannot_be_read_is_reported_and_the_others_done(
    weights, photographs, tmp_path, capsys
):
    (photographs / "05.png").write_bytes(b"no picture")
    command = ["top9", weights, photographs, "--layer", "pool1", "--size", 32, "-o", tmp_path]
    assert run(*command, "--count", 2) == 1
    assert "05.png is not a picture that can be read" in capsys.readouterr().err
    assert (tmp_path / "photographs_top9_pool1.png").exists()
    for path in photographs.iterdir():
        path.write_bytes(b"")
    assert run(*command, "--overwrite") == 1
    assert "none of its 11 pictures can be used" in capsys.readouterr().err


def test_saliency(runs, photographs, tmp_path):
    image = photographs / "02.png"
    for model in ("deconvnet", "fcn8s"):
        out = tmp_path / model
        assert run("saliency", runs / model, image, "--target", 1, "--steps", 2, "-o", out) == 0
        about = json.loads((out / "02_saliency.json").read_text())
        assert {"score of the mean colour", "sum of integrated gradients"} <= set(about)
        # Photograph and six maps in two rows of four, a title above each and above all.
        assert size_of(out / "02_saliency.png") == (4 * 224 + 3 * 4, 18 + 2 * (18 + 224) + 4)


def test_saliency_of_a_class_by_name_of_a_unit_and_of_one_method(runs, photographs, tmp_path):
    image, run_folder = photographs / "02.png", runs / "deconvnet"
    names = load_checkpoint(run_folder / "checkpoints/last.npz").header["classes"]
    command = ["saliency", run_folder, image, "-o", tmp_path, "--overwrite"]
    assert run(*command, "--target", names[2], "--methods", "grad-cam") == 0
    assert json.loads((tmp_path / "02_saliency.json").read_text())["target"].startswith(names[2])
    assert run(*command, "--layer", "fc7", "--methods", "guided,gradient") == 0
    about = json.loads((tmp_path / "02_saliency.json").read_text())
    assert re.fullmatch(r"fc7, unit \d+, place \d+, \d+", about["target"])


def test_weights_without_scores_explain_their_last_layer(weights, photographs, tmp_path):
    arguments = ["--methods", "guided", "--size", 32, "-o", tmp_path]
    assert run("saliency", weights, photographs / "02.png", *arguments) == 0
    about = json.loads((tmp_path / "02_saliency.json").read_text())
    assert about["target"].startswith("conv5_3, unit ")


# ---- mistakes: one sentence, an exit code, nothing written ---------------------------------------


def mistake(capsys, tmp_path, code, sentence, *arguments):
    out = tmp_path / "never"
    assert run(*arguments, "-o", out) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(sentence, line), line
    assert not out.exists()


def test_layers_and_units_that_are_not_there(runs, weights, photographs, tmp_path, capsys):
    image, net = photographs / "00.png", runs / "deconvnet"
    legal = r"layer 'conv9' is not in DeconvNet, which has conv1_1, .*unpool1.* seg_score$"
    for command in ("units", "saliency"):
        mistake(capsys, tmp_path, 2, legal, command, net, image, "--layer", "conv9")
    mistake(capsys, tmp_path, 2, legal, "top9", net, photographs, "--layer", "conv9")
    mistake(capsys, tmp_path, 2, legal, "activations", net, image, "--layers", "conv1_1,conv9")
    # Of weights without fc6, only what they have.
    mistake(capsys, tmp_path, 2, r"layer 'fc6' is not in VGG-16, .*conv5_3, pool5$",
            "units", weights, image, "--layer", "fc6", "--size", 32)  # fmt: skip
    range_ = r"unit 4 is not in layer conv1_1, which has 0\.\.3$"
    mistake(capsys, tmp_path, 2, range_, "units", net, image, "--layer", "conv1_1", "--units", 4)
    mistake(capsys, tmp_path, 2, range_, "top9", net, photographs, "--layer", "conv1_1",
            "--units", 4)  # fmt: skip
    mistake(capsys, tmp_path, 2, range_, "saliency", net, image, "--layer", "conv1_1",
            "--target", 4)  # fmt: skip
    mistake(capsys, tmp_path, 2, "--target is 'zebra'; it must be a class in 0..4 or one of back",
            "saliency", net, image, "--target", "zebra")  # fmt: skip
    mistake(capsys, tmp_path, 2, "--methods: 'magic' is unknown; there are gradient, guided",
            "saliency", net, image, "--methods", "guided,magic")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["units", "n", "i", "--layer", "a", "--units="], "--units: '' names nothing"),
        (["units", "n", "i", "--layer", "a", "--units", "3,3"], "--units: 3 is named twice"),
        (["units", "n", "i", "--layer", "a", "--units", "3,,4"], "--units: '3,,4' names nothing"),
        (["units", "n", "i", "--layer", "a", "--units", "x"], "'x' is not a whole number >= 0"),
        (["activations", "n", "i", "--layers", ""], "--layers: '' names nothing"),
        (["saliency", "n", "i", "--methods", " "], "--methods: ' ' names nothing"),
        (["saliency", "n", "i", "--methods", "guided,guided"], "guided is named twice"),
    ],
)
def test_lists_that_name_nothing_or_one_thing_twice(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_size_that_no_memory_holds(runs, photographs, tmp_path, capsys):
    # 32 x 32 pixels give 8 maps of 32 x 32 in the first two layers alone, of 4 bytes each.
    mistake(capsys, tmp_path, 2, r"--size 10000000 needs about \d+\.\d\d TiB, and this machine has",
            "units", runs / "deconvnet", photographs / "00.png", "--layer", "conv1_1",
            "--size", 10_000_000)  # fmt: skip


def test_the_photographs_folder_is_not_written_to(runs, photographs, capsys):
    code = run("top9", runs / "deconvnet", photographs, "--layer", "conv1_1", "-o", photographs)
    assert code == 2
    assert f"--output-dir {photographs} is the folder of FOLDER, which" in capsys.readouterr().err


def test_pictures_that_show_nothing(runs, photographs, tmp_path, capsys):
    net, small = runs / "deconvnet", tmp_path / "pixel.png"
    Image.new("RGB", (1, 1), "red").save(small)
    sentence = r"pixel\.png: the picture is 1 x 1 pixels; it must be 8 x 8 at least$"
    mistake(capsys, tmp_path, 1, sentence, "activations", net, small)
    mistake(capsys, tmp_path, 1, sentence, "units", net, small, "--layer", "conv1_1")
    mistake(capsys, tmp_path, 1, sentence, "saliency", net, small)
    mistake(
        capsys, tmp_path, 1, "absent.png does not exist", "saliency", net, tmp_path / "absent.png"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    mistake(capsys, tmp_path, 2, "empty: no JPEG, PNG, WebP, TIFF or BMP file is in it",
            "top9", net, empty, "--layer", "conv1_1")  # fmt: skip
    mistake(capsys, tmp_path, 2, "there is no such folder",
            "top9", net, tmp_path / "absent", "--layer", "conv1_1")  # fmt: skip


def test_weights_that_are_not_numbers(runs, photographs, tmp_path, capsys):
    found = load_checkpoint(runs / "deconvnet/checkpoints/last.npz")
    found.model_state["conv2_1.layer.weight"][0, 0, 0, 0] = np.nan
    spoilt = tmp_path / "spoilt.npz"
    save_checkpoint(spoilt, found)
    mistake(capsys, tmp_path, 1, r"conv2_1\.layer\.weight has values that are NaN or infinite$",
            "activations", spoilt, photographs / "00.png")  # fmt: skip


def test_networks_that_are_not_there_or_too_small(runs, weights, photographs, tmp_path, capsys):
    image = photographs / "00.png"
    mistake(capsys, tmp_path, 2, "no such run folder or checkpoint",
            "activations", tmp_path / "nothing", image)  # fmt: skip
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x00" * 40)
    mistake(capsys, tmp_path, 1, "broken.onnx", "activations", broken, image)
    mistake(capsys, tmp_path, 2, r"--size is 16; .* needs at least 32",
            "activations", weights, image, "--size", 16)  # fmt: skip


def test_an_input_is_never_overwritten(runs, photographs, capsys):
    image = photographs / "03_activations.png"
    (photographs / "03.png").rename(image)
    twin = photographs / "03.png"
    twin.write_bytes(image.read_bytes())
    before = image.read_bytes()
    assert run("activations", runs / "deconvnet", twin, "-o", photographs) == 2
    assert "holds 03_activations.png already" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_the_help_names_every_method_and_the_program_starts():
    done = subprocess.run(
        [sys.executable, "-m", "minideconv.visualize", "saliency", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = "".join(done.stdout.split())
    assert all(method in words for method in METHODS)
