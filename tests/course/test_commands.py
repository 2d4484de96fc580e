"""The commands: what they write and print, and what they refuse."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import small_course

from minideconv.course import trials
from minideconv.course.command import main
from minideconv.course.commands.release import survivors
from minideconv.course.picture import svg
from minideconv.course.places import units_of
from minideconv.course.student_folder import student_files
from minideconv.testing.mistakes import mistakes

pytestmark = pytest.mark.cpu

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(course, tmp_path, capsys, monkeypatch):
    """A student's folder, as `start` makes it; the working folder."""
    path = tmp_path / "mine"
    assert main(["start", str(path), "--course", str(course)]) == 0
    capsys.readouterr()
    monkeypatch.chdir(path)
    return path


# -----------------------------------------------------------------------------------------------
# start and release


@pytest.mark.parametrize("command", ["start", "release"])
def test_students_get_skeletons_and_no_secret(course, tmp_path, command, capsys):
    folder = tmp_path / "mine"
    assert main([command, str(folder), "--course", str(course)]) == 0
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "conv.py", "handouts/01_conv/handout.md", "README.md", "course.toml", ".gitignore",
        ".github/workflows/check.yml",
    }  # fmt: skip
    text = "\n".join((folder / name).read_text() for name in files)
    assert "nobody knows that" not in text
    assert "SOLUTION" not in text
    assert "SECRET_NOTE" not in text
    assert "einsum" not in text
    assert text.count('raise NotImplementedError("write this part")') == 2
    assert "def taps(" in text
    assert (folder / "README.md").read_text().startswith("# A small course\n")


def test_nothing_is_overwritten(course, tmp_path, capsys):
    (tmp_path / "conv.py").write_text("my work")
    for command in ("start", "release"):
        assert main([command, str(tmp_path), "--course", str(course)]) == 2
        assert "holds conv.py already, and nothing is ever overwritten" in capsys.readouterr().err
    assert (tmp_path / "conv.py").read_text() == "my work"
    assert not (tmp_path / "README.md").exists()


