"""Files made to do harm: one sentence each, nothing run, nothing allocated that is only claimed."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hostile import read_in_bounds
from weight_files import (
    V1_TYPES,
    block,
    caffemodel,
    legacy_pth,
    number,
    onnx_model,
    onnx_tensor,
    plain,
    pth,
    reference,
    safetensors,
    small_files,
    state_dict,
    tensor,
    varint,
)

from minideconv.errors import CheckpointError
from minideconv.interop import describe, match, read_weights
from minideconv.weights import main

HUGE = 100 << 30
ONE = {"x": np.arange(4, dtype=np.float32)}
STORED = reference("0", "FloatStorage", 4)


def refused(tmp_path, content: bytes) -> str:
    """Return the sentence with which a file is refused, within its bounds of memory and time."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert read_in_bounds(path) == "refused"
    return str(caught.value).removeprefix(f"weights {path}: ")


class Trap:
    """Python's own unpickler would write a file."""

    def __init__(self, target) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.system, (f"echo caught > {self.target}",)


CALL = b"\x80\x02cos\nsystem\n(" + plain("exit 3") + b"tR."
PICKLES = {
    "a call": (CALL, "the pickle names os.system, which is no part of a tensor"),
    "eval": (b"\x80\x02c__builtin__\neval\n(" + plain("1") + b"tR.", "names __builtin__.eval"),
    "a name made on the stack": (
        b"\x80\x04" + plain("posix") + plain("system") + b"\x93" + plain("x") + b"\x85R.",
        "names posix.system",
    ),
    "a name with an escape": (b"\x80\x02cos\\x2e\nsystem\n.", "a name with a backslash"),
    "another name of PyTorch's": (
        b"\x80\x02ctorch.hub\nload_state_dict_from_url\n.",
        "names torch.hub.load_state_dict_from_url",
    ),
    "numpy": (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n.", "names numpy.core.multiarray"),
    "an instance": (b"(" + plain("x") + b"ios\nsystem\n.", "uses the instruction INST"),
    "an object": (b"\x80\x02(cos\nsystem\no.", "names os.system"),
    "an object of a known class": (
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "uses the instruction NEWOBJ",
    ),
    "an extension": (b"\x80\x02\x82\x01.", "uses the instruction EXT1"),
    "a text as reference": (b"\x80\x02Pstorage\n.", "uses the instruction PERSID"),
    "attributes": (b"\x80\x02}}" + plain("__class__") + b"Nsb.", "sets attributes of an object"),
    "a call of a storage": (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
    "a call of a text": (b"\x80\x02" + plain("x") + b")R.", "calls str, which is no function"),
    "a set": (b"\x80\x04\x8f.", "uses the instruction EMPTY_SET"),
    "a deep key": (b"\x80\x02}" + b")" + b"\x85" * 20_000 + b"Ns.", "a tuple as a dictionary's"),
    "deep tuples": (b"\x80\x02)" + b"\x85" * 20_000 + b".", "nested deeper than 16"),
    "a memo of gigabytes": (b"\x80\x02Nr\xff\xff\xff\x7f.", "without any weights"),
    "a number of gigabytes": (b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", "the pickle is damaged"),
    "a text of gigabytes": (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fx.", "the pickle is damaged"),
    "a long number": (b"\x80\x02\x8b\x00\x01\x00\x00" + b"\x7f" * 256 + b".", "of 2,047 bits"),
    "in itself": (b"\x80\x02}q\x09" + plain("a") + b"h\x09s.", "or in one another"),
    "an empty stack": (b"\x80\x02.", "the pickle is damaged"),
    "below a mark": (b"\x80\x02N(\x85.", "takes more from its stack"),
    "no mark": (b"\x80\x02Nt.", "the pickle is damaged"),
    "no end": (b"\x80\x02N", "the pickle is damaged"),
    "nothing": (b"", "the pickle is damaged"),
    "an odd dictionary": (b"\x80\x02}(Nu.", "the pickle is damaged"),
    "an unknown reference": (b"\x80\x02" + plain(("module", 1)) + b"Q.", "that is no storage"),
    "a reference without type": (
        b"\x80\x02" + plain(("storage", "torch.FloatStorage", "0", "cpu", 4)) + b"Q.",
        "a storage of no known type",
    ),
    "a tensor of a text": (
        b"\x80\x02" + tensor(plain("x"), 0, (1,), (1,)) + b".",
        "of something that is no storage",
    ),
    "too few arguments": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        "the pickle is damaged",
    ),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("form", [pth, legacy_pth])
def test_a_pickle_that_is_no_tensor(tmp_path, monkeypatch, name, form):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    pickled, words = PICKLES[name]
    if form is legacy_pth and not pickled:
        return  # the storages' keys would be taken for it
    said = refused(tmp_path, form({}, pickled=pickled or b" "))
    if pickled:
        assert words in said


@pytest.mark.parametrize("form", [pth, legacy_pth])
def test_nothing_of_a_trap_is_run(tmp_path, form):
    trap = tmp_path / "caught"
    pickled = pickle.dumps({"w": Trap(trap)}, 2)
    said = refused(tmp_path, form({}, pickled=pickled))
    assert "system, which is no part of a tensor" in said
    assert "nothing of the file was run" in said
    assert not trap.exists()
    pickle.loads(pickled)  # the trap is one
    assert trap.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    said = refused(tmp_path, pickle.dumps({"w": [1.0]}, 4))
    assert said == "it is a pickle, but none that torch.save wrote; it is not read"


def test_many_references_to_one_list(tmp_path):
    """Ten lists, each with ten times the one before: 200 bytes that stand for 10^10 values."""
    laughs = b"]q\x00" + b"".join(
        b"](" + (b"h" + bytes([i])) * 10 + b"eq" + bytes([i + 1]) for i in range(10)
    )
    said = refused(tmp_path, pth({}, pickled=b"\x80\x02" + laughs + b"."))
    assert "or in one another" in said


TENSORS = {
    "behind the end": (tensor(STORED, 1, (4,), (1,)), "reaches out of its storage of 4 values"),
    "far away": (tensor(STORED, 1 << 62, (1,), (1,)), "reaches out of its storage"),
    "a long stride": (tensor(STORED, 0, (2,), (1 << 62,)), "reaches out of its storage"),
    "backwards": (tensor(STORED, 3, (4,), (-1,)), "has the strides (-1,)"),
    "a negative offset": (tensor(STORED, -1, (1,), (1,)), "has the strides"),
    "a negative length": (tensor(STORED, 0, (-1,), (1,)), "lengths are whole numbers >= 0"),
    "strides for another shape": (tensor(STORED, 0, (2, 2), (1,)), "has the strides (1,)"),
    "huge": (tensor(STORED, 0, (1 << 40,), (0,)), "would take more than 4 times the file's"),
    "huge and empty": (tensor(STORED, 0, (0, 1 << 62, 1 << 62), (0, 0, 0)), "larger than any"),
    "too many dimensions": (tensor(STORED, 0, (1,) * 40, (1,) * 40), "has 40 dimensions"),
    "a storage that is not there": (
        tensor(reference("7", "FloatStorage", 4), 0, (4,), (1,)), "no member archive/data/7"
    ),
    "a storage that is longer": (
        tensor(reference("0", "FloatStorage", 1 << 40), 0, (1 << 4,), (1,)),
        "storage 0 of 1,099,511,627,776 float32 has 16 bytes",
    ),
    "a storage of another type": (
        tensor(reference("0", "DoubleStorage", 4), 0, (4,), (1,)), "of 4 float64 has 16 bytes"
    ),
    "a path out of the archive": (
        tensor(reference("../../x", "FloatStorage", 4), 0, (4,), (1,)), "no member"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_lies(tmp_path, name):
    instructions, words = TENSORS[name]
    assert words in refused(tmp_path, pth(ONE, pickled=state_dict({"w": instructions})))


def test_legacy_storages_that_lie(tmp_path):
    good = legacy_pth(ONE)
    size = (4).to_bytes(8, "little")
    for lie in (HUGE, 5, 3, 0, (1 << 64) - 1):
        assert good.count(size) == 1
        said = refused(tmp_path, good.replace(size, lie.to_bytes(8, "little")))
        assert f"storage 0 claims {lie:,} values; 4 belong there and 16 bytes are left" in said
    assert "claims 4 values" in refused(tmp_path, good[:-1])
    strange = good.replace(plain(["0"]), plain(["1"]))
    assert strange != good
    assert "has one that belongs to no tensor" in refused(tmp_path, strange)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_not_unpacked(tmp_path, compression):
    array = {"x": np.zeros(4 << 20, np.float32)}
    content = pth(array, compression=compression)
    assert len(content) < 1 << 17
    assert "is compressed or encrypted" in refused(tmp_path, content)
    with (tmp_path / "bomb.npz").open("wb") as file:
        np.savez_compressed(file, **array)
    said = refused(tmp_path, (tmp_path / "bomb.npz").read_bytes())
    assert "member x.npy of the zip archive is compressed" in said


def test_members_that_lie(tmp_path):
    good = pth(ONE)
    start = good.rindex(b"PK\x01\x02", 0, good.index(b"archive/data/0", good.index(b"PK\x01\x02")))
    bad = bytearray(good)
    struct.pack_into("<I", bad, start + 24, 0xFFFFFFF0)  # its size
    said = refused(tmp_path, bytes(bad))
    assert "member archive/data/0 of the zip archive claims 4,294,967,280 bytes, but" in said
    bad = bytearray(good)
    struct.pack_into("<I", bad, start + 42, 0x7FFFFFFF)  # where it is
    assert "is not where it should be" in refused(tmp_path, bytes(bad))
    damaged = good.replace(ONE["x"].tobytes(), ONE["x"][::-1].tobytes())
    assert "is damaged: wrong checksum" in refused(tmp_path, damaged)
    assert "truncated or damaged" in refused(tmp_path, good[: len(good) // 2])


def test_archives_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    said = refused(tmp_path, (tmp_path / "a.zip").read_bytes())
    assert said == "the zip archive has 0 members data.pkl; one is right"
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02N.")
        archive.writestr("m/constants.pkl", b"\x80\x02N.")
    assert "it is a TorchScript program" in refused(tmp_path, (tmp_path / "b.zip").read_bytes())


def layer(blob: bytes) -> bytes:
    return block(1, "n") + block(2, block(4, "c") + number(5, 4) + block(6, blob))


FOUR = np.ones(4, np.float32).tobytes()
PROTOBUFS = {
    "a length that lies": (
        block(1, "n") + b"\x12" + varint(HUGE) + b"x",
        "field 2 of a message claims 107,374,182,400 bytes, but only 1 are left",
    ),
    "a length inside that lies": (layer(b"\x2a" + varint(1 << 62)), "but only 0 are left"),
    "a number without end": (layer(b"\x08" + b"\xff" * 11), "does not end where it has to"),
    "a group": (layer(b"\x0b\x0c"), "of the unknown kind 3"),
    "field 0": (layer(b"\x00\x00"), "has the number 0"),
    "a shape that lies": (
        layer(block(7, block(1, varint(HUGE))) + block(5, FOUR)),
        "takes 429,496,729,600 bytes, but the file has 16 for it",
    ),
    "an old shape that lies": (
        layer(b"".join(number(i, 1 << 20) for i in (1, 2)) + number(3, 1) + number(4, 1)),
        "takes 4,398,046,511,104 bytes, but the file has 0 for it",
    ),
    "a shape beyond all": (
        layer(block(7, block(1, varint(1 << 62) * 4)) + block(5, FOUR)), "larger than any array"
    ),
    "a negative shape": (
        layer(block(7, block(1, varint(-4))) + block(5, FOUR)), "lengths are whole numbers >= 0"
    ),
    "a shape of a thousand": (
        layer(block(7, block(1, varint(1) * 1000)) + block(5, FOUR[:4])),
        "a list holds 1,000 numbers where 32 belong",
    ),
    "no shape": (layer(block(5, FOUR)), "says nothing about its shape"),
    "too few values": (layer(number(1, 5) + block(5, FOUR)), "takes 0 bytes"),
    "half a value": (
        layer(block(7, block(1, varint(4))) + block(5, FOUR[:-1])), "the file has 15 for it"
    ),
    "a text as a shape": (layer(block(1, "4")), "is no varint"),
    "a number as a layer": (number(2, 3) + block(100, ""), "is a number where bytes belong"),
    "two layers of one name": (
        caffemodel([("c", "BN", [np.ones(2, np.float32)])] * 2), "are both called c"
    ),
    "the oldest form": (block(1, "n") + block(2, block(1, block(1, "c"))), "oldest form (V0)"),
    "a name that is no text": (block(100, block(1, b"\xff\xfe")), "is no text in UTF-8"),
    "no weights": (caffemodel([("r", "ReLU", [])]), "a file of Caffe without any weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROTOBUFS)
def test_a_caffemodel_that_lies(tmp_path, name):
    content, words = PROTOBUFS[name]
    assert words in refused(tmp_path, content)


def test_a_message_of_a_million_fields(tmp_path, monkeypatch):
    """A minute of reading that leads to nothing; values that are not packed are no such fields."""
    monkeypatch.setattr("minideconv.interop.protobuf._MOST_FIELDS", 10)
    said = refused(tmp_path, block(1, "n") + block(100, block(1, "c") + b"\x50\x01" * 11))
    assert said == "a message has more than 10 fields"
    assert "a message has more than 10 fields" in refused(tmp_path, block(1, "n") * 11)
    array = np.arange(20, dtype=np.float32)
    (tmp_path / "f").write_bytes(caffemodel([("c", "BN", [array])], 2, packed=False))
    assert (read_weights(tmp_path / "f").arrays["c/0"] == array).all()


def onnx(dims: bytes = varint(4), kind: int = 1, *parts: bytes) -> bytes:
    return onnx_model([block(1, dims) + number(2, kind) + block(8, "w") + b"".join(parts)])


ONNX = {
    "a shape that lies": (onnx(varint(HUGE), 1, block(9, FOUR)), "the file has 16 for it"),
    "no values": (onnx(varint(HUGE), 1), "the file has 0 for it"),
    "another file": (
        onnx(varint(4), 1, block(13, block(1, "location") + block(2, "/etc/passwd"))),
        "is stored in another file (external data), which is not read; save the model again",
    ),
    "another file by a number": (onnx(varint(4), 1, number(14, 1)), "stored in another file"),
    "texts": (onnx(varint(1), 8, block(6, "x")), "of the type STRING, which is not read"),
    "an unknown type": (onnx(varint(1), 77), "of the type number 77"),
    "segments": (onnx(varint(4), 1, block(3, b""), block(9, FOUR)), "stored in segments"),
    "values twice": (onnx(varint(4), 1, block(9, FOUR), block(4, FOUR)), "values in 2 fields"),
    "the wrong field": (onnx(varint(4), 1, block(10, FOUR * 2)), "in the wrong field"),
    "more than fit": (
        onnx(varint(2), 7, block(7, varint(1) * 5)), "a list holds 5 numbers where 2 belong"
    ),
    "out of range": (onnx(varint(1), 3, block(5, varint(300))), "has a value that is no int8"),
    "no end": (onnx(varint(1), 7, block(7, b"\x80")), "do not end where they have to"),
    "too long": (onnx(varint(1), 7, block(7, b"\x80" * 12 + b"\x01")), "takes 13 bytes"),
    "one name twice": (
        onnx_model([onnx_tensor("w", np.ones(1, np.float32))] * 2), "are both called w"
    ),
    "sparse": (
        number(1, 8) + block(7, block(15, b"")), "has sparse initialisers, which are not read"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX)
def test_an_onnx_model_that_lies(tmp_path, name):
    content, words = ONNX[name]
    assert words in refused(tmp_path, content)


def entry(dtype="F32", shape=(4,), offsets=(0, 16)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


SAFETENSORS = {
    "a header that lies": (HUGE.to_bytes(8, "little") + b"{}", "claims a header of 107,374"),
    "a long header": (b"\xff" * 8 + b"{}", "claims a header of 18,446,744,073,709,551,615"),
    "no JSON": (safetensors(b"{nothing"), "its header is no JSON"),
    "a deep header": (safetensors(b'{"a":' + b"[" * 100_000), "its header is no JSON"),
    "a long number": (safetensors(b'{"a":' + b"1" * 5000 + b"}"), "its header is no JSON"),
    "one name twice": (safetensors(b'{"a":{"b":1,"b":1}}'), "a name is there twice"),
    "another entry": (safetensors({"w": {"dtype": "F32"}}), "has no dtype, shape and"),
    "a shape that lies": (safetensors({"w": entry(shape=[HUGE])}, FOUR), "has 16 for it"),
    "a negative shape": (safetensors({"w": entry(shape=[-2, -2])}, FOUR), "whole numbers >= 0"),
    "true as a length": (safetensors({"w": entry(shape=[4, True])}, FOUR), "whole numbers"),
    "a fraction": (safetensors({"w": entry(shape=[4.0])}, FOUR), "whole numbers"),
    "offsets that lie": (safetensors({"w": entry(offsets=[0, HUGE])}, FOUR), "the file has 16"),
    "offsets that go back": (safetensors({"w": entry(offsets=[16, 0])}, FOUR), "must begin at 0"),
    "negative offsets": (safetensors({"w": entry(offsets=[-16, 0])}, FOUR), "no pair of offsets"),
    "an overlap": (
        safetensors({"v": entry(), "w": entry(offsets=[8, 24])}, FOUR + FOUR[:8]),
        "claims the bytes 8 to 24; it must begin at 16",
    ),
    "a gap": (safetensors({"w": entry(offsets=[4, 20])}, FOUR + FOUR), "must begin at 0"),
    "bytes left over": (safetensors({"w": entry()}, FOUR + b"x"), "1 bytes at its end belong to"),
    "an unknown type": (safetensors({"w": entry("F8_E4M3")}, FOUR), "is of type F8_E4M3; read"),
    "a list as type": (safetensors({"w": entry(["F32"])}, FOUR), "is of type ['F32']"),
    "metadata of numbers": (safetensors({"__metadata__": {"a": 1}}), "no dictionary of texts"),
    "nothing": (safetensors({}), "without any weights"),
    "a list": (safetensors(b"{}").replace(b"{}", b"[]"), "of no format that is read"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_that_lie(tmp_path, name):
    content, words = SAFETENSORS[name]
    assert words in refused(tmp_path, content)


def npy(header: str, content: bytes = FOUR) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


NPY = {
    "objects": (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"), "no plain"),
    "a shape that lies": (
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({HUGE},), }}\n"), "has 16 for it"
    ),
    "a type that is none": (
        npy("{'descr': '<f7', 'fortran_order': False, 'shape': (4,), }\n"), "is of type f7, which"
    ),
    "a long type": (
        npy("{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }\n"), "is of type"
    ),
    "code": (npy("__import__('os').system('false')\n"), "is no plain numbers"),
    "records": (
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }\n"), "no plain"
    ),
    "deep": (npy("(" * 9000 + "\n"), "is no plain numbers"),
    "long": (npy(" " * 12_000 + "\n"), "does not begin as NumPy's arrays do"),
    "another file": (b"hello", "does not begin as NumPy's arrays do"),
}  # fmt: skip


@pytest.mark.parametrize("name", NPY)
def test_numpy_arrays_that_lie(tmp_path, name):
    content, words = NPY[name]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", content)
    assert words in refused(tmp_path, (tmp_path / "a.npz").read_bytes())


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\x00" * 100, b"\x0a\x01n", b"\x93NUMPY", b"<html>not found</html>", b"\x08\x07"],
)
def test_files_of_something_else(tmp_path, content):
    said = refused(tmp_path, content)
    known = "PyTorch, safetensors, Caffe, ONNX, Keras, NumPy"
    assert f"it is of no format that is read ({known})" in said


def test_what_is_no_file(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("empty", "the file is empty"),
        ("pipe", "a folder or a device, not a file"),  # to open it would block for ever
        ("", "a folder or a device"),
        ("nothing", "cannot be opened (No such file or directory)"),
        ("n" * 300, "cannot be opened (File name too long)"),
    ):
        with pytest.raises(CheckpointError) as caught:
            read_weights(tmp_path / name)
        assert words in str(caught.value)
    with pytest.raises(CheckpointError, match="a folder or a device"):
        read_weights("/dev/zero")


def test_values_that_are_no_numbers_are_shown_but_not_matched(tmp_path):
    array = np.array([np.nan, np.inf, 1.0, -np.inf], np.float32)
    path = tmp_path / "f"
    path.write_bytes(pth({"features.0.weight": array, "features.0.bias": array[:1].copy()}))
    weights = read_weights(path)
    assert "1 and 2 infinite" in describe(weights)
    with pytest.raises(CheckpointError, match=r"features\.0\.weight has 3 values that are NaN or"):
        match(weights)
    # A value that is too large for float32 becomes infinite, which is found as well.
    path.write_bytes(pth({"features.0.weight": np.array([1e300])}))
    with pytest.raises(CheckpointError, match="has 1 values that are NaN or infinite"):
        match(read_weights(path))


def test_names_that_would_move_the_cursor(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(pth({"\x1b[2Jweight\n": np.ones(2, np.float32)}))
    text = describe(read_weights(path))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3
    with pytest.raises(CheckpointError) as caught:
        match(read_weights(path))
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["PyTorch", "Caffe V1", "safetensors"])
def test_the_command_says_one_sentence(tmp_path, capsys, name):
    path = tmp_path / "f"
    path.write_bytes(small_files()[name][:-20])
    assert main(["show", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"minideconv.weights: weights {path}: ")
    assert len(captured.err.splitlines()) == 1


def test_the_table_of_v1s_types_is_that_of_the_reader():
    from minideconv.interop.caffemodel import _V1_TYPES

    assert {k: v for k, v in V1_TYPES.items() if v in _V1_TYPES} == {
        name: number for number, name in _V1_TYPES.items() if name != "Unpooling"
    }
