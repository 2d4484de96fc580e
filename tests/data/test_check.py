"""`data check`: every fault of every file in one go, remarks, statistics, the sheet."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from minideconv.data import Photographs, VOCSegmentation
from minideconv.data.__main__ import main
from minideconv.data.check import check_before_use, examine
from minideconv.data.check.sheet import contact_sheet
from minideconv.data.shard import Subset
from minideconv.data.voc_colors import voc_palette
from minideconv.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINIDECONV_CACHE", str(folder))
    return folder


@pytest.fixture
def voc(tmp_path, tree):
    """Three images to train on, of classes 3, 8 and 15, and two to validate, of 3 and 8."""
    root = tmp_path / "VOC2012"
    tree.make(root, {"a": tree.mask(3), "b": tree.mask(8, 30, 22), "c": tree.mask(15)})
    tree.make(root, {"v": tree.mask(3), "w": tree.mask(8)}, "val", seed=1)
    return root


def opened(voc, *names):
    return {name: VOCSegmentation(voc, name, cache_mb=0) for name in names or ("train", "val")}


def texts(findings, kind=None):
    return [each.text for each in findings if kind in (None, each.kind)]


def turned(path, orientation):
    """Let a photograph note an orientation, its pixels as they are."""
    with Image.open(path) as file:
        exif = Image.Exif()
        exif[274] = orientation
        file.save(path, quality=95, exif=exif)


def test_a_whole_set_has_no_fault(voc):
    report = examine(opened(voc))
    assert report.faults == []
    assert [len(looks) for looks in report.looks.values()] == [3, 2]
    look = report.looks["train"][1]
    assert (look.size, look.photograph, look.mask, look.turned) == (
        (30, 22),
        "JPEG RGB",
        "PNG P",
        1,
    )
    assert look.pixels == {0: 30 * 22 - 120, 8: 80, 255: 40}
    assert texts(report.remarks, "classes") == [
        "classes that no mask shows, 17 of 20: aeroplane, bicycle, boat, bottle and 13 more"
    ]


def spoil(voc, tree):
    """Make every kind of fault, each in a file of its own; return what must be said of each."""
    masks = {name: tree.mask(3, 40, 50) for name in "defghijklmno"}
    tree.make(voc, masks, "train", seed=5)
    photographs, labels = voc / "JPEGImages", voc / "SegmentationClass"
    (photographs / "d.jpg").unlink()
    (labels / "d.png").write_bytes(b"")
    (photographs / "e.jpg").write_bytes((photographs / "e.jpg").read_bytes()[:200])
    tree.save(labels / "e.png", np.full((40, 50), 77))
    tree.save(labels / "f.png", tree.mask(3, 40, 49))
    tree.save(labels / "g.png", np.full((40, 50), 99))
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = voc_palette()[[0, 15, 3]]
    tree.save(labels / "h.png", np.where(tree.mask(1, 40, 50) == 1, 1, 0), palette)
    turned(photographs / "i.jpg", 6)
    (labels / "j.png").unlink()
    Image.new("RGB", (50, 40), (1, 2, 3)).save(labels / "k.png")
    (labels / "l.png").write_bytes(b"<html>404</html>")
    return {
        "d.jpg": "", "d.png": "is empty", "e.jpg": "damaged or cut off", "e.png": "the values 77",
        "f.png": "49x40 pixels", "g.png": "the values 99", "h.png": "class 15 (person)",
        "i.png": "turned upright by its EXIF orientation 6", "j.png": "", "k.png": "has mode RGB",
        "l.png": "",
    }  # fmt: skip


def test_every_fault_of_every_file_is_named_in_one_go(voc, tree):
    expected = spoil(voc, tree)
    found = texts(examine(opened(voc)).faults)
    for name, part in expected.items():
        (about,) = [text for text in found if f"/{name} " in text.partition(" but ")[0]]
        assert part in about
    assert len(found) == len(expected)


def test_a_file_in_two_lists_is_named_once(voc):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "trainval.txt").write_text("a\nb\nc\nv\nw\n")
    (voc / "JPEGImages" / "b.jpg").unlink()
    (fault,) = examine(opened(voc, "train", "trainval", "val")).faults
    assert fault.lists == ("train", "trainval")
    assert fault.names == ("b",)


def test_an_image_that_is_listed_twice(voc):
    path = voc / "ImageSets" / "Segmentation" / "train.txt"
    path.write_text(path.read_text() + "b\nb\na\n")
    found = texts(examine(opened(voc)).faults)
    assert found == ["the list train names a twice", "the list train names b 3 times"]


def test_an_image_in_training_and_validation(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + "c\n")
    assert texts(examine(opened(voc)).faults) == ["1 image is both in train and in val: c"]


def test_a_copy_in_training_and_validation_is_found_by_its_pixels(voc, tree):
    with Image.open(voc / "JPEGImages" / "a.jpg") as file:
        pixels = file.convert("RGB")
    tree.make(voc, {"v": tree.mask(3), "w": tree.mask(8), "x": tree.mask(3)}, "val", seed=1)
    copy = voc / "JPEGImages" / "x.jpg"
    pixels.save(copy, "PNG")  # other bytes, the same pixels
    assert copy.read_bytes() != (voc / "JPEGImages" / "a.jpg").read_bytes()
    (fault,) = texts(examine(opened(voc)).faults)
    assert fault.endswith("copies of some of train, under other names: a and x")


def test_lists_made_of_others_are_no_fault(voc):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "trainval.txt").write_text("a\nb\nc\nv\nw\n")
    assert examine(opened(voc, "train", "trainval", "val")).faults == []
    # but where the caller says which one is trained on, it is
    faults = examine(opened(voc, "trainval", "val"), ["trainval"]).faults
    assert texts(faults) == ["2 images are both in trainval and in val: v, w"]


def test_masks_without_an_object(voc, tree):
    tree.save(voc / "SegmentationClass" / "a.png", np.zeros((20, 26)))
    tree.save(voc / "SegmentationClass" / "c.png", np.full((20, 26), 255))
    report = examine(opened(voc))
    assert report.faults == []
    assert texts(report.remarks, "empty") == ["1 of 3 masks of train show background alone: a"]
    (void,) = texts(report.remarks, "void")
    assert void == "1 of 3 masks of train show 255 (void) and no class, which is not learned: c"
    tree.save(voc / "SegmentationClass" / "b.png", np.zeros((30, 22)))
    (fault,) = texts(examine(opened(voc)).faults)
    assert "none of the 3 masks of split 'train' shows a class" in fault
    assert "SegmentationClass/c.png for one" in fault


def test_classes_that_are_evaluated_and_never_learned(voc, tree):
    tree.save(voc / "SegmentationClass" / "v.png", tree.mask(20))
    assert "val shows classes that train does not: tvmonitor" in texts(
        examine(opened(voc)).remarks, "classes"
    )


def test_photographs_alone_are_looked_at_too(voc):
    (voc / "JPEGImages" / "b.jpg").write_bytes(b"\xff\xd8")
    faults = examine({"train": Photographs(voc, "train"), "val": Photographs(voc, "val")}).faults
    assert len(faults) == 1
    assert "b.jpg" in faults[0].text


def test_what_is_in_no_list(voc, tree, capsys):
    tree.make(voc, {"x": tree.mask(3), "y": tree.mask(3)}, "gone")
    (voc / "ImageSets" / "Segmentation" / "gone.txt").unlink()
    (voc / "JPEGImages" / "y.jpg").unlink()
    (voc / "JPEGImages" / "notes.txt").write_text("no picture")
    assert main(["check", str(voc)]) == 0
    printed = capsys.readouterr().out
    assert "  1 photograph is in none of the lists: x.jpg\n" in printed
    assert "  1 mask is without a photograph: y.png\n" in printed
    assert "every photograph and every mask of the lists can be used" in printed


# -- The command --------------------------------------------------------------------------------


def test_the_command_names_all_and_ends_with_1(voc, tree, capsys):
    expected = spoil(voc, tree)
    assert main(["check", str(voc)]) == 1
    printed = capsys.readouterr().out
    assert f"{len(expected)} faults:" in printed
    for name in expected:
        assert f"/{name} " in printed
    assert "can be used" not in printed


def test_the_table_of_classes(voc, capsys):
    assert main(["check", str(voc)]) == 0
    lines = {line.split()[1]: line.split() for line in capsys.readouterr().out.splitlines()
             if line[:3].strip().isdecimal()}  # fmt: skip
    # masks, pixels, share of what is labelled: 20x26, 30x22 and 20x26 pixels, 40 of each void
    assert lines["cat"][2:] == ["1", "80", "5.06", "%", "1", "80", "8.33", "%"]
    assert lines["person"][2:] == ["1", "80", "5.06", "%", "0", "0", "0.00", "%"]
    assert lines["void"][2:] == ["3", "120", "2", "80"]


def test_chosen_lists_only(voc, capsys):
    (voc / "JPEGImages" / "v.jpg").unlink()
    assert main(["check", str(voc), "--split", "train"]) == 0
    assert "train (3)" in capsys.readouterr().out
    assert main(["check", str(voc), "--split", "dawn"]) == 2
    assert "no split 'dawn'" in capsys.readouterr().err


def test_lists_that_cannot_be_read_are_faults_like_others(voc, capsys):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "empty.txt").write_text("\n")
    (lists / "outside.txt").write_text("../../x\n")
    assert main(["check", str(voc)]) == 1
    printed = capsys.readouterr().out
    assert "empty.txt" in printed
    assert "outside.txt: '../../x' is no name of a file inside" in printed
    assert main(["check", str(voc.parent / "nowhere")]) == 2


def test_json(voc, tree, tmp_path, capsys):
    tree.save(voc / "SegmentationClass" / "g.png", np.full((20, 26), 99))
    tree.make(voc, {"v": tree.mask(3, 30, 40)}, "val", seed=1)
    (voc / "JPEGImages" / "b.jpg").unlink()
    file = tmp_path / "new" / "found.json"
    assert main(["check", str(voc), "--json", str(file)]) == 1
    capsys.readouterr()
    assert main(["check", str(voc), "--json", "-"]) == 1
    printed = capsys.readouterr().out
    assert file.read_text() == printed
    found = json.loads(printed)
    assert found["lists"]["val"]["sizes"] == [[30, 40]]
    assert found["lists"]["val"]["pixels"]["bird"] == 80
    (fault,) = found["faults"]
    assert (fault["kind"], fault["lists"], fault["names"]) == ("file", ["train"], ["b"])
    other = tmp_path / "other.json"
    other.write_text('{"mine": 1}')
    assert main(["check", str(voc), "--json", str(other)]) == 2
    assert other.read_text() == '{"mine": 1}'


def test_the_sheet_shows_photograph_overlay_and_legend(voc, tmp_path, capsys):
    file = tmp_path / "sheet.png"
    assert main(["check", str(voc), "--sheet", str(file), "--count", "3"]) == 0
    assert str(file) in capsys.readouterr().out
    with Image.open(file) as opened_file:
        sheet = np.array(opened_file)
    for label in (3, 8, 15, 255):  # every class is on it though two would fill it
        assert (sheet == voc_palette()[label]).all(axis=2).sum() > 100, label
    other = tmp_path / "b.png"
    Image.new("RGB", (3, 3)).save(other)
    before = other.read_bytes()
    assert main(["check", str(voc), "--sheet", str(other)]) == 2
    assert other.read_bytes() == before


def test_the_sheet_leaves_out_what_has_faults(voc, tmp_path):
    (voc / "JPEGImages" / "a.jpg").unlink()
    whole = contact_sheet(examine(opened(voc)))
    assert whole.ndim == 3
    for name in "bcvw":
        (voc / "JPEGImages" / f"{name}.jpg").unlink()
    with pytest.raises(DataError, match="no photograph can be drawn"):
        contact_sheet(examine(opened(voc)))


# -- Before a network is trained ----------------------------------------------------------------


def test_all_faults_are_named_before_a_run(voc, tree):
    spoil(voc, tree)
    with pytest.raises(DataError) as caught:
        check_before_use(opened(voc), "train", "THE COMMAND")
    lines = str(caught.value).splitlines()
    assert lines[0] == "11 faults were found, and nothing was begun:"
    assert len(lines) == 13
    assert lines[-2:] == ["  and 1 more", "all of them: THE COMMAND"]


def test_one_fault_is_one_sentence(voc):
    (voc / "JPEGImages" / "v.jpg").unlink()
    with pytest.raises(DataError) as caught:
        check_before_use(opened(voc), "train")
    assert str(voc / "JPEGImages" / "v.jpg") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_be_used_is_used_and_remarked(voc, tree):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("a\nb\nc\na\n")
    (lists / "val.txt").write_text("v\nw\nc\n")
    tree.save(voc / "SegmentationClass" / "v.png", np.full((20, 26), 255))
    sets = opened(voc)
    check_before_use(sets, "train")
    assert sets["train"].note.splitlines()[0] == "note: the list train names a twice"
    assert "note: 1 of 3 masks of val show 255 (void) and no class" in sets["val"].note
    assert "note: 1 image is both in train and in val: c" in sets["val"].note


def test_only_what_a_run_uses_is_checked(voc):
    (voc / "JPEGImages" / "c.jpg").unlink()
    sets = opened(voc)
    sets["train"] = Subset(sets["train"], [0, 1])
    check_before_use(sets, "train")
    sets["train"] = Subset(sets["train"].dataset, [0, 2])
    with pytest.raises(DataError, match=r"c\.jpg"):
        check_before_use(sets, "train")


def test_what_is_not_on_files_is_left_alone(voc):
    check_before_use({"train": [1, 2, 3], "val": object()}, "train")


@pytest.mark.skipif(os.name == "nt", reason="pipes have no names here")
def test_a_pipe_among_the_photographs_does_not_wait(voc):
    path = voc / "JPEGImages" / "a.jpg"
    path.unlink()
    os.mkfifo(path)
    (fault,) = examine(opened(voc)).faults
    assert str(path) in fault.text


# -- Other layouts and classes ------------------------------------------------------------------


@pytest.fixture
def cells(tmp_path, tree):
    """Ten photographs and masks of two classes of one's own, in images/ and masks/."""
    root = tmp_path / "cells"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"cell {number}.png")
        tree.save(root / "masks" / f"cell {number}.png", tree.mask(1 + number % 2))
    (root / "classes.txt").write_text("background\ncell #ff8000\nnucleus #0080ff\n")
    return root


