"""Files of this library that were tampered with, and the bounds within which each must be met.

Two kinds of change. `hostile.mutate` changes bytes, as a bad disk does: what is accepted then must
have the content of the whole file. `reshaped` and `repacked` change values and keep all checksums
right, as somebody does on purpose: what is accepted then must work.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from minideconv.errors import MinideconvError

MEMORY = 1 << 30
SECONDS = 5.0

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**53, 2**63, 2**64, 10**30, 10**400),
    *(0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")),
    *("", "x", "nan", "../../etc/passwd", "/dev/zero", "<script>alert(1)</script>", '"><b>'),
    *("\ud800", "\x1b[31m", "a\nb", "\0", "é" * 300, "shapes", "deconvnet", "voc"),
    *([], [[]], [1, 2], ["a"], [None] * 3, {}, {"a": 1}, {"array": "state/0"}, {"dict": [[[], 1]]}),
    json.loads("[" * 200 + "]" * 200),
    [0] * 10_000,
)


@contextlib.contextmanager
def bounds(memory: int = MEMORY, seconds: float = SECONDS) -> Iterator[None]:
    """Allow the block so many more bytes, and so many seconds of the processor."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refused(call: Any, *arguments: Any) -> str:
    """Return the sentence with which a call is refused; "" if it is not.

    Anything but the library's own errors comes through, and so does running out of memory.
    """
    try:
        call(*arguments)
    except MinideconvError as error:
        said = str(error)
        assert said.strip(), "nothing is said"
        assert "\n" not in said, said
        assert len(said) < 3000, said[:300]
        return said
    return ""


def reshaped(tree: Any, rng: np.random.Generator, changes: int = 1) -> Any:
    """Return plain JSON with values somewhere in it replaced, taken away, or added."""
    tree = json.loads(json.dumps(tree))
    for _ in range(changes):
        places = [place for place in _places(tree) if place[0] is not None]
        if not places:
            break
        owner, key = places[rng.integers(len(places))]
        kind = rng.integers(8)
        if kind == 0:
            del owner[key]
        elif kind == 1 and isinstance(owner, dict):
            owner[f"{key}2"] = owner.pop(key)
        elif kind == 2:
            other, place = places[rng.integers(len(places))]
            owner[key] = json.loads(json.dumps(other[place]))
        else:
            owner[key] = VALUES[rng.integers(len(VALUES))]
    return tree


def _places(tree: Any, owner: Any = None, key: Any = None) -> Iterator[tuple[Any, Any]]:
    yield owner, key
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _places(value, tree, name)
    elif isinstance(tree, list):
        for at, value in enumerate(tree[:50]):
            yield from _places(value, tree, at)


def repacked(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a checkpoint with one thing changed in its header, an array or the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    names = list(members)
    name = names[rng.integers(len(names))]
    kind, method = int(rng.integers(10)), zipfile.ZIP_STORED
    extra: list[tuple[str, bytes]] = []
    if kind < 5:
        header = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
        header = reshaped(header, rng, int(rng.integers(1, 3)))
        members["header.npy"] = _npy(np.frombuffer(json.dumps(header).encode(), np.uint8))
    elif kind == 5:
        members[name] = _npy(_other_array(np.load(io.BytesIO(members[name])), rng))
    elif kind == 6:
        del members[name]
    elif kind == 7:
        members[f"{name}x" if rng.integers(2) else f"../{name}"] = members.pop(name)
    elif kind == 8:
        method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[rng.integers(3)]
        members[name] = members[name] + bytes(int(rng.choice([0, 10, 1 << 26])))
    else:
        extra.append((name, members[name]))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for each, data in [*members.items(), *extra]:
            archive.writestr(each, data)
    return written.getvalue()


def _other_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(8)
    if kind == 0:
        return array.astype(np.complex64)
    if kind == 1:
        return array.astype("U3")
    if kind == 2:
        return np.zeros(array.shape, "M8[s]")
    if kind == 3:
        return array.astype(np.int64)
    if kind == 4:
        return array.reshape(-1)[: array.size // 2]
    if kind == 5:
        return np.full(array.shape, np.nan, np.float32)
    if kind == 6:
        return np.zeros((*array.shape, 1), array.dtype)
    return np.broadcast_to(np.float64(rng.standard_normal()), array.shape).copy()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def toml_changed(text: str, rng: np.random.Generator) -> str:
    """Return the text of a TOML file with a few of its pieces changed."""
    pieces = ("=", "[", "]", "[[", '"', "'''", "\n", ".", "{", "}", "#", "\\", "\\ud800", "é", "\0")
    pieces += ("a.b.c = 1", "[x]\n[x]", "1e999", "nan", "inf", "9" * 5000, "1979-05-27", "true")
    pieces += (
        "[" * 500,
        "a." * 500,
        "{a=" * 300,
        "-1",
        "0.5",
        '"x"',
        "[1, 2]",
        "0x7f",
        "lr",
        "lr=1",
    )
    for _ in range(rng.integers(1, 4)):
        lines = text.splitlines(keepends=True) or [""]
        at, kind = int(rng.integers(len(lines))), int(rng.integers(5))
        piece = pieces[rng.integers(len(pieces))]
        if kind == 0 and " = " in lines[at]:
            lines[at] = lines[at].split(" = ")[0] + f" = {piece}\n"
        elif kind == 1:
            lines.insert(at, f"{piece}\n")
        elif kind == 2:
            lines.insert(at, lines[rng.integers(len(lines))])
        elif kind == 3:
            del lines[at]
        else:
            place = int(rng.integers(len(lines[at]) + 1))
            lines[at] = lines[at][:place] + piece + lines[at][place:]
        text = "".join(lines)
    return text
