"""Classes of one's own, from the folder to the prediction: their names and colours are kept."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from minideconv import evaluate, predict, train
from minideconv.ablate import __main__ as ablate
from minideconv.compare import __main__ as compare
from minideconv.data import __main__ as data
from minideconv.data.classes import Classes
from minideconv.training.run.checkpoint import read_header

ALIKE = "--input-size 16 --epochs 1 -b 4 --images 1 --final-images 2 -q"
SMALL = f"--width 2 --depth 1 --fc 8 {ALIKE}".split()
NAMES = ["background", "cell", "nucleus"]
COLOURS = Classes(NAMES, [(10, 10, 10), (255, 128, 0), (0, 128, 255)])


def scene(rng, grey=True):
    """A photograph with a bright disc and a dark square, and its labels."""
    labels = np.zeros((40, 52), np.uint8)
    y, x = rng.integers(8, 30), rng.integers(8, 42)
    labels[y - 6 : y + 6, x - 6 : x + 6] = 1
    labels[(y + 14) % 30 : (y + 14) % 30 + 8, (x + 20) % 40 : (x + 20) % 40 + 8] = 2
    photo = np.array([[90, 90, 90], [220, 200, 60], [20, 40, 160]], np.uint8)[labels]
    return photo + rng.integers(0, 20, photo.shape).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """images/ and masks/ of 12 photographs; the masks are grey PNGs of the numbers."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for k in range(12):
        photo, labels = scene(rng)
        Image.fromarray(photo).save(root / "images" / f"p{k:02d}.jpg", quality=95)
        Image.fromarray(labels).save(root / "masks" / f"p{k:02d}.png")
    return root


