"""Carving a balanced set, and the picture of a data set, through the command line as users do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minideconv.data import Photographs
from minideconv.data.__main__ import main
from minideconv.data.shapes import Shapes
from minideconv.data.show import grid, save_png
from minideconv.data.subset import carve_subset, choose_balanced
from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import colorize, overlay
from minideconv.errors import DataError, UsageError


@pytest.fixture
def full(tmp_path, tree):
    """Twelve cats, six cows, two trains to train on; three cats and a cow to validate on."""
    root = tmp_path / "full"
    labels = [8] * 12 + [10] * 6 + [19] * 2
    tree.make(root, {f"t{k:02d}": tree.mask(label) for k, label in enumerate(labels)})
    tree.make(root, {f"v{k}": tree.mask(label) for k, label in enumerate([8, 8, 8, 10])}, "val")
    return root


@given(
    st.lists(st.lists(st.integers(1, 5), max_size=3), max_size=30),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_every_class_gets_enough_or_all_there_are(present, per_class, seed):
    chosen = choose_balanced(present, per_class, np.random.default_rng(seed))
    assert chosen == sorted(set(chosen))
    for label in range(1, 6):
        owners = {k for k, classes in enumerate(present) if label in classes}
        assert len(owners & set(chosen)) >= min(per_class, len(owners))
    for index in chosen:  # an image without a class is of no use to any
        assert present[index]
    assert len(chosen) <= 5 * per_class


def test_subset_on_the_command_line(full, tmp_path, capsys):
    small = tmp_path / "deep" / "small"
    order = ["subset", "--data-root", str(full), "--output", str(small), "--per-class", "3"]
    assert main(order) == 0
    out = capsys.readouterr().out
    assert "8 images in train" in out
    scarce = out.splitlines()[1].removeprefix("  fewer than 3 images show: ").split(", ")
    assert "train" in scarce
    assert not {"cat", "cow"} & set(scarce)
    dataset = VOCSegmentation(small, "train")
    counts = np.bincount([np.unique(dataset[k][1])[1] for k in range(len(dataset))], minlength=21)
    assert counts[[8, 10, 19]].tolist() == [3, 3, 2]
    assert len(VOCSegmentation(small, "val")) == 4
    assert len(VOCSegmentation(small, "trainval")) == 12
    for split in ("train", "val", "trainval"):
        assert VOCSegmentation(small, split).validate() == []
    name = dataset.ids[0]
    for file in (f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"):
        assert (small / file).read_bytes() == (full / file).read_bytes()
    assert main(order) == 2
    assert "small exists already; give a new folder" in capsys.readouterr().err


def test_subset_is_decided_by_the_seed(full, tmp_path):
    names = []
    for number, seed in enumerate((0, 0, 1)):
        carve_subset(full, tmp_path / str(number), 2, seed)
        names.append(VOCSegmentation(tmp_path / str(number)).ids)
    assert names[0] == names[1] != names[2]


def test_subset_takes_instances_along(full, tmp_path, tree):
    for name in ("t00", "t19"):
        tree.save(full / "SegmentationObject" / f"{name}.png", tree.mask(1))
    carve_subset(full, tmp_path / "small", 20)
    copied = sorted(path.name for path in (tmp_path / "small" / "SegmentationObject").iterdir())
    assert copied == ["t00.png", "t19.png"]


def test_a_broken_file_leaves_nothing_behind(full, tmp_path, capsys):
    (full / "JPEGImages" / "t18.jpg").write_bytes(b"\xff\xd8 not really")
    before = sorted(path.name for path in tmp_path.iterdir())
    order = ["subset", "--data-root", str(full), "--output", str(tmp_path / "small")]
    assert main(order) == 1
    assert "t18.jpg is not a picture that can be read" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["../../../x", "../x", "a/../../x", "/tmp/x", "..\\x"])
def test_ids_that_lead_out_of_the_folder_are_refused(full, tmp_path, tree, capsys, name):
    """A list may come from a stranger; what it names must not be copied to anywhere."""
    lists = full / "ImageSets" / "Segmentation"
    tree.make(full, {"t00": tree.mask(8)}, "evil")
    for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        target = full / folder / f"{name}.{ending}"
        if ".." in name and "\\" not in name:  # the files that it means are there
            target.parent.mkdir(parents=True, exist_ok=True)
            (full / folder / "a").mkdir(exist_ok=True)
            target.write_bytes((full / folder / f"t00.{ending}").read_bytes())
    (lists / "evil.txt").write_text(f"t00\n{name}\n")
    before = sorted(tmp_path.parent.rglob("*"))
    order = ["subset", "--data-root", str(full), "--output", str(tmp_path / "deep" / "small")]
    assert main([*order, "--splits", "evil"]) == 2
    error = capsys.readouterr().err
    assert f"evil.txt: {name!r} is no name of a file inside of a folder" in error
    assert sorted(tmp_path.parent.rglob("*")) == before
    with pytest.raises(DataError, match="is no name of a file inside"):
        Photographs(full, "evil")


def test_a_list_is_not_looked_for_or_written_outside(full, tmp_path, capsys):
    (full / "evil.txt").write_text("t00\n")
    order = ["subset", "--data-root", str(full), "--output", str(tmp_path / "small")]
    assert main([*order, "--splits", "../../evil"]) == 2
    assert "'../../evil' is no name of a file inside of a folder" in capsys.readouterr().err


def test_names_with_folders_keep_them(full, tmp_path, tree):
    tree.make(full, {"t00": tree.mask(8)}, "deep")
    for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (full / folder / "city").mkdir()
        file = full / folder / f"t00.{ending}"
        file.rename(full / folder / "city" / file.name)
    (full / "ImageSets" / "Segmentation" / "deep.txt").write_text("city/t00\n")
    carve_subset(full, tmp_path / "small", 1, splits=["deep"])
    assert VOCSegmentation(tmp_path / "small", "deep")[0][1].max() == 255


def test_subset_of_nothing(full, tmp_path, capsys):
    output = str(tmp_path / "small")
    assert main(["subset", "--data-root", str(tmp_path / "no"), "--output", output]) == 2
    error = capsys.readouterr().err
    assert f"--data-root {tmp_path / 'no'}: " in error
    assert "is not a folder" in error
    order = ["subset", "--data-root", str(full), "--output", output, "--splits", "train", "extra"]
    assert main(order) == 2
    assert "no split 'extra'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="subset: per_class is 0"):
        carve_subset(full, output, 0)
    with pytest.raises(SystemExit) as stopped:
        main(["subset", "--data-root", str(full), "--output", output, "--per-class", "0"])
    assert stopped.value.code == 2


def test_grid_shows_image_mask_and_both():
    dataset = Shapes("train", length=5)
    sheet = grid(dataset, [4, 1, 0], cell=64, columns=2)
    assert sheet.shape == (2 * 72, 2 * 202, 3)
    image, mask = dataset[1]  # the second: to the right
    x, y = 202 + 4, 4
    assert (sheet[y : y + 64, x : x + 64] == image).all()
    assert (sheet[y : y + 64, x + 65 : x + 129] == colorize(mask)).all()
    assert (sheet[y : y + 64, x + 130 : x + 194] == overlay(image, mask)).all()
    assert (sheet[72:, 202:] == 255).all()  # no fourth sample


def test_grid_of_what_is_not_square(tmp_path, tree):
    dataset = VOCSegmentation(tree.make(tmp_path, {"a": tree.mask(3, 20, 26)}))
    sheet = grid(dataset, [0], cell=52, columns=4)
    assert sheet.shape == (60, 166, 3)
    mask = sheet[4:56, 4 + 53 : 4 + 53 + 52]
    assert (mask[:6] == (224, 224, 192)).all()  # void above the image: 3 rows, twice the size
    assert (mask[6:12] != (224, 224, 192)).any(axis=-1).all()


@pytest.mark.parametrize("stage", [None, "1", "2"])
@pytest.mark.parametrize("data", ["shapes", "voc"])
def test_show_on_the_command_line(full, tmp_path, capsys, data, stage):
    picture = tmp_path / "new" / "grid.png"
    order = ["show", "--data", data, "--output", str(picture), "--count", "3", "--cell", "40"]
    order += ["--data-root", str(full)] if data == "voc" else []
    order += ["--stage", stage] if stage else []
    assert main(order) == 0
    with Image.open(picture) as opened:
        assert opened.size == (3 * 130, 48)
    assert str(picture) in capsys.readouterr().out
    first = picture.read_bytes()
    assert main(order) == 0
    assert picture.read_bytes() == first
    assert main([*order, "--seed", "1"]) == 0
    assert picture.read_bytes() != first
    assert [path.name for path in picture.parent.iterdir()] == ["grid.png"]


def test_show_what_is_not_there(tmp_path, capsys):
    output = ["--output", str(tmp_path / "x.png")]
    assert main(["show", "--data", "voc", *output]) == 2
    assert "--data voc needs --data-root DIR" in capsys.readouterr().err
    assert main(["show", "--split", "holdout", *output]) == 2
    assert "split is 'holdout'" in capsys.readouterr().err
    for wrong in (["show"], ["paint"], [], ["show", "--count", "-1", *output]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "kept.png"
    save_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_png(path, np.zeros((2, 2, 3), np.complex128))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["kept.png"]
    with pytest.raises(DataError, match=r"kept\.png/x\.png cannot be written"):
        save_png(path / "x.png", np.zeros((2, 2, 3), np.uint8))
