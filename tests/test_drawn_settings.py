"""Settings drawn at random: a run takes its first step, or is refused before it in one sentence."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from minideconv import models, train
from minideconv.settings.setting import option_name

ROUNDS = int(os.environ.get("MINIDECONV_TEST_ROUNDS", "40"))
FIXED = ["--epoch-steps", "1", "--images", "0", "--final-images", "1", "--device", "cpu", "-q"]
SMALL = ["--train-images", "4", "--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2"]
OWN = {
    "width": (1, 2, 3, 8),
    "depth": (0, 1, 2, 3, 4, 5, 6),
    "fc": (0, 1, 4),
    "fc_kernel": (0, 1, 2, 7),
    "stages": (0, 1, 5, 12),
    "output_stride": (0, 1, 2, 3, 8, 32),
    "skips": (0, 1, 2, 3),
    "noise": (0.0, 0.5, -1.0),
    "masking": (0.0, 0.5, 1.0),
}
"""Values of options that networks have, in whatever network."""
COMMON = {
    "batch_size": (1, 1, 2, 3, 9, 50),
    "input_size": (1, 2, 3, 7, 8, 12, 16, 17, 24, 32, 33),
    "image_size": (15, 16, 17, 33),
    "train_images": (1, 2, 3, 4, 5),
    "val_images": (1, 2),
    "repeats": (1, 2, 7),
    "stage": ("1", "2", "both", "whole"),
    "epochs": (0, 1, 2),
    "windows": (0, 1, 3),
    "accumulate": (1, 2, 100),
    "optimizer": ("sgd", "adam", "adamw"),
    "lr": (1e-30, 0.01, 0.1),
    "lr_trunk": (1e-5,),
    "freeze": (0, 1, 2, 5, 6),
    "cache_features": ("1MB", "1KB", "0"),
    "cache_dtype": ("float16",),
    "lr_schedule": ("constant", "step", "poly", "cosine", "plateau"),
    "warmup": (0, 1, 10**9),
    "momentum": (0.0, 0.99, 1.0),
    "nesterov": (True, False),
    "weight_decay": (0.0, 1.0),
    "clip_grad": (0.0, 1e-3, 1e9),
    "label_smoothing": (0.0, 0.5, 0.99),
    "class_weights": (0.0, 0.5),
    "class_balance": (0.0, 1.0),
    "augment": ("none", "paper", "zoom", "strong"),
    "views": (0, 1, 3),
    "workers": (0, 1, 3),
    "difficulty": ("easy", "normal", "hard"),
    "val_every": (1, 5),
    "recalibrate": (0, 1, 50),
    "save_every": (0, 1, 10**9),
    "print_freq": (1, 10**9),
    "recompute": (True,),
    "memory_budget": ("20GiB",),
    "algorithm": ("fast", "exact", "reference"),
    "precision": ("fp32", "fp16"),
    "sample_images": (True,),
    "seed": (0, 2**63),
}


def draw(rng):
    """Return a command line: a network and its options, and some of all other settings."""
    model = str(rng.choice(list(models.MODELS)))
    task = "autoencode" if models.MODELS[model].options.settings().keys() & {"noise"} else None
    chosen = {"model": model, "task": task or "segmentation"}
    own = [name for name in models.MODELS[model].options.settings() if name in OWN]
    for name in own:
        if rng.random() < 0.8:
            chosen[name] = OWN[name][rng.integers(len(OWN[name]))]
    small = {"input_size": 16, "image_size": 16, "train_images": 5, "val_images": 2, "epochs": 1}
    for name in small | COMMON:
        if rng.random() < (0.85 if name in ("batch_size", "input_size") else 0.2):
            chosen[name] = COMMON[name][rng.integers(len(COMMON[name]))]
        elif name in small:
            chosen[name] = small[name]
    arguments = []
    for name, value in chosen.items():
        if isinstance(value, bool):
            arguments.append(option_name(name) if value else "--no-" + option_name(name)[2:])
        else:
            arguments += [option_name(name), str(value)]
    return arguments


def run(arguments):
    try:
        return train.main(arguments)
    except SystemExit as stop:  # of the parser
        return stop.code


@pytest.mark.filterwarnings("ignore")
def test_a_run_steps_or_is_refused_by_the_name_of_an_option(tmp_path, capsys):
    rng, codes = np.random.default_rng(int(os.environ.get("MINIDECONV_TEST_SEED", "0"))), []
    for number in range(ROUNDS):
        arguments = draw(rng)
        folder = tmp_path / str(number)
        shown = " ".join(arguments)
        try:
            code = run([*arguments, *FIXED, "--output-dir", str(folder)])
        except Exception as error:
            raise AssertionError(f"{shown}: {type(error).__name__}: {error}") from error
        error = capsys.readouterr().err
        codes.append(code)
        if code == 0:
            assert (folder / "evaluation.json").exists(), shown
            continue
        assert code == 2, f"{shown}: {error}"
        (*_, sentence) = error.strip().splitlines()
        assert len(error.strip().splitlines()) == 1 or "usage:" in error, f"{shown}: {error}"
        assert re.search(r"--[a-z]", sentence), f"{shown}: {error}"
        assert not re.search(r"DataLoader|stages is|drop_last", sentence), f"{shown}: {error}"
        assert not folder.exists(), shown
    assert {0, 2} <= set(codes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-b", "1", "--fc-kernel", "0"], "--batch-size is 1, but"),
        (["-b", "9"], "--batch-size is 9, but 4 samples make no full batch of 9"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(tmp_path, capsys, arguments, message):
    folder = tmp_path / "run"
    assert run([*SMALL, *FIXED, "--output-dir", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"minideconv.train: {message}")
    assert len(error.splitlines()) == 1
    assert not folder.exists()


def test_a_batch_of_one_image_works_where_maps_have_more_than_one_value(tmp_path):
    arguments = [*SMALL, *FIXED, "-b", "1", "--fc-kernel", "1"]
    assert run([*arguments, "--output-dir", str(tmp_path / "run")]) == 0
