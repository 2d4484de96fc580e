"""Every file is looked at before the first step: a bad one at the end of a list loses no epoch."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minideconv import evaluate, train
from minideconv.data.check import kept, looking
from minideconv.training import TrainConfig, Trainer
from minideconv.visualize import save_palette_png


@pytest.fixture
def devkit(tmp_path):
    """A folder in VOC's layout: five images to train on, three to validate."""
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"2007_{number:06d}" for number in range(8)]
    for number, name in enumerate(names):
        mask = np.zeros((24, 32 + number), np.uint8)
        mask[4:20, 6:20] = 8 if number % 2 else 15
        image = rng.integers(0, 90, (*mask.shape, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
        save_palette_png(root / "SegmentationClass" / f"{name}.png", mask)
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("\n".join(names[:5]) + "\n")
    (lists / "val.txt").write_text("\n".join(names[5:]) + "\n")
    return root


@pytest.fixture
def read(monkeypatch, tmp_path_factory):
    """The names of the items that are looked at, with a cache of the test's own."""
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(kept, "_SETTLED", -3600.0)
    names, real = [], looking.look_at

    def noted(dataset, index):
        names.append(dataset.name(index))
        return real(dataset, index)

    monkeypatch.setattr(looking, "look_at", noted)
    return names


SIZE = ("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--fc-kernel", "0")


def order(root, folder, *more):
    return [
        *("--data", "voc", "--data-root", str(root), "--output-dir", str(folder), "-q", *SIZE),
        *("--device", "cpu", "-b", "2", "--epochs", "1", "--recalibrate", "1", "--images", "1"),
        *more,
    ]


def test_bad_validation_files_stop_a_run_before_its_first_step(devkit, tmp_path, capsys, read):
    run = tmp_path / "run"
    (devkit / "JPEGImages" / "2007_000007.jpg").unlink()
    save_palette_png(devkit / "SegmentationClass" / "2007_000006.png", np.zeros((3, 3), np.uint8))
    path = devkit / "JPEGImages" / "2007_000001.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert train.main(order(devkit, run)) == 1
    first, *faults, command = capsys.readouterr().err.splitlines()
    assert first == "minideconv.train: 3 faults were found, and nothing was begun:"
    assert [fault[:2] for fault in faults] == ["  "] * 3
    assert "2007_000001.jpg" in faults[0]
    assert "2007_000006.png is 3x3 pixels" in faults[1]
    assert "2007_000007.jpg" in faults[2]
    assert command.endswith(f"python -m minideconv.data check {devkit} --split train val")
    assert not run.exists()


def test_what_a_run_does_not_use_stops_nothing(devkit, tmp_path, read):
    (devkit / "JPEGImages" / "2007_000007.jpg").unlink()
    assert train.main(order(devkit, tmp_path / "run", "--val-images", "2")) == 0
    assert "2007_000007" not in read


def test_the_second_start_looks_at_nothing(devkit, tmp_path, read):
    assert train.main(order(devkit, tmp_path / "run")) == 0
    assert len(read) == 8
    read.clear()
    assert train.main(order(devkit, tmp_path / "other")) == 0
    assert train.main(["--resume", str(tmp_path / "run"), "-q", "--epochs", "2"]) == 0
    assert evaluate.main([str(tmp_path / "run"), "-q"]) == 0
    assert read == []


def test_it_is_checked_again_before_a_run_goes_on(devkit, tmp_path, read, capsys):
    run = tmp_path / "run"
    assert train.main(order(devkit, run)) == 0
    before = (run / "checkpoints" / "last.npz").read_bytes()
    (devkit / "JPEGImages" / "2007_000006.jpg").write_bytes(b"damaged")
    assert train.main(["--resume", str(run), "-q", "--epochs", "2"]) == 1
    assert "2007_000006.jpg" in capsys.readouterr().err
    assert (run / "checkpoints" / "last.npz").read_bytes() == before


def test_an_evaluation_names_all_bad_files_first(devkit, tmp_path, read, capsys):
    run = tmp_path / "run"
    assert train.main(order(devkit, run)) == 0
    for name in ("2007_000006", "2007_000007"):
        (devkit / "JPEGImages" / f"{name}.jpg").unlink()
    assert evaluate.main([str(run)]) == 1
    error = capsys.readouterr().err
    assert "2 faults were found" in error
    assert "2007_000006.jpg" in error
    assert "2007_000007.jpg" in error
    assert evaluate.main([str(run), "--limit", "1", "-q"]) == 0  # the first alone


def test_one_list_for_training_and_validation(devkit, tmp_path, read):
    more = ("--val-split", "train", "--train-images", "2")
    assert train.main(order(devkit, tmp_path / "run", *more)) == 0
    assert len(read) == 5


def test_learning_without_masks_needs_none(devkit, tmp_path, read, capsys):
    for path in (devkit / "SegmentationClass").iterdir():
        path.unlink()
    options = ("--data", "voc", "--data-root", str(devkit), "-q", "--epochs", "1", "-b", "2")
    options += ("--task", "autoencode", "--model", "autoencoder", "--input-size", "16")
    assert train.main([*options, "--output-dir", str(tmp_path / "run"), "--device", "cpu"]) == 0
    (devkit / "JPEGImages" / "2007_000007.jpg").write_bytes(b"damaged")
    assert train.main([*options, "--output-dir", str(tmp_path / "run2"), "--device", "cpu"]) == 1
    assert "2007_000007.jpg" in capsys.readouterr().err


def test_a_notebook_is_told_too(devkit, read):
    (devkit / "JPEGImages" / "2007_000007.jpg").unlink()
    config = TrainConfig(
        data="voc", data_root=str(devkit), input_size=16, width=2, fc=4, depth=2, device="cpu"
    )
    with pytest.raises(ValueError, match=r"2007_000007\.jpg"):
        Trainer(config)


def test_the_same_weights_whatever_was_kept(devkit, tmp_path, read):
    """The first start decodes the images for the check, the second one does not."""
    for name in ("one", "two"):
        assert train.main(order(devkit, tmp_path / name)) == 0
    files = [
        np.load(tmp_path / name / "checkpoints" / "last.npz", allow_pickle=False)
        for name in ("one", "two")
    ]
    weights = [key for key in files[0].files if key.startswith("model/")]
    assert weights
    for key in weights:
        assert (files[0][key] == files[1][key]).all(), key


def test_a_file_that_goes_after_the_check_loses_no_step(devkit, tmp_path, read, capsys):
    """The validation fails; the run goes on from the step before it, once the file is back."""
    more = ("--save-every", "1", "--epochs", "2")
    assert train.main(order(devkit, tmp_path / "whole", *more)) == 0
    path = devkit / "JPEGImages" / "2007_000007.jpg"
    real = Trainer.fit

    def without(trainer):
        path.rename(tmp_path / "away.jpg")
        real(trainer)

    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "fit", without)
        assert train.main(order(devkit, run, *more)) == 1
    assert "2007_000007.jpg is missing" in capsys.readouterr().err
    (tmp_path / "away.jpg").rename(path)
    assert train.main(["--resume", str(run), "-q"]) == 0
    for name in ("last", "best"):
        with (
            np.load(run / "checkpoints" / f"{name}.npz") as resumed,
            np.load(tmp_path / "whole" / "checkpoints" / f"{name}.npz") as whole,
        ):
            for key in (key for key in whole.files if key.startswith("model/")):
                assert (resumed[key] == whole[key]).all(), key


def test_a_run_where_nothing_can_be_kept(devkit, tmp_path, read, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "file"))
    assert train.main(order(devkit, tmp_path / "run")) == 0
    assert train.main(order(devkit, tmp_path / "other")) == 0
    assert len(read) == 16
