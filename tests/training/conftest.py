"""A run that takes about a second: tiny pictures, a tiny network, both stages."""

from __future__ import annotations

from typing import Any

import pytest
from device_tier import DEVICE


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Return the settings; 24 pictures make some 5 steps an epoch in each stage."""
    return {
        "train_images": 6,
        "val_images": 3,
        "image_size": 32,
        "input_size": 16,
        "width": 2,
        "fc": 4,
        "depth": 2,
        "batch_size": 2,
        "windows": 1,
        "difficulty": "normal",
        "fc_kernel": 0,
        "optimizer": "adamw",
        "lr": 0.002,
        "stage": "both",
        "epochs": 2,
        "epochs_stage2": 2,
        "recalibrate": 2,
        "print_freq": 2,
        "images": 0,
        "device": "cpu" if DEVICE == "cpu" else "gpu",
        "class_balance": 0.0,
    }
