"""Zip archives: what is unpacked, and what is refused before anything is written."""

from __future__ import annotations

import os
import shutil
import zipfile

import labelled_exports as made_up
import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main
from minideconv.data.convert import archive as module
from minideconv.data.convert.archive import unpack
from minideconv.errors import DataError


@pytest.fixture
def zipped(tmp_path):
    """Make an archive of these entries: names or ZipInfo, and contents."""

    def make(*entries, method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in entries:
                file.writestr(name, content)
        (tmp_path / "out").mkdir()
        return path

    return make


def test_what_is_wanted_is_unpacked(zipped, tmp_path):
    path = zipped(
        ("top/a.JPG", b"1"),
        ("top/deep\\b.png", b"2"),
        ("top/run.exe", b"3"),
        ("__MACOSX/top/._a.JPG", b"4"),
        ("top/.hidden/c.png", b"5"),
    )
    root = unpack(path, tmp_path / "out")
    assert root == tmp_path / "out" / "top"
    found = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}
    assert found == {"a.JPG": b"1", "deep/b.png": b"2"}


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../a.png", "'../a.png', which would lie outside of its folder"),
        ("x/../../a.png", "outside"),
        ("/etc/a.png", "outside"),
        ("..\\a.png", "outside"),
        ("C:\\a.png", "outside"),
        ("C:a.png", "outside"),
        (link("a.png"), "'a.png', which is a link or a device, and no file"),
    ],
)
def test_nothing_goes_outside(zipped, tmp_path, name, sentence):
    path = zipped(("b.png", b"1"), (name, b"/etc/passwd"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"a\.zip holds ") as error:
        unpack(path, tmp_path / "out")
    assert sentence in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_name_twice(zipped, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(("a.png", b"1"), ("a.png", b"2"))
    with pytest.raises(DataError, match=r"holds 'a\.png' twice"):
        unpack(path, tmp_path / "out")


def test_too_large_by_its_header(zipped, tmp_path, monkeypatch):
    path = zipped(("a.png", bytes(3_000_000)))
    monkeypatch.setattr(module, "_ALWAYS", 1_000_000)
    legal = max(1_000_000, 100 * path.stat().st_size)
    with pytest.raises(DataError, match=f"has 3000000 bytes unpacked; legal are {legal}"):
        unpack(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_larger_than_its_header_says(zipped, tmp_path):
    path = zipped(("a.png", bytes(50_000)))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(mark) + place
        content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged, cut off or no zip archive"):
        unpack(path, tmp_path / "out")
    assert sum(p.stat().st_size for p in (tmp_path / "out").iterdir()) <= 100


def test_too_many_files(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_FILES", 2)
    with pytest.raises(DataError, match="holds 3 files; legal are 2"):
        unpack(zipped(("a.png", b""), ("b.png", b""), ("c.png", b"")), tmp_path / "out")


def test_encrypted(zipped, tmp_path):
    path = zipped(("a.png", b"1"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(path, tmp_path / "out")


def test_any_damage_is_one_sentence_and_leaves_nothing(tmp_path, capsys):
    """Single bytes of an archive are changed; what is made nevertheless is made of whole files."""
    path = made_up.cvat(tmp_path / "cvat.zip", made_up.scenes(3))
    whole = path.read_bytes()
    output = tmp_path / "out"
    assert main(["convert", str(path), "--output", str(output)]) == 0
    expected = sorted((p.name, p.read_bytes()) for p in output.rglob("*.png"))
    os.rename(output, tmp_path / "first")
    refused = 0
    for place in range(0, len(whole), len(whole) // 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        capsys.readouterr()
        code = main(["convert", str(path), "--output", str(output)])
        if code:
            refused += 1
            assert code in (1, 2)
            assert not output.exists()
            said = capsys.readouterr().err
            assert said.startswith("minideconv.data: ")
            assert "Traceback" not in said
            assert ".convert-" not in said, "the name of a temporary folder"
        else:
            made = sorted((p.name, p.read_bytes()) for p in output.rglob("*.png"))
            assert made == expected
            os.rename(output, tmp_path / f"made{place}")
        assert not list(tmp_path.glob(".convert-*"))
    assert refused > 100


def test_cut_off_or_something_else(tmp_path, capsys):
    path = made_up.cvat(tmp_path / "cvat.zip", made_up.scenes(3))
    for content in (path.read_bytes()[:-30], b"", b"%PDF-1.4"):
        path.write_bytes(content)
        assert main(["convert", str(path), "--output", str(tmp_path / "out")]) == 1
        assert "cvat.zip cannot be unpacked: it is damaged, cut off" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["labelme", "labelme-masks", "rgb", "coco", "coco-text"])
def test_every_format_may_be_zipped(kind, tmp_path):
    scenes = made_up.scenes(4)
    source = made_up.EXPORTS[kind](tmp_path / "source", scenes)
    path = shutil.make_archive(str(tmp_path / "export"), "zip", source.parent, source.name)
    assert main(["convert", path, "--output", str(tmp_path / "out")]) == 0
    for scene in scenes:
        name = scene.name.replace(" ", "_")
        with Image.open(tmp_path / "out" / "SegmentationClass" / f"{name}.png") as mask:
            np.testing.assert_array_equal(np.array(mask), made_up.true_mask(scene))
