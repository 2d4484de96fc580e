"""Caffe's ``.caffemodel``: the blobs of each layer, in the old form of a network (V1) and the new.

A file is one `NetParameter` of ``caffe.proto``. What is read of it:

============== ==================================================================================
NetParameter   name 1, layers 2 (V1LayerParameter), layer 100 (LayerParameter)
V1Layer...     name 4, type 5 (a number), blobs 6, layer 1 (the oldest form, V0)
Layer...       name 1, type 2 (a text), blobs 7
BlobProto      num 1, channels 2, height 3, width 4, data 5, shape 7 {dim 1}, double_data 8
============== ==================================================================================

Blob number `i` of the layer ``conv1_1`` becomes the array ``conv1_1/i``: 0 is the weight, 1 the
bias. Shapes stay the file's: a bias of an old file is (1, 1, 1, C).
"""

from __future__ import annotations

import numpy as np

from minideconv.interop.arrays import MOST_DIMENSIONS, make_array
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.protobuf import BYTES, Field, Numbers, fields

__all__ = ["read_caffemodel"]

# Numbers of V1's types that have weights in the networks of interest; the fork that DeconvNet was
# trained with calls BN 43 and UNPOOLING 42.
_V1_TYPES = {
    4: "Convolution", 14: "InnerProduct", 39: "Deconvolution", 43: "BN", 42: "Unpooling",
}  # fmt: skip


def read_caffemodel(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the blobs by ``LAYER/NUMBER``, and what each layer that has some is.

    Raises
    ------
    Malformed
        If the bytes are no network, or hold no weights.
    """
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, str] = {}
    for field in fields(data):
        if field.number == 1 and field.kind == BYTES:
            about["name"] = field.text()
        elif field.number in (2, 100):
            old = field.number == 2
            name, kind, blobs = _layer(field.message(), old)
            if not blobs:
                continue
            if f"{name}/0" in arrays:
                raise Malformed(f"two layers with weights are both called {shown(name)}")
            about["version"] = "V1" if old else "V2"
            about[f"type of {name}"] = kind
            for number, blob in enumerate(blobs):
                arrays[f"{name}/{number}"] = _blob(blob, f"blob {number} of layer {shown(name)}")
    return arrays, about


def _layer(message: memoryview, old: bool) -> tuple[str, str, list[memoryview]]:
    """Return name, type and blobs of a layer."""
    name_field, type_field, blobs_field = (4, 5, 6) if old else (1, 2, 7)
    name, kind, blobs = "", "", []
    for field in fields(message):
        if field.number == name_field:
            name = field.text()
        elif field.number == type_field:
            kind = _V1_TYPES.get(field.integer(), str(field.integer())) if old else field.text()
        elif field.number == blobs_field:
            blobs.append(field.message())
        elif old and field.number == 1 and field.kind == BYTES:
            raise Malformed(
                "it is of Caffe's oldest form (V0), which is not read; Caffe's own"
                " upgrade_net_proto_binary makes a newer one of it"
            )
    return name, kind, blobs


def _blob(message: memoryview, what: str) -> np.ndarray:
    """Return a blob as an array; like Caffe it takes double_data where there is some."""
    legacy: dict[int, int] = {}
    shape: tuple[int, ...] | None = None
    data, doubles = Numbers(), Numbers()
    for field in fields(message, numbers=True):
        if field.number in (1, 2, 3, 4):
            legacy[field.number] = field.integer()
        elif field.number == 5:
            data.add(field)
        elif field.number == 7:
            shape = _dims(field)
        elif field.number == 8:
            doubles.add(field)
    if shape is None:
        if not legacy:
            raise Malformed(f"{what} says nothing about its shape")
        # A length that is left out is Caffe's default, 0.
        shape = tuple(legacy.get(number, 0) for number in (1, 2, 3, 4))
    if doubles:
        return make_array(doubles.data, "float64", shape, what)
    return make_array(data.data, "float32", shape, what)


def _dims(field: Field) -> tuple[int, ...]:
    dims = Numbers()
    for inner in fields(field.message()):
        if inner.number == 1:
            dims.add(inner)
    return tuple(dims.varints(MOST_DIMENSIONS).tolist())
