"""Reading: what was written comes back, in every format; a format is known by its content."""

from __future__ import annotations

import numpy as np
import pytest
from weight_files import (
    ONNX_TYPES,
    blob,
    block,
    caffemodel,
    legacy_pth,
    number,
    onnx_model,
    plain,
    pth,
    reference,
    safetensors,
    small_arrays,
    small_files,
    state_dict,
    tensor,
    varint,
)

from minideconv.errors import CheckpointError
from minideconv.interop import pytorch, read_weights, write_safetensors


def read(tmp_path, content: bytes):
    path = tmp_path / "weights.bin"  # an ending that tells nothing
    path.write_bytes(content)
    return read_weights(path)


def same(found: np.ndarray, written: np.ndarray) -> None:
    assert found.dtype == written.dtype
    assert found.shape == written.shape
    assert found.tobytes() == written.tobytes()


@pytest.mark.parametrize("name", small_files())
def test_what_was_written_comes_back(tmp_path, name):
    weights = read(tmp_path, small_files()[name])
    assert weights.format == (name if not name.startswith("Caffe") else "Caffe")
    written = small_arrays()
    if weights.format == "Caffe":
        blobs = ["conv1_1/0", "conv1_1/1", "conv1_2/0", "conv1_2/1"]
        assert list(weights.arrays) == blobs
        for own, array in zip(blobs, list(written.values())[:4], strict=True):
            found = weights.arrays[own]
            old = "V2" not in name and array.ndim == 1
            assert found.shape == ((1, 1, 1, 4) if old else array.shape)
            same(found.reshape(array.shape), array)
        assert weights.metadata["type of conv1_1"] == "Convolution"
        assert weights.metadata["version"] == ("V2" if "V2" in name else "V1")
    else:
        assert list(weights.arrays) == list(written)
        for own, array in written.items():
            same(weights.arrays[own], array)


def test_arrays_are_the_callers_own(tmp_path):
    for content in small_files().values():
        for array in read(tmp_path, content).arrays.values():
            assert array.flags.writeable
            array[...] = 0  # of the file there is nothing left that this could change


@pytest.mark.parametrize("writer", [pth, legacy_pth])
def test_tensors_are_views_of_storages(tmp_path, writer):
    """Offsets, strides, a shared storage, a scalar, nothing at all, nested and tied ones."""
    storage = np.arange(24, dtype=np.float32)
    stored = reference("0", "FloatStorage", 24)
    nested = b"}" + plain("deep") + tensor(stored, 5, (2,), (7,)) + b"s"
    pickled = state_dict(
        {
            "all": tensor(stored, 0, (4, 6), (6, 1)),
            "transposed": tensor(stored, 0, (6, 4), (1, 6)),
            "part": tensor(stored, 7, (2, 2), (6, 2)),
            "scalar": tensor(stored, 23, (), ()),
            "none": tensor(stored, 24, (0, 3), (3, 1)),
            "one": tensor(stored, 3, (1, 2), (1 << 62, 1)),
            "tied": tensor(stored, 0, (4, 6), (6, 1)),
            "list": b"]" + tensor(stored, 1, (1,), (1,)) + b"a" + plain("text") + b"a",
            "inside": nested,
            "epoch": plain(3),
        }
    )
    weights = read(tmp_path, writer({"x": storage}, pickled=pickled))
    grid = storage.reshape(4, 6)
    expected = {
        "all": grid, "transposed": grid.T.copy(), "part": grid[1:3, 1:5:2].copy(),
        "scalar": np.float32(23).reshape(()), "none": np.empty((0, 3), np.float32),
        "one": storage[3:5].reshape(1, 2), "tied": grid, "list.0": storage[1:2],
        "inside.deep": storage[[5, 12]],
    }  # fmt: skip
    assert list(weights.arrays) == list(expected)
    for name, array in expected.items():
        same(weights.arrays[name], array)
    assert weights.arrays["tied"] is weights.arrays["all"]
    assert weights.metadata == {"epoch": "3"}


