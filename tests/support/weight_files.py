"""Small weight files, written byte by byte from the formats' descriptions: no library of theirs."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterable

import numpy as np

# ---- Protocol Buffers ---------------------------------------------------------------------------


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def floats_one_by_one(field: int, values: np.ndarray) -> bytes:
    tag = varint(field << 3 | 5)
    return b"".join(tag + struct.pack("<f", v) for v in values.ravel())


# ---- Caffe --------------------------------------------------------------------------------------


def blob(array: np.ndarray, *, legacy: bool = False, packed: bool = True) -> bytes:
    if legacy:
        four = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(number(i, n) for i, n in enumerate(four, 1))
    else:
        shape = block(7, block(1, b"".join(map(varint, array.shape))))
    if array.dtype == np.float64:
        return shape + block(8, array.astype("<f8").tobytes())
    if packed:
        return shape + block(5, array.astype("<f4").tobytes())
    return shape + floats_one_by_one(5, array)


V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "BN": 43, "ReLU": 18}


def caffemodel(
    layers: Iterable[tuple[str, str, list[np.ndarray]]],
    version: int = 1,
    *,
    legacy: bool | None = None,
    packed: bool = True,
) -> bytes:
    """Layers are (name, type, blobs)."""
    out = block(1, "net")
    legacy = version == 1 if legacy is None else legacy
    for name, kind, arrays in layers:
        blobs = [blob(a, legacy=legacy, packed=packed) for a in arrays]
        if version == 1:
            head = (
                block(2, "below") + block(3, "above") + block(4, name) + number(5, V1_TYPES[kind])
            )
            out += block(2, head + b"".join(block(6, b) for b in blobs))
        else:
            head = block(1, name) + block(2, kind) + block(3, "below") + block(4, "above")
            out += block(100, head + b"".join(block(7, b) for b in blobs))
    return out


# ---- ONNX ---------------------------------------------------------------------------------------

ONNX_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7,
    "bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13,
}  # fmt: skip


def onnx_tensor(name: str, array: np.ndarray) -> bytes:
    little = array.astype(array.dtype.newbyteorder("<"))
    return (
        block(1, b"".join(map(varint, array.shape)))
        + number(2, ONNX_TYPES[array.dtype.name])
        + block(8, name)
        + block(9, little.tobytes())
    )


def onnx_model(tensors: Iterable[bytes]) -> bytes:
    graph = block(2, "graph") + b"".join(block(5, t) for t in tensors)
    return number(1, 8) + block(2, "a test") + block(7, graph) + block(8, number(2, 17))


# ---- safetensors --------------------------------------------------------------------------------


def safetensors(header: object, content: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


# ---- PyTorch ------------------------------------------------------------------------------------


def plain(value: object) -> bytes:
    """The instructions that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
    "int64": "LongStorage", "int32": "IntStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip


def reference(key: str, storage: str, count: int) -> bytes:
    kind = f"ctorch\n{storage}\n".encode()
    return b"(" + plain("storage") + kind + plain(key) + plain("cpu") + plain(count) + b"tQ"


def tensor(stored: bytes, offset: int, shape: tuple, stride: tuple) -> bytes:
    rest = plain(offset) + plain(shape) + plain(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + rest + b"tR"


def state_dict(entries: dict[str, bytes]) -> bytes:
    """A pickle of an OrderedDict with instructions for each value."""
    items = b"".join(plain(name) + value for name, value in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def _plans(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    entries = {}
    for key, (name, array) in enumerate(arrays.items()):
        stride = tuple(step // array.itemsize for step in array.strides)
        stored = reference(str(key), STORAGES[array.dtype.name], array.size)
        entries[name] = tensor(stored, 0, array.shape, stride)
    return entries


def pth(
    arrays: dict[str, np.ndarray],
    *,
    pickled: bytes | None = None,
    compression: int = zipfile.ZIP_STORED,
    byteorder: str = "little",
) -> bytes:
    """The zip form; `pickled` in place of the pickle that belongs to the arrays."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled or state_dict(_plans(arrays)))
        archive.writestr("archive/byteorder", byteorder)
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def legacy_pth(arrays: dict[str, np.ndarray], *, pickled: bytes | None = None) -> bytes:
    heads = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    out = b"".join(pickle.dumps(value, 2) for value in heads)
    out += pickled or state_dict(_plans(arrays))
    out += pickle.dumps([str(key) for key in range(len(arrays))], 2)
    for array in arrays.values():
        out += array.size.to_bytes(8, "little") + array.tobytes()
    return out


# ---- one small network in every format ----------------------------------------------------------


def small_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "features.0.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "features.0.bias": rng.standard_normal(4).astype(np.float32),
        "features.2.weight": rng.standard_normal((4, 4, 3, 3)).astype(np.float32),
        "features.2.bias": rng.standard_normal(4).astype(np.float32),
        "steps": np.array(7, np.int64),
    }


def small_files(seed: int = 0) -> dict[str, bytes]:
    """The same few arrays in every format that needs no library, by the format's name."""
    arrays = small_arrays(seed)
    weights = [a for a in arrays.values() if a.dtype == np.float32]
    layers = [
        ("conv1_1", "Convolution", weights[:2]),
        ("conv1_2", "Convolution", weights[2:]),
    ]
    npz = io.BytesIO()
    np.savez(npz, **arrays)
    header, content = {}, b""
    for name, array in arrays.items():
        code = "F32" if array.dtype == np.float32 else "I64"
        offsets = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": offsets}
        content += array.tobytes()
    return {
        "PyTorch": pth(arrays),
        "PyTorch (legacy)": legacy_pth(arrays),
        "safetensors": safetensors(header, content),
        "Caffe V1": caffemodel(layers, 1),
        "Caffe V2": caffemodel(layers, 2),
        "Caffe unpacked": caffemodel(layers, 1, packed=False),
        "ONNX": onnx_model(onnx_tensor(name, array) for name, array in arrays.items()),
        "NumPy": npz.getvalue(),
    }
