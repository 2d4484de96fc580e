"""Checkpoints, settings and run folders that were tampered with: one sentence each, in bounds.

MINIDECONV_TEST_HOSTILE says how many of each kind; CI takes a few. Each is numbered, and a failure
names its number: ``-k checkpoint`` and MINIDECONV_TEST_HOSTILE_FIRST repeat it.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import mutate
from PIL import Image
from tampering import bounds, refused, repacked, reshaped, toml_changed

from minideconv import train
from minideconv.data.masks import read_mask
from minideconv.data.pictures import read_image
from minideconv.errors import MinideconvError
from minideconv.segmentation.crf_file import read_crf
from minideconv.training import TrainConfig, Trainer, load_checkpoint
from minideconv.training.config import read_config
from minideconv.training.run.checkpoint import check_run_state
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.report import report_html
from minideconv.training.run.trained import load_alone
from minideconv.visualize.masks import palette_png_bytes

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning"),
    pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc"),
]

COUNT = int(os.environ.get("MINIDECONV_TEST_HOSTILE") or 60)
FIRST = int(os.environ.get("MINIDECONV_TEST_HOSTILE_FIRST") or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run that stopped in an epoch, and what a finished one leaves beside it."""
    folder = tmp_path_factory.mktemp("tampered") / "run"
    small = "--width 2 --depth 2 --fc 4 --input-size 16 --image-size 16 --train-images 12"
    more = "--val-images 2 --epochs 1 --images 1 --final-images 2 --save-every 1 -q"
    options = [*small.split(), *more.split(), "--batch-size", "4", "--output-dir", str(folder)]
    code = train.main(options)
    assert code == 0
    stopped = Path(__file__).parent / "training" / "old_run" / "checkpoints" / "last.npz"
    shutil.copy(stopped, folder / "stopped.npz")
    return folder


def each(kind: str) -> Iterator[tuple[int, np.random.Generator]]:
    for number in range(FIRST, FIRST + COUNT):
        yield number, np.random.default_rng([number, len(kind), ord(kind[0])])


def meet(kind: str, number: int, path: Path, call: Callable[[], Any]) -> str:
    """Call in bounds; return the sentence of a refusal, "" if it is accepted."""
    try:
        with bounds():
            return refused(call)
    except BaseException as error:
        error.add_note(f"{kind} number {number}, {path}")
        raise


def equal(one: Any, two: Any) -> bool:
    """Whether two trees hold the same values, to the last bit."""
    if isinstance(one, dict):
        same = isinstance(two, dict) and one.keys() == two.keys()
        return same and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list):
        same = isinstance(two, list) and len(one) == len(two)
        return same and all(map(equal, one, two))
    if isinstance(one, np.ndarray):
        form = (one.shape, one.dtype)
        return (two.shape, two.dtype) == form and one.tobytes() == two.tobytes()
    return type(one) is type(two) and (one == two or (one != one and two != two))


@pytest.mark.parametrize("which", ["checkpoints/last.npz", "stopped.npz"])
def test_a_damaged_checkpoint(run, tmp_path, which):
    whole, content = load_checkpoint(run / which), (run / which).read_bytes()
    path, seen = tmp_path / "damaged.npz", Counter()
    for number, rng in each(f"damaged {which}"):
        data = mutate(content, rng)
        if number % 2:  # one bit alone
            data = bytearray(content)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        found: list[Any] = []
        said = meet("damaged", number, path, lambda: found.append(load_checkpoint(path)))  # noqa: B023
        seen["refused" if said else "accepted"] += 1
        if not said:
            assert equal(found[0].header, whole.header), number
            assert equal(found[0].model_state, whole.model_state), number
            assert equal(found[0].state, whole.state), number
    assert seen["refused"] > COUNT / 4, seen
    print(dict(seen))


def use(path: Path, deep: bool) -> None:
    """Do with a checkpoint what prediction does, and with `deep` what a resumed run does."""
    trained = load_alone(path)
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    labels = trained.predictor.labels(image)
    assert labels.max() < len(trained.header["classes"])
    if deep:
        found = load_checkpoint(path)
        check_run_state(found, path)
        config = TrainConfig.from_dict({**found.header["config"], "output_dir": None})
        Trainer(config, resume=path).fit()


@pytest.mark.parametrize("which", ["checkpoints/last.npz", "stopped.npz"])
def test_a_crafted_checkpoint(run, tmp_path, which):
    content = (run / which).read_bytes()
    path, seen = tmp_path / "crafted.npz", Counter()
    for number, rng in each(f"crafted {which}"):
        path.write_bytes(repacked(content, rng))
        said = meet("crafted", number, path, lambda: use(path, deep=number % 3 == 0))  # noqa: B023
        seen["refused" if said else "accepted"] += 1
    assert seen["refused"] > COUNT / 4, seen
    print(dict(seen))


