"""What a check keeps for the next start, and that it never tells what is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minideconv.data import VOCSegmentation
from minideconv.data.check import Look, check_before_use, examine, kept, look_at_all, looking
from minideconv.data.classes import VOC, Classes
from minideconv.errors import DataError


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own, in which what was just written is kept too."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINIDECONV_CACHE", str(folder))
    monkeypatch.setattr(kept, "_SETTLED", -3600.0)
    return folder


@pytest.fixture
def voc(tmp_path, tree):
    """Three images to train on, and two to validate."""
    root = tmp_path / "VOC2012"
    tree.make(root, {"a": tree.mask(3), "b": tree.mask(8, 30, 22), "c": tree.mask(15)})
    return tree.make(root, {"v": tree.mask(3), "w": tree.mask(8)}, "val", seed=1)


@pytest.fixture
def read(monkeypatch):
    """The names of the items that were really read, as they are read."""
    names = []
    real = looking.look_at

    def noted(dataset, index):
        names.append(dataset.name(index))
        return real(dataset, index)

    monkeypatch.setattr(looking, "look_at", noted)
    return names


def opened(voc):
    return {name: VOCSegmentation(voc, name, cache_mb=0) for name in ("train", "val")}


def looks_of(voc):
    return look_at_all(opened(voc))


def test_the_second_look_reads_nothing_and_finds_the_same(voc, cache, read):
    first = looks_of(voc)
    assert sorted(read) == ["a", "b", "c", "v", "w"]
    read.clear()
    assert looks_of(voc) == first
    assert read == []


@pytest.mark.parametrize("name", ["JPEGImages/b.jpg", "SegmentationClass/b.png"])
def test_a_file_that_was_changed_is_read_again(voc, cache, read, name):
    looks_of(voc)
    read.clear()
    path = voc / name
    content, times = path.read_bytes(), path.stat()
    changed = bytearray(content)
    changed[-20] ^= 1  # as long as before
    path.write_bytes(bytes(changed))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # and as old, as some copies are
    looks_of(voc)
    assert read == ["b"]


def test_a_file_that_was_removed_is_missed(voc, cache):
    check_before_use(opened(voc), "train")
    (voc / "JPEGImages" / "w.jpg").unlink()
    with pytest.raises(DataError, match=r"w\.jpg"):
        check_before_use(opened(voc), "train")


def test_a_file_that_was_exchanged_for_another(voc, cache, read):
    looks_of(voc)
    read.clear()
    one, other = (voc / "JPEGImages" / name for name in ("v.jpg", "w.jpg"))
    one.rename(voc / "x")
    other.rename(one)
    (voc / "x").rename(other)
    again = looks_of(voc)
    assert sorted(read) == ["v", "w"]
    assert again["val"][0].content != again["val"][1].content


def test_a_list_that_grew(voc, cache, read, tree):
    looks_of(voc)
    read.clear()
    (voc / "ImageSets/Segmentation/train.txt").write_text("c\na\nv\nb\n")
    again = looks_of(voc)
    assert read == []
    assert [look.size for look in again["train"]] == [(20, 26), (20, 26), (20, 26), (30, 22)]


def test_files_with_faults_are_always_read(voc, cache, read):
    """A fault may have been the system's: too many open files, a disk that was away."""
    (voc / "JPEGImages" / "b.jpg").write_bytes(b"\xff\xd8")
    looks_of(voc)
    read.clear()
    looks_of(voc)
    assert read == ["b"]


def test_what_was_written_just_now_is_not_kept(voc, cache, read, monkeypatch):
    monkeypatch.setattr(kept, "_SETTLED", 3600.0)
    looks_of(voc)
    assert not list(cache.rglob("*.json"))
    read.clear()
    looks_of(voc)
    assert len(read) == 5


def test_a_file_that_is_written_while_it_is_read_is_not_kept(voc, cache, read, monkeypatch):
    real = looking.look_at

    def meanwhile(dataset, index):
        found = real(dataset, index)
        if dataset.name(index) == "b":
            (voc / "JPEGImages" / "b.jpg").write_bytes(b"other")
        return found

    monkeypatch.setattr(looking, "look_at", meanwhile)
    looks_of(voc)
    monkeypatch.setattr(looking, "look_at", real)
    (look,) = (looks_of(voc)["train"][k] for k in [1])
    assert look.faults


