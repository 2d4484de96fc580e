"""``evaluate`` and ``predict`` with several sizes, several networks, a CRF, and masks saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minideconv import evaluate, predict, tasks, train
from minideconv.data import Shapes
from minideconv.data.voc_colors import voc_palette
from minideconv.errors import SettingError
from minideconv.segmentation import CRFSegmenter, DenseCRF, Ensemble, InstanceSegmenter
from minideconv.segmentation.crf import PRESETS
from minideconv.segmentation.crf_file import crf_to_json
from minideconv.segmentation.proposals import sliding_windows
from minideconv.tasks.segmentation import predictors
from minideconv.tasks.segmentation.inference import SegmentationInference
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint
from minideconv.training.run.trained import load_trained

TINY = [
    *("--train-images", "4", "--val-images", "3", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--device", "cpu", "-b", "2"),
    *("--stage", "whole", "--epochs", "1", "--recalibrate", "1", "--images", "0", "-q"),
]
FOLDER = "results/VOC2012/Segmentation/comp6_val_cls"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A DeconvNet and an FCN at different input sizes."""
    folder = tmp_path_factory.mktemp("runs")
    own = {"one": ["--depth", "2", "--fc-kernel", "0"], "two": ["--model", "fcn8s"]}
    for name, options in own.items():
        arguments = [*TINY, *options, "--output-dir", str(folder / name)]
        assert train.main(arguments + ["--input-size", "32"] * (name == "two")) == 0
    return folder


def evaluated(tmp_path, *arguments):
    out = tmp_path / "out.json"
    assert evaluate.main([*map(str, arguments), "--json", str(out), "-q"]) == 0
    return json.loads(out.read_text())


def test_an_ensemble_is_what_its_members_say_together(runs, tmp_path):
    found = evaluated(tmp_path, runs / "one", "--ensemble", runs / "two")
    assert found["ensemble"] == [str(runs / "two" / "checkpoints" / "best.npz")]
    members = [load_trained(runs / name).segmenter for name in ("one", "two")]
    data = Shapes("val", length=3, size=32, difficulty="easy")
    classes = len(data.classes)
    counts = np.zeros((classes, classes), int)
    for image, truth in (data[k] for k in range(3)):
        labels = sum(each.probabilities(image) for each in members).argmax(axis=0)
        known = truth != 255
        np.add.at(counts, (truth[known], labels[known]), 1)
    assert found["confusion"] == counts.tolist()
    alone = [evaluated(tmp_path, runs / name)["confusion"] for name in ("one", "two")]
    assert found["confusion"] not in alone or alone[0] == alone[1]


def test_what_is_made_of_the_settings(runs):
    trained = load_trained(
        runs / "one",
        ensemble=[runs / "two"],
        ensemble_rule="product",
        crf="default",
        crf_iterations=2,
    )
    assert isinstance(trained.predictor, CRFSegmenter)
    assert trained.predictor.crf == DenseCRF(iterations=2)
    inner = trained.predictor.predictor
    assert isinstance(inner, Ensemble)
    assert inner.rule == "product"
    assert [each.input_size for each in inner.members] == [16, 32]
    assert trained.inference.given() == {
        "ensemble_rule": "product", "crf": "default", "crf_iterations": 2,
    }  # fmt: skip
    scaled = load_trained(runs / "two", scales="32,48", flip=True).predictor
    assert [(each.input_size, each.flip) for each in scaled.members] == [(32, True), (48, True)]
    assert scaled.rule == "scores"


def test_predict_with_all_of_it(runs, tmp_path, capsys):
    image = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    more = ["--ensemble", str(runs / "two"), "--crf", "default", "--crf-bilateral-color", "40"]
    assert predict.main([str(runs / "one"), str(image), "-o", str(tmp_path / "o"), *more]) == 0
    assert "best.npz and " in capsys.readouterr().out
    trained = load_trained(
        runs / "one", ensemble=[runs / "two"], crf="default", crf_bilateral_color=40.0
    )
    with Image.open(tmp_path / "o" / "a.png") as file:
        np.testing.assert_array_equal(np.asarray(file), trained.segmenter.labels(pixels))


