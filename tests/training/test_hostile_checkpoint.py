"""Checkpoints made to do harm: each is refused in one sentence before anything is made of it."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from tampering import bounds

from minideconv.errors import CheckpointError
from minideconv.training import load_checkpoint, save_checkpoint
from minideconv.training.run.checkpoint import (
    Checkpoint,
    check_model_state,
    check_run_header,
    check_run_state,
    read_header,
)
from minideconv.training.run.trained import load_alone

pytestmark = pytest.mark.cpu


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def members(**changes: bytes) -> dict[str, bytes]:
    header = {"format": "minideconv checkpoint", "format_version": 1, "minideconv_version": "x"}
    text = np.frombuffer(json.dumps({**header, "state": {"dict": []}}).encode(), np.uint8)
    return {"header.npy": npy(text), "model/w.npy": npy(np.ones((3, 4), np.float32)), **changes}


def header(**changes) -> dict[str, bytes]:
    base = {"format": "minideconv checkpoint", "format_version": 1, "minideconv_version": "x"}
    text = json.dumps({**base, "state": {"dict": []}, **changes}).encode()
    return members(**{"header.npy": npy(np.frombuffer(text, np.uint8))})


def archive(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in content.items():
            made.writestr(name, data)
    return file.getvalue()


def refused(tmp_path, content: bytes) -> str:
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught, bounds(memory=256 << 20):
        load_checkpoint(path)
    said = str(caught.value).removeprefix(f"checkpoint {path} ")
    assert "\n" not in said
    return said


def test_a_checkpoint_that_a_user_has_compressed_is_read(tmp_path):
    path = tmp_path / "c.npz"
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path.write_bytes(archive(members(), method))
        assert (load_checkpoint(path).model_state["w"] == 1).all()


def test_a_bomb_is_not_unpacked(tmp_path):
    bomb = npy(np.zeros(1, np.uint8)) + bytes(200 << 20)
    said = refused(tmp_path, archive(members(**{"model/w.npy": bomb}), zipfile.ZIP_DEFLATED))
    assert "claim to be 209,71" in said


def test_a_member_that_unpacks_to_more_than_it_claims(tmp_path):
    content = bytearray(archive(members(), zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        size = made.getinfo("model/w.npy").file_size
    for place in (
        at for at in range(len(content)) if content[at : at + 4] == struct.pack("<I", size)
    ):
        content[place : place + 4] = struct.pack("<I", size - 1)
    assert "is not as long as it says" in refused(tmp_path, bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_twice_overlaps_and_gaps(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in [*members().items(), ("model/w.npy", npy(np.zeros(3)))]:
            made.writestr(name, data)
    assert "two members of the zip archive have the same name" in refused(tmp_path, file.getvalue())
    content = bytearray(archive(members()))
    first = content.index(b"PK\x01\x02")  # the directory: both entries point at the first member
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = bytes(4)
    assert "overlaps another" in refused(tmp_path, bytes(content))
    whole = archive(members())
    gap = whole[: whole.index(b"PK\x01\x02")] + b"hidden!" + whole[whole.index(b"PK\x01\x02") :]
    assert "truncated or damaged" in refused(tmp_path, gap)


def test_an_encrypted_or_otherwise_packed_member(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        said = refused(tmp_path, archive(members(), method))
        assert "is compressed or encrypted" in said
    content = bytearray(archive(members()))
    for start in (b"PK\x01\x02", b"PK\x03\x04"):
        at = content.index(start) + (8 if start[2] == 1 else 6)
        content[at] |= 1
    assert "is compressed or encrypted" in refused(tmp_path, bytes(content))


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3, np.complex64), np.array(["a"]), np.array([b"a"]), np.zeros(2, "M8[s]"),
        np.zeros(2, "m8[s]"), np.zeros(2, [("a", "f4")]), np.ones(2, np.longdouble),
    ],
)  # fmt: skip
def test_arrays_of_anything_but_plain_numbers(tmp_path, array):
    said = refused(tmp_path, archive(members(**{"model/w.npy": npy(array)})))
    assert "array model/w" in said


def test_objects_are_not_unpickled(tmp_path):
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    said = refused(tmp_path, archive(members(**{"model/w.npy": file.getvalue()})))
    assert "is no plain numbers: its header is {'descr': '|O'" in said


@pytest.mark.parametrize(
    ("shape", "wrong"),
    [("(3, 5)", "takes 60 bytes, but the file has 48"), ("(9999999999999, 9)", "takes"),
     ("(-1,)", "is no plain numbers"), ("(3,) * 9", "is no plain numbers")],
)  # fmt: skip
def test_a_shape_that_lies(tmp_path, shape, wrong):
    lying = npy(np.ones((3, 4), np.float32))
    lying = lying.replace(b"(3, 4), }" + b" " * (len(shape) - 6), f"{shape}, }}".encode())
    assert wrong in refused(tmp_path, archive(members(**{"model/w.npy": lying})))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"format_version": "1"}, "header.format_version is '1'; it must be a whole number"),
        ({"format_version": True}, "header.format_version is True"),
        ({"format_version": 1.0}, "header.format_version is 1.0"),
        ({"format_version": 10**400}, "header.format_version is a number of more than 60 digits"),
        ({"format_version": -1}, "header.format_version is -1"),
        ({"format_version": 2}, "has format version 2, written by minideconv x"),
        ({"minideconv_version": None}, "header.minideconv_version is None; it must be a text"),
        ({"model": "deconvnet"}, "header.model is 'deconvnet'; it must be an object"),
        ({"model": {"name": 1, "arguments": {}}}, "header.model.name is 1; it must be a text"),
        ({"model": {"name": "x"}}, "header.model has no 'arguments'"),
        ({"model": {"name": "x", "arguments": {"a": {}}}}, "header.model.arguments.a is an object"),
        ({"input_size": 1e9}, "header.input_size is 1000000000.0; it must be a whole number"),
        ({"input_size": 10**9}, "it must be a whole number from 1 to 16384"),
        ({"normalization": {"mean": [1, 2], "scale": 1, "bgr": False}}, "must be a list of 3"),
        ({"normalization": {"mean": [1, 2, float("nan")], "scale": 1, "bgr": False}}, "mean[2] is"),
        ({"normalization": {"mean": [1, 2, 3], "scale": 0, "bgr": False}}, "scale is 0; it must"),
        ({"config": []}, "header.config is a list of 0; it must be an object"),
        ({"config": {"data": ["voc"]}}, "header.config.data is a list of 1; it must be a text"),
        ({"progress": {"epoch": {}}}, "header.progress.epoch is an object of 0"),
        ({"other": json.loads("[" * 40 + "]" * 40)}, "nested more than 32 deep"),
        ({"state": []}, "its state is a list of 0, not values by name"),
        ({"state": {"dict": [[1, 2, 3]]}}, "is no pair of a name and a value"),
        ({"state": {"dict": [[[], 1]]}}, "is no pair of a name and a value"),
        ({"state": {"dict": [["a", 1], ["a", 2]]}}, "has a name twice"),
        ({"state": {"dict": [["a", {"array": "model/w"}]]}}, "refers to 'model/w'"),
        ({"state": {"dict": [["a", {"array": "state/9"}]]}}, "has no member state/9.npy"),
        ({"state": {"dict": [["a", {"x": 1}]]}}, "a part of its state has no 'dict'"),
    ],
)  # fmt: skip
def test_a_header_that_is_none(tmp_path, changes, wrong):
    assert wrong in refused(tmp_path, archive(header(**changes)))


def test_json_that_misleads(tmp_path):
    texts = {
        b'{"format": "minideconv checkpoint", "format": "minideconv checkpoint"}': "another kind",
        b"[" * 100_000: "another kind",
        b"\xff\xfe": "another kind",
        b"": "another kind",
    }
    for text, wrong in texts.items():
        content = members(**{"header.npy": npy(np.frombuffer(text, np.uint8))})
        assert wrong in refused(tmp_path, archive(content))


def test_what_belongs_to_nothing(tmp_path):
    for name in ("state/0.npy", "../x.npy", "/etc/passwd.npy", "other.npy", "readme.txt"):
        said = refused(tmp_path, archive(members(**{name: npy(np.ones(1))})))
        assert "belongs to nothing in it" in said


def test_a_network_larger_than_its_file_is_not_built(tmp_path):
    arguments = {"num_classes": 2, "width": 100_000, "input_size": [16, 16], "fc": 4, "stages": 2}
    about = {
        "model": {"name": "deconvnet", "arguments": arguments},
        "normalization": {"mean": [0, 0, 0], "scale": 1, "bgr": False},
        **{"input_size": 16, "classes": ["background", "a"]},
    }
    path = tmp_path / "c.npz"
    path.write_bytes(archive(header(**about)))
    wrong = "is more than all numbers that there are"
    with pytest.raises(CheckpointError, match=wrong), bounds(memory=512 << 20):
        load_alone(path)


def test_whole_numbers_are_no_weights():
    here = {"w": np.zeros(3, np.float32), "n": np.array(1)}
    check_model_state(here, {"w": np.ones(3, np.float64), "n": np.array(2, np.int32)}, "x.npz")
    with pytest.raises(CheckpointError, match=r"its w is of type int64, but here of float32"):
        check_model_state(here, {"w": np.ones(3, np.int64), "n": np.array(2)}, "x.npz")


def test_a_variance_is_not_negative():
    here = {"bn.running_var": np.ones(2, np.float32)}
    with pytest.raises(CheckpointError, match=r"its bn.running_var, a variance, has numbers below"):
        check_model_state(here, {"bn.running_var": np.array([1, -1], np.float32)}, "x.npz")


RUN = {
    "model": {}, "normalization": {}, "input_size": 16, "progress": {"epoch": 1, "step": 2},
    "config": {"data": "shapes", "val_split": "val", "model": "fcn8s", "seed": 0, "epochs": 1},
}  # fmt: skip
STAGE = {
    "number": 0, "optimizer": {"kind": "SGD"}, "schedule": {}, "lr": 0.1,
    "loader": {"epoch": 0, "position": 0}, "loss": {"interval": [0.0, 0], "epoch": [0.0, 0]},
    "metrics": np.zeros((2, 2), np.int64),
}  # fmt: skip
STATE = {"stage": STAGE, "random": np.random.PCG64(0).state}


@pytest.mark.parametrize(
    ("part", "name", "value", "wrong"),
    [
        ("header", "progress", {"epoch": -1, "step": 0}, "progress.epoch is -1"),
        ("header", "progress", {"epoch": 1}, "progress has no 'step'"),
        ("header", "progress", {"epoch": 1, "step": 0, "new": 1}, "unexpected keyword"),
        ("header", "config", {"data": "shapes"}, "config has no 'val_split'"),
        ("stage", "number", "0", "stage.number is '0'"),
        ("stage", "loader", {"epoch": 0.5, "position": 0}, "loader.epoch is 0.5"),
        ("stage", "loss", {"interval": [0.0], "epoch": [0, 0]}, "must be a list of 2"),
        ("stage", "metrics", [1], "stage.metrics is a list of 1; it must be an array"),
        ("stage", "optimizer", {"lr": {}}, "optimizer.lr is an object"),
        ("random", "state", {"state": -1, "inc": 1}, "random.state.state is -1"),
        ("random", "bit_generator", "MT19937", "it must be 'PCG64'"),
        ("model", "w", np.array([np.nan], np.float32), "w has values that are NaN or infinite"),
    ],
)
def test_a_run_does_not_go_on_from_it(part, name, value, wrong):
    found = Checkpoint({"w": np.zeros(1, np.float32)}, dict(RUN), {**STATE, "stage": dict(STAGE)})
    check_run_header(found.header, "x.npz")
    check_run_state(found, "x.npz")
    found.state["random"] = dict(STATE["random"])
    places = {"header": found.header, "stage": found.state["stage"], "model": found.model_state}
    places.get(part, found.state["random"])[name] = value
    with pytest.raises(CheckpointError) as caught:
        check_run_state(found, "x.npz")
    assert wrong in str(caught.value)


def test_one_bit_anywhere_changes_nothing_unseen(tmp_path):
    path = tmp_path / "c.npz"
    model = {"w": np.arange(6, dtype=np.float32), "b": np.ones((2, 1))}
    save_checkpoint(path, Checkpoint(model, {"kind": "é"}, {"m": np.arange(3)}))
    whole, content = load_checkpoint(path), path.read_bytes()
    rng, accepted = np.random.default_rng(0), 0
    for place in rng.permutation(len(content) * 8)[:400].tolist():
        data = bytearray(content)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            found = load_checkpoint(path)
        except CheckpointError:
            continue
        accepted += 1
        assert found.header == whole.header
        assert list(found.model_state) == list(whole.model_state)
        for name, array in whole.model_state.items():
            assert found.model_state[name].tobytes() == array.tobytes()
        assert found.state["m"].tobytes() == whole.state["m"].tobytes()
    assert accepted < 200  # dates and the like, which nobody reads
    path.write_bytes(content)
    assert read_header(path)["kind"] == "é"