def test_a_folder_may_have_other_files(course, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    arguments = [
        "start",
        str(folder),
        "--course",
        str(course),
        "--units",
        "1",
        "--backend",
        "torch",
    ]
    assert main(arguments) == 0
    assert "import torch" in (folder / "conv.py").read_text()
    assert 'backend = "torch"' in (folder / "course.toml").read_text()
    assert "minideconv torch" in (folder / ".github/workflows/check.yml").read_text()


@pytest.mark.parametrize("units", ["2", "1,9", "x", ""])
def test_a_unit_that_is_not_there(course, tmp_path, capsys, units):
    arguments = ["start", str(tmp_path / "new"), "--course", str(course), "--units", units]
    assert main(arguments) == 2
    assert "there is no unit" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_sheet_that_gives_the_solution_away_is_noticed(course, tmp_path, capsys):
    unit = units_of(course)["01_conv"]
    files = student_files([unit], "numpy", course)
    assert not survivors(unit, "numpy", files)
    line = "    return dp[:, :, ph : ph + h, pw : pw + v], dw, dy.sum((0, 2, 3))\n"
    (unit.folder / "handout.md").write_text(f"# Hint\n\n{line}")
    assert main(["release", str(tmp_path / "new"), "--course", str(course)]) == 1
    assert "handouts/01_conv/handout.md would show students a line" in capsys.readouterr().err


# -----------------------------------------------------------------------------------------------
# check and replay


def test_check_says_what_is_right_and_what_is_wrong(folder, capsys):
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"0 of {small_course.total()} points." in out
    assert out.count("conv2d is not written yet") == 1
    assert "  -     conv2d: 12 checks" in out
    (folder / "conv.py").write_text(small_course.FLIPPED)
    assert main(["check", "1", "--examples", "3", "--picture", "pictures"]) == 1
    out = capsys.readouterr().out
    assert "  WRONG conv2d/unit-stride" in out
    assert out.count("conv2d: kernel flipped.") == 1
    pictures = list((folder / "pictures").iterdir())
    drawings = [picture for picture in pictures if picture.suffix == ".svg"]
    assert len(drawings) == 6
    for picture in drawings:
        ElementTree.fromstring(picture.read_text())
    (folder / "conv.py").write_text(small_course.NUMPY)
    assert main(["check", "conv.py"]) == 0
    out = capsys.readouterr().out
    assert f"{small_course.total()} of {small_course.total()} points." in out
    assert "WRONG" not in out


def test_the_line_of_a_message_shows_the_case_again(folder, capsys):
    (folder / "conv.py").write_text(small_course.FLIPPED)
    main(["check"])
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("Again: "))
    words = shlex.split(line.removeprefix("Again: "))
    assert words[:4] == ["python", "-m", "minideconv.course", "replay"]
    assert main(words[3:]) == 1
    out = capsys.readouterr().out
    assert re.match(r"conv2d\(x=\[\[\[\[1\]?, \[?0\]\]\]\], w=\S+ \S*\n", out)
    for part in ("y, what must be:\n       1", "y, yours:\n       0", "difference:\n      -1",
                 "y[0, 0, 0, 0] is 0, must be 1", "Rule: y[n,k,i,j]"):  # fmt: skip
        assert part in out
    (folder / "conv.py").write_text(small_course.NUMPY)
    assert main(words[3:]) == 0
    assert "The result is right on this case." in capsys.readouterr().out
    (folder / "conv.py").write_text("def conv2d(*a, **s): raise ValueError('\\x1b[2J')")
    assert main(words[3:]) == 1
    out = capsys.readouterr().out
    assert "conv2d raised ValueError: \\x1b[2J in line 1" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nothing.py"], "there is no unit 'nothing.py'"),
        (["replay", "nothing.py", "x"], "there is no file nothing.py"),
        (["replay", "conv.py", "conv9 x=1"], "no operation is called 'conv9'"),
        (["replay", "conv.py", "conv2d x=1"], "cannot be read"),
        (["check", "--course", "none.toml"], "--course none.toml: no such file"),
    ],
)
def test_what_is_wrong_is_one_sentence(folder, capsys, words, message):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_empty_folder(course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--course", str(course)]) == 2
    assert "none of the course's files is in this folder: " in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals(course, folder, variables, coloured):
    import pty

    leader, follower = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm", **variables}
    words = ["check", "conv.py", "--examples", "2", "--course", str(course)]
    program = subprocess.Popen(
        [sys.executable, "-m", "minideconv.course", *words], stdout=follower, env=environment
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 4096):
            shown += piece
    except OSError:  # the end of a terminal whose programs have ended
        pass
    os.close(leader)
    assert program.wait() == 1
    assert (b"\x1b[31m" in shown) == coloured
    assert b"not written yet" in shown


# -----------------------------------------------------------------------------------------------
# Pictures


def test_a_picture_outlines_what_is_wrong():
    got, want = np.arange(6.0).reshape(1, 1, 2, 3), np.arange(6.0).reshape(1, 1, 2, 3)
    want[0, 0, 1, 2] = 7
    root = ElementTree.fromstring(svg(got, want))
    wrong = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "wrong"]
    assert len(wrong) == 3  # once in each of the three parts
    assert "first differ at [0, 0, 1, 2]" in next(root.iter(f"{SVG}title")).text
    assert [t.text for t in root.iter(f"{SVG}text")].count("-2") == 1


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (None, np.ones(2)),
        (np.ones(2), np.ones(3)),
        (np.ones((0, 2)), np.ones((0, 2))),
        (np.ones(1000), np.ones(1000)),
        (np.array(["<b>"]), np.ones(1)),
    ],
)
def test_what_cannot_be_drawn_is_left_out(got, want):
    assert svg(got, want) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30, 1e-30])
def test_any_number_can_be_drawn(value):
    ElementTree.fromstring(svg(np.array([value, 1.0]), np.array([0.0, 1.0])))
    ElementTree.fromstring(svg(np.array(value), np.array(1.0)))


# -----------------------------------------------------------------------------------------------
# stats


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.text.append(data)


def class_of(course, tmp_path, names):
    """Grade a file for each name; return the folder with the results."""
    results = tmp_path / "results"
    results.mkdir()
    sources = [small_course.FLIPPED, small_course.NUMPY, "x = 1", small_course.FLIPPED]
    for place, name in enumerate(names):
        (tmp_path / "conv.py").write_text(sources[place % len(sources)])
        output = str(results / f"{place}.json")
        words = ["--format", "json", "--output", output, "--student", name]
        assert main(["grade", str(tmp_path / "conv.py"), *words, "--course", str(course)]) == 0
    return results


