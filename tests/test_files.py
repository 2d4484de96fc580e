"""`files.atomic`: a file is there whole, old or new; links and devices stay what they are."""

from __future__ import annotations

import errno
import os
import stat
import tempfile

import numpy as np
import pytest

from minideconv.files.atomic import (
    remove_leftovers,
    replace_by_copy,
    replace_file,
    replacing,
)
from minideconv.visualize.masks import save_palette_png


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "kept.bin"
    replace_file(path, b"old")

    def write_half():
        with replacing(path) as file:
            file.write(b"ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept.bin"]


def test_a_picture_that_fails_half_way_leaves_the_old_one(tmp_path, monkeypatch):
    from PIL import Image

    path = tmp_path / "kept.png"
    save_palette_png(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()
    real = Image.Image.save

    def fail(self, target, *arguments, **options):
        real(self, target, *arguments, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_palette_png(path, np.ones((4, 4), np.uint8))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["kept.png"]


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "report.html"
    with replacing(path) as one, replacing(path) as other:
        one.write(b"1" * 10)
        other.write(b"2" * 20)
    assert path.read_bytes() == b"1" * 10  # the outer block ended last
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_file(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, b"")


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no names here")
def test_a_pipe_without_a_name_of_its_own_is_written_to():
    """As ``/dev/stdout`` in front of ``| cat``, and ``>(command)``."""
    reader, writer = os.pipe()
    try:
        replace_file(f"/dev/fd/{writer}", b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_copy_is_a_name_of_the_same_content_and_changes_alone(tmp_path):
    source, copy = tmp_path / "a", tmp_path / "b"
    replace_file(source, b"one")
    replace_by_copy(copy, source)
    replace_by_copy(copy, source)  # they are one file already
    assert copy.read_bytes() == b"one"
    replace_file(source, b"two")
    assert copy.read_bytes() == b"one"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/c")
    replace_by_copy(tmp_path / "link", source)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "c").read_bytes() == b"two"
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "elsewhere", "link"]
    with pytest.raises(FileNotFoundError):
        replace_by_copy(copy, tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "elsewhere", "link"]


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed there anyhow")
def test_leftovers_are_files_that_nobody_writes(tmp_path):
    dead, living, link, folder = (
        tmp_path / f".writing-{name}.tmp" for name in ("dead", "living", "link", "folder")
    )
    for path in (dead, tmp_path / ".writing-notes", tmp_path / "writing-x.tmp"):
        path.write_bytes(b"half")
    link.symlink_to(tmp_path / "writing-x.tmp")
    folder.mkdir()
    with replacing(tmp_path / "file") as file:
        file.write(b"whole")
        assert remove_leftovers(tmp_path) == [dead]
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert not living.exists()
    assert link.is_symlink()
    assert remove_leftovers(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed there anyhow")
def test_a_file_that_was_taken_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Another process looks just when the file is there and not yet held."""
    real, looks = tempfile.mkstemp, []

    def and_another_looks(**options):
        made = real(**options)
        if len(looks) < 3:
            looks.append(remove_leftovers(tmp_path))
        return made

    monkeypatch.setattr(tempfile, "mkstemp", and_another_looks)
    replace_file(tmp_path / "file", b"whole")
    assert [len(found) for found in looks] == [1, 1, 1]
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]
