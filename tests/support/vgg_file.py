"""A real weight file: VGG-16's convolutions, fetched once into a cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minideconv.errors import DataError
from minideconv.interop import fetch


def cache_folder() -> Path:
    """MINIDECONV_TEST_CACHE, or the user's."""
    chosen = os.environ.get("MINIDECONV_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "minideconv"


def vgg16_file() -> Path:
    """Return the file, or skip the test with the reason why it cannot be had."""
    try:
        return fetch("vgg16-trunk-onnx", cache_folder(), lambda line: None)
    except DataError as error:
        pytest.skip(f"needs VGG-16's weights, which could not be fetched: {error}")
