"""``predict``, ``evaluate --json`` and ``data show`` write over nothing that they did not make."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from tiny_run import TINY

from minideconv import evaluate, predict, train
from minideconv.data.__main__ import main as data_main
from minideconv.errors import UsageError
from minideconv.files.outputs import plan_outputs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return str(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photographs(*names, seed=0):
    for number, name in enumerate(names):
        rng = np.random.default_rng(seed + number)
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 17, 3), dtype=np.uint8)).save(name)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def link(name, to):
    os.symlink(os.path.abspath(to), name)


@pytest.mark.parametrize(
    ("files", "order", "message"),
    [
        (["a.jpg", "a_overlay.png"], [], "a_overlay.png would be overwritten"),
        (["a_overlay.png", "a.jpg"], [], "a_overlay.png would be overwritten"),
        (["b.png"], [], "b.png would be overwritten"),
        (["c.jpg", "c_overlay.jpg"], [], "c.jpg and c_overlay.jpg would both be written to c_over"),
        (["c_overlay.jpg", "c.jpg"], [], "c_overlay.jpg and c.jpg would both be written to c_over"),
        (["x/a.jpg", "y/a.jpg"], [], "x/a.jpg and y/a.jpg would both be written to a.png"),
        (["a.jpg", "a.webp"], [], "a.jpg and a.webp would both be written to a.png"),
        (["x/A.jpg", "x/a.webp"], [], "x/A.jpg and x/a.webp would both be written to a.png"),
        (["x/\u00e9.jpg", "x/e\u0301.webp"], [], "would both be written to e\u0301.png"),
        (["a.jpg", "d.png"], ["a.jpg", "./x/../d.png"], "d.png would be overwritten"),
    ],
)
@pytest.mark.parametrize("flag", [[], ["--overwrite"]])
def test_inputs_are_never_overwritten(run, work, capsys, files, order, message, flag):
    (work / "x").mkdir()
    photographs(*files)
    before = contents(work)
    assert predict.main([run, *(order or files), "-o", ".", *flag]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minideconv.predict: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert contents(work) == before


@pytest.mark.parametrize("flag", [[], ["--overwrite"]])
@pytest.mark.parametrize("make", [link, lambda name, to: os.link(to, name)])
def test_nor_through_a_link(run, work, capsys, make, flag):
    photographs("originals/photo.jpg")
    (work / "out").mkdir()
    make("out/photo.png", "originals/photo.jpg")
    before = contents(work)
    assert predict.main([run, "originals/photo.jpg", "-o", "out", *flag]) == 2
    assert "originals/photo.jpg would be overwritten" in capsys.readouterr().err
    link("elsewhere", "out")  # the folder under another name
    photographs("out/b.png")
    assert predict.main([run, "elsewhere/b.png", "-o", "out", *flag]) == 2
    assert "elsewhere/b.png would be overwritten" in capsys.readouterr().err
    assert before.items() <= contents(work).items()


def test_an_input_that_is_still_missing_is_not_made(run, work, capsys):
    photographs("a.jpg")
    assert predict.main([run, "a.jpg", "a_overlay.png", "-o", "."]) == 2
    assert "a_overlay.png would be overwritten" in capsys.readouterr().err
    assert os.listdir(work) == ["a.jpg"]


def test_other_files_are_replaced_with_overwrite_only(run, work, capsys):
    photographs("in/a.jpg", "in/b.jpg")
    photographs("out/b.png", "out/a_overlay.png", seed=7)  # of another program
    before = contents(work)
    order = [run, "in/a.jpg", "in/b.jpg", "-o", "out"]
    assert predict.main(order) == 2
    assert capsys.readouterr().err == (
        "minideconv.predict: out holds a_overlay.png, b.png already; give --overwrite to replace"
        " what is there, or choose another --output-dir\n"
    )
    assert contents(work) == before
    assert predict.main([*order, "--overwrite", "-q"]) == 0
    written = contents(work / "out")
    assert len(written) == 4
    assert not set(written.values()) & set(before.values())
    assert predict.main([*order, "-q"]) == 2  # the same command again
    assert "a.png, a_overlay.png, b.png, b_overlay.png already" in capsys.readouterr().err
    assert predict.main([*order, "--overwrite", "-q"]) == 0
    assert contents(work / "out") == written


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder"])
def test_what_is_no_file_is_not_replaced_even_with_overwrite(run, work, capsys, kind):
    photographs("a.jpg", "other.jpg")
    (work / "out").mkdir()
    if kind == "folder":
        (work / "out" / "a.png").mkdir()
    else:
        link("out/a.png", "other.jpg" if kind == "link" else "nowhere")
    before = contents(work)
    assert predict.main([run, "a.jpg", "-o", "out", "--overwrite"]) == 2
    assert "out/a.png cannot be replaced: it is a link, a folder" in capsys.readouterr().err
    assert contents(work) == before


def test_an_image_named_twice_is_done_once(work):
    photographs("in/a.jpg")
    link("also", "in")
    names = ["in/a.jpg", "./in/a.jpg", "also/a.jpg", "in/../in/a.jpg"]
    paths = [(work / name) for name in names]
    assert list(plan_outputs(paths, work / "out", (".png",))) == [paths[0]]


def test_many_files_in_the_way_are_counted(work):
    paths = [work / f"{number}.jpg" for number in range(9)]
    for path in paths:
        path.with_suffix(".png").touch()
    with pytest.raises(
        UsageError, match=r"holds 0\.png, 1\.png, 2\.png, 3\.png and 5 more already"
    ):
        plan_outputs(paths, work, (".png",))


def test_figures_are_written_over_figures_only(run, work, capsys):
    (work / "mine.json").write_text('{"mine": 1}')
    (work / "photo.jpg").write_bytes(b"\xff\xd8 not JSON")
    for name in ("mine.json", "photo.jpg"):
        before = (work / name).read_bytes()
        assert evaluate.main([run, "-q", "--json", name]) == 2
        assert f"--json {name} exists and is no earlier output" in capsys.readouterr().err
        assert (work / name).read_bytes() == before
    assert evaluate.main([run, "-q", "--json", "."]) == 2
    assert "--json . is a folder" in capsys.readouterr().err
    (work / "empty.json").touch()
    assert evaluate.main([run, "-q", "--json", "empty.json"]) == 0
    assert evaluate.main([run, "-q", "--json", "empty.json"]) == 0


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no names here")
def test_figures_and_pictures_go_into_pipes(run, work):
    def through(program, *order):
        reader, writer = os.pipe()
        assert program([*order, f"/dev/fd/{writer}"]) == 0
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            return pipe.read()

    assert "confusion" in json.loads(through(evaluate.main, run, "-q", "--json"))
    picture = through(data_main, "show", "--count", "1", "--cell", "20", "--output")
    assert Image.open(io.BytesIO(picture)).size == (70, 28)


def test_show_draws_over_its_own_pictures_only(work, capsys):
    photographs("photo.png")
    before = (work / "photo.png").read_bytes()
    order = ["show", "--count", "1", "--cell", "20", "--output"]
    assert data_main([*order, "photo.png"]) == 2
    assert "--output photo.png exists and is no earlier output" in capsys.readouterr().err
    assert (work / "photo.png").read_bytes() == before
    assert data_main([*order, "new.png"]) == data_main([*order, "new.png"]) == 0
