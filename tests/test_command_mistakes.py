"""What all programs do alike when a user errs: files of others, options, memory, Ctrl-C."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import named_options
import numpy as np
import pytest
from PIL import Image
from tiny_run import TINY

from minideconv.settings import command_line
from minideconv.sparse_coding.dictionary_file import save_dictionary
from minideconv.training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.cpu

PROGRAMS = [
    *(
        "ablate",
        "compare",
        "course",
        "data",
        "evaluate",
        "export",
        "few_labels",
        "fit_crf",
        "predict",
    ),
    *("report", "sparse_coding", "train", "visualize", "weights"),
]


def main_of(program):
    module = importlib.import_module(f"minideconv.{program}")
    if not hasattr(module, "main"):
        module = importlib.import_module(f"minideconv.{program}.__main__")
    return module.main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main_of("train")([*TINY, "--output-dir", str(folder)]) == 0
    return folder


# -----------------------------------------------------------------------------------------------
# Usage


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("wrong", [["--no-such-option"], ["--network", "x"], ["--model=x"]])
def test_the_usage_line_names_the_program_as_it_is_called(program, wrong, capsys, run):
    words = [str(run)] if program in ("predict", "evaluate", "fit_crf", "report") else []
    try:
        code = main_of(program)([*words, *wrong])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    err = capsys.readouterr().err
    assert err.startswith((f"usage: python -m minideconv.{program} ", f"minideconv.{program}: "))


def test_options_that_a_program_has_not_are_noticed():
    found = named_options.foreign_options
    sentence = "x is there; give --overwrite or another --output"
    assert found("minideconv.sparse_coding", sentence, ["learn", "x"]) == ["--overwrite"]
    assert found("minideconv.sparse_coding", sentence, ["code", "x"]) == ["--output"]
    assert found("minideconv.report", sentence, []) == ["--overwrite"]
    assert found("minideconv.weights", sentence, ["show"]) == ["--output", "--overwrite"]
    assert found("minideconv.few_labels", "--pretrained: no", []) == ["--pretrained"]
    assert found("minideconv.train", "--skip-scale or --noise", []) == []
    other = "go on with: python -m minideconv.train --resume x; or give --size"
    assert found("minideconv.weights", other, ["show"]) == ["--size"]


def test_a_message_about_an_option_that_is_not_there_fails_a_test(capsys):
    def main(arguments):
        raise command_line.MinideconvError("give --overwrite")

    with pytest.raises(AssertionError, match="has no --overwrite"):
        command_line.run_program("minideconv.report", main, ["x"])
    assert command_line.run_program("minideconv.weights", main, ["convert"]) == 1


def test_too_little_memory_is_a_sentence(capsys):
    def main(arguments):
        np.empty((1 << 40, 1 << 10))

    assert command_line.run_program("minideconv.report", main, []) == 1
    err = capsys.readouterr().err
    assert err.startswith("minideconv.report: there is not enough memory: Unable to allocate 8")
    assert err.count("\n") == 1


# -----------------------------------------------------------------------------------------------
# Files that another program wrote


def dictionary(folder):
    settings = {"filters": 2, "filter_size": 3}
    header = {"settings": settings, "images": "x", "names": [], "step": 1, "objectives": []}
    save_dictionary(folder / "f", np.zeros((2, 1, 3, 3), np.float32), header, {"learner": {}})
    return (folder / "f").read_bytes()


FOREIGN = {
    "dictionary": dictionary,
    "list": lambda folder: b"[1]",
    "settings": lambda folder: json.dumps({"settings": [], "ablations": 3, "labels": 1}).encode(),
    "text": lambda folder: b'"data model epochs"',
    "empty": lambda folder: b"",
}
READERS = [
    ("train", ["--resume", "FILE"]),
    ("train", ["--pretrained", "FILE", *TINY]),
    ("train", ["--config", "FILE"]),
    ("predict", ["FILE", "p.png"]),
    ("predict", ["RUN", "p.png", "--crf", "FILE"]),
    ("evaluate", ["FILE"]),
    ("evaluate", ["RUN", "--ensemble", "FILE"]),
    ("compare", ["FILE", "RUN"]),
    ("compare", ["RUN", "FILE"]),
    ("compare", ["--networks", "fcn8s", "FILE.toml"]),
    ("fit_crf", ["FILE"]),
    ("export", ["FILE", "--onnx", "x.onnx"]),
    ("visualize", ["activations", "FILE", "p.png"]),
    ("sparse_coding", ["inpaint", "FOLDER", "--missing", "0.5", "--dictionary", "FILE"]),
    ("sparse_coding", ["learn", "--resume", "FOLDER"]),
    ("report", ["FOLDER"]),
    ("ablate", ["--resume", "FOLDER"]),
    ("few_labels", ["--resume", "FOLDER"]),
]


@pytest.mark.parametrize(
    ("kind", "program", "arguments"),
    [
        (kind, *reader)
        for kind in FOREIGN
        for reader in READERS
        # Two of them are TOML that leaves every setting at its default.
        if not (kind in ("empty", "list") and {"--config", "FILE.toml"} & {*reader[1]})
    ],
)
def test_a_file_of_another_program_is_one_sentence(
    run, tmp_path, monkeypatch, capsys, kind, program, arguments
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("p.png")
    content = FOREIGN[kind](tmp_path)
    # Of a folder each program reads a file of another name.
    names = ("state.npz", "config.json", "ablation.json", "few_labels.json", "f", "f.toml")
    for name in names:
        (tmp_path / name).write_bytes(content)
    words = {"FILE": str(tmp_path / "f"), "RUN": str(run), "FOLDER": str(tmp_path)}
    words["FILE.toml"] = words["FILE"] + ".toml"
    code = main_of(program)([words.get(each, each) for each in arguments])
    if (program, kind) == ("sparse_coding", "dictionary") and "inpaint" in arguments:
        assert code == 0  # it is what this program reads
        return
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert err.startswith(f"minideconv.{program}: ")
    assert err.count("\n") == 1


def test_a_network_without_its_run_can_be_used_but_not_gone_on_with(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("p.png")
    found = load_checkpoint(run / "checkpoints" / "last.npz")
    header = {name: value for name, value in found.header.items() if name != "progress"}
    save_checkpoint("net.npz", Checkpoint(found.model_state, header, found.state))
    assert main_of("predict")(["net.npz", "p.png", "--device", "cpu", "-q"]) == 0
    capsys.readouterr()
    for program, arguments in [
        ("train", ["--resume", "net.npz"]),
        ("evaluate", ["net.npz", "--device", "cpu"]),
        ("fit_crf", ["net.npz", "--device", "cpu"]),
        ("compare", [str(run), "net.npz", "--device", "cpu"]),
    ]:
        assert main_of(program)(arguments) == 1
        wrong = "checkpoint net.npz is not of a training run: its header has no 'progress'\n"
        assert capsys.readouterr().err == f"minideconv.{program}: {wrong}"
    save_checkpoint("use.npz", Checkpoint(found.model_state, found.header, {}))
    forked = ["--resume", "use.npz", "--output-dir", "new", "--epochs", "2", "-q"]
    assert main_of("train")(forked) == 1
    assert "can be used, but not gone on from: no 'stage' is in its" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# -----------------------------------------------------------------------------------------------
# Where outputs go, and what is named twice


def test_a_run_is_not_written_into_the_data(tmp_path, capsys):
    given = ["--data", "voc", "--data-root", str(tmp_path)]
    for program, option in [
        ("train", "--output-dir"),
        ("ablate", "--output"),
        ("few_labels", "--output"),
    ]:
        assert main_of(program)([*given, option, str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert f"{option} {tmp_path} is the folder of --data-root, which is read" in err
    assert not [*tmp_path.iterdir()]


def test_a_network_is_in_an_ensemble_once(run, capsys):
    last = str(run / "checkpoints" / "best.npz")
    assert main_of("evaluate")([str(run), "--ensemble", last, "--device", "cpu"]) == 2
    assert "best.npz is in the ensemble twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("few_labels", ["--starts", "random", "random"], "--starts: random is named twice"),
        ("few_labels", ["--labels", "10", "3", "010"], "--labels: 10 is named twice"),
        ("ablate", ["--only", "stages", "stages"], "--only: stages is named twice"),
        ("data", ["subset", "--splits", "val", "val"], "--splits: val is named twice"),
    ],
)
def test_a_value_that_is_named_twice(capsys, program, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main_of(program)(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


# -----------------------------------------------------------------------------------------------
# Ctrl-C while a program is imported

INTERRUPTING = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup starts programs that ignore it

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {target!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("target", ["numpy", "minideconv.settings.machine"])
def test_an_interrupt_during_the_imports_is_no_traceback(tmp_path, program, target):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING.format(target=target))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", f"minideconv.{program}", "--help"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_interrupt_after_the_imports_is_a_sentence(capsys):
    def main(arguments):
        raise KeyboardInterrupt

    assert command_line.run_program("minideconv.report", main, []) == 130
    assert capsys.readouterr().err == "minideconv.report: stopped at once\n"