def test_other_classes_are_another_reading(voc, cache, read):
    looks_of(voc)
    read.clear()
    colours = VOC.colours.copy()
    colours[20] = 1, 2, 3
    for classes in (Classes(VOC.names, colours), Classes((*VOC.names, "one more"))):
        look_at_all({"train": VOCSegmentation(voc, "train", classes=classes)})
        assert sorted(read) == ["a", "b", "c"]
        read.clear()


@pytest.mark.parametrize("how", ["cut off", "a flipped bit", "another text", "empty", "a folder"])
def test_a_damaged_cache_is_not_believed(voc, cache, read, how):
    first = looks_of(voc)
    (file,) = cache.rglob("*.json")
    content = file.read_bytes()
    if how == "a folder":
        file.unlink()
        file.mkdir()
    else:
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        damaged = {
            "cut off": content[: len(content) // 2],
            "a flipped bit": bytes(flipped),
            "another text": b"{}",
            "empty": b"",
        }
        file.write_bytes(damaged[how])
    read.clear()
    assert looks_of(voc) == first
    assert len(read) == 5


def test_every_flipped_bit_is_seen(voc, cache, read):
    """Whatever is kept, none of it is another thing than what was found."""
    first = looks_of(voc)
    (file,) = cache.rglob("*.json")
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(content), 200, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(bytes(flipped))
        found = kept.KeptLooks(_name_of(voc))
        assert len(found) == 0, bit
    file.write_bytes(content)
    assert len(kept.KeptLooks(_name_of(voc))) == 5
    assert looks_of(voc) == first


def _name_of(voc):
    return repr([str(voc / "JPEGImages")])


def test_a_cache_that_cannot_be_written_is_no_error(voc, cache, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("MINIDECONV_CACHE", str(file))
    assert examine(opened(voc)).faults == []
    monkeypatch.delenv("MINIDECONV_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(kept.Path, "home", no_home)
    assert examine(opened(voc)).faults == []


def test_nothing_is_written_beside_the_data(voc, cache):
    before = {path: path.stat().st_mtime_ns for path in sorted(voc.parent.rglob("*"))}
    looks_of(voc)
    assert {path: path.stat().st_mtime_ns for path in sorted(voc.parent.rglob("*"))} == before
    assert [path.parent.name for path in cache.rglob("*.json")] == ["checks"]


def test_the_cache_stays_small(voc, cache, tmp_path):
    for number in range(4):  # other files each time: those of before are of no use
        for path in (voc / "JPEGImages").iterdir():
            size = (22, 30) if path.stem == "b" else (26, 20)
            Image.new("RGB", size, (number, 0, 0)).save(path)
        looks_of(voc)
        (file,) = cache.rglob("*.json")
        assert len(json.loads(file.read_bytes().partition(b"\n")[2])) <= 10
    for number in range(70):
        (file.parent / f"{number}.json").write_text("old")
        os.utime(file.parent / f"{number}.json", (1, 1))
    shutil.copytree(voc, tmp_path / "other")
    looks_of(tmp_path / "other")
    assert len(list(file.parent.iterdir())) == kept._MOST_FILES


def test_what_was_done_before_an_interruption_is_kept(voc, cache, read, monkeypatch):
    real = looking.look_at

    def interrupted(dataset, index):
        if dataset.name(index) == "w":
            raise KeyboardInterrupt
        return real(dataset, index)

    monkeypatch.setattr(looking, "look_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        looks_of(voc)
    monkeypatch.setattr(looking, "look_at", real)
    (file,) = cache.rglob("*.json")
    assert len(json.loads(file.read_bytes().partition(b"\n")[2])) == 4


def test_a_look_is_written_and_read_as_it_is():
    look = Look(("x",), (3, 4), "JPEG RGB", "PNG P", 6, {0: 5, 255: 7}, "ab")
    assert Look.from_list(json.loads(json.dumps(look.to_list()))) == look
    bare = Look()
    assert Look.from_list(json.loads(json.dumps(bare.to_list()))) == bare


def test_drawn_pictures_need_no_check_and_import_none():
    """The first command of the README starts as fast as before."""
    script = (
        "import sys; from minideconv.training import TrainConfig, Trainer;"
        "Trainer(TrainConfig(width=2, depth=2, fc=4, input_size=16, image_size=16, device='cpu'));"
        "assert not [name for name in sys.modules if name.startswith('minideconv.data.check')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