def test_the_class_page(course, tmp_path, capsys):
    names = ["Ada", "Bob", "Cyd", "<script>alert('x')</script>\"'&\x1b\u202e"]
    results = class_of(course, tmp_path, names)
    page = tmp_path / "class.html"
    assert main(["stats", str(results), "--output", str(page)]) == 0
    html = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.tags
    text = "".join(tags.text)
    assert "<script>alert('x')</script>" in text  # as a text
    assert "\u202e" not in html
    assert not re.search(r"https?://", html)
    assert "4 students" in text
    assert re.search(r"conv2d\s*kernel flipped\s*2\s*50 %\s*<script.*, Ada", text)
    assert html.count("kernel flipped</td>") == 1
    # An earlier page is replaced, a file of others is not.
    assert main(["stats", str(results), "--output", str(page)]) == 0
    (tmp_path / "other.html").write_text("<p>mine</p>")
    assert main(["stats", str(results), "--output", str(tmp_path / "other.html")]) == 2


def test_an_anonymous_page_has_no_names(course, tmp_path):
    results = class_of(course, tmp_path, ["Ada", "Bob"])
    for path in list(results.iterdir()):
        path.rename(path.with_name(f"Ada-{path.name}"))
    page = tmp_path / "class.html"
    assert main(["stats", str(results), "--output", str(page), "--anonymous"]) == 0
    html = page.read_text(encoding="utf-8")
    assert "Ada" not in html
    assert "Bob" not in html
    assert "student 1" in html
    assert "student 2" in html


def test_results_that_are_none(course, tmp_path, capsys):
    (tmp_path / "x.json").write_text('{"version": 1}')
    assert main(["stats", str(tmp_path / "x.json")]) == 1
    assert "is no result that `grade` wrote as json: the result has no " in capsys.readouterr().err
    (tmp_path / "x.json").write_text("[")
    assert main(["stats", str(tmp_path / "x.json")]) == 1
    assert main(["stats", str(tmp_path / "nobody")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["stats", str(tmp_path / "empty")]) == 2


# -----------------------------------------------------------------------------------------------
# selftest


def test_selftest_of_the_small_course(course, capsys, monkeypatch):
    pytest.importorskip("torch")
    few = [m for m in mistakes() if m.operation == "conv2d"][:3]
    monkeypatch.setattr(trials, "mistakes", lambda: tuple(few))
    arguments = ["selftest", "--course", str(course), "--units", "01_conv", "--processes", "1"]
    assert main(arguments) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert re.search(r"reference +2/2", out)
    assert re.search(r"skeleton +2/2", out)
    assert re.search(r"mistake +3/3", out)


def test_selftest_sees_what_is_wrong(course, capsys, monkeypatch):
    """A reference that is wrong, a skeleton that is right, a mistake that is called otherwise."""
    from dataclasses import replace

    named = [m for m in mistakes() if m.operation == "conv2d"][:1]
    monkeypatch.setattr(trials, "mistakes", lambda: tuple(replace(m, name="x") for m in named))
    solution = course.parent / "units" / "01_conv" / "solution_numpy.py"
    (course.parent / "units" / "01_conv" / "solution_torch.py").unlink()
    plain = small_course.NUMPY.replace("# BEGIN SOLUTION", "#").replace("# END SOLUTION", "#")
    unbiased = plain.replace("return y if b is None", "return y if b is b")
    solution.write_text(
        f"{unbiased}if True:\n    x = 1\n    # BEGIN SOLUTION\n    # END SOLUTION\n"
    )
    arguments = ["selftest", "--course", str(course), "--units", "1", "--processes", "1", "-q"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "reference 01_conv in numpy: " in out
    assert "skeleton 01_conv in numpy: 0 points" not in out
    assert "there is no solution in torch" in out
    assert f"conv2d, y: x: it is called {named[0].name!r}" in out


def test_a_convolution_is_drawn_as_a_matrix(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    (folder / "conv.py").write_text(small_course.FLIPPED)
    assert main(["check", "--examples", "2", "--picture", "pictures"]) == 1
    out = capsys.readouterr().out
    (drawn,) = (folder / "pictures").glob("conv2d-*.png")
    assert "The matrix that takes x to y in your conv2d, beside the right one" in out
    case = "conv2d batch=1 c_in=1 c_out=1 size=1x2 kernel=1x2 x=1,0 w=1,0"
    assert main(["replay", "conv.py", case, "--picture", "again"]) == 1
    drawings = {path.name for path in (folder / "again").iterdir()}
    assert drawings == {"conv2d-y.svg", "conv2d-matrix.png"}
    assert drawn.read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr("minideconv.course.pictures.matplotlib_is_there", lambda: False)
    capsys.readouterr()
    assert main(["check", "--examples", "2", "--picture", "none"]) == 1
    assert capsys.readouterr().out.count("a picture needs matplotlib: python -m pip install") == 1
    assert {path.suffix for path in (folder / "none").iterdir()} == {".svg"}