@pytest.mark.parametrize(("repeat", "legal"), [(3, True), (4000, False)])
def test_a_small_storage_cannot_become_a_large_tensor(tmp_path, repeat, legal):
    pickled = state_dict({"w": tensor(reference("0", "FloatStorage", 4), 0, (repeat, 4), (0, 1))})
    content = pth({"x": np.arange(4, dtype=np.float32)}, pickled=pickled)
    if legal:
        assert (read(tmp_path, content).arrays["w"] == np.arange(4)).all()
    else:
        with pytest.raises(CheckpointError, match="would take more than 4 times the file's"):
            read(tmp_path, content)


def test_storages_may_have_the_highest_byte_first(tmp_path):
    array = np.arange(3, dtype=np.float32)
    swapped = array.astype(">f4").view(np.float32)
    same(read(tmp_path, pth({"x": swapped}, byteorder="big")).arrays["x"], array)
    with pytest.raises(CheckpointError, match="its byte order is b'middle', neither"):
        read(tmp_path, pth({"x": array}, byteorder="middle"))


def bits16(values: np.ndarray) -> np.ndarray:
    """The upper halves of float32."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def test_bfloat16_is_widened_exactly(tmp_path):
    wide = np.array([1.0, -2.5, 3.140625, np.inf, 2.0**-126], np.float32)
    raw = bits16(wide)
    header = {"w": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    same(read(tmp_path, safetensors(header, raw.tobytes())).arrays["w"], wide)
    in_raw = block(1, varint(5)) + number(2, 16) + block(8, "w") + block(9, raw.tobytes())
    as_ints = block(1, varint(5)) + number(2, 16) + block(8, "w")
    as_ints += block(5, b"".join(varint(int(v)) for v in raw))
    for tensor_ in (in_raw, as_ints):
        same(read(tmp_path, onnx_model([tensor_])).arrays["w"], wide)
    pickled = state_dict({"w": tensor(reference("0", "BFloat16Storage", 5), 0, (5,), (1,))})
    same(read(tmp_path, pth({"x": raw}, pickled=pickled)).arrays["w"], wide)


@pytest.mark.parametrize(
    ("dtype", "field", "values"),
    [
        ("float32", 4, [1.5, -2.0]),
        ("float64", 10, [1.5, -2.0]),
        ("int32", 5, [5, -7, 1 << 30]),
        ("int8", 5, [5, -7]),
        ("uint8", 5, [0, 255]),
        ("int16", 5, [-32768, 3]),
        ("uint16", 5, [65535, 3]),
        ("bool", 5, [0, 1, 1]),
        ("int64", 7, [-(1 << 63), (1 << 63) - 1, 300]),
        ("uint32", 11, [(1 << 32) - 1, 5]),
        ("uint64", 11, [(1 << 64) - 1, 5]),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_onnx_values_that_are_not_raw(tmp_path, dtype, field, values, packed):
    array = np.array(values, dtype)
    head = block(1, varint(len(values))) + number(2, ONNX_TYPES[dtype])
    if dtype.startswith("float"):
        kind = 5 if dtype == "float32" else 1
        pieces = [v.tobytes() for v in array.astype(array.dtype.newbyteorder("<"))]
    else:
        kind, pieces = 0, [varint(int(v)) for v in values]
    if packed:
        content = block(field, b"".join(pieces))
    else:
        content = b"".join(varint(field << 3 | kind) + piece for piece in pieces)
    same(read(tmp_path, onnx_model([head + block(8, "w") + content])).arrays["w"], array)


def test_many_varints_over_the_borders_of_blocks(tmp_path, monkeypatch):
    from minideconv.interop import protobuf

    monkeypatch.setattr(protobuf, "_BLOCK", 7)
    values = [int(v) for v in np.random.default_rng(5).integers(-(1 << 62), 1 << 62, 50)]
    values[::3] = range(len(values[::3]))
    packed = block(7, b"".join(map(varint, values)))
    head = block(1, varint(50)) + number(2, 7) + block(8, "w")
    found = read(tmp_path, onnx_model([head + packed])).arrays["w"]
    assert found.tolist() == values


def test_caffe_doubles_and_mixed_fields(tmp_path):
    doubles = np.random.default_rng(1).standard_normal((2, 3))
    same(read(tmp_path, caffemodel([("ip", "InnerProduct", [doubles])], 2)).arrays["ip/0"], doubles)
    # Packed and single values of one field may stand mixed; they follow one another.
    one = block(7, block(1, varint(3))) + block(5, np.float32([1, 2]).tobytes())
    one += varint(5 << 3 | 5) + np.float32(3).tobytes()
    layer = block(1, "a") + block(2, "Scale") + block(7, one)
    assert read(tmp_path, block(1, "n") + block(100, layer)).arrays["a/0"].tolist() == [1, 2, 3]
    # Layers without weights, unknown fields and old names of the input are passed over.
    content = block(3, "data") + number(4, 1) + caffemodel([("r", "ReLU", [])], 1)
    content += block(2, block(4, "c") + block(6, blob(np.ones(2, np.float32))) + number(999, 5))
    assert list(read(tmp_path, content).arrays) == ["c/0"]


def test_safetensors_are_written_and_read_back(tmp_path):
    rng = np.random.default_rng(3)
    arrays = {
        "w": rng.standard_normal((2, 3)).astype(np.float32),
        "strided": rng.standard_normal((4, 6))[::2, ::3],
        "half": rng.standard_normal(5).astype(np.float16),
        "big endian": np.arange(4, dtype=">i4"),
        "truth": np.array([True, False]),
        "scalar": np.array(3, np.int64),
        "none": np.empty((0, 4), np.uint8),
        "ümlaut": np.ones(1, np.float32),
    }
    path = tmp_path / "w.safetensors"
    write_safetensors(path, arrays, {"made by": "a test"})
    weights = read_weights(path)
    assert weights.metadata == {"made by": "a test"}
    assert weights.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        same(weights.arrays[name], np.array(array.astype(array.dtype.newbyteorder("="), order="C")))


def test_safetensors_that_cannot_be_written(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"earlier")
    for arrays, metadata in (
        ({"a": np.ones(2, np.complex64)}, None),
        ({"__metadata__": np.ones(2)}, None),
        ({"a": np.array(["text"])}, None),
        ({"a": np.ones(2)}, {"epoch": 3}),
        ({"\udcff": np.ones(2)}, None),
    ):
        with pytest.raises(CheckpointError, match=r"cannot be written|but texts|no Unicode"):
            write_safetensors(path, arrays, metadata)
    assert path.read_bytes() == b"earlier"
    with pytest.raises(CheckpointError, match="could not be written: No such file"):
        write_safetensors(tmp_path / "no" / "w", {"a": np.ones(2)})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_of_this_library_gives_the_networks_state(tmp_path):
    from minideconv.models import deconvnet
    from minideconv.training.run.checkpoint import Checkpoint, save_checkpoint

    state = deconvnet(num_classes=3, width=2, input_size=32, fc=4).state_dict()
    save_checkpoint(tmp_path / "c.npz", Checkpoint(state, {"x": 1}, {"m": np.ones(3)}))
    weights = read_weights(tmp_path / "c.npz")
    assert weights.arrays.keys() == state.keys()
    for name, array in state.items():
        same(weights.arrays[name], np.asarray(array).copy())


def _ignore_strides(storage, plan):
    count = int(np.prod(plan.shape))
    return storage[plan.offset : plan.offset + count].reshape(plan.shape)


def _ignore_offset(storage, plan, right=pytorch._view):
    return right(storage, plan._replace(offset=0))


def _keep_the_last_field(self, field):
    self._only = field.value


def _lower_half(stored, dtype):
    return stored.astype(np.uint32).view(np.float32) if dtype == "bfloat16" else np.array(stored)


@pytest.mark.parametrize(
    ("place", "wrong", "test"),
    [
        ("pytorch._view", _ignore_strides, test_tensors_are_views_of_storages),
        ("pytorch._view", _ignore_offset, test_tensors_are_views_of_storages),
        ("arrays.as_numbers", _lower_half, test_bfloat16_is_widened_exactly),
        ("protobuf.Numbers.add", _keep_the_last_field, test_caffe_doubles_and_mixed_fields),
    ],
)
def test_a_wrong_reader_is_rejected(tmp_path, monkeypatch, place, wrong, test):
    monkeypatch.setattr(f"minideconv.interop.{place}", wrong)
    with pytest.raises((AssertionError, ValueError, CheckpointError)):
        test(tmp_path, pth) if "pytorch" in place else test(tmp_path)
