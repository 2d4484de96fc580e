"""``%%check conv2d`` in a notebook's own shell."""

from __future__ import annotations

import pytest

interactive = pytest.importorskip(
    "IPython.core.interactiveshell", reason="IPython is not installed (group docs)"
)

CELL = """
from minideconv import ops

def {name}(x, w, b=None, **settings):
    return ops.conv2d(x, w{turn}, b, **settings)
"""
FLIPPED = "[:, :, ::-1, ::-1]"


@pytest.fixture
def shell():
    shell = interactive.InteractiveShell()
    shell.run_line_magic("load_ext", "minideconv.testing.magic")
    yield shell
    shell.history_manager.end_session()


def check(shell, line, cell):
    return shell.run_cell_magic("check", f"{line} --examples 2", cell)


def test_a_right_cell(shell):
    shown = check(shell, "conv2d", CELL.format(name="conv2d", turn=""))
    assert "WRONG" not in repr(shown)
    assert "<li>✓ conv2d/unit-stride</li>" in shown._repr_html_()


@pytest.mark.parametrize(("name", "line"), [("conv2d", "conv2d"), ("mine", "conv2d"),
                                            ("mine", "conv2d=mine")])  # fmt: skip
def test_a_wrong_cell(shell, name, line):
    shown = check(shell, line, CELL.format(name=name, turn=FLIPPED))
    assert repr(shown).startswith("conv2d: kernel flipped.\n")
    html = shown._repr_html_()
    assert "<strong>conv2d: kernel flipped.</strong>" in html
    assert "✗ conv2d/unit-stride: wrong" in html


def test_text_is_escaped(shell):
    cell = "def conv2d(x, w, b=None, **s):\n    raise ValueError('<script>alert(1)</script>')"
    html = check(shell, "conv2d", cell)._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_a_cell_that_raises_shows_its_own_traceback(shell, capsys):
    assert check(shell, "conv2d", "def conv2d(x):\n    pass\n\n1 / 0") is None
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert check(shell, "conv2d", "def conv2d(x:\n    pass") is None
    assert "SyntaxError" in capsys.readouterr().out


def test_a_backward_in_a_cell_of_its_own(shell):
    check(shell, "conv2d", CELL.format(name="conv2d", turn=""))
    shown = check(shell, "conv2d_backward", "def conv2d_backward(*a, **k):\n    return 1")
    assert "conv2d_backward returned int" in repr(shown)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("conv9", "no operation is called 'conv9'; there are "),
        ("conv2d=nothing", "conv2d=nothing: there is no function nothing"),
        ("conv2d", "there is no function conv2d; if yours has another name, write %%check conv2d="),
        ("--arrays", "%%check: argument --arrays: expected one argument; usage: %%check"),
        ("conv2d --signature x", "--signature x: use cs231n, "),
    ],
)
def test_a_wrong_line_is_a_sentence(shell, line, message):
    shown = shell.run_cell_magic("check", line, "pass")
    assert repr(shown).startswith(message)
    assert shown._repr_html_().startswith("<p>")


def test_a_picture_of_the_matrix(shell, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    cell = CELL.format(name="conv2d", turn=FLIPPED)
    html = check(shell, "conv2d --picture", cell)._repr_html_()
    assert '<img src="data:image/png;base64,iVBOR' in html
    assert 'alt="The matrix that takes x to y in your conv2d, beside the right one' in html
    monkeypatch.setattr("minideconv.testing.magic.matplotlib_is_there", lambda: False)
    assert "a picture needs matplotlib" in repr(check(shell, "conv2d --picture", cell))


def test_what_could_not_be_tried_has_a_mark_of_its_own(shell):
    cell = "import right_tensors\nTensor = right_tensors.Small"
    html = shell.run_cell_magic("check", "tape=Tensor --examples 10", cell)._repr_html_()
    assert "<li>– tape/functions: not tried, Tensor has no " in html
    assert "<li>✓ tape/matmul</li>" in html
