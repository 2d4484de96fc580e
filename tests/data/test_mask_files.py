"""Masks as programs write them: read as they were meant, or refused with the remedy."""

from __future__ import annotations

import io
import struct
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from minideconv.data.classes import VOC, Classes
from minideconv.data.masks import read_indices, read_mask
from minideconv.data.png import png_damage, png_header
from minideconv.data.voc_colors import VOID, colorize, voc_palette
from minideconv.errors import DataError

TWO = Classes(("background", "cell"))
THREE = Classes(("background", "cell", "nucleus"))
COLOURED = Classes(("background", "cell", "nucleus"), [(9, 9, 9), (255, 0, 0), (0, 0, 255)])
REMEDY = r"python -m minideconv\.data convert"


def labels(*values, height=20, width=26):
    """A mask with stripes of these labels, background between them."""
    mask = np.zeros((height, width), np.uint8)
    for place, value in enumerate(values):
        mask[4 + 2 * place : 5 + 2 * place, 3:20] = value
    return mask


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def grey_png(values, depth):
    """A greyscale PNG of `depth` bits whose samples are `values` themselves."""
    bits = ((values[..., None].astype(np.int64) >> np.arange(depth - 1, -1, -1)) & 1).astype(
        np.uint8
    )
    rows = np.packbits(bits.reshape(len(values), -1), axis=1)
    header = struct.pack(">IIBBBBB", values.shape[1], len(values), depth, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write(path, content):
    path.write_bytes(content)
    return path


def save(path, picture, **options):
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(
        path, **options
    )
    return path


# -- Few bits and many --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "classes", "values"),
    [
        (1, TWO, (1,)),
        (2, THREE, (1, 2)),
        (2, VOC, (1, 3)),  # 85 is no class, so that the samples are numbers, and 3 is one
        (4, THREE, (1, 2)),
        (4, VOC, (1, 15)),  # 17 is a sheep, but 255 with it is void: see the next test
        (8, VOC, (1, 20, 255)),
        (16, THREE, (1, 2)),
        (16, VOC, (1, 20, 255)),
    ],
)
def test_grey_levels_of_any_depth_are_numbers(tmp_path, depth, classes, values):
    """Pillow stretches those of few bits to 0..255."""
    mask = labels(*values)
    path = write(tmp_path / "a.png", grey_png(mask, depth))
    if (depth, classes) == (4, VOC):
        with pytest.raises(DataError, match="may be 0, 1, 15 or 0, 17, 255; save it with 8 bits"):
            read_mask(path, classes)
    else:
        assert read_mask(path, classes).tolist() == mask.tolist()
        assert read_mask(path, classes).dtype == np.uint8


@given(st.data())
def test_a_grey_png_is_read_as_its_samples_its_levels_or_not_at_all(tmp_path_factory, data):
    """The rule, over all sets of samples: what is read is the only reading that is legal."""
    depth = data.draw(st.sampled_from([1, 2, 4]), "depth")
    count = data.draw(st.integers(2, 30), "classes")
    values = data.draw(st.sets(st.integers(0, 2**depth - 1), min_size=1), "values")
    classes = Classes([f"c{k}" for k in range(count)])
    samples = np.array([sorted(values)], np.uint8)
    path = write(tmp_path_factory.mktemp("grey") / "a.png", grey_png(samples, depth))
    stretched = samples.astype(int) * 255 // (2**depth - 1)
    legal = [*range(count), VOID]
    readings = {tuple(r[0].tolist()) for r in (samples, stretched) if np.isin(r, legal).all()}
    if len(readings) == 2 and not (depth == 1 and count == 2):
        with pytest.raises(DataError, match=REMEDY):
            read_mask(path, classes)
    elif not readings:
        with pytest.raises(DataError, match="holds the values"):
            read_mask(path, classes)
    else:
        expected = samples if depth == 1 and count == 2 else [list(readings.pop())]
        assert read_mask(path, classes).tolist() == np.asarray(expected).tolist()


def test_black_and_white_of_more_classes_is_refused(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(labels(255)).convert("1"))
    message = rf"a\.png is black and white, and its white may be class 1 or 255 \(void\).*{REMEDY}"
    with pytest.raises(DataError, match=message):
        read_mask(path, VOC)
    assert read_mask(path, TWO).tolist() == labels(1).tolist()


def test_levels_of_16_bits_are_those_of_8(tmp_path):
    deep = labels(1, 2, 255).astype(np.uint16) * 257
    path = save(tmp_path / "a.png", deep)
    assert read_mask(path, THREE).tolist() == labels(1, 2, 255).tolist()