def test_tampered_settings(run, tmp_path):
    text, path = (run / "config.toml").read_text(), tmp_path / "settings.toml"
    seen: Counter[str] = Counter()
    for number, rng in each("settings"):
        changed = toml_changed(text, rng).encode("utf-8", "surrogatepass")
        path.write_bytes(mutate(changed, rng) if number % 3 == 0 else changed)
        said = meet("settings", number, path, lambda: TrainConfig(**read_config(path)))
        seen["refused" if said else "accepted"] += 1
    assert seen["refused"] > COUNT / 4, seen
    print(dict(seen))


def test_a_tampered_run_folder(run, tmp_path):
    names = ("config.json", "metrics.jsonl", "evaluation.json", "pictures/activations.json")
    contents = {name: (run / name).read_bytes() for name in names}
    folder, seen = tmp_path / "run", Counter()
    shutil.copytree(run, folder)
    for number, rng in each("run folder"):
        for name in names:
            (folder / name).write_bytes(contents[name])
        name = names[rng.integers(len(names))]
        (folder / name).write_bytes(_tampered(name, contents[name], rng))
        said = meet(f"run folder, {name}", number, folder, lambda: _report(folder))
        seen["refused" if said else "accepted"] += 1
    assert seen["refused"] > COUNT / 10, seen
    print(dict(seen))


def _report(folder: Path) -> None:
    page = report_html(RunFolder(folder))
    assert not re.search(r'<script>alert|"><b>|root:', page)


def _tampered(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    if rng.integers(3) == 0:
        return mutate(content, rng)
    if name != "metrics.jsonl":
        return json.dumps(reshaped(json.loads(content), rng, int(rng.integers(1, 3)))).encode()
    lines = [json.loads(line) for line in content.splitlines()]
    at = int(rng.integers(len(lines)))
    lines[at] = reshaped(lines[at], rng, 2)
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_a_tampered_crf(tmp_path):
    path, seen = tmp_path / "crf.json", Counter()
    whole = {"crf": {"bilateral_weight": 5.0, "iterations": 3, "method": "auto"}, "about": {}}
    for number, rng in each("crf"):
        path.write_text(json.dumps(reshaped(whole, rng, 2)))
        said = meet("crf", number, path, lambda: read_crf(path))
        seen["refused" if said else "accepted"] += 1
    assert seen["refused"] > COUNT / 10, seen


def _picture(kind: str) -> bytes:
    """Return a small mask ("mask") or photograph in a format."""
    rng = np.random.default_rng(0)
    if kind == "mask":
        return palette_png_bytes(rng.integers(0, 21, (19, 23)).astype(np.uint8))
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8))
    file = io.BytesIO()
    coarse.resize((46, 38), Image.Resampling.BILINEAR).save(file, kind)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about what it passes over
@pytest.mark.parametrize("kind", ["mask", "PNG", "JPEG", "WEBP", "TIFF"])
def test_a_damaged_picture(tmp_path, kind):
    """A PNG has checksums: what is accepted is the picture that it was."""
    read = read_mask if kind == "mask" else read_image
    content, path, seen = _picture(kind), tmp_path / "a.png", Counter()
    path.write_bytes(content)
    whole = read(path)
    for number, rng in each(f"picture {kind}"):
        data = bytearray(mutate(content, rng))
        if number % 2:  # one bit alone
            data = bytearray(content)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        found: list[Any] = []
        said = meet(f"picture, {kind}", number, path, lambda: found.append(read(path)))  # noqa: B023
        seen["refused" if said else "accepted"] += 1
        if not said and kind in ("mask", "PNG"):
            assert np.array_equal(found[0], whole), number
    assert seen["refused"] > COUNT / 10, seen
    print(kind, dict(seen))


def test_the_bounds_are_bounds():
    with pytest.raises(AssertionError, match="it took more than"), bounds(seconds=0.05):
        _never_end()
    with pytest.raises(MemoryError), bounds(memory=64 << 20):
        np.ones(256 << 20, np.uint8)
    with pytest.raises(ZeroDivisionError):
        refused(lambda: 1 // 0)
    with pytest.raises(AssertionError):
        refused(lambda: _raise("two\nlines"))
    assert refused(lambda: _raise("one")) == "one"


def _never_end() -> None:
    while True:
        pass


def _raise(said: str) -> None:
    raise MinideconvError(said)
