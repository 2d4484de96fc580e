"""Files that are no photographs, or claim to be others: one sentence each, soon, in little room."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minideconv
from minideconv.data.masks import read_mask
from minideconv.data.pictures import formats, read_image
from minideconv.errors import DataError

READERS = [read_image, read_mask]


def scene(height=20, width=26):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))


def stored(picture, kind, **options):
    memory = io.BytesIO()
    Image.fromarray(picture).save(memory, kind, **options)
    return memory.getvalue()


def test_no_picture_is_opened_in_whatever_format_it_has():
    package = Path(minideconv.__file__).parent
    texts = {
        path.relative_to(package).as_posix(): path.read_text("utf-8")
        for path in package.rglob("*.py")
    }
    opening = {name: text for name, text in texts.items() if "Image.open(" in text}
    assert sorted(opening) == ["data/convert/labelme.py", "data/pictures.py"]
    for text in opening.values():
        calls = text.count("Image.open(")
        assert len(re.findall(r"Image\.open\([^\n]*formats=", text)) == calls


# -- What is not opened at all ------------------------------------------------------------------


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["EPS", "PDF", "DDS", "ICO", "SGI", "TGA", "PCX"])
def test_formats_that_are_not_listed_are_not_opened(tmp_path, kind, read):
    """Of an EPS Pillow asks Ghostscript, of a name that ends in .jpg as well."""
    path = tmp_path / "a.jpg"
    path.write_bytes(stored(scene(), kind))
    with pytest.raises(DataError, match=r"a\.jpg is not a picture that can be read; JPEG, PNG"):
        read(path)
    assert kind not in formats()


@pytest.mark.parametrize("read", READERS)
def test_folders_pipes_and_devices(tmp_path, read):
    with pytest.raises(DataError, match="is a folder, not a picture"):
        read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
        for name in ("pipe.png", "link.png"):
            with pytest.raises(DataError, match=rf"{name} is a pipe or a device, not a picture"):
                read(tmp_path / name)
        (tmp_path / "zero.png").symlink_to("/dev/zero")
        with pytest.raises(DataError, match=r"zero\.png is a pipe or a device"):
            read(tmp_path / "zero.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(DataError, match=r"loop\.png cannot be read: "):
        read(tmp_path / "loop.png")


@pytest.mark.parametrize("read", READERS)
def test_a_huge_file_is_not_read(tmp_path, read):
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # takes no room
    with pytest.raises(DataError, match=r"a\.jpg is larger than 1 GiB"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("side", [20_000, 60_000, 2**31 - 1])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, read, side):
    """Not "damaged": the size is in the header, and no pixel is decoded."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    begun = time.process_time()
    with pytest.raises(DataError, match=r"a\.png has too many pixels|bytes instead of"):
        read(path)
    assert time.process_time() - begun < 2


READS_ONE = """
import resource, sys
from pathlib import Path
from minideconv.data.pictures import read_image

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = read_image(Path(sys.argv[1]))
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
print(*image.shape, set(image[::500, ::500].ravel().tolist()), used)
"""


def test_a_large_photograph_is_read_without_a_warning_and_without_copies(tmp_path):
    """Of 90 million pixels Pillow warns. It has four bytes a pixel, and the array three."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (10_000, 9_100), (128, 128, 128)).save(path, quality=30)
    done = subprocess.run(
        [sys.executable, "-c", READS_ONE, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    *shape, values, used = done.stdout.split()
    assert (shape, values) == (["9100", "10000", "3"], "{128}")
    assert int(used) < 800, f"{used} MiB"  # 360 and 270


# -- Deep photographs ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_as_colour_of_16_bits_is(tmp_path, kind):
    """The upper byte of each number: white is 65535."""
    deep = np.linspace(0, 65535, 20 * 26).astype(np.uint16).reshape(20, 26)
    path = tmp_path / "a.png"
    path.write_bytes(stored(deep, kind))
    found = read_image(path)
    assert found.shape == (20, 26, 3)
    assert (found == (deep >> 8)[..., None]).all()
    assert found.max() == 255


def test_colour_of_16_bits_is_read_by_its_upper_bytes(tmp_path):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (20, 26, 3))
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 26, 20, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert (read_image(path) == deep >> 8).all()


# -- Damage -------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_png_photograph_is_found(tmp_path):
    path = tmp_path / "a.png"
    whole = stored(scene(), "PNG")
    for bit in range(0, 8 * len(whole), 11):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_image(path)


def mutated(content, rng):
    """Return a file with bytes changed, left out, put in, or its end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(changed)))
        kind = rng.integers(4)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(9)))
        elif kind == 2:
            changed[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
        else:
            del changed[at:]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about what it passes over
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("read", READERS)
def test_mutated_files_are_read_or_one_sentence(tmp_path, kind, read):
    """Nothing but a `DataError` comes out, and a PNG that is accepted is the picture it was."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[274] = 6
    whole = stored(scene(), kind, **({"exif": exif} if kind in ("JPEG", "WEBP", "PNG") else {}))
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    expected = read_image(path)
    for _ in range(150):
        path.write_bytes(mutated(whole, rng))
        begun = time.process_time()
        found, said = None, ""
        try:
            found = read(path)
        except DataError as error:
            said = str(error)
        assert "\n" not in said
        assert kind != "PNG" or said or (read is read_image and (found == expected).all())
        assert time.process_time() - begun < 5