@pytest.mark.parametrize("value", [256, 300, 511, 513, 65535 - 256])
def test_numbers_above_255_do_not_wrap(tmp_path, value):
    """One byte holds 300 as 44, and 513 as 1."""
    path = save(tmp_path / "a.png", np.where(labels(1) == 1, value, 0).astype(np.uint16))
    with pytest.raises(DataError, match=rf"holds the values {value} in 17 pixels; legal are 0\.\."):
        read_mask(path, Classes([f"c{k}" for k in range(255)]))
    with pytest.raises(DataError, match="holds the number"):
        read_indices(path)


# -- Alpha and colours --------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [VOC, THREE, COLOURED])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_the_classes_are_read_exactly(tmp_path, classes, mode):
    mask = labels(1, 2, 255)
    colours = Image.fromarray(classes.palette()[mask]).convert(mode)
    path = save(tmp_path / "a.png", colours)
    assert read_mask(path, classes).tolist() == mask.tolist()


def test_one_pixel_of_another_colour_refuses_the_mask(tmp_path):
    colours = colorize(labels(1, 2))
    colours[0, 0] = (1, 0, 0)
    path = save(tmp_path / "a.png", colours)
    message = rf"a\.png has mode RGB; its colours #010000 \(1 pixels\) are neither .*{REMEDY}"
    with pytest.raises(DataError, match=message):
        read_mask(path)


def test_soft_edges_are_refused_and_counted(tmp_path):
    big = Image.fromarray(colorize(labels(1, 2)))
    soft = big.resize((52, 40), Image.Resampling.BILINEAR)
    with pytest.raises(
        DataError, match=r"its colours #[0-9a-f]{6} \(\d+ pixels\) and \d+ more are"
    ):
        read_mask(save(tmp_path / "a.png", soft))


def test_colours_of_other_classes_are_refused(tmp_path):
    path = save(tmp_path / "a.png", colorize(labels(1, 20)))
    with pytest.raises(DataError, match="its colours #004080"):
        read_mask(path, THREE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_levels_in_three_channels_are_levels(tmp_path, mode):
    path = save(tmp_path / "a.png", Image.fromarray(labels(1, 2, 255)).convert(mode))
    assert read_mask(path, THREE).tolist() == labels(1, 2, 255).tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_refused(tmp_path, mode):
    picture = Image.fromarray(labels(1, 2)).convert(mode)
    picture.putalpha(Image.fromarray(np.where(labels(1) == 1, 254, 255).astype(np.uint8)))
    message = rf"has mode {mode}, and 17 of its pixels are transparent: .*{REMEDY}"
    with pytest.raises(DataError, match=message):
        read_mask(save(tmp_path / "a.png", picture), THREE)


def test_other_modes_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", Image.new("CMYK", (3, 2)))
    with pytest.raises(DataError, match=rf"has mode CMYK; masks must be palette PNGs .*{REMEDY}"):
        read_mask(path)


# -- Palettes -----------------------------------------------------------------------------------


def palette_png(path, mask, palette):
    picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    return save(path, picture)


def test_any_palette_will_do_where_no_colours_were_named(tmp_path):
    """Among others one in which class 1 has the colour that VOC gives to class 2."""
    mask = labels(1, 2, 255)
    swapped = voc_palette()[[0, 2, 1, *range(3, 256)]]
    for palette in (voc_palette()[::-1], swapped, np.zeros((256, 3))):
        path = palette_png(tmp_path / "a.png", mask, palette)
        assert read_mask(path, THREE).tolist() == mask.tolist()


def test_a_palette_that_contradicts_the_named_colours_is_refused(tmp_path):
    path = palette_png(tmp_path / "a.png", labels(1, 2), [(9, 9, 9), (0, 0, 255), (255, 0, 0)])
    message = rf"shows index 1 in the colour of class 2 \(nucleus\); .* {REMEDY}"
    with pytest.raises(DataError, match=message):
        read_mask(path, COLOURED)


def test_indices_above_the_last_class_are_refused(tmp_path):
    path = palette_png(tmp_path / "a.png", labels(3), voc_palette())
    with pytest.raises(DataError, match=r"holds the values 3 in 17 pixels; legal are 0\.\.2 and"):
        read_mask(path, THREE)


# -- Other formats ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_formats_that_keep_numbers_are_read(tmp_path, kind):
    mask = labels(1, 2, 255)
    picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    picture.putpalette(voc_palette().tobytes())
    path = tmp_path / "a.png"  # whatever it is called
    picture.save(path, kind)
    if kind == "GIF":  # Pillow writes only the colours that are used, and deals the indices anew
        path = tmp_path / "b.png"
        picture.save(path, kind, optimize=False)
    assert read_mask(path, THREE).tolist() == mask.tolist()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_formats_that_change_numbers_are_refused(tmp_path, kind, mode):
    path = tmp_path / "a.png"
    Image.fromarray(labels(1, 2)).convert(mode).save(path, kind)
    with pytest.raises(
        DataError, match=rf"is stored as {kind}, which changes (grey levels|colours)"
    ):
        read_mask(path, THREE)


# -- Damage -------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_mask_is_found(tmp_path):
    path = palette_png(tmp_path / "a.png", labels(1, 2, 255), voc_palette()[:256])
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_mask(path)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_mask(path)
    path.write_bytes(whole)
    assert read_mask(path).tolist() == labels(1, 2, 255).tolist()


@pytest.mark.parametrize("extra", [-1, 1, 1 << 22])
def test_a_stream_with_other_than_its_pixels_is_damaged(extra):
    """All checksums are right. Four million zeros are 4 KB compressed: they are not kept."""
    lines = bytes(20 * 27 + extra)
    header = struct.pack(">IIBBBBB", 26, 20, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + body
    assert "bytes instead of 540" in png_damage(content, pixels=True)
    assert png_damage(content, pixels=False) == ""


def test_the_stream_s_own_checksum_is_compared():
    stream = zlib.compress(bytes(20 * 27))
    header = struct.pack(">IIBBBBB", 26, 20, 8, 0, 0, 0, 0)
    for wrong in (stream[:-1] + b"\0", stream[:-4]):
        body = chunk(b"IHDR", header) + chunk(b"IDAT", wrong) + chunk(b"IEND", b"")
        assert png_damage(b"\x89PNG\r\n\x1a\n" + body, pixels=True)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([("L", 8), ("P", 1), ("P", 2), ("P", 4), ("RGB", 8), ("RGBA", 8), ("LA", 8)]),
)
def test_the_number_of_stored_bytes(width, height, kind):
    mode, bits = kind
    memory = io.BytesIO()
    Image.new(mode, (width, height)).save(memory, "PNG", **({"bits": bits} if mode == "P" else {}))
    content = memory.getvalue()
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    stream = zlib.decompress(content[start + 4 : start + 4 + length])
    assert png_header(content).stored_bytes() == len(stream)
    assert png_damage(content, pixels=True) == ""


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (5, 1), (8, 8), (9, 17), (33, 5)])
def test_interlaced_pixels_are_counted_by_their_passes(width, height):
    """By the definition: each pixel is in the pass that its place in a tile of 8 x 8 names."""
    tile = np.array(
        [
            [1, 6, 4, 6, 2, 6, 4, 6],
            [7] * 8,
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7] * 8,
            [3, 6, 4, 6, 3, 6, 4, 6],
            [7] * 8,
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7] * 8,
        ]
    )
    passes = np.tile(tile, (5, 5))[:height, :width]
    expected = 0
    for number in range(1, 8):
        rows = (passes == number).sum(axis=1)
        expected += int(rows.sum() + np.count_nonzero(rows))  # a byte each, and one for the filter
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    assert png_header(content).stored_bytes() == expected


