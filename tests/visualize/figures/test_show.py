"""Alt texts that cannot be forgotten, and pictures as SVG, PNG and HTML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from minideconv.visualize import Picture, figure_html, save_picture, show
from minideconv.visualize.figures.picture import side_by_side
from minideconv.visualize.figures.raster import raster
from minideconv.visualize.figures.svg import svg_text

ALT = 'Two cells, "1" & <2>, beside each other'


def picture():
    made = Picture(100, 60)
    made.grid(10, 10, [[1, 2]], cell=30, fills=[["#ff0000", "#ffffff"]])
    made.line([(10, 50), (90, 50)], arrow=True)
    made.dot(90, 10, 4, fill="#00ff00")
    made.pixels(80, 20, 20, 20, np.full((2, 2, 3), 128, np.uint8))
    return made


@pytest.mark.parametrize(
    "alt", ["", "  ", None, 3, "a.png", "_images/ab12.svg", "a figure", "x y z"]
)
def test_an_alt_text_that_says_nothing_is_refused(alt, tmp_path):
    for call in (
        lambda: show(picture(), alt=alt),
        lambda: figure_html(picture(), alt=alt),
        lambda: svg_text(picture(), alt),
        lambda: save_picture(picture(), tmp_path / "a.png", alt=alt),
    ):
        with pytest.raises(ValueError, match="say in a sentence what a reader is to see"):
            call()
    assert not list(tmp_path.iterdir())


def test_it_cannot_be_left_out():
    with pytest.raises(TypeError, match="alt"):
        show(picture())


def test_svg_has_its_text_and_no_script():
    root = ElementTree.fromstring(svg_text(picture(), ALT))
    assert root.get("role") == "img"
    assert root.get("aria-label") == ALT
    assert root.find("{*}title").text == ALT
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] == ["1", "2"]
    names = {element.tag.split("}")[1] for element in root.iter()}
    assert names == {"svg", "title", "rect", "text", "polyline", "polygon", "circle", "image"}


def test_html_holds_the_figure_and_keeps_text_readable():
    html = figure_html(picture(), alt=ALT)
    assert 'alt="Two cells, &quot;1&quot; &amp; &lt;2&gt;, beside each other"' in html
    least = int(re.search(r"min-width:(\d+)px", html)[1])
    smallest = picture().smallest_text
    assert smallest * least / 100 >= 10  # shrunk as far as it may be, 10 pixels are left
    assert smallest * (least - 1) / 100 < 10


def test_figures_of_matplotlib():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2))
    figure.text(0.5, 0.5, "words", fontsize=9)
    html = figure_html(figure, alt=ALT)
    assert 'width="720"' in html
    assert f"min-width:{720 * 10 / 12:.0f}px" in html
    assert html == figure_html(figure, alt=ALT), "the same figure gives the same bytes"
    figure.text(0.5, 0.2, "smaller", fontsize=4)  # 5.3 pixels: it is drawn larger than a page
    assert int(re.search(r"min-width:(\d+)px", figure_html(figure, alt=ALT))[1]) == 1350


def test_an_image_and_what_is_none():
    assert "image/png" in figure_html(np.zeros((4, 6, 3), np.uint8), alt=ALT)
    for wrong in (np.zeros((4, 6)), "figure", None):
        with pytest.raises(TypeError, match="it must be a Picture"):
            figure_html(wrong, alt=ALT)


def test_show_displays_in_a_notebook(monkeypatch):
    display = pytest.importorskip("IPython.display", reason="IPython is not installed (group docs)")
    import IPython

    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    show(picture(), alt=ALT)
    assert not shown, "there is no notebook here"
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    show(picture(), alt=ALT)
    assert shown[0].data == figure_html(picture(), alt=ALT)


def test_files(tmp_path):
    save_picture(picture(), tmp_path / "a.png", alt=ALT)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (200, 120)
    save_picture(picture(), tmp_path / "a.svg", alt=ALT)
    assert (tmp_path / "a.svg").read_text() == svg_text(picture(), ALT)
    with pytest.raises(ValueError, match=r"a\.jpg must end in \.svg or \.png"):
        save_picture(picture(), tmp_path / "a.jpg", alt=ALT)


def test_raster_shows_the_same_marks():
    image = raster(picture())
    assert image.shape == (60, 100, 3)
    assert tuple(image[15, 15]) == (255, 0, 0)
    assert tuple(image[30, 90]) == (128, 128, 128)
    assert tuple(image[10, 90]) == (0, 255, 0)
    assert tuple(image[3, 3]) == (255, 255, 255)


def test_pictures_side_by_side_keep_their_marks():
    row = side_by_side([picture(), picture()], gap=5)
    assert (row.width, row.height) == (205, 60)
    assert len(row.marks) == 2 * len(picture().marks)
    assert row.marks[-1].x == picture().marks[-1].x + 105