def test_a_network_of_other_classes_cannot_join(runs, tmp_path, capsys):
    checkpoint = load_checkpoint(runs / "two" / "checkpoints" / "best.npz")
    checkpoint.header["classes"] = [*checkpoint.header["classes"][:-1], "unicorn"]
    save_checkpoint(tmp_path / "other.npz", checkpoint)
    assert evaluate.main([str(runs / "one"), "--ensemble", str(tmp_path / "other.npz")]) == 2
    error = capsys.readouterr().err
    assert "other.npz has 5 classes (background, disc, triangle, rectangle and 1 more)" in error
    assert "but the first network has 5" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scales", "224;320"], "--scales is '224;320'; it must be different sizes"),
        (["--scales", "16,16"], "--scales is '16,16'"),
        (["--scales", "8"], "--scales has 8, which the network cannot take: "),
        (["--ensemble-rule", "product"], "--ensemble-rule is product, but there is one network"),
        (["--ensemble-rule", "max"], "--ensemble-rule is 'max'; it must be one of mean, product"),
        (["--ensemble", "/no/such"], "/no/such: no such run folder or checkpoint"),
        (["--crf-iterations", "3"], "--crf-iterations is 3, but there is no CRF; give --crf too"),
        (["--crf", "default", "--crf-iterations", "-1"], "--crf-iterations is -1; it must be >= 0"),
        (
            ["--crf", "default", "--crf-spatial-position", "0"],
            "--crf-spatial-position is 0.0; it must be > 0",
        ),
        (
            ["--crf", "default", "--crf-method", "fast"],
            "--crf-method is 'fast'; it must be one of auto",
        ),
        (["--crf", "/no/such"], "--crf is neither default nor deconvnet, and /no/such: No such"),
        (["--crf", "/"], "--crf is neither default nor deconvnet, and /: Is a directory"),
        (["--crf", "/dev/zero"], "/dev/zero: it is a device, not a file"),
        (["--proposals", "0"], "--proposals is 0; it must be >= 1"),
        (["--proposals", "5", "--proposals-by", "x"], "--proposals-by is 'x'; it must be one of"),
        (["--proposals", "5", "--proposals-join", "mean"], "--proposals-join is 'mean'; it must"),
        (["--proposals-join", "sum"], "--proposals-join is sum, but there are no proposals"),
        (["--proposals-from-zero"], "give --proposals too"),
        (
            ["--proposals-for", "deconvnet"],
            "--proposals-for is deconvnet, but there are no proposa",
        ),
        (
            ["--proposals", "5", "--proposals-for", "fcn8s"],
            "names 'fcn8s', but what is loaded is d",
        ),
        (["--proposals", "5", "--proposals-for", "a,a"], "--proposals-for is 'a,a'; it must be"),
        (["--proposals", "5", "--proposals-for", ""], "--proposals-for is ''; it must be differe"),
        (["--proposals-min-box", "-3"], "--proposals-min-box is -3; it must be >= 0"),
    ],
)
def test_wrong_options_are_one_sentence(runs, arguments, message, capsys):
    assert evaluate.main([str(runs / "one"), "-q", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_every_parameter_of_the_crf_has_its_option():
    names = [name for name in SegmentationInference.settings() if name.startswith("crf_")]
    assert {f"crf_{name}" for name in vars(DenseCRF())} == set(names)
    assert SegmentationInference(crf="default").dense_crf() == DenseCRF()
    assert SegmentationInference(crf="deconvnet").dense_crf() == PRESETS["deconvnet"]
    assert SegmentationInference().dense_crf() is None


def test_parameters_from_a_file(tmp_path):
    path = tmp_path / "crf.json"
    crf = DenseCRF(bilateral_weight=4.0, bilateral_color=5.0, normalization="after")
    path.write_text(crf_to_json(crf, {"mean_iou": 0.5}))
    assert SegmentationInference(crf=str(path)).dense_crf() == crf
    own = SegmentationInference(crf=str(path), crf_bilateral_color=7.0).dense_crf()
    assert own is not None
    assert (own.bilateral_color, own.bilateral_weight) == (7.0, 4.0)  # the option wins


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"crf": {"width": 3}}', "width is no parameter of the CRF; there are bilateral_weight, "),
        ('{"crf": {"bilateral_weight": "x"}}', "bilateral_weight is 'x'; it must be at least 0"),
        ('{"crf": {"bilateral_weight": NaN}}', "bilateral_weight is nan; it must be at least 0"),
        ('{"crf": {"bilateral_weight": 1e999}}', "bilateral_weight is inf; it must be at least 0"),
        ('{"crf": {"bilateral_color": 0}}', "bilateral_color is 0; it must be greater than 0"),
        ('{"crf": {"iterations": 2.5}}', "iterations is 2.5; it must be a whole number"),
        ('{"crf": {"iterations": true}}', "iterations is True; it must be a whole number"),
        ('{"crf": {"method": ["fast"]}}', r"method is \['fast'\]; it must be one of auto, exact"),
        ('{"crf": 5}', "holds no parameters of a CRF"),
        ("[1]", "holds no parameters of a CRF"),
        ("[a", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("\xff", "is not valid JSON"),
    ],
)
def test_files_that_hold_something_else(tmp_path, text, message):
    path = tmp_path / "crf.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingError, match=message) as caught:
        SegmentationInference(crf=str(path)).dense_crf()
    assert caught.value.as_options.startswith(
        "--crf is neither default nor deconvnet, and " + str(path)
    )


