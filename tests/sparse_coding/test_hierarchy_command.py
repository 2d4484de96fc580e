"""``hierarchy``: what it writes, how it goes on, what it refuses; drawings and measurements."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from PIL import Image

from minideconv.errors import SettingError, UsageError
from minideconv.sparse_coding.__main__ import main
from minideconv.sparse_coding.hierarchy import (
    Drawing,
    command,
    drawings,
    measure,
    normalize_contrast,
)
from minideconv.sparse_coding.hierarchy.drawings import KINDS
from minideconv.sparse_coding.hierarchy.junctions import centre, near_places
from minideconv.sparse_coding.hierarchy.run import Run
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.training.run.checkpoint import load_checkpoint

SMALL = ["--maps", "3,4", "--epochs", "2,1", "--filter-size", "3", "--drawings", "3", "--side",
         "32", "--device", "cpu"]  # fmt: skip


@pytest.fixture(autouse=True)
def few_drawings(monkeypatch):
    """Measure on 3 drawings instead of 48: what is learnt is the same."""
    monkeypatch.setattr(command, "HELD_OUT", 3)


def run(capsys, *arguments):
    """Run the command; return the exit code, what it printed, and the errors."""
    code = main(["hierarchy", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def photographs(folder, count=3, size=(40, 34)):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"p{k}.png")
    return folder


def same(one, two):
    assert (one / "hierarchy.npz").read_bytes() == (two / "hierarchy.npz").read_bytes()
    for name in ("layer1.png", "layer2.png", "firing.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_it_writes_layers_and_pictures(tmp_path, capsys):
    code, out, _ = run(capsys, "-o", tmp_path / "h", *SMALL)
    assert code == 0
    assert "2 layers of 3,4 maps from 3 drawings" in out
    assert "step 9/9  layer 2  objective" in out
    assert "layer 2: the projections of" in out
    found = load_checkpoint(tmp_path / "h" / "hierarchy.npz")
    filters = found.model_state["layer2.filters"]
    assert filters.shape == (4, 3, 3, 3)
    assert filters.dtype == np.float32
    norms = np.sqrt((filters**2).sum(axis=(2, 3)))
    np.testing.assert_allclose(norms, found.model_state["layer2.connections"], atol=1e-5)
    assert sorted(p.name for p in (tmp_path / "h").iterdir()) == [
        "firing.png", "hierarchy.npz", "layer1.png", "layer2.png",
    ]  # fmt: skip
    assert np.array(Image.open(tmp_path / "h" / "layer2.png")).shape == (64, 64, 3)


def test_three_layers(tmp_path, capsys):
    given = ["--maps", "3,4,3", "--epochs", "1,1,1", "--kappa", "0.1,0.03,0.03", "--power", "1,1,1"]
    code, out, _ = run(capsys, "-o", tmp_path / "h", *SMALL, *given)
    assert code == 0
    assert "layer 3: " in out
    assert np.array(Image.open(tmp_path / "h" / "layer3.png")).shape == (88, 88, 3)


@pytest.mark.parametrize("stop_at", [2, 6, 8])  # in a layer, where one ends, in the next
def test_a_run_that_was_stopped_goes_on_byte_for_byte(tmp_path, capsys, monkeypatch, stop_at):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(capsys, "-o", whole, "-q", *SMALL)[0] == 0
    advance = Run.advance

    def stopped(self):
        advance(self)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", stopped)
        code, _, err = run(capsys, "-o", parts, "-q", *SMALL)
    assert code == 143
    assert f"saved after step {stop_at}; go on by: python -m minideconv.sparse_coding" in err
    assert not (parts / "firing.png").exists()
    assert run(capsys, "--resume", parts, "-q", "--device", "cpu")[0] == 0
    same(whole, parts)


def test_photographs_and_a_killed_run(tmp_path, capsys, monkeypatch):
    folder = photographs(tmp_path / "p")
    given = [folder, *SMALL, "-q", "--save-every", 2]
    assert run(capsys, *given, "-o", tmp_path / "whole")[0] == 0
    advance = Run.advance

    def killed(self):
        advance(self)
        if self.step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", killed)
        assert run(capsys, *given, "-o", tmp_path / "parts")[0] == 130
    assert run(capsys, "--resume", tmp_path / "parts", "-q", "--device", "cpu")[0] == 0
    same(tmp_path / "whole", tmp_path / "parts")
    for arguments, sentence in [
        ([], "has done all of its 9 steps"),
        (["--seed", 3], "in these layers and cannot become 3; start new ones"),
        (["-o", "x"], "leave --output out"),
    ]:
        code, _, err = run(capsys, "--resume", tmp_path / "whole", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert sentence in err
    photographs(folder, 4)
    code, _, err = run(capsys, "--resume", tmp_path / "whole")
    assert (code, err.count("\n")) == (1, 1)
    assert "holds other pictures than when" in err


def test_what_is_refused(tmp_path, capsys):
    for name in ("empty", "one"):
        (tmp_path / name).mkdir()
    Image.new("L", (1, 1)).save(tmp_path / "one" / "a.png")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    for arguments, code, sentence in [
        ([tmp_path / "empty"], 1, "holds no picture"),
        ([tmp_path / "one"], 1, "has 1x1 pixels; it must have at least 48x48"),
        ([tmp_path / "bad"], 1, "a.png"),
        ([tmp_path / "none"], 2, "is no folder; name a folder of pictures"),
        (["--filter-size", 60], 1, "filters of 60x60 are larger than the pictures of 48x48"),
        (["--maps", "3,7"], 2, "gives layer 2 7 maps; 3 maps below it make 6 connections at most"),
        (["--power", "0.8,1.2"], 2, "--power is '0.8,1.2'; it must be numbers above 0 and at most"),
        (["--power", "0,1"], 2, "--power is '0,1'"),
        (["--kappa", "nan,1"], 2, "--kappa is 'nan,1'; it must be numbers above 0"),
        (["--betas", "1;2"], 2, "--betas is '1;2'"),
        (["--epochs", "3"], 2, "--epochs has 1 numbers; there are 2 layers (maps)"),
        (["--maps", "2.5"], 2, "--maps is '2.5'; it must be whole numbers"),
        (["--side", 20], 2, "--side is 20; it must be >= 32"),
        (["--resume", tmp_path], 2, "there is no hierarchy.npz to go on from"),
    ]:
        given = arguments if "--resume" in arguments else [*arguments, "-o", tmp_path / "out"]
        found, _, err = run(capsys, *given)
        assert (found, err.count("\n")) == (code, 1), err
        assert sentence in err
    with pytest.raises(SettingError, match="power is '2,1'"):
        HierarchySettings(power="2,1")
    with pytest.raises(UsageError, match="side is 8; it must be at least 32"):
        drawings(1, 8, 0)
    with pytest.raises(UsageError, match="count is 0"):
        drawings(0, 32, 0)


def test_a_damaged_file_is_refused(tmp_path, capsys):
    (tmp_path / "hierarchy.npz").write_bytes(b"nothing")
    code, _, err = run(capsys, "--resume", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert "hierarchy.npz" in err


# ---------------------------------------------------------------------------------------------
# Drawings, contrast, and the measurement


def test_drawings_are_what_they_say():
    """At every place there is ink; where a corner is, straight on there is none."""
    drawn = drawings(12, 48, 0)
    kinds = {kind for one in drawn for kind in one.kinds}
    assert kinds == set(KINDS)
    for one in drawn:
        assert (one.image.min(), one.image.max()) == (0, 1)
        assert len(one.places) == len(one.kinds)
        assert (one.places == np.round(2 * one.places) / 2).all()
        for row, column in one.places:
            assert one.image[int(row), int(column)] > 0.5
    again = drawings(3, 48, 0, first=9)
    np.testing.assert_array_equal(again[0].image, drawn[9].image)
    assert (again[0].image != drawings(1, 48, 1, first=9)[0].image).any()


def test_contrast_is_relative():
    rng = np.random.default_rng(0)
    image = rng.random((20, 31))
    found = normalize_contrast(image)
    np.testing.assert_allclose(normalize_contrast(3 * image + 5), found, atol=1e-9)
    np.testing.assert_array_equal(normalize_contrast(np.full((9, 9), 0.3)), 0)
    np.testing.assert_allclose(normalize_contrast(image[::-1].T), found[::-1].T, atol=1e-12)
    assert abs(found.mean()) < 0.05
    with pytest.raises(ValueError, match="sigma is 0"):
        normalize_contrast(image, 0)


def unit(drawn, fires):
    """Return maps of one unit that fires where `fires` says, and its projection (2 x 3)."""
    projections = np.zeros((1, 1, 2, 3))
    projections[0, 0, 1, 0] = 1  # its middle is the lower left pixel
    maps = []
    for one in drawn:
        height, width = one.image.shape
        found = np.zeros((1, height + 1, width + 2))
        # z[i, j] puts the projection's first pixel at (i - 1, j - 2).
        found[0, :height, 2:] = fires(one)
        maps.append(found)
    return maps, projections


def test_lift_of_units_whose_answer_is_known():
    drawn = drawings(20, 48, 3)
    corners = unit(drawn, near_places)
    found = measure(*corners, drawn)
    assert found.share[0] == 1
    assert found.lift[0] == pytest.approx(1 / found.control[0])
    assert found.selective[0]
    anywhere = measure(*unit(drawn, lambda d: d.image > 0.5), drawn)
    assert anywhere.lift[0] == pytest.approx(1, abs=0.02)
    assert not anywhere.selective[0]
    straight = measure(*unit(drawn, lambda d: (d.image > 0.5) & ~near_places(d)), drawn)
    assert straight.lift[0] == 0
    silent = measure(*unit(drawn, lambda d: 0 * d.image), drawn)
    assert (silent.firing, silent.selective[0]) == (0, False)
    np.testing.assert_array_equal(centre(corners[1]), [[1, 0]])
    # A unit whose place is taken to be two pixels off is seen through.
    moved = measure([np.roll(m, 4, axis=1) for m in corners[0]], corners[1], drawn)
    assert moved.lift[0] < 0.8 * found.lift[0]
    with pytest.raises(ValueError, match="maps have shape"):
        measure([m[:, 1:] for m in corners[0]], corners[1], drawn)


def test_places_are_near_within_the_radius():
    one = Drawing(np.zeros((9, 9)), np.array([[4.0, 2.0]]), ("X",))
    near = near_places(one, 2.0)
    assert near.sum() == 13
    assert near[4, 4]
    assert not near[4, 5]
