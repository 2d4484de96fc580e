"""With what a run may go on: its own last checkpoint, its own data, a rate that does not jump."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from stopped_runs import assert_same_run, lines

from minideconv import data, train
from minideconv.data.fingerprint import fingerprint
from minideconv.data.shard import Subset
from minideconv.errors import UsageError
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import load_checkpoint, read_header
from minideconv.training.trainer import Trainer

TINY = [
    *("--train-images", "4", "--val-images", "2", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu", "-b", "2", "--images", "0"),
    *("--recalibrate", "1", "--fc-kernel", "0", "--print-freq", "1", "-q", "--seed", "3"),
]
DRAWN = [*TINY, "--image-size", "32"]


def rates(folder):
    return [line["lr"] for line in lines(folder) if line["kind"] == "step"]


@pytest.fixture
def finished(tmp_path):
    """Return the folder of a run of 4 epochs, 8 steps."""
    folder = tmp_path / "run"
    assert train.main([*DRAWN, "--epochs", "4", "--output-dir", str(folder)]) == 0
    return folder


# -- The learning rate ------------------------------------------------------------------------


def test_more_epochs_do_not_make_the_rate_jump_unasked(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert train.main(["--resume", str(finished), "--epochs", "8"]) == 2
    error = capsys.readouterr().err
    last = rates(finished)[-1]
    assert f"where the run had {last:.3g}; add --reschedule" in error
    assert len(error.splitlines()) == 1
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    assert train.main(["--resume", str(finished), "--epochs", "8", "--reschedule", "-q"]) == 0
    assert rates(finished)[8] > 2 * last
    assert "epochs in the place of 4" in (finished / "log.txt").read_text()
    # All later rates are those of a run that was to have 8 epochs from the start.
    other = finished.parent / "other"
    assert train.main([*DRAWN, "--epochs", "8", "--output-dir", str(other)]) == 0
    assert rates(finished)[8:] == rates(other)[8:]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_where_the_rate_does_not_depend_on_the_length_nothing_is_asked(tmp_path, schedule):
    folder = str(tmp_path / "run")
    order = [*DRAWN, "--lr-schedule", schedule, "--warmup", "0", "--epochs", "1"]
    assert train.main([*order, "--output-dir", folder]) == 0
    assert train.main(["--resume", folder, "--epochs", "3", "-q"]) == 0
    whole = [*order[:-1], "3", "--output-dir", str(tmp_path / "whole")]
    assert train.main(whole) == 0
    assert rates(tmp_path / "run") == rates(tmp_path / "whole")
    one, two = (
        load_checkpoint(tmp_path / n / "checkpoints" / "last.npz") for n in ("run", "whole")
    )
    assert all((one.model_state[k] == two.model_state[k]).all() for k in one.model_state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "2"], "--epochs is 2, but that stage is over, after 1 in this run"),
        (["--epochs-stage2", "0"], "--epochs-stage2 is 0, but 1 are done in this run"),
    ],
)
def test_epochs_that_are_over_cannot_change(tmp_path, capsys, options, message):
    folder = str(tmp_path / "run")
    stages = ["--stage", "both", "--epochs", "1", "--epochs-stage2", "1", "--windows", "1"]
    assert train.main([*TINY, *stages, "--output-dir", folder]) == 0
    assert train.main(["--resume", folder, *options]) == 2
    assert message in capsys.readouterr().err


def test_fewer_epochs_end_the_run_there(tmp_path):
    folder = str(tmp_path / "run")
    assert train.main([*DRAWN, "--epochs", "2", "--output-dir", folder]) == 0
    (tmp_path / "run" / "evaluation.json").unlink()
    assert train.main(["--resume", folder, "--epochs", "2", "-q"]) == 0
    assert (tmp_path / "run" / "evaluation.json").exists()


# -- The data ---------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path):
    """Make two folders of photographs with the same names and sizes, and other content."""
    from PIL import Image

    roots = []
    for number in range(2):
        root = tmp_path / f"voc{number}"
        for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (root / name).mkdir(parents=True)
        rng = np.random.default_rng(number)
        names = [f"picture_{index}" for index in range(6)]
        for name in names:
            pixels = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg")
            mask = np.zeros((32, 40), np.uint8)
            mask[5:20, 5 + 3 * number : 30] = 1 + np.arange(15)[:, None] % 2
            picture = Image.fromarray(mask, "L").convert("P")
            picture.putpalette(list(range(256)) * 3)
            picture.putdata(mask.ravel().tolist())
            picture.save(root / "SegmentationClass" / f"{name}.png")
        for split, chosen in (("train", names[:4]), ("val", names[4:])):
            text = "".join(f"{name}\n" for name in chosen)
            (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)
        roots.append(root)
    return roots


def test_a_run_goes_on_with_its_own_data_alone(photographs, tmp_path, capsys):
    mine, other = photographs
    folder = str(tmp_path / "run")
    voc = ["--data", "voc", "--data-root", str(mine), "--lr-schedule", "constant"]
    assert train.main([*TINY, *voc, "--epochs", "1", "--output-dir", folder]) == 0
    evaluation = (tmp_path / "run" / "evaluation.json").read_bytes()
    # A run that is done is not evaluated anew with other images, whatever is asked for.
    for more in ([], ["--other-data"]):
        assert train.main(["--resume", folder, "--data-root", str(other), *more]) == 2
        error = capsys.readouterr().err
        assert "the training and validation images are not those of this run" in error
        assert "use python -m minideconv.evaluate" in error
    longer = ["--resume", folder, "--epochs", "2", "-q", "--data-root"]
    assert train.main([*longer, str(other)]) == 2
    assert "add --other-data to go on all the same" in capsys.readouterr().err
    assert (tmp_path / "run" / "evaluation.json").read_bytes() == evaluation
    moved = tmp_path / "elsewhere"
    shutil.copytree(mine, moved)
    assert train.main([*longer, str(moved)]) == 0
    assert train.main([*longer[:3], "3", "-q", "--data-root", str(other), "--other-data"]) == 0
    assert "going on with other data" in (tmp_path / "run" / "log.txt").read_text()


def test_one_changed_mask_is_noticed(photographs, tmp_path, capsys):
    root, other = photographs
    folder = str(tmp_path / "run")
    voc = ["--data", "voc", "--data-root", str(root), "--lr-schedule", "constant"]
    assert train.main([*TINY, *voc, "--epochs", "1", "--output-dir", folder]) == 0
    mask = "SegmentationClass/picture_5.png"
    shutil.copyfile(other / mask, root / mask)
    assert train.main(["--resume", folder, "--epochs", "2"]) == 2
    assert "the validation images are not those of this run" in capsys.readouterr().err


def test_fingerprints_of_lists():
    shapes = data.Shapes("train", length=9, size=32)
    images = [(np.full((4, 5, 3), i, np.uint8), np.zeros((4, 5), np.uint8)) for i in range(40)]
    changed = [*images[:-1], (images[-1][0], images[-1][1] + 1)]
    lists = [
        shapes,
        data.Shapes("val", length=9, size=32),
        data.Shapes("train", length=9, size=48),
        data.Shapes("train", length=9, size=32, difficulty="hard"),
        data.Shapes("train", length=8, size=32),
        Subset(shapes, [0, 2, 1]),
        images,
        changed,
        images[::-1],
    ]
    digests = [fingerprint(each) for each in lists]
    assert len(set(digests)) == len(lists)
    assert fingerprint(data.Shapes("train", length=9, size=32)) == digests[0]
    assert fingerprint(Subset(shapes, range(3))) == fingerprint(Subset(shapes, [0, 1, 2]))
    assert fingerprint(Subset(Subset(shapes, [8, 1, 2, 0]), [3, 2, 1])) == digests[5]


# -- Which checkpoint -------------------------------------------------------------------------


def test_an_older_checkpoint_of_the_run_is_refused(finished, tmp_path, capsys):
    """It would throw newer epochs and their metrics away."""
    older = tmp_path / "older.npz"
    shutil.copy(finished / "checkpoints" / "last.npz", older)
    assert train.main(["--resume", str(finished), "--epochs", "5", "-q", "--reschedule"]) == 0
    in_run = finished / "checkpoints" / "best.npz"
    in_run.unlink()
    shutil.copy(older, in_run)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for more in ([], ["--epochs", "6", "--reschedule"]):
        assert train.main(["--resume", str(in_run), *more]) == 2
        error = capsys.readouterr().err
        assert "it is of step 8, but the run's last.npz is of step 10" in error
        assert f"go on with --resume {finished}, or add --output-dir NEW" in error
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_fork_is_a_run_of_its_own(finished, tmp_path, capsys):
    """It continues like the run itself, and that stays as it is."""
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    fork, more = tmp_path / "fork", ["--epochs", "6", "--reschedule", "-q"]
    last = finished / "checkpoints" / "last.npz"
    assert train.main(["--resume", str(last), "--output-dir", str(finished.parent)]) == 0
    assert (finished.parent / "config.json").exists()  # a folder that held no run
    assert train.main(["--resume", str(last), "--output-dir", str(fork), *more]) == 0
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    assert json.loads((fork / "config.json").read_text())["output_dir"] == str(fork)
    assert train.main(["--resume", str(finished), *more]) == 0
    for folder in (fork, finished):  # whose names are in the headers
        for name in ("last", "best"):
            path = folder / "checkpoints" / f"{name}.npz"
            header = read_header(path)
            assert header["progress"]["best_epoch"] >= 1
    one, two = (load_checkpoint(f / "checkpoints" / "last.npz") for f in (fork, finished))
    assert all((one.model_state[k] == two.model_state[k]).all() for k in one.model_state)
    assert lines(fork) == lines(finished)
    with pytest.raises(AssertionError):  # the settings have another output_dir
        assert_same_run(fork, finished)


def test_a_fork_that_is_refused_leaves_nothing(finished, tmp_path, capsys):
    fork = tmp_path / "fork"
    order = ["--resume", str(finished), "--output-dir", str(fork), "--epochs", "9"]
    assert train.main(order) == 2
    assert "add --reschedule" in capsys.readouterr().err
    assert not fork.exists()
    assert train.main([*order, "--reschedule", "-q"]) == 0
    assert train.main([*order, "--reschedule", "-q"]) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_a_fork_of_the_best_epoch(tmp_path):
    """Newer epochs are not in it, and its best is the checkpoint itself."""
    folder, fork = tmp_path / "run", tmp_path / "fork"
    order = [*DRAWN, "--lr-schedule", "constant", "--epochs", "2", "--output-dir", str(folder)]
    assert train.main(order) == 0
    older = tmp_path / "older.npz"
    shutil.copy(folder / "checkpoints" / "last.npz", older)
    assert train.main(["--resume", str(folder), "--epochs", "3", "-q"]) == 0
    assert (
        train.main(["--resume", str(older), "--epochs", "3", "--output-dir", str(fork), "-q"]) == 0
    )
    one, two = (load_checkpoint(f / "checkpoints" / "last.npz") for f in (fork, folder))
    assert all((one.model_state[k] == two.model_state[k]).all() for k in one.model_state)
    assert (fork / "checkpoints" / "best.npz").exists()


def test_options_of_a_run_that_goes_on_need_one(capsys):
    for option in ("--reschedule", "--other-data"):
        assert train.main([option]) == 2
        assert f"{option} is for a run that goes on, with --resume" in capsys.readouterr().err


def test_the_library_refuses_in_its_own_words(finished):
    config = TrainConfig.from_dict(
        {**json.loads((finished / "config.json").read_text()), "epochs": 9}
    )
    with pytest.raises(UsageError, match="add reschedule if that is meant"):
        Trainer(config, resume=finished / "checkpoints" / "last.npz")
    Trainer(config, resume=finished / "checkpoints" / "last.npz", reschedule=True)
