"""Runs killed at random moments, over drawn settings, end byte-equal; ten at once stay apart.

MINIDECONV_TEST_ROUNDS sets how many kills there are; CI has few.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from killed_runs import check_consistent, ended, in_child, kill, train
from stopped_runs import assert_same_run

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.skipif(
        os.environ.get("MINIDECONV_TEST_DEVICE", "cpu") != "cpu", reason="a GPU survives no fork"
    ),
]

KILLS = int(os.environ.get("MINIDECONV_TEST_ROUNDS", "6"))

COMMON = {
    "optimizer": ("adamw", "adam", "sgd"),
    "lr_schedule": ("constant", "step", "poly", "cosine", "plateau"),
    "warmup": (0, 3),
    "accumulate": (1, 2, 3),
    "save_every": (0, 1, 3),
    "val_every": (1, 2),
    "recalibrate": (0, 2),
    "views": (0, 2),
    "augment": ("none", "paper", "zoom", "strong"),
    "repeats": (1, 2),
    "workers": (0, 1, 2),
    "clip_grad": (0.0, 0.5),
    "print_freq": (1, 2, 7),
    "class_weights": (0.0, 0.5),
    "seed": (0, 1, 2, 3),
}


def draw(rng, tiny):
    """Return settings of a run of about half a second."""
    pick = lambda values: values[rng.integers(len(values))]  # noqa: E731
    chosen = {**tiny, **{name: pick(values) for name, values in COMMON.items()}}
    kind = pick(["deconvnet", "deconvnet", "cached", "autoencoder", "swwae", "fcn8s"])
    if kind in ("autoencoder", "swwae"):
        for name in ("fc", "fc_kernel", "epochs_stage2"):
            del chosen[name]
        chosen |= {"task": "autoencode", "model": kind, "stage": "whole", "class_weights": 0.0}
        chosen |= {"noise": 0.3, "masking": 0.2} if kind == "autoencoder" else {}
        chosen |= {"train_images": 8, "epochs": 3}
        return chosen
    if kind == "fcn8s":
        chosen |= {"model": "fcn8s", "depth": 3, "fc_kernel": 1}
    if kind == "cached":
        chosen |= {"freeze": 1, "cache_features": "20MB", "views": pick([None, 2])}
    stage = pick(["both", "1", "2", "whole"])
    chosen |= {"stage": stage, "epochs": 2, "epochs_stage2": 2 if stage == "both" else None}
    return chosen


def killed_until_done(folder, settings, rng, duration, most):
    """Train, and kill at random moments, `most` times at most; return how often."""
    kills = 0
    while True:
        child = in_child(lambda: train(folder, settings))
        if kills < most:
            time.sleep(float(rng.uniform(0, 0.6 * duration)))
            kill(child)
        code = ended(child)
        check_consistent(folder)
        if code == 0:
            return kills
        assert code == -9, "the run failed by itself"
        kills += 1


def test_killed_runs_end_byte_equal_and_are_consistent_at_each_moment(tiny, tmp_path):
    rng, kills, number = (
        np.random.default_rng(int(os.environ.get("MINIDECONV_TEST_SEED", "0"))),
        0,
        0,
    )
    while kills < KILLS:
        settings = draw(rng, tiny)
        whole, part = tmp_path / f"{number}-whole", tmp_path / f"{number}-part"
        begun = time.monotonic()
        assert ended(in_child(lambda: train(whole, settings))) == 0, settings  # noqa: B023
        duration = time.monotonic() - begun
        try:
            kills += killed_until_done(part, settings, rng, duration, min(10, KILLS - kills))
            assert_same_run(whole, part)
        except AssertionError as error:
            raise AssertionError(f"{error}\nwith the settings {settings}") from error
        number += 1
        print(f"{kills} kills in {number} runs", flush=True)
