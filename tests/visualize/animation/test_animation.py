"""Animations: the numbers in the pixels are those of an independent loop; files and refusals."""

from __future__ import annotations

import io
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minideconv import ops
from minideconv.visualize import ARITHMETIC, animation_gif, animation_page, frames, geometry
from minideconv.visualize.__main__ import main
from minideconv.visualize.figures.picture import Box, Words

CASES = list(ARITHMETIC)
# Input and output side of each case of the guide, from its figures.
SIDES = {
    "no_padding_no_strides": (4, 2), "arbitrary_padding_no_strides": (5, 6),
    "same_padding_no_strides": (5, 5), "full_padding_no_strides": (5, 7),
    "no_padding_strides": (5, 2), "padding_strides": (5, 3), "padding_strides_odd": (6, 3),
    "no_padding_no_strides_transposed": (2, 4), "arbitrary_padding_no_strides_transposed": (6, 5),
    "same_padding_no_strides_transposed": (5, 5), "full_padding_no_strides_transposed": (7, 5),
    "no_padding_strides_transposed": (2, 5), "padding_strides_transposed": (3, 5),
    "padding_strides_odd_transposed": (3, 6), "dilation": (7, 3),
}  # fmt: skip


def cells(picture, about):
    """(row, column) -> the label of the cells of one array."""
    found = {}
    for mark, after in zip(picture.marks, [*picture.marks[1:], None], strict=True):
        if isinstance(mark, Box) and mark.about.startswith(about + " "):
            row, column = map(int, mark.about.split()[1].split(","))
            found[row, column] = after.text if isinstance(after, Words) else ""
    return found


def convolved(x, w, shape):
    """A convolution by its definition, one product at a time; no code of the library."""
    out = np.zeros(shape.out)
    for p, q in np.ndindex(shape.out):
        for i, j in np.ndindex(w.shape):
            row = p * shape.stride[0] + i * shape.dilation[0] - shape.padding[0]
            column = q * shape.stride[1] + j * shape.dilation[1] - shape.padding[1]
            if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
                out[p, q] += x[row, column] * w[i, j]
    return out


def stamped(x, w, shape):
    """A transposed convolution by its definition, with the border that is cut off."""
    out = np.zeros([n + 2 * p for n, p in zip(shape.out, shape.padding, strict=True)])
    for p, q in np.ndindex(x.shape):
        for i, j in np.ndindex(w.shape):
            row = p * shape.stride[0] + i * shape.dilation[0]
            out[row, q * shape.stride[1] + j * shape.dilation[1]] += x[p, q] * w[i, j]
    return out


def check(shape):
    """The last frame's numbers are the right ones; each earlier one shows a part."""
    x, w = shape.numbers()
    right = (stamped if shape.transposed else convolved)(x, w, shape)
    shown = frames(shape)
    assert np.array_equal(shown[-1].output, right)
    last = cells(shown[-1].picture, "output")
    if shape.transposed:
        last |= cells(shown[-1].picture, "cut")
    assert last == {place: f"{value:g}" for place, value in np.ndenumerate(right)}
    source = cells(shown[0].picture, "input")
    assert [source[place] for place in sorted(source)] == [f"{value:g}" for value in x.ravel()]
    kernel = {place: f"{tap:g}" for place, tap in np.ndenumerate(w)}
    assert all(cells(frame.picture, "kernel") == kernel for frame in shown)
    for frame, following in itertools.pairwise(shown):
        changes = not np.array_equal(frame.output, following.output, equal_nan=True)
        assert changes or not w.any(), "image values are not 0, so each stamp adds something"
    return shown


@pytest.mark.parametrize("name", CASES)
def test_the_cases_of_the_guide(name):
    shape = geometry(**ARITHMETIC[name])
    assert (shape.size[0], shape.out[0]) == SIDES[name]
    shown = check(shape)
    assert len(shown) == (shape.size if shape.transposed else shape.out)[0] ** 2
    assert all(frame.picture.width <= 720 for frame in shown)
    assert all(frame.picture.smallest_text >= 10 for frame in shown)


@given(st.data())
def test_any_geometry(data):
    kind = data.draw(st.sampled_from(["conv", "conv_transpose"]))
    values = {
        name: (data.draw(st.integers(low, high)), data.draw(st.integers(low, high)))
        for name, low, high in (("size", 1, 5), ("kernel", 1, 3), ("stride", 1, 3),
                                ("padding", 0, 2), ("dilation", 1, 2))
    }  # fmt: skip
    if kind == "conv_transpose":
        values["output_padding"] = tuple(
            data.draw(st.integers(0, max(s, d) - 1))
            for s, d in zip(values["stride"], values["dilation"], strict=True)
        )
    try:
        shape = geometry(kind, **values)
    except ValueError:
        with pytest.raises(ValueError, match="pixels of"):  # the operation refuses it too
            _apply(kind, values)
        return
    assert shape.out == _apply(kind, values).shape[2:]
    check(shape)


def _apply(kind, values):
    x, w = np.ones((1, 1, *values["size"])), np.ones((1, 1, *values["kernel"]))
    options = {name: value for name, value in values.items() if name not in ("size", "kernel")}
    return (ops.conv2d if kind == "conv" else ops.conv_transpose2d)(x, w, **options)