@pytest.mark.parametrize("by", ["edge-boxes", "sliding-windows"])
def test_proposals_are_options(runs, tmp_path, by):
    options = ["--proposals", "3", "--proposals-by", by, "--proposals-join", "sum", "--flip"]
    found = evaluated(tmp_path, runs / "one", *options)
    assert found["inference"]["proposals"] == 3
    trained = load_trained(
        runs / "one", proposals=3, proposals_by=by, proposals_join="sum", flip=True
    )
    data = Shapes("val", length=3, size=32, difficulty="easy")
    expected = np.zeros((len(data.classes),) * 2, int)
    for image, truth in (data[k] for k in range(3)):
        labels = trained.segmenter.labels(image)
        np.add.at(expected, (truth[truth != 255], labels[truth != 255]), 1)
    assert found["confusion"] == expected.tolist()
    predictor = trained.predictor
    assert isinstance(predictor, InstanceSegmenter)
    assert (predictor.proposals, predictor.join, predictor.flip) == (3, "sum", True)
    assert (predictor.min_box, predictor.from_zero) == (0, False)
    released = load_trained(
        runs / "one", proposals=50, proposals_min_box=112, proposals_from_zero=True
    ).predictor
    assert (released.min_box, released.from_zero, released.join) == (112, True, "max")


def test_proposals_are_computed_once_for_all_networks_and_sizes(runs, monkeypatch):
    calls = []

    def counted(image):
        calls.append(image.shape)
        return sliding_windows(*image.shape[:2])

    monkeypatch.setattr(predictors, "edge_boxes", counted)
    other = runs / "two" / "checkpoints" / "last.npz"
    trained = load_trained(runs / "two", ensemble=[other], proposals=2, scales="32,48")
    images = np.random.default_rng(5).integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
    assert len(list(trained.segmenter.labels_of(images))) == 3
    assert calls == [(40, 52, 3)] * 3


def test_proposals_can_be_for_some_networks_only(runs, tmp_path):
    options = ["--proposals", "4", "--proposals-by", "sliding-windows", "--flip"]
    both = [runs / "one", "--ensemble", runs / "two"]
    found = evaluated(tmp_path, *both, *options, "--proposals-for", "deconvnet")
    windows = load_trained(
        runs / "one", proposals=4, proposals_by="sliding-windows", flip=True
    ).predictor
    whole = load_trained(runs / "two", flip=True).predictor
    data = Shapes("val", length=3, size=32, difficulty="easy")
    expected = np.zeros((len(data.classes),) * 2, int)
    for image, truth in (data[k] for k in range(3)):
        labels = (windows.probabilities(image) + whole.probabilities(image)).argmax(axis=0)
        np.add.at(expected, (truth[truth != 255], labels[truth != 255]), 1)
    assert found["confusion"] == expected.tolist()
    everywhere = evaluated(tmp_path, *both, *options)
    assert everywhere["confusion"] != found["confusion"]
    named = evaluated(tmp_path, *both, *options, "--proposals-for", "fcn8s, deconvnet")
    assert named["confusion"] == everywhere["confusion"]


def test_a_setting_of_another_task_is_refused():
    class Other(tasks.Task):
        name = "other"

    with pytest.raises(SettingError, match="crf is no setting of the task other"):
        tasks.inference_of(Other, {"crf": "default"})


def test_masks_are_saved_where_the_server_wants_them(runs, tmp_path, capsys):
    arguments = [str(runs / "one"), "--save-masks", str(tmp_path)]
    assert evaluate.main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"masks in {tmp_path / FOLDER}" in printed
    data = Shapes("val", length=3, size=32, difficulty="easy")
    files = sorted((tmp_path / FOLDER).iterdir())
    assert [path.name for path in files] == [f"{data.name(k)}.png" for k in range(3)]
    segmenter = load_trained(runs / "one").segmenter
    for k, path in enumerate(files):
        with Image.open(path) as file:
            assert file.mode == "P"
            assert file.getpalette() == voc_palette().ravel().tolist()
            np.testing.assert_array_equal(np.asarray(file), segmenter.labels(data[k][0]))
    before = {path: path.read_bytes() for path in files}
    files[1].write_bytes(b"mine")
    assert evaluate.main(arguments) == 2
    error = capsys.readouterr().err
    assert "and 1 more already; give --overwrite to replace what is there" not in error
    assert "already; give --overwrite to replace" in error
    assert "another --save-masks" in error
    assert files[1].read_bytes() == b"mine"
    assert evaluate.main([*arguments, "--overwrite", "-q"]) == 0
    assert {path: path.read_bytes() for path in files} == before


def test_evaluate_prints_outlines_and_sizes(runs, tmp_path, capsys):
    assert evaluate.main([str(runs / "one"), "--limit", "2"]) == 0
    printed = capsys.readouterr().out
    for text in ("around outlines, up to", "16 px", "small", "medium", "large", "objects"):
        assert text in printed
    found = evaluated(tmp_path, runs / "one")
    assert list(found["boundary_iou"]) == ["1", "2", "4", "8", "16"]
    assert list(found["size_iou"]) == list(found["size_objects"]) == ["small", "medium", "large"]
    assert sum(found["size_objects"].values()) > 0