def ok(program, *arguments):
    assert program.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A run on the folder with names and colours from a file that is gone afterwards."""
    out = tmp_path_factory.mktemp("runs")
    names = out / "own.txt"
    names.write_text(COLOURS.text())
    ok(train, "--data-root", folder, "--classes", names, "--output-dir", out / "run", *SMALL)
    names.unlink()
    return out / "run"


def test_the_checkpoint_has_names_and_colours(run):
    header = read_header(run / "checkpoints" / "last.npz")
    assert header["classes"] == NAMES
    assert Classes.from_dict(header) == COLOURS
    assert header["config"]["data"] == "folder"
    assert "own.txt" not in json.dumps(header)  # nothing depends on a file that may go


def test_the_log_and_the_report_have_them(run):
    assert "3 classes (background, cell, nucleus)" in (run / "log.txt").read_text()
    report = (run / "report.html").read_text()
    assert "nucleus" in report
    assert "aeroplane" not in report
    assert "255,128,0" in report.replace(" ", "")  # the legend's colour of cell
    assert "DeconvNet on photographs" in report


def test_a_run_goes_on_without_the_file(run, capsys):
    shutil.copytree(run, run.with_name("again"))
    ok(train, "--resume", run.with_name("again"), "--epochs", 1)
    assert "aeroplane" not in capsys.readouterr().out


def test_evaluate_prints_them(run, tmp_path, capsys):
    ok(evaluate, run, "--json", tmp_path / "e.json")
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert json.loads((tmp_path / "e.json").read_text())["classes"] == NAMES


def test_predict_says_and_draws_them(run, folder, tmp_path, capsys):
    ok(predict, run, folder / "images" / "p00.jpg", "-o", tmp_path)
    shown = capsys.readouterr().out
    assert "background" in shown or "cell" in shown or "nucleus" in shown
    with Image.open(tmp_path / "p00.png") as file:
        palette = np.array(file.getpalette("RGB"), np.uint8).reshape(-1, 3)
    assert (palette[: len(COLOURS)] == COLOURS.colours).all()


def test_masks_in_the_same_colours_train_the_same_network(run, folder, tmp_path):
    """RGB masks, read by their colours, are the same labels: byte-equal weights."""
    root = tmp_path / "rgb"
    shutil.copytree(folder, root)
    for path in (root / "masks").iterdir():
        with Image.open(path) as file:
            labels = np.asarray(file)
        Image.fromarray(COLOURS.palette()[labels]).save(path)
    (root / "classes.txt").write_text(COLOURS.text())
    ok(train, "--data-root", root, "--output-dir", tmp_path / "run", *SMALL)
    with (
        np.load(run / "checkpoints" / "last.npz") as one,
        np.load(tmp_path / "run" / "checkpoints" / "last.npz") as other,
    ):
        names = [name for name in one.files if name.startswith("model/")]
        assert names
        assert all((one[name] == other[name]).all() for name in names)


def test_another_folder_without_names_has_those_of_the_network(run, folder, tmp_path, capsys):
    root = tmp_path / "test"
    shutil.copytree(folder, root)
    ok(evaluate, run, "--data-root", root)
    assert "nucleus" in capsys.readouterr().out
    (root / "classes.txt").write_text("background\nstar\nplanet\n")
    assert evaluate.main([str(run), "--data-root", str(root)]) == 2
    err = capsys.readouterr().err
    assert "has 3 classes (background, cell, nucleus) but the data has 3 (background, star" in err


@pytest.mark.long_on_fakecuda
def test_compare_has_them(run, tmp_path, folder):
    ok(train, "--data-root", folder, "--classes", COLOURS.text(), "--model", "fcn32s",
       "--output-dir", tmp_path / "fcn", "--width", 2, *ALIKE.split())  # fmt: skip
    ok(compare, run, tmp_path / "fcn", "--output", tmp_path / "compared", "-q")
    page = next((tmp_path / "compared").glob("*.html")).read_text()
    assert "nucleus" in page
    assert "aeroplane" not in page


def test_show_draws_their_colours(folder, tmp_path):
    ok(data, "show", "--data-root", folder, "--classes", COLOURS.text(), "--count", 2,
       "--output", tmp_path / "s.png")  # fmt: skip
    with Image.open(tmp_path / "s.png") as file:
        colours = {tuple(c) for _, c in file.convert("RGB").getcolors(1 << 24)}
    assert (255, 128, 0) in colours
    assert (128, 0, 0) not in colours


@pytest.mark.parametrize("count", [2, 22, pytest.param(255, marks=pytest.mark.long_on_fakecuda)])
def test_any_number_of_classes(folder, tmp_path, count):
    names = ["background", *(f"kind {k}" for k in range(1, count))]
    root = tmp_path / "many"
    shutil.copytree(folder, root)
    if count == 2:
        for path in (root / "masks").iterdir():
            with Image.open(path) as file:
                labels = np.asarray(file)
            Image.fromarray((labels > 0).astype(np.uint8) * 255).save(path)
    (root / "classes.txt").write_text("\n".join(names))
    ok(train, "--data-root", root, "--output-dir", tmp_path / "run", *SMALL)
    header = read_header(tmp_path / "run" / "checkpoints" / "last.npz")
    assert header["classes"] == names
    if count == 2:
        assert "white is read as 'kind 1'" in (tmp_path / "run" / "log.txt").read_text()


# -- What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--classes none/c.txt", "--classes: none/c.txt is no file, and no names with commas"),
        ("--classes a,a", "--classes: classes 1 and 2 are both called 'a'"),
        ("--difficulty hard", "--difficulty is hard, but --data is folder, which ignores it; it is"
                              " for --data shapes"),
        ("--image-size 64", "--image-size is 64, but --data is folder, which ignores it"),
        ("", "name them in a file classes.txt there, one a line and the background first, or by"),
        ("--data voc", "no VOCdevkit layout under"),
        ("--classes background,cell", "holds the values 2 in"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_made(
    folder, tmp_path, capsys, arguments, message
):
    out = tmp_path / "run"
    given = ["--data-root", str(folder), *arguments.split(), "--output-dir", str(out), *SMALL]
    code = train.main(given)
    assert message in capsys.readouterr().err
    assert code == (1 if "values" in message else 2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data shapes --data-root .", "--data-root is ., but --data is shapes, which ignores it"),
        ("--classes a,b", "--classes is a,b, but --data is shapes, which ignores it; it is for"
                          " --data of a folder"),
        ("--data-root nowhere", "--data-root nowhere is not a folder"),
    ],
)  # fmt: skip
def test_what_drawn_pictures_ignore(capsys, arguments, message):
    assert train.main(arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_a_folder_in_no_layout_says_what_is_there(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    assert train.main(["--data-root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert (
        f"--data-root {tmp_path} is in no layout that is known: it holds pictures; a set is" in err
    )


def test_the_same_classes_may_be_given_again(run, capsys):
    """A run goes on with what means the same as its own, however it is written."""
    again = run.with_name("written otherwise")
    shutil.copytree(run, again)
    names = run.with_name("same.txt")
    names.write_text("# the same\n" + COLOURS.text().replace(" #0a0a0a", " 10 10 10"))
    ok(train, "--resume", again, "--classes", names, "--data", "auto", "--epochs", 1)
    names.write_text(COLOURS.text().replace("cell", "seed"))
    assert train.main(["--resume", str(again), "--classes", str(names)]) == 2
    assert "cannot become" in capsys.readouterr().err
    names.unlink()
    assert train.main(["--resume", str(again), "--classes", str(names)]) == 2
    assert "is no file" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["cell,nucleus", "cell #ff8000\nnucleus 0 128 255\n"])
def test_that_a_background_was_put_before_them_is_logged_once(given, folder, tmp_path):
    if "\n" in given:
        (tmp_path / "own.txt").write_text(given)
        given = tmp_path / "own.txt"
    run = tmp_path / "run"
    ok(train, "--data-root", folder, "--classes", given, "--output-dir", run, *SMALL)
    assert (run / "log.txt").read_text().count("so a background was put before it") == 1
    assert read_header(run / "checkpoints" / "last.npz")["classes"] == NAMES
    ok(train, "--resume", run, "--classes", given, "--epochs", 1)


def test_one_class_beside_a_file_of_its_name(folder, tmp_path, monkeypatch):
    """What a run keeps of its classes never names a file."""
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    for path in (root / "masks").iterdir():
        with Image.open(path) as file:
            Image.fromarray(np.minimum(np.asarray(file), 1)).save(path)
    (root / "classes.txt").write_text("cell\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cell").write_text("another\n")
    ok(train, "--data-root", root, "--output-dir", tmp_path / "run", *SMALL)
    assert read_header(tmp_path / "run" / "checkpoints" / "last.npz")["classes"] == NAMES[:2]


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (train, ["--difficulty", "easy"]),
        (train, ["--image-size", "48"]),
        (train, ["--task", "autoencode", "--model", "autoencoder"]),
        (data, ["show", "--output", "a.png", "--difficulty", "normal"]),
        (compare, ["--difficulty", "easy"]),
        (ablate, ["--difficulty", "easy"]),
    ],
)
def test_options_that_the_data_or_task_ignores(program, arguments, folder, tmp_path, capsys):
    """Given at their default, too."""
    given = [*arguments, "--data-root", str(folder), "--classes", "cell,nucleus"]
    given += [] if program is data else ["--output-dir" if program is train else "--output"]
    given += [] if program is data else [str(tmp_path / "out")]
    assert program.main(given) == 2
    assert "which ignores it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
