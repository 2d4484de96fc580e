"""``python -m minideconv.sparse_coding``: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minideconv.backend import as_device
from minideconv.sparse_coding.__main__ import main
from minideconv.sparse_coding.dictionary_file import load_dictionary, read_filters
from minideconv.sparse_coding.learn import Run
from minideconv.training.interrupt import StopRequest

SMALL = ["--filters", "4", "--filter-size", "3", "--crop", "16", "--device", "cpu"]


def draw(folder, count=3, size=(20, 26), color=True):
    """Write pictures of rectangles."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        rng = np.random.default_rng(k)
        picture = np.full((*size, 3), 60, np.uint8)
        for _ in range(6):
            top, left = rng.integers(size[0] - 4), rng.integers(size[1] - 4)
            picture[top : top + 7, left : left + 9] = rng.integers(0, 256, 3)
        Image.fromarray(picture if color else picture[..., 0]).save(folder / f"p{k}.png")
    return folder


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder of pictures, and a dictionary from them."""
    folder = tmp_path_factory.mktemp("csc")
    draw(folder / "pictures")
    done = main(["learn", str(folder / "pictures"), "-o", str(folder / "d"), "--steps", "6",
                 "--save-every", "4", "-q", *SMALL])  # fmt: skip
    assert done == 0
    return folder


def run(capsys, *arguments):
    """Run the command; return the exit code, what it printed, and the errors."""
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def picture(path):
    return np.array(Image.open(path))


def same_dictionary(one, two):
    a, b = load_dictionary(one / "state.npz"), load_dictionary(two / "state.npz")
    # Compared before the assertion: pytest would spend minutes on the difference of two long texts.
    same = plain(a.state) == plain(b.state)
    assert same, "the states differ"
    assert a.model_state["filters"].tobytes() == b.model_state["filters"].tobytes()
    assert a.header["step"] == b.header["step"]
    np.testing.assert_array_equal(picture(one / "dictionary.png"), picture(two / "dictionary.png"))


def plain(tree):
    if isinstance(tree, dict):
        return {name: plain(value) for name, value in tree.items()}
    return (str(tree.dtype), tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def test_learn_writes_a_dictionary_and_its_picture(learnt, capsys):
    filters, settings = read_filters(learnt / "d")
    assert filters.shape == (4, 1, 3, 3)
    assert filters.dtype == np.float32
    assert (settings.steps, settings.crop) == (6, 16)
    assert np.sqrt((filters**2).sum(axis=(1, 2, 3))).max() <= 1 + 1e-5
    found = load_dictionary(learnt / "d")
    assert found.header["step"] == 6
    assert found.state == {}  # it is for use; the state is beside it
    assert [step for step, _ in found.header["objectives"]] == [6]
    assert picture(learnt / "d" / "dictionary.png").shape == (40, 40, 3)
    assert sorted(p.name for p in (learnt / "d").iterdir()) == [
        "dictionary.npz", "dictionary.png", "state.npz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options", [[], ["--learner", "online", "--iterations", "7"], ["--color", "--double"]]
)
def test_a_run_that_was_stopped_goes_on_byte_for_byte(tmp_path, capsys, options, monkeypatch):
    folder = draw(tmp_path / "pictures")
    shared = [*SMALL, *options, "-q"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["learn", str(folder), "-o", str(whole), "--steps", "9", *shared]) == 0
    advance = Run.advance

    def stopped(self):
        advance(self)
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", stopped)
        code, _, err = run(
            capsys, "learn", folder, "-o", parts, "--steps", 9, "--save-every", 100, *shared
        )
    assert code == 143
    assert (
        f"saved after step 4; go on by: python -m minideconv.sparse_coding learn --resume {parts}"
        in err
    )
    with pytest.raises(AssertionError):
        same_dictionary(whole, parts)
    assert main(["learn", "--resume", str(parts), "-q", "--device", "cpu"]) == 0
    same_dictionary(whole, parts)


def test_a_signal_that_comes_while_the_line_is_computed_loses_nothing(
    tmp_path, capsys, monkeypatch
):
    look = Run.look

    def stopped(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return look(self)

    monkeypatch.setattr(Run, "look", stopped)
    folder, out = draw(tmp_path / "pictures"), tmp_path / "out"
    given = ["--steps", 12, "--save-every", 100, *SMALL, "-q"]
    code, _, err = run(capsys, "learn", folder, "-o", out, *given)
    assert code == 143
    assert "saved after step 10;" in err
    assert (out / "state.npz").exists()


def test_a_killed_run_goes_on_from_the_last_save(tmp_path, monkeypatch):
    """No signal that it sees: what is on disk is whole, and the rest is done again."""
    folder = draw(tmp_path / "pictures")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = ["--steps", "9", "--save-every", "3", *SMALL, "-q"]
    assert main(["learn", str(folder), "-o", str(whole), *given]) == 0
    advance = Run.advance

    def killed(self):
        advance(self)
        if self.step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", killed)
        assert main(["learn", str(folder), "-o", str(parts), *given]) == 130
    assert load_dictionary(parts / "state.npz").header["step"] == 3
    assert main(["learn", "--resume", str(parts), "-q", "--device", "cpu"]) == 0
    same_dictionary(whole, parts)


def test_more_steps_and_what_cannot_change(learnt, tmp_path, capsys):
    folder = draw(tmp_path / "pictures")
    d = tmp_path / "d"
    assert main(["learn", str(folder), "-o", str(d), "--steps", "3", "-q", *SMALL]) == 0
    code, out, _ = run(capsys, "learn", "--resume", d, "--steps", 5, "--device", "cpu")
    assert code == 0
    assert "step 5/5" in out
    assert "filters are more oriented than 95 % of random ones" in out
    for arguments, sentence in [
        (["--steps", 5], "--steps is 5, and"),
        (
            ["--filters", 9],
            "--filters is 4 in this dictionary and cannot become 9; start a new one",
        ),
        (["-o", tmp_path / "e"], "leave --output out"),
    ]:
        code, _, err = run(capsys, "learn", "--resume", d, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert sentence in err
    (folder / "another.png").write_bytes((folder / "p0.png").read_bytes())
    code, _, err = run(capsys, "learn", "--resume", d, "--steps", 9)
    assert (code, err.count("\n")) == (1, 1)
    assert "holds other pictures than when" in err
    code, _, err = run(capsys, "learn", "--resume", learnt / "pictures")
    assert code == 2
    assert "there is no state.npz to go on from" in err


def test_code_writes_maps_and_reconstructions(learnt, tmp_path, capsys):
    out = tmp_path / "coded"
    code, text, _ = run(
        capsys, "code", learnt / "pictures", "--dictionary", learnt / "d", "-o", out,
        "--sparsity", 0.01, "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert text.count("PSNR") == 3
    for k in range(3):
        original = Image.open(learnt / "pictures" / f"p{k}.png").convert("L")
        found = picture(out / f"p{k}_reconstruction.png")
        assert found.shape == (20, 26, 3)
        assert np.abs(found[..., 0].astype(int) - np.array(original)).mean() < 12
        assert picture(out / f"p{k}_maps.png").shape == (20, 26, 3)


@pytest.mark.parametrize("method", ["admm", "fista"])
def test_denoise_takes_noise_away(learnt, tmp_path, capsys, method):
    out = tmp_path / "denoised"
    given = ["denoise", learnt / "pictures", "--dictionary", learnt / "d", "-o", out, "--sigma",
             20, "--add-noise", "--method", method, "--device", "cpu"]  # fmt: skip
    code, text, _ = run(capsys, *given)
    assert code == 0
    before, after = text.splitlines()[-1].split("PSNR ")[1].split(" dB")[0].split(" -> ")
    assert 21 < float(before) < 24
    assert float(after) > float(before) + 1
    assert picture(out / "p0_denoised.png").shape == (20, 26, 3)
    code, _, err = run(capsys, *given)
    assert (code, err.count("\n")) == (2, 1)
    assert "give --overwrite to replace" in err
    first = picture(out / "p1_denoised.png")
    assert run(capsys, *given, "--overwrite")[0] == 0
    np.testing.assert_array_equal(picture(out / "p1_denoised.png"), first)  # the same noise


def test_inpaint_fills_in(learnt, tmp_path, capsys):
    out = tmp_path / "in"
    code, text, _ = run(
        capsys, "inpaint", learnt / "pictures", "--dictionary", learnt / "d", "-o", out,
        "--missing", 0.4, "--limit", 2, "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    before, after = text.splitlines()[-1].split("PSNR ")[1].split(" dB")[0].split(" -> ")
    assert float(after) > float(before) + 4
    assert "of 2 pictures" in text

    masks = tmp_path / "masks"
    masks.mkdir()
    for k in range(2):
        mask = np.full((20, 26), 255, np.uint8)
        mask[5:9, 6:10] = 0
        Image.fromarray(mask).save(masks / f"p{k}.png")
    out = tmp_path / "holes"
    code, text, err = run(
        capsys, "inpaint", learnt / "pictures", "--dictionary", learnt / "d", "-o", out,
        "--masks", masks, "--device", "cpu",
    )  # fmt: skip
    assert code == 1  # the third picture has no mask; the others are done all the same
    assert f"mask {masks / 'p2.png'} does not exist" in err
    assert "1 of 3 files failed" in err
    assert "3.1 % filled in" in text
    found, original = picture(out / "p0_inpainted.png"), picture(learnt / "pictures" / "p0.png")
    known = np.ones((20, 26), bool)
    known[5:9, 6:10] = False
    np.testing.assert_array_equal(found[known], original[known])
    assert (picture(out / "p0_known.png")[~known] == 128).all()


def spoil(folder, kind):
    """Put a picture that cannot be used into a folder; return its name."""
    path = folder / "q.png"
    if kind == "broken":
        path.write_bytes((folder / "p0.png").read_bytes()[:60])
    elif kind == "no picture":
        path.write_text("nothing to see")
    elif kind == "one pixel":
        Image.new("RGB", (1, 1)).save(path)
    else:
        path = folder / "q.tif"
        Image.fromarray(np.full((20, 26), np.nan, np.float32)).save(path)
    return path


BAD = {
    "broken": "cannot be read: the picture is damaged or cut off",
    "no picture": "is not a picture that can be read",
    "one pixel": "has 1x1 pixels; it must have at least",
    "not a number": "has mode F, grey levels of more than 8 bits",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_named(learnt, tmp_path, capsys, kind):
    folder = draw(tmp_path / "pictures", count=1)
    path = spoil(folder, kind)
    code, _, err = run(capsys, "learn", folder, "-o", tmp_path / "d", *SMALL)
    assert (code, err.count("\n")) == (1, 1)
    assert f"{path} {BAD[kind]}" in err
    assert not (tmp_path / "d" / "dictionary.npz").exists()
    for command, options in [
        ("code", []),
        ("denoise", ["--sigma", 9]),
        ("inpaint", ["--missing", 0.1]),
    ]:
        code, out, err = run(
            capsys, command, folder, "--dictionary", learnt / "d", "-o", tmp_path / command,
            "--device", "cpu", *options,
        )  # fmt: skip
        assert code == 1
        assert f"{path} {BAD[kind]}" in err
        assert err.splitlines()[-1].endswith("1 of 2 files failed")
        assert str(folder / "p0.png") in out  # it was done all the same


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["learn"], 2, "name a folder of photographs, or --resume DIR"),
        (["learn", "EMPTY"], 1, "holds no picture (.jpg, .jpeg"),
        (["learn", "MISSING"], 2, "is no folder; name a folder of pictures"),
        (["learn", "PICTURES", "--filter-size", "40", "--crop", "20"], 1,
         "filters of 40x40 are larger than the crops of 20x20"),
        (["learn", "PICTURES", "--crop", "21"], 1, "has 20x26 pixels; it must have at least 21x21"),
        (["learn", "PICTURES", "--sparsity", "0"], 2, "--sparsity is 0.0; it must be > 0"),
        (["learn", "PICTURES", "--sparsity", "nan"], 2, "--sparsity is nan; it must be finite"),
        (["learn", "PICTURES", "--learner", "sgd"], 2, "it must be one of batch, online"),
        (["learn", "PICTURES", "-o", "DICTIONARY"], 2, "holds a dictionary already; go on with it"),
        (["code", "EMPTY", "--dictionary", "DICTIONARY"], 1, "holds no picture"),
        (["code", "MISSING", "--dictionary", "DICTIONARY"], 2, "does not exist; name a folder"),
        (["code", "PICTURES", "--dictionary", "MISSING"], 1, "does not exist"),
        (["code", "PICTURES", "--dictionary", "PICTURES/p0.png"], 1, "it is not an .npz file"),
        (["inpaint", "PICTURES", "--dictionary", "DICTIONARY", "--missing", "0.1", "--method",
          "fista"], 2, "inpaint by admm"),
    ],
)  # fmt: skip
def test_mistakes(learnt, tmp_path, capsys, monkeypatch, arguments, code, sentence):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    names = {"EMPTY": tmp_path / "empty", "MISSING": tmp_path / "missing",
             "DICTIONARY": learnt / "d", "PICTURES": learnt / "pictures"}  # fmt: skip
    for name, path in names.items():
        arguments = [a.replace(name, str(path)) for a in arguments]
    found, _, err = run(capsys, *arguments)
    assert (found, err.count("\n")) == (code, 1), err
    assert sentence in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["denoise", "x", "--dictionary", "d"], "--sigma"),
        (["denoise", "x", "--dictionary", "d", "--sigma", "-3"], "'-3' is not a number above 0"),
        (["denoise", "x", "--dictionary", "d", "--sigma", "nan"], "'nan' is not a number above 0"),
        (
            ["denoise", "x", "--dictionary", "d", "--sigma", "5", "--seed", "-1"],
            "--seed: '-1' is not a whole number >= 0",
        ),
        (["inpaint", "x", "--dictionary", "d"], "one of the arguments --missing --masks"),
        (
            ["inpaint", "x", "--dictionary", "d", "--missing", "1"],
            "'1' is not a share above 0 and b",
        ),
        (
            ["inpaint", "x", "--dictionary", "d", "--missing", "0"],
            "is not a share above 0 and below 1",
        ),
        (
            ["denoise", "x", "--dictionary", "d", "--sigma", "1e300"],
            "a number above 0 and at most 1e+06",
        ),
        (
            ["denoise", "x", "--dictionary", "d", "--sigma", "9", "--seed", "-1"],
            "'-1' is not a whole",
        ),
        (["code", "x"], "--dictionary"),
    ],
)
def test_wrong_options(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_dictionary_with_nan_is_refused(learnt, tmp_path, capsys):
    from minideconv.sparse_coding.dictionary_file import save_dictionary

    found = load_dictionary(learnt / "d")
    filters = found.model_state["filters"].copy()
    filters[1, 0, 0, 0] = np.nan
    save_dictionary(tmp_path / "bad.npz", filters, found.header, {})
    code, _, err = run(capsys, "code", learnt / "pictures", "--dictionary", tmp_path / "bad.npz")
    assert (code, err.count("\n")) == (1, 1)
    assert "its filters are not all finite" in err


@pytest.mark.parametrize(
    ("filters", "wrong"),
    [
        (np.zeros((4, 2, 3, 3), np.float32), "have shape (4, 2, 3, 3), and its settings say (4, 1"),
        (np.zeros((4, 1, 3, 2), np.float32), "have shape (4, 1, 3, 2)"),
        (np.zeros((4, 1, 3), np.float32), "have shape (4, 1, 3)"),
        (np.zeros((4, 1, 3, 3)), "are float64, and its settings say float32"),
        (np.full((4, 1, 3, 3), "a"), "is no plain numbers: its header is {'descr': '<U1'"),
        (
            np.zeros((4, 1, 3, 3), np.complex64),
            "is no plain numbers: its header is {'descr': '<c8'",
        ),
        (np.full((4, 1, 3, 3), 1e20, np.float32), "have a norm above 1"),
        (np.full((4, 1, 3, 3), 0.4, np.float32), "have a norm above 1"),
    ],
)
def test_filters_that_no_dictionary_has(learnt, tmp_path, capsys, filters, wrong):
    from minideconv.sparse_coding.dictionary_file import save_dictionary

    header = load_dictionary(learnt / "d").header
    save_dictionary(tmp_path / "bad.npz", filters, header, {})
    out = tmp_path / "out"
    code, _, err = run(
        capsys, "code", learnt / "pictures", "--dictionary", tmp_path / "bad.npz", "-o", out
    )
    assert (code, err.count("\n")) == (1, 1)
    assert (wrong if "plain" in wrong else f"its filters {wrong}") in err
    assert not out.exists()


@pytest.mark.parametrize("key", ["state", "rho"])
def test_a_state_that_is_damaged(learnt, tmp_path, capsys, key):
    from minideconv.sparse_coding.dictionary_file import save_dictionary

    found = load_dictionary(learnt / "d" / "state.npz")
    maps = found.state["learner"]["maps"]
    maps[key] = maps["state"][:1] if key == "state" else "x"
    save_dictionary(tmp_path / "state.npz", found.model_state["filters"], found.header, found.state)
    code, _, err = run(capsys, "learn", "--resume", tmp_path, "--steps", 9, "--device", "cpu")
    assert (code, err.count("\n")) == (1, 1)
    assert "does not fit its settings" in err


def test_a_dictionary_that_is_there_is_gone_on_with(learnt, tmp_path, capsys):
    """The command that learns has no --overwrite, and recommends none."""
    code, _, err = run(capsys, "learn", learnt / "pictures", "-o", learnt / "d", *SMALL)
    assert (code, err.count("\n")) == (2, 1)
    assert f"go on with it by --resume {learnt / 'd'}, or choose another --output" in err
    (tmp_path / "dictionary.png").touch()
    code, _, err = run(capsys, "learn", learnt / "pictures", "-o", tmp_path, *SMALL)
    assert code == 2
    assert err.endswith("holds dictionary.png already; choose another --output\n")


@pytest.mark.parametrize("command", ["learn", "code", "denoise", "inpaint"])
def test_pictures_are_not_written_where_pictures_are_read(learnt, tmp_path, capsys, command):
    pictures = learnt / "pictures"
    (tmp_path / "link").symlink_to(pictures)
    before = sorted(pictures.iterdir())
    more = {"denoise": ["--sigma", "9"], "inpaint": ["--masks", tmp_path]}.get(command, [])
    use = [] if command == "learn" else ["--dictionary", learnt / "d"]
    code, _, err = run(capsys, command, pictures, "-o", tmp_path / "link", *use, *more)
    assert (code, err.count("\n")) == (2, 1)
    assert "is the folder of FOLDER, which is read" in err
    if command == "inpaint":
        code, _, err = run(capsys, command, pictures, "-o", tmp_path, *use, *more)
        assert code == 2
        assert "is the folder of --masks, which is read" in err
    assert sorted(pictures.iterdir()) == before


def test_what_no_memory_holds_is_refused_at_once(learnt, tmp_path, capsys, monkeypatch):
    given = ["--filters", 10**9, "--filter-size", 3, "--crop", 16, "--device", "cpu"]
    code, _, err = run(capsys, "learn", learnt / "pictures", "-o", tmp_path / "d", *given)
    assert (code, err.count("\n")) == (2, 1)
    # Of maps alone: 10^9 filters, 16 x 16 pixels, 3 photographs, 4 bytes, 7 copies.
    assert (
        "--filters 1000000000 with --crop 16 and 3 photographs at once needs about 19.56 TiB" in err
    )
    monkeypatch.setattr("minideconv.training.enough_memory.machine_memory", lambda: 40_000)
    code, _, err = run(
        capsys, "code", learnt / "pictures", "--dictionary", learnt / "d", "-o", tmp_path,
        "--device", "cpu",
    )  # fmt: skip
    assert code == 1
    assert err.count("with 4 filters needs about 0 MiB, and this machine has 0 MiB") == 3


def test_a_run_does_not_depend_on_the_number_of_threads(tmp_path):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    folder = draw(tmp_path / "pictures")
    for threads in ("1", "2"):
        given = ["-o", str(tmp_path / threads), "--steps", "4", "--threads", threads, "-q"]
        assert main(["learn", str(folder), *given, *SMALL]) == 0
    same_dictionary(tmp_path / "1", tmp_path / "2")


def test_the_programs_help():
    done = subprocess.run(
        [sys.executable, "-m", "minideconv.sparse_coding", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "learn a dictionary of filters from a folder" in done.stdout


def test_stopping_is_asked_for_between_steps(tmp_path):
    """A run that is told to stop ends after the step under way."""
    folder = draw(tmp_path / "pictures")
    from minideconv.sparse_coding.settings import LearnSettings

    settings = LearnSettings(filters=4, filter_size=3, crop=16)
    one = Run(folder, settings, as_device("cpu"))
    with StopRequest() as stop:
        one.learn(50, lambda run: run.step < 3)
    assert (one.step, stop.signal_number) == (3, 0)
