"""Drawing the input again as a task: metrics, loss, commands, photographs without masks."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from device_tier import DEVICE
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minideconv import Tensor, evaluate, models, predict, report, tasks, train
from minideconv.backend import default_device, to_cpu
from minideconv.data import Shapes
from minideconv.data.pictures import read_image
from minideconv.data.transforms import Normalize
from minideconv.files.schema import Mismatch
from minideconv.tasks.autoencoder.errors import ReconstructionErrors, psnr
from minideconv.tasks.autoencoder.pictures import board_row, sections
from minideconv.tasks.autoencoder.reconstructor import Reconstructor, inside, photograph_at
from minideconv.tasks.results import RunRecord
from minideconv.training.run.trained import load_trained
from minideconv.visualize.boards import png_bytes

SMALL = [
    *("--task", "autoencode", "--width", "2", "--depth", "2"),
    *("--input-size", "16", "-b", "4", "--epochs", "3", "--optimizer", "adamw", "--lr", "0.02"),
    *("--train-images", "16", "--val-images", "3", "--recalibrate", "2", "--images", "2"),
    *("--device", "cpu" if DEVICE == "cpu" else "gpu"),
]
TINY = ["--image-size", "24", *SMALL]


class Same(models.Autoencoder):
    """Draws every image again without an error, or `wrong` grey levels too bright."""

    wrong = 0.0

    def reconstruct(self, x):
        return x + self.wrong / 58.0, []


def same(wrong=0.0):
    net = Same(width=1, stages=1, input_size=2).eval()
    net.wrong = wrong
    return net


# -- Metrics ------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 80), st.booleans())
def test_the_metrics_are_their_definition(seed, scale, bgr):
    """In grey levels, over all values of all batches. The naive loop rejects a mean of the images'
    own PSNRs, errors in units of the input, and 255 in place of its square."""
    rng = np.random.default_rng(seed)
    task = tasks.Autoencode(Normalize(scale=scale, bgr=bgr))
    metrics, squares = task.metrics(), []
    for count in (1, 3):
        inputs, outputs = rng.standard_normal((2, count, 3, 4, 5)).astype(np.float32)
        sums = Tensor(metrics.counts).data
        task.count(sums, Tensor(outputs).data, Tensor(inputs).data, None)
        metrics.counts = to_cpu(sums)
        for a, b in zip(outputs.ravel(), inputs.ravel(), strict=True):
            squares.append((float(a) * scale - float(b) * scale) ** 2)
    found = metrics.compute()
    mse = sum(squares) / len(squares)
    assert found["mse"] == pytest.approx(mse, rel=1e-5)
    assert found["psnr"] == pytest.approx(20 * math.log10(255 / math.sqrt(mse)), abs=1e-4)


def test_metrics_that_are_not_defined():
    assert ReconstructionErrors().compute() == {"psnr": None, "mse": None}
    assert psnr(0.0) is None
    assert psnr(255.0**2) == 0


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16), (1, 1), (1, 40), (7, 3)])
def test_the_black_around_an_image_does_not_count(shape):
    """Of an image that is not square the square around it is drawn again, and cut off."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    task = tasks.Autoencode()
    predictor = task.predictor(same(wrong=10.0), 16)
    assert isinstance(predictor, Reconstructor)
    data = [(image, np.zeros(shape, np.uint8))]
    metrics, loss, terms = task.evaluate(predictor, data, [0])
    rows, columns = inside(image, 16)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    assert max(height, width) == 16
    assert metrics.counts[1] == 3 * height * width
    assert metrics.compute()["mse"] == pytest.approx(100, rel=1e-4)
    assert loss / terms == pytest.approx((10 / 58) ** 2, rel=1e-4)
    assert photograph_at(image, 16).shape == (height, width, 3)
    files, text = task.predict(predictor, image)
    assert f"PSNR 28.1 dB at {width}x{height} pixels" in text or image.max() > 245
    assert len(files) == len(task.endings)


def test_what_was_given_is_what_the_network_saw():
    image = np.random.default_rng(1).integers(0, 256, (12, 30, 3), np.uint8)
    predictor = tasks.Autoencode().predictor(same(), 10)
    found = predictor.pictures(image)
    np.testing.assert_array_equal(found.given, photograph_at(image, 10))
    np.testing.assert_array_equal(found.again, found.given)
    assert found.corrupted is None
    assert len(board_row(found)) == 3
    assert (board_row(found)[-1] == 128).all()


def test_pictures_of_a_denoising_network_show_the_noise_and_draw_nothing_at_random():
    net = same()
    net.corruption.noise = 0.5
    predictor = tasks.Autoencode().predictor(net, 16)
    image = np.full((16, 16, 3), 120, np.uint8)
    found, again = predictor.pictures(image, seed=3), predictor.pictures(image, seed=3)
    np.testing.assert_array_equal(found.corrupted, again.corrupted)
    assert np.std(found.corrupted.astype(float)) == pytest.approx(0.5 * 58, rel=0.1)
    assert len(board_row(found)) == 4
    assert predictor.pictures(image).corrupted is None  # predict corrupts no photograph


# -- Loss ---------------------------------------------------------------------------------------


def test_the_loss_of_a_denoising_network_compares_with_the_clean_image():
    """A network that gives back its input has the noise's variance as its error."""
    net = models.SWWAE(width=2, stages=1, input_size=32, noise=0.5)
    net.middle_weight = 0.0
    net.reconstruct = lambda x: (net.corruption(x), [])
    x = Tensor(np.zeros((2, 3, 32, 32), np.float32))
    _, loss = tasks.Autoencode().training_loss(net, x, None)
    assert loss.item() == pytest.approx(0.25, rel=0.05)


