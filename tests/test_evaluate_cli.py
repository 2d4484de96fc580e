"""``evaluate`` and ``predict``: figures that agree with the run's, masks at the image's size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minideconv import evaluate, predict, train
from minideconv.data import Shapes
from minideconv.data.voc_colors import voc_palette
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint
from minideconv.training.run.trained import load_trained

TINY = [
    *("--train-images", "6", "--val-images", "3", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu"),
    *("-b", "2", "--stage", "whole", "--epochs", "2", "--recalibrate", "2", "--images", "0", "-q"),
    *("--fc-kernel", "0", "--optimizer", "adamw", "--lr", "0.002"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return folder


def photograph(path, height=21, width=34, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def opened(path):
    with Image.open(path) as file:
        return file.copy()


def test_evaluate_repeats_the_run_s_own_figures(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = [str(run), "--which", "last", "--json", str(out), "--device", "cpu"]
    assert evaluate.main(arguments) == 0
    found = json.loads(out.read_text())
    expected = json.loads((run / "evaluation.json").read_text())["val"]
    for name in ("mean_iou", "pixel_accuracy", "class_iou", "confusion", "images"):
        assert found[name] == expected[name], name
    printed = capsys.readouterr().out
    assert "on shapes val: 3 images" in printed
    for name in ("triangle", "mean IoU", "pixel accuracy", "frequency weighted IoU"):
        assert name in printed
    assert f"{expected['pixel_accuracy']:.3f}" in printed


def test_a_file_without_a_folder_is_refused_before_the_work(run, tmp_path, capsys):
    out = tmp_path / "none" / "figures.json"
    assert evaluate.main([str(run), "--json", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"minideconv.evaluate: --json {out}: there is no folder {out.parent}; make it first\n"
    )


def test_evaluate_another_list_and_a_checkpoint_by_name(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    path = str(run / "checkpoints" / "last.npz")
    assert evaluate.main([path, "--split", "train", "--json", str(out), "-q"]) == 0
    expected = json.loads((run / "evaluation.json").read_text())["train"]
    assert json.loads(out.read_text())["confusion"] == expected["confusion"]
    assert capsys.readouterr().out == ""
    assert evaluate.main([path, "--split", "train", "--limit", "2", "--json", str(out), "-q"]) == 0
    assert json.loads(out.read_text())["images"] == 2
    assert evaluate.main([path, "--flip", "-q", "-b", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--split", "nope"], 2, "split is 'nope'"),
        (["--data", "voc"], 2, "--data voc needs --data-root DIR"),
        (["--data", "voc", "--data-root", "/no/such"], 2, "--data-root /no/such"),
        (
            ["--json", "/no/such/file.json"],
            2,
            "--json /no/such/file.json: there is no folder /no/such",
        ),
    ],
)
def test_evaluate_reports_what_is_wrong(run, arguments, code, message, capsys):
    assert evaluate.main([str(run), "-q", *arguments]) == code
    assert message in capsys.readouterr().err


def test_evaluate_needs_the_same_classes(run, tmp_path, capsys):
    checkpoint = load_checkpoint(run / "checkpoints" / "last.npz")
    checkpoint.header["config"]["difficulty"] = "normal"
    save_checkpoint(tmp_path / "a.npz", checkpoint)
    assert evaluate.main([str(tmp_path / "a.npz")]) == 2
    error = capsys.readouterr().err
    assert (
        "has 5 classes (background, disc, triangle, rectangle and 1 more) but the data has 9"
        in error
    )


@pytest.mark.parametrize("program", [evaluate, predict])
def test_checkpoints_that_cannot_be_used(program, run, tmp_path, capsys):
    image = tmp_path / "x.png"
    photograph(image)
    rest = [str(image)] if program is predict else []
    assert program.main([str(tmp_path / "none.npz"), *rest]) == 2
    assert "none.npz: no such run folder or checkpoint" in capsys.readouterr().err
    cut = tmp_path / "cut.npz"
    cut.write_bytes((run / "checkpoints" / "last.npz").read_bytes()[:-200])
    assert program.main([str(cut), *rest]) == 1
    assert "truncated or damaged" in capsys.readouterr().err
    checkpoint = load_checkpoint(run / "checkpoints" / "last.npz")
    checkpoint.header["model"]["arguments"]["width"] = 3
    save_checkpoint(tmp_path / "other.npz", checkpoint)
    assert program.main([str(tmp_path / "other.npz"), *rest]) == 1
    assert "its conv1_1.layer.weight has shape (2, 3, 3, 3), but here" in capsys.readouterr().err
    checkpoint.header["model"]["name"] = "unknownnet"
    save_checkpoint(tmp_path / "unknown.npz", checkpoint)
    assert program.main([str(tmp_path / "unknown.npz"), *rest]) == 1
    assert "does not describe a network this minideconv can build" in capsys.readouterr().err
    assert program.main([str(run), *rest, "--device", "tpu"]) == 2
    assert "--device is tpu; it must be auto, cpu, gpu or gpu:N" in capsys.readouterr().err


def test_predict_writes_a_palette_mask_and_an_overlay(run, tmp_path, capsys):
    pixels = photograph(tmp_path / "photo.png")
    out = tmp_path / "out"
    arguments = [str(run), str(tmp_path / "photo.png"), "-o", str(out), "--device", "cpu"]
    assert predict.main(arguments) == 0
    assert f"photo.png -> {out / 'photo.png'}: " in capsys.readouterr().out
    mask = opened(out / "photo.png")
    assert mask.mode == "P"
    assert mask.size == (34, 21)
    assert (np.array(mask.getpalette()).reshape(-1, 3) == voc_palette()).all()
    labels = load_trained(run, "cpu").segmenter.labels(pixels)
    assert (np.array(mask) == labels).all()
    overlay = opened(out / "photo_overlay.png")
    assert overlay.mode == "RGB"
    assert overlay.size == (34, 21)
    background = labels == 0
    assert (np.array(overlay)[background] == pixels[background]).all()


def test_predict_reports_bad_files_by_name_and_does_the_others(run, tmp_path, capsys):
    photograph(tmp_path / "good.png")
    photograph(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder").mkdir()
    names = ["cut.jpg", "text.png", "missing.png", "folder", "good.png"]
    out = tmp_path / "out"
    assert predict.main([str(run), *(str(tmp_path / n) for n in names), "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert "cut.jpg cannot be read: the picture is damaged or cut off" in captured.err
    assert "text.png is not a picture that can be read" in captured.err
    assert "missing.png does not exist" in captured.err
    assert "folder is a folder, not a picture" in captured.err
    assert "4 of 5 files failed" in captured.err
    assert sorted(path.name for path in out.iterdir()) == ["good.png", "good_overlay.png"]


def test_predict_reads_grey_palette_and_turned_pictures(run, tmp_path):
    pixels = photograph(tmp_path / "colour.png")
    Image.fromarray(pixels).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(pixels).convert("P").save(tmp_path / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=turned)
    names = ["grey.png", "palette.png", "turned.jpg"]
    out = tmp_path / "out"
    assert predict.main([str(run), *(str(tmp_path / n) for n in names), "-o", str(out), "-q"]) == 0
    sizes = [opened(out / name.replace("jpg", "png")).size for name in names]
    assert sizes == [(34, 21), (34, 21), (21, 34)]


def test_predict_overwrites_no_photograph(run, tmp_path, capsys):
    photograph(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    assert predict.main([str(run), str(tmp_path / "photo.png"), "-o", str(tmp_path)]) == 2
    assert "photo.png would be overwritten; choose another --output-dir" in capsys.readouterr().err
    assert (tmp_path / "photo.png").read_bytes() == before
    (tmp_path / "a").mkdir()
    photograph(tmp_path / "a" / "photo.jpg")
    two = [str(tmp_path / "photo.png"), str(tmp_path / "a" / "photo.jpg")]
    assert predict.main([str(run), *two, "-o", str(tmp_path / "out")]) == 2
    assert "would both be written to photo.png" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert predict.main([str(run), two[0], "-o", str(tmp_path / "file")]) == 2
    assert "--output-dir" in capsys.readouterr().err


def test_a_loaded_network_is_the_trained_one(run):
    """Weights, classes and the treatment of the input come from the checkpoint."""
    trained = load_trained(run, "cpu", prefer="last")
    shapes = Shapes("val", length=3, size=32, difficulty="easy")
    image, _ = shapes[1]
    assert trained.classes[0] == "background"
    assert trained.segmenter.input_size == 16
    assert not trained.segmenter.model.training
    scores = trained.segmenter.scores(image)
    assert scores.shape == (shapes.num_classes, 32, 32)
    checkpoint = load_checkpoint(run / "checkpoints" / "last.npz")
    assert checkpoint.header["normalization"]["scale"] == trained.segmenter.normalize.scale
    weights = trained.segmenter.model.state_dict()
    assert all((weights[name] == array).all() for name, array in checkpoint.model_state.items())
