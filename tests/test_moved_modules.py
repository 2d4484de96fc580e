"""Modules that got a room are still found under the names that the documentation gave before."""

from __future__ import annotations

import importlib

import pytest

import minideconv


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("algorithms", "backend.algorithms"),
        ("parallel", "backend.parallel"),
        ("precisions", "backend.precisions"),
        ("engine.memory", "engine.cpu.memory"),
        ("engine.table", "engine.cpu.table"),
    ],
)
def test_a_moved_module_is_one_module(old, new):
    module = importlib.import_module(f"minideconv.{new}")
    assert importlib.import_module(f"minideconv.{old}") is module
    found = minideconv
    for name in old.split("."):
        found = getattr(found, name)
    assert found is module