def png_of_channels(values, channels, depth=16):
    """A PNG of grey and alpha, RGB or RGBA, whose samples but alpha's are `values` themselves."""
    colour = {2: 4, 3: 2, 4: 6}[channels]
    samples = np.repeat(values[..., None], channels, axis=2).astype(f">u{depth // 8}")
    if channels in (2, 4):
        samples[..., -1] = 2**depth - 1
    header = struct.pack(">IIBBBBB", values.shape[1], len(values), depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_channels_of_16_bits_are_refused(tmp_path, channels):
    """Pillow drops their lower 8 bits, so that classes 0, 1 and 2 would all be background."""
    values = np.array([[0, 1, 2], [2, 1, 0]])
    path = write(tmp_path / "a.png", png_of_channels(values, channels, 8))
    np.testing.assert_array_equal(read_mask(path), values)
    path = write(tmp_path / "b.png", png_of_channels(values, channels))
    with pytest.raises(DataError, match="several channels of 16 bits"):
        read_mask(path)


def grey_tiff(values, depth):
    """A grey TIFF of `depth` bits whose samples are `values` themselves."""
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.astype(np.uint8).reshape(len(values), -1), axis=1).tobytes()
    height, width = values.shape
    tags = [(256, width), (257, height), (258, depth), (259, 1), (262, 1), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(rows))]
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    padding = b"\0" * (len(rows) % 2)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(rows + padding))
    return start + rows + padding + struct.pack("<H", len(tags)) + listed + bytes(4)


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_levels_of_a_tiff_are_numbers(tmp_path, depth):
    """Pillow stretches them: of 4 bits 1 would become 17, VOC's sheep."""
    values = np.array([[0, 1, 2, 1], [2, 2, 1, 0]])
    path = write(tmp_path / "a.tif", grey_tiff(values, depth))
    np.testing.assert_array_equal(read_mask(path, Classes(["background", "a", "b"])), values)