def test_a_network_without_maps_in_between_has_the_plain_loss():
    task, net = tasks.Autoencode(), same(wrong=58.0)
    x = Tensor(np.zeros((1, 3, 4, 4), np.float32))
    outputs, loss = task.training_loss(net, x, None)
    assert loss.item() == pytest.approx(1.0)
    assert outputs.shape == (1, 3, 4, 4)


# -- Commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network", ["--model=autoencoder --noise=0.3", "--model=swwae --masking=0.2"]
)
def test_it_trains_evaluates_predicts_and_reports(tmp_path, capsys, network):
    run, device = str(tmp_path / "run"), TINY[-2:]
    (tmp_path / "picture.png").write_bytes(png_bytes(Shapes("val", size=(20, 30))[0][0]))
    with default_device("cpu"):  # as a program begins
        assert train.main([*TINY, *network.split(), f"--output-dir={run}"]) == 0
        assert evaluate.main([run, f"--json={tmp_path / 'found'}", *device]) == 0
        assert predict.main([run, str(tmp_path / "picture.png"), f"-o={tmp_path}", *device]) == 0
        assert report.main([run]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    found = [line["val"] for line in lines if line["kind"] == "epoch"]
    assert found[-1]["psnr"] > found[0]["psnr"]
    best = max(one["psnr"] for one in found)
    assert json.loads((tmp_path / "found").read_text())["psnr"] == pytest.approx(best, rel=1e-6)
    out = capsys.readouterr().out
    assert f"best validation PSNR {best:.3f}" in out
    assert "PSNR, dB" in out
    assert read_image(tmp_path / "picture_again.png").shape == (10, 16, 3)
    assert read_image(tmp_path / "picture_given.png").shape == (10, 16, 3)
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Validation images" in page
    assert "Training images" in page
    assert f"{found[-1]['psnr']:.3f}" in page
    assert "is missing" not in page
    layers = json.loads((tmp_path / "run/pictures/layers.json").read_text())
    assert [one["name"] for one in layers] == [f"shapes-0-val-{i:05d}" for i in range(3)]
    steps = [(one["name"], one["height"]) for one in layers[0]["layers"]]
    assert steps == [("unpool2", 8), ("deconv2_2", 8), ("unpool1", 16), ("deconv1_2", 16)]
    assert page.count('class="layer"') == len(layers) * len(steps)
    assert page.count("<figcaption>again</figcaption>") == len(layers)
    assert ".layers.scripted" in page
    columns = 4  # given, corrupted, drawn again, difference
    assert read_image(tmp_path / "run/pictures/val.png").shape[1] == columns * 160 + 3 * 4


@pytest.mark.cpu  # files
@pytest.mark.parametrize(
    ("layers", "wrong"),
    [
        ([{"name": "a", "image": "a.png", "layers": []}], "layers.json[0] has no 'again'"),
        ([{"name": "a", "image": "a.png", "again": "../a.png", "layers": []}], "without folders"),
    ],
)
def test_a_damaged_list_of_layers_is_refused(tmp_path, layers, wrong):
    (tmp_path / "layers.json").write_text(json.dumps(layers))
    errors = {"psnr": 20.0, "mse": 600.0}
    record = RunRecord(tmp_path, {"epoch": 1, "train": errors, "val": errors}, [])
    with pytest.raises(Mismatch, match=re.escape(wrong)):
        sections(record)


@pytest.mark.cpu  # files
def test_photographs_need_no_mask(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "JPEGImages").mkdir()
    for number in range(20):
        size = (20 + number, 30, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(
            tmp_path / f"JPEGImages/{number:02d}.jpg"
        )
    run = tmp_path / "run"
    voc = [*SMALL, "--model=swwae", "--data=voc", f"--data-root={tmp_path}"]
    assert train.main([*voc, "--epochs=1", "-q", f"--output-dir={run}"]) == 0
    assert "every tenth photograph is for validation" in (run / "log.txt").read_text()
    assert load_trained(run).header["config"]["task"] == "autoencode"
    assert evaluate.main([str(run), "--split=train", "-q"]) == 0


@pytest.mark.cpu  # sentences
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--model=swwae", "--stage=both"], "--stage is 'both'; with the task autoencode it must"),
        (["--model=swwae", "--stage=1"], "--stage is '1'; with the task autoencode it must be"),
        (["--model=swwae", "--depth=5"], "5 poolings halve it 5 times, so both sides must be at"),
        (["--model=autoencoder", "--middle-weight=1"], "--middle-weight is an option of swwae"),
        (["--model=swwae", "--masking=1"], "--masking is 1.0; it must be in [0, 1)"),
        (["--model=swwae", "--data=voc", "--data-root=/none"], "/none is not a folder"),
    ],
)
def test_wrong_usage(tmp_path, capsys, more, sentence):
    drawn = SMALL if "--data=voc" in more else TINY  # photographs have a size of their own
    assert train.main([*drawn, *more, f"--output-dir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.cpu  # sentences
def test_what_is_about_masks_is_refused(tmp_path, capsys):
    run = str(tmp_path / "run")
    other = f"{run}/checkpoints/last.npz"
    assert train.main([*TINY, "--model=swwae", "--epochs=1", "-q", f"--output-dir={run}"]) == 0
    for more, sentence in (
        (["--save-masks", str(tmp_path / "m")], "networks of the task autoencode have no masks"),
        (["--crf", "default"], "--crf is no setting of the task autoencode"),
        (
            ["--ensemble", other],
            "networks of the task autoencode cannot be joined",
        ),
    ):
        assert evaluate.main([run, *more]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