def test_a_folder_with_classes_of_its_own(cells, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["check", str(cells), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "image lists: train (8), val (2)" in printed
    assert "  1 cell " in printed
    assert "  2 nucleus " in printed
    with Image.open(sheet) as file:
        drawn = np.array(file)
    for colour in ((255, 128, 0), (0, 128, 255)):  # in the legend
        assert (drawn == colour).all(axis=2).sum() > 50
    (cells / "images" / "cell 4.png").write_bytes(b"no picture")
    assert main(["check", str(cells)]) == 1
    assert "images/cell 4.png is not a picture" in capsys.readouterr().out


def test_classes_and_layout_by_options(cells, capsys):
    (cells / "classes.txt").unlink()
    assert main(["check", str(cells)]) == 1
    assert "classes of" in capsys.readouterr().out
    order = ["check", str(cells), "--classes", "background,one,two", "--data", "folder"]
    assert main(order) == 0
    assert "  2 two" in capsys.readouterr().out
    assert main([*order[:3], "background,one"]) == 1
    assert "holds the values 2 in 80 pixels; legal are 0..1" in capsys.readouterr().out
    assert main(["check", str(cells), "--classes", "one,,two"]) == 2
    assert "--classes" in capsys.readouterr().err


def test_lists_of_splits_that_are_folders(tmp_path, tree, capsys):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / split / "0001.png")
        tree.save(tmp_path / f"{split}annot" / "0001.png", tree.mask(3))
    assert main(["check", str(tmp_path)]) == 0  # one name in both, of two photographs
    assert "image lists: train (1), val (1)" in capsys.readouterr().out
    copy = (tmp_path / "train" / "0001.png").read_bytes()
    (tmp_path / "val" / "0001.png").write_bytes(copy)
    assert main(["check", str(tmp_path)]) == 1
    assert "photographs of val are copies of some of train" in capsys.readouterr().out
