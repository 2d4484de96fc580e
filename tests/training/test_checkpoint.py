"""Checkpoints: what goes in comes out, damage is named, a failed write leaves the old file."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import zipfile

import numpy as np
import pytest

from minideconv.errors import CheckpointError, UsageError
from minideconv.training.run import checkpoint_writing as module
from minideconv.training.run.checkpoint import (
    Checkpoint,
    check_model_state,
    find_checkpoint,
    load_checkpoint,
    read_header,
    save_checkpoint,
)


def sample(seed: int = 0) -> Checkpoint:
    rng = np.random.default_rng(seed)
    model = {
        "conv.weight": rng.standard_normal((4, 3, 2, 1)).astype(np.float32),
        "conv.bias": rng.standard_normal(4),
        "bn.num_batches_tracked": np.array(7),
    }
    state = {
        "optimizer": {
            "state": {0: {"momentum": model["conv.weight"].T * 2, "step": np.float64(3)}, 5: {}},
            "groups": [{"lr": 0.1, "nesterov": False, "betas": (0.9, 0.999)}],
        },
        "rng": np.random.PCG64(seed).state,
        "nothing": None,
    }
    return Checkpoint(model, {"progress": {"step": 12}, "classes": ["background", "é"]}, state)


def test_everything_comes_back_exactly(tmp_path):
    saved = sample()
    save_checkpoint(tmp_path / "a.npz", saved)
    loaded = load_checkpoint(tmp_path / "a.npz")
    assert list(loaded.model_state) == list(saved.model_state)
    for name, array in saved.model_state.items():
        assert loaded.model_state[name].dtype == array.dtype
        assert loaded.model_state[name].shape == array.shape
        assert loaded.model_state[name].tobytes() == array.tobytes()
    momentum = loaded.state["optimizer"]["state"][0]["momentum"]
    # A transposed (not contiguous) array must come back with its values in their places.
    assert (momentum == saved.model_state["conv.weight"].T * 2).all()
    assert loaded.state["optimizer"]["state"][5] == {}
    assert loaded.state["optimizer"]["groups"][0]["betas"] == [0.9, 0.999]
    assert loaded.state["rng"] == saved.state["rng"]
    assert loaded.state["nothing"] is None
    assert loaded.header["progress"] == {"step": 12}
    assert read_header(tmp_path / "a.npz")["classes"] == ["background", "é"]


def test_equal_content_gives_equal_bytes_without_pickle(tmp_path):
    save_checkpoint(tmp_path / "a.npz", sample())
    save_checkpoint(tmp_path / "b.npz", sample())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert json.loads(archive["header"].tobytes())["format_version"] == 1
        assert all(archive[name].dtype != object for name in archive.files)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, share):
    path = tmp_path / "cut.npz"
    save_checkpoint(path, sample())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    reason = "the file is empty" if share == 0 else "truncated or damaged"
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_flipped_byte_is_found(tmp_path):
    path = tmp_path / "flipped.npz"
    save_checkpoint(path, sample())
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("model/conv.weight.npy").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 250] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_checkpoint(path)


def test_foreign_files_are_named(tmp_path):
    text = tmp_path / "notes.npz"
    text.write_text("not a checkpoint")
    with pytest.raises(
        CheckpointError, match=r"notes\.npz cannot be read: it is not an \.npz file"
    ):
        load_checkpoint(text)
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, weight=np.ones(3))
    with pytest.raises(CheckpointError, match="not a minideconv checkpoint: it has no header"):
        load_checkpoint(foreign)
    np.save(tmp_path / "single.npy", np.ones(3))
    with pytest.raises(CheckpointError, match="it has no header"):
        load_checkpoint(tmp_path / "single.npy")
    np.savez(tmp_path / "other.npz", header=np.frombuffer(b'{"format": "x"}', np.uint8))
    with pytest.raises(CheckpointError, match="its header is of another kind"):
        load_checkpoint(tmp_path / "other.npz")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(tmp_path / "missing.npz")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "new.npz"
    monkeypatch.setattr(module, "FORMAT_VERSION", 99)
    save_checkpoint(path, sample())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format version 99.*reads versions up to 1"):
        load_checkpoint(path)


@pytest.mark.parametrize("where", ["savez", "fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "Input/output error")]
)
def test_a_failed_write_leaves_the_previous_file(tmp_path, monkeypatch, where, number, reason):
    path = tmp_path / "last.npz"
    save_checkpoint(path, sample(0))
    before = path.read_bytes()

    def fail(*arguments, **options):
        if where == "savez":  # some bytes get through before the disk is full
            arguments[0].write(b"half of it")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(np if where == "savez" else os, where, fail)
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(path, sample(1))
    monkeypatch.undo()
    assert f"could not be written: {reason}; the previous one is unchanged" in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.npz"]
    assert load_checkpoint(path).header["progress"] == {"step": 12}


def test_ctrl_c_while_writing_leaves_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "last.npz"
    save_checkpoint(path, sample(0))
    before = path.read_bytes()

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, sample(1))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.npz"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_really_full_device(tmp_path, monkeypatch):
    path = tmp_path / "last.npz"
    save_checkpoint(path, sample(0))
    before = path.read_bytes()

    def on_full_device(prefix, suffix, dir):
        name = os.path.join(dir, prefix + suffix)
        os.symlink("/dev/full", name)
        return os.open(name, os.O_RDWR), name

    monkeypatch.setattr(tempfile, "mkstemp", on_full_device)
    with pytest.raises(CheckpointError, match="the disk is full; the previous one is unchanged"):
        save_checkpoint(path, sample(1))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.npz"]


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="No such file or directory; nothing was left behind"):
        save_checkpoint(tmp_path / "no" / "a.npz", sample())


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(TypeError, match="cannot store a set in a checkpoint"):
        save_checkpoint(tmp_path / "a.npz", Checkpoint({}, {}, {"x": {1}}))
    assert os.listdir(tmp_path) == []


def test_another_network_is_named_by_its_first_difference():
    here = {"a": np.zeros((2, 3)), "b": np.zeros(4)}
    check_model_state(here, {"b": np.ones(4), "a": np.ones((2, 3))}, "x.npz")
    with pytest.raises(
        CheckpointError, match=r"its a has shape \(2, 5\).* here the shape is \(2, 3\)"
    ):
        check_model_state(here, {"a": np.zeros((2, 5)), "b": np.zeros(9)}, "x.npz")
    with pytest.raises(CheckpointError, match=r"it has no b, which here has shape \(4,\)"):
        check_model_state(here, {"a": np.zeros((2, 3))}, "x.npz")
    with pytest.raises(
        CheckpointError, match=r"it has c of shape \(1,\), which this network has not"
    ):
        check_model_state(here, {**here, "c": np.zeros(1)}, "x.npz")


def test_a_run_folder_stands_for_its_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="no such run folder or checkpoint"):
        find_checkpoint(tmp_path / "run")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="the folder holds no checkpoint"):
        find_checkpoint(tmp_path)
    (folder / "last.npz").touch()
    assert find_checkpoint(tmp_path) == folder / "last.npz"
    (folder / "best.npz").touch()
    assert find_checkpoint(tmp_path) == folder / "best.npz"
    assert find_checkpoint(tmp_path, "last") == folder / "last.npz"
    assert find_checkpoint(folder) == folder / "best.npz"
    assert find_checkpoint(folder / "last.npz") == folder / "last.npz"
