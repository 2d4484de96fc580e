"""Sources that were tampered with: one sentence each, in little time and memory, nothing left.

What is accepted nevertheless has masks of the right size and of legal labels alone.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc

import labelled_exports as made_up
import numpy as np
import pytest
from hostile import mutate
from PIL import Image

from minideconv.data.__main__ import main

COUNT = int(os.environ.get("MINIDECONV_TEST_MUTATIONS", "40"))
MEMORY, SECONDS = 100 << 20, 5
_STRANGE = (
    *(None, True, -1, 0, 10**9, 10**40, 1e308, "", "x", "é\u202e\0", "..", "/etc/passwd"),
    *("__ignore__", "_background_", [], {}, [[]], {"a": [1]}, [10**9], ["leaf"] * 50),
    [[0, 0], [1e6, 1e6], [0, 1e6]],
)


def places(value, path=()):
    """Every path to a value in nested lists and objects."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, below in items:
        yield from places(below, (*path, key))


def with_another_value(content, rng):
    """JSON of which one or two values are another, gone, or twice there."""
    document = json.loads(content)
    for _ in range(rng.integers(1, 3)):
        every = [path for path in places(document) if path]
        path = every[rng.integers(len(every))]
        place = document
        for key in path[:-1]:
            place = place[key]
        kind = rng.integers(4)
        if kind == 0:
            del place[path[-1]]
        elif kind == 1 and isinstance(place, list):
            place.append(place[path[-1]])
        else:
            place[path[-1]] = _STRANGE[rng.integers(len(_STRANGE))]
    return json.dumps(document).encode()


def look_at(root):
    """What was made is whole: each mask of its photograph's size, with labels of classes."""
    classes = (root / "classes.txt").read_text().splitlines()
    masks = sorted((root / "SegmentationClass").iterdir())
    assert masks
    for path in masks:
        with Image.open(path) as file:
            mask = np.array(file)
        (photograph,) = (root / "JPEGImages").glob(f"{path.stem}.*")
        with Image.open(photograph) as file:
            sideways = file.getexif().get(274, 1) > 4
            assert (file.size[::-1] if not sideways else file.size) == mask.shape
        assert set(np.unique(mask)) <= {*range(len(classes)), 255}


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("labelme", "*00.json"),
        ("coco", "annotations/*.json"),
        ("coco-text", "annotations/*.json"),
        ("coco-runs", "annotations/*.json"),
        ("rgb", "masks/*00.png"),
        ("rgb", "images/*00.jpg"),
        ("rgb", "classes.txt"),
        ("labelme-masks", "SegmentationClassPNG/*00.png"),
    ],
)
def test_tampered_files(kind, pattern, tmp_path, capsys):
    source = made_up.EXPORTS[kind](tmp_path / "source", made_up.scenes(3))
    (path,) = source.glob(pattern)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    refused = 0
    for number in range(COUNT):
        structured = path.suffix == ".json" and number % 2
        path.write_bytes(with_another_value(whole, rng) if structured else mutate(whole, rng))
        output = tmp_path / "out" / str(number)
        began = time.process_time()
        tracemalloc.start()
        code = main(["convert", str(source), "--output", str(output)])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert time.process_time() - began < SECONDS
        assert peak < MEMORY
        said = capsys.readouterr()
        if code == 0:
            look_at(output)
            continue
        refused += 1
        assert code in (1, 2)
        assert not output.exists()
        first, *lines = said.err.rstrip("\n").split("\n")
        assert first.startswith("minideconv.data: ")
        assert all(line.startswith("  ") for line in lines)
        assert len(said.err) < 3000
        assert all(letter.isprintable() or letter == "\n" for letter in said.err)
    assert refused > COUNT / 5
    assert not list(tmp_path.glob("out/.convert-*"))