def test_a_wrong_number_is_rejected():
    shape = geometry("conv", (4, 5), (3, 2), stride=(1, 2))
    x, w = shape.numbers()
    with pytest.raises(AssertionError):  # a kernel that is turned over
        assert np.array_equal(
            frames(shape, weight=w[::-1, ::-1])[-1].output, convolved(x, w, shape)
        )


def test_a_frame_lights_the_window_and_says_its_sum():
    shape = geometry("conv", 3, 2)
    frame = frames(shape, np.arange(9.0).reshape(3, 3), np.array([[1.0, 2], [3, 4]]))[1]
    assert frame.text == "output (0, 1) = 1·1 + 2·2 + 4·3 + 5·4 = 37"
    assert np.array_equal(frame.output, [[27, 37], [np.nan, np.nan]], equal_nan=True)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: geometry("conv", 2, 3), "the kernel spans 3 pixels of height"),
    (lambda: geometry("conv_transpose", 2, 3, output_padding=1), "output_padding is 1 along"),
    (lambda: geometry("conv_transpose", 1, 1, padding=1), "use a smaller padding"),
    (lambda: geometry("conv", 4, 3, output_padding=1), "only a transposed convolution has one"),
    (lambda: geometry("pool", 4, 3), "'conv' or 'conv_transpose'"),
    (lambda: geometry("conv", 0, 3, padding=3), "size is"),
    (lambda: frames(geometry("conv", 19, 3)), "289 frames; at most 256"),
    (lambda: frames(geometry("conv", (1, 30), (1, 3))), "61 pixels wide together"),
    (lambda: frames(geometry("conv", 4, 3), np.ones((3, 3))), r"x has shape \(3, 3\)"),
])  # fmt: skip
def test_what_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_gif_has_a_frame_for_each_step():
    shown = frames(geometry("conv", 4, 3))
    with Image.open(io.BytesIO(animation_gif(shown, 0.5))) as gif:
        assert gif.n_frames == 4
        assert gif.info["loop"] == 0
        assert gif.size == (round(shown[0].picture.width), round(shown[0].picture.height))
        times, seen = [], []
        for number in range(4):
            gif.seek(number)
            times.append(gif.info["duration"])
            seen.append(np.asarray(gif.convert("RGB")).copy())
    assert times == [500, 500, 500, 1000]
    for one, other in itertools.combinations(seen, 2):
        assert not np.array_equal(one, other)


def test_a_page_stands_alone():
    shown = frames(geometry("conv_transpose", 2, (2, 3), 2))
    page = animation_page(shown, "stamps & <sums>")
    assert "<title>stamps &amp; &lt;sums&gt;</title>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("<figure") == 4
    assert page.count("<figure hidden>") == 3
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert ElementTree.fromstring(svg).get("aria-label").startswith("Step ")
    for key in ("ArrowLeft", "ArrowRight", "Home", "End", '" "'):
        assert key in page


def test_the_command(tmp_path, capsys):
    conv = ["animate", "conv", "--size", "5", "6", "--kernel", "3", "--stride", "2", "1"]
    file = tmp_path / "a.gif"
    assert main([*conv, "--padding", "1", "-o", str(file)]) == 0
    assert "conv2d, 5 × 6 to 3 × 6" in capsys.readouterr().out
    with Image.open(file) as gif:
        assert gif.n_frames == 18
    assert main([*conv, "-o", str(file)]) == 2
    assert "already" in capsys.readouterr().err
    assert main([*conv, "-o", str(file), "--overwrite"]) == 0
    assert main(["animate", "conv_transpose", "--size", "2", "--kernel", "3", "--stride", "2",
                 "--output-padding", "1", "-o", str(tmp_path / "b.html")]) == 0  # fmt: skip
    assert "<figure" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["conv", "--size", "2", "--kernel", "3", "-o", "a.gif"], "the kernel spans 3 pixels"),
    (["conv", "--size", "2", "--kernel", "2", "-o", "a.png"], "must end in .gif or .html"),
    (["conv", "--size", "2", "-o", "a.gif"], "--kernel is missing"),
    (["conv", "--size", "2", "3", "4", "--kernel", "1", "-o", "a.gif"], "--size has 3 numbers"),
    (["all", "--size", "2", "-o", "d"], "leave out --size"),
    (["conv", "--size", "4", "--kernel", "0", "-o", "a.gif"], "kernel_size"),
    (["conv", "--size", "4", "--kernel", "3", "-o", "a.gif", "--seconds", "nan"], "--seconds is"),
])  # fmt: skip
def test_mistakes_at_the_command_line(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["animate", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_all_cases_by_one_command(tmp_path, monkeypatch):
    from minideconv.visualize.animation import command

    monkeypatch.setattr(command, "ARITHMETIC", dict(list(ARITHMETIC.items())[::9]))
    assert main(["animate", "all", "--out", str(tmp_path / "d")]) == 0
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert names == {f"{name}{end}" for name in CASES[::9] for end in (".gif", ".html")}
    assert main(["animate", "all", "--out", str(tmp_path / "d")]) == 2
