"""Weight files written by the programs themselves, or read by a second reader: bit for bit."""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np
import pytest
from hostile import mutate, read_in_bounds
from weight_files import caffemodel

from minideconv.errors import CheckpointError
from minideconv.interop import (
    CAFFE,
    TORCHVISION,
    match,
    read_weights,
    to_naming,
    write_safetensors,
)
from minideconv.interop.keras_worker import read_hdf5
from minideconv.interop.malformed import Malformed

pytestmark = pytest.mark.cpu  # files are read on the host


def same(found: np.ndarray, written: np.ndarray) -> None:
    assert found.dtype == written.dtype
    assert found.shape == written.shape
    assert found.tobytes() == written.tobytes()


def tensors(torch):
    """A state with every kind of storage, view and type that torch.save knows of."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    x = torch.arange(24.0).reshape(4, 6)
    return {
        "state_dict": net.state_dict(),
        "transposed": x.t(),
        "part": x[1:3, ::2],
        "half": x.half(),
        "bfloat16": x.bfloat16() * 1.37,
        "double": x.double() / 7,
        "truth": x > 3,
        **{str(t): x.to(t) for t in (torch.int64, torch.int32, torch.int16, torch.int8)},
        "bytes": x.to(torch.uint8),
        "tied": x,
        "parameter": torch.nn.Parameter(x),
        "number": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "list": [x + 1, (x + 2,)],
        "epoch": 3,
        "name": "net",
    }


def flat(value, name=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for key, inner in enumerate(value):
            yield from flat(inner, f"{name}.{key}")
    else:
        yield name, value


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves(torch, tmp_path, zipped):
    saved, path = tensors(torch), tmp_path / "t.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert weights.format == ("PyTorch" if zipped else "PyTorch (legacy)")
    expected = {name: t for name, t in flat(saved) if isinstance(t, torch.Tensor)}
    assert list(weights.arrays) == list(expected)
    for name, tensor in expected.items():
        tensor = tensor.detach()
        wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        same(weights.arrays[name], wide.contiguous().numpy())
    assert weights.metadata == {"epoch": "3", "name": "net"}


def test_a_file_without_checksums_and_a_lone_tensor(torch, tmp_path):
    path, before = tmp_path / "t.pth", torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.arange(5), path)
    finally:
        torch.serialization.set_crc32_options(before)
    same(read_weights(path).arrays["tensor"], np.arange(5))


def test_what_torch_saves_besides_tensors_is_refused_by_name(torch, tmp_path):
    path = tmp_path / "t.pth"
    torch.save(torch.nn.Conv2d(1, 1, 1), path)  # a whole module, as one should not save it
    with pytest.raises(CheckpointError, match=r"the pickle names torch\.nn\.modules\.conv\.Conv2d"):
        read_weights(path)
    torch.save({"loss": np.float64(1.0)}, path)
    with pytest.raises(CheckpointError, match=r"the pickle names numpy\..*multiarray\.scalar"):
        read_weights(path)
    torch.save({"w": torch.zeros(3).to_sparse()}, path)
    with pytest.raises(CheckpointError, match="the pickle names torch"):
        read_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    with pytest.raises(CheckpointError, match="it is a TorchScript program"):
        read_weights(path)


def test_safetensors_both_ways(torch, tmp_path):
    library = pytest.importorskip("safetensors.torch", reason="needs safetensors")
    plain = pytest.importorskip("safetensors.numpy", reason="needs safetensors")
    state = {n: t.contiguous() for n, t in flat(tensors(torch)) if isinstance(t, torch.Tensor)}
    state = {name: t.detach().clone() for name, t in state.items()}
    path = tmp_path / "w.safetensors"
    library.save_file(state, path, metadata={"format": "pt"})
    weights = read_weights(path)
    assert weights.format == "safetensors"
    assert weights.metadata == {"format": "pt"}
    assert weights.arrays.keys() == state.keys()
    for name, tensor in state.items():
        wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        same(weights.arrays[name], wide.numpy())
    write_safetensors(path, weights.arrays, {"a": "b"})
    back = plain.load_file(path)
    assert back.keys() == weights.arrays.keys()
    for name, array in weights.arrays.items():
        same(np.asarray(back[name]).reshape(array.shape), array)


def test_onnx_tensors_in_both_ways_of_storing(onnx, tmp_path):
    rng = np.random.default_rng(0)
    types = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
    arrays = {f"{t}": (rng.standard_normal((2, 3)) * 50).astype(t) for t in types}
    arrays["number"] = np.array(1.5, np.float32)
    arrays["none"] = np.empty((0, 2), np.int64)
    listed, raw = [], []
    for name, array in arrays.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        values = array.ravel().tolist()
        listed.append(onnx.helper.make_tensor(f"list {name}", kind, array.shape, values))
        raw.append(onnx.numpy_helper.from_array(array, f"raw {name}"))
    bfloat = onnx.helper.make_tensor("bf", onnx.TensorProto.BFLOAT16, [3], [1.0, -2.5, 3.140625])
    graph = onnx.helper.make_graph([], "g", [], [], [*listed, *raw, bfloat])
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(graph, producer_name="a test"), path)
    weights = read_weights(path)
    assert weights.metadata["producer"] == "a test"
    for name, array in arrays.items():
        same(weights.arrays[f"list {name}"], array)
        same(weights.arrays[f"raw {name}"], array)
    assert weights.arrays["bf"].tolist() == [1.0, -2.5, 3.140625]


def test_onnx_data_in_another_file_is_refused(onnx, tmp_path):
    tensor = onnx.numpy_helper.from_array(np.ones(2000, np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(graph), path, save_as_external_data=True, location="data.bin")
    with pytest.raises(CheckpointError, match="initialiser w is stored in another file"):
        read_weights(path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_opencv_reads_the_same_caffemodel(tmp_path, version, legacy, packed):
    """A second reader of the bytes that the tests write: what it computes is what ours says."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless<5")
    from minideconv import ops

    rng = np.random.default_rng(version)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(-4, 5, shape).astype(np.float32)

    layers = [
        ("conv", "Convolution", [draw(4, 3, 3, 3), draw(4)]),
        ("up", "Deconvolution", [draw(4, 2, 3, 3), draw(2)]),  # (in, out, height, width)
    ]
    model, text = tmp_path / "n.caffemodel", tmp_path / "n.prototxt"
    model.write_bytes(caffemodel(layers, version, legacy=legacy, packed=packed))
    text.write_text(
        'name: "n" input: "x" input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 6\n'
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "c"'
        " convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }\n"
        'layer { name: "up" type: "Deconvolution" bottom: "c" top: "u"'
        " convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }\n"
    )
    net = cv2.dnn.readNetFromCaffe(str(text), str(model))
    x = draw(1, 3, 5, 6)
    net.setInput(x)
    theirs = net.forward()
    arrays = read_weights(model).arrays
    y = ops.conv2d(x, arrays["conv/0"], arrays["conv/1"].ravel(), padding=1)
    y = ops.conv_transpose2d(y, arrays["up/0"], arrays["up/1"].ravel(), padding=1)
    # Whole numbers throughout, so that nothing but OpenCV's own rounding may be between the two.
    np.testing.assert_array_equal(y, np.rint(theirs))
    assert np.abs(theirs - np.rint(theirs)).max() < 1e-2


def h5_file(path, h5py, **options) -> dict[str, np.ndarray]:
    """As Keras writes a whole model: groups by layer, attributes with the names."""
    rng = np.random.default_rng(0)
    arrays = {}
    with h5py.File(path, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", b"2.4.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"block1_conv1", b"block1_pool"]
        group.create_group("block1_pool")
        for layer in ("block1_conv1", "block1_conv2"):
            inner = group.create_group(layer).create_group(layer)
            for name, shape in (("kernel:0", (3, 3, 3, 4)), ("bias:0", (4,))):
                array = rng.standard_normal(shape).astype(np.float32)
                inner.create_dataset(name, data=array, **options)
                arrays[f"model_weights/{layer}/{layer}/{name}"] = array
        other = file.create_group("optimizer")
        other.create_dataset("text", data="adam")
        other.create_dataset("big", data=np.arange(4, dtype=">f8"))
        arrays["optimizer/big"] = np.arange(4.0)
    return arrays


def test_keras_files(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    written = h5_file(tmp_path / "m.h5", h5py)
    weights = read_weights(tmp_path / "m.h5")
    assert weights.format == "Keras"
    assert weights.metadata == {"backend": "tensorflow", "keras_version": "2.4.0"}
    assert weights.arrays.keys() == written.keys()
    for name, array in written.items():
        same(weights.arrays[name], array)


def test_keras_files_that_lie(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    path, other = tmp_path / "m.h5", tmp_path / "other.h5"
    h5_file(other, h5py)
    (tmp_path / "raw").write_bytes(bytes(16))

    def huge(f):
        f.create_dataset("w", (25 << 30,), "f4")  # 100 GB that are not there

    def chunked(f):
        f.create_dataset("w", (1 << 20, 1 << 20), "f4", chunks=(16, 16))

    def compressed(f):
        f.create_dataset("w", data=np.zeros(1 << 22, np.float32), compression="gzip")

    def filtered(f):
        f.create_dataset("w", data=np.zeros(64, np.float32), fletcher32=True)

    def soft(f):
        f["w"] = h5py.SoftLink("/other")

    def external_link(f):
        f["w"] = h5py.ExternalLink(str(other), "/model_weights")

    def external_data(f):
        f.create_dataset("w", (4,), "f4", external=[(str(tmp_path / "raw"), 0, 16)])

    def virtual(f):
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(other), "optimizer/big", (4,))
        f.create_virtual_dataset("w", layout)

    def in_itself(f):
        group = f.create_group("a")
        group["a"] = group

    def null(f):
        f.create_dataset("w", dtype="f4", data=h5py.Empty("f4"))

    cases = [
        (huge, "takes 107,374,182,400 bytes, but the file of"),
        (chunked, "takes 4,398,046,511,104 bytes, but the file of"),
        (compressed, "is compressed or filtered"),
        (filtered, "is compressed or filtered"),
        (soft, "w is a link to another place or file"),
        (external_link, "w is a link to another place or file"),
        (external_data, "has its values in another file"),
        (virtual, "has its values in another file"),
        (in_itself, "nested deeper than 16, or in themselves"),
        (null, "has no shape"),
    ]
    for make, words in cases:
        with h5py.File(path, "w") as file:
            make(file)
        # As the worker reads it, for to start one takes longer than to read.
        with pytest.raises(Malformed, match=words):
            read_hdf5(path, path.stat().st_size)
    assert read_in_bounds(path) == "refused"


def test_keras_files_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CheckpointError, match="needs h5py: pip install 'minideconv\\[h5\\]'"):
        read_weights(tmp_path / "m.h5")


def test_mutated_keras_files(tmp_path):
    """Fewer than of the other formats: each is read by a process of its own."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    path = tmp_path / "m.h5"
    h5_file(path, h5py)
    content, seen = path.read_bytes(), {"refused": 0, "read": 0}
    for seed in range(int(os.environ.get("MINIDECONV_TEST_MUTATIONS") or 75) // 5):
        path.write_bytes(mutate(content, np.random.default_rng([seed, 5])))
        seen[read_in_bounds(path)] += 1
    assert min(seen.values()) > 0


def test_a_keras_file_on_which_the_library_computes_for_ever(tmp_path, monkeypatch):
    """Found among mutated ones, with h5py 3.16; another version may refuse it."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    monkeypatch.setattr("minideconv.interop.keras._SECONDS", 3)
    path = tmp_path / "m.h5"
    h5_file(path, h5py)
    path.write_bytes(mutate(path.read_bytes(), np.random.default_rng([833, 5])))
    with pytest.raises(CheckpointError, match=r"failed on it, or took too long|damaged"):
        read_weights(path)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "failed on it, or took too long (code -6)"),
        ("while True: pass", "does not come to an end with it"),
        ("raise RuntimeError('odd')", "took too long (RuntimeError: odd)"),
    ],
)
def test_a_worker_that_fails(tmp_path, monkeypatch, program, words):
    pytest.importorskip("h5py", reason="needs h5py")
    monkeypatch.setattr("minideconv.interop.keras._PROGRAM", program)
    monkeypatch.setattr("minideconv.interop.keras._SECONDS", 2)
    monkeypatch.setattr("minideconv.interop.keras._PATIENCE", 1)
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "m.h5")
    assert words in str(caught.value)


def test_torchvisions_vgg16_as_torch_computes_it(torch, tmp_path):
    """A VGG-16 of torchvision's layout, small, with batch normalisation, in float64 arithmetic."""
    from minideconv import ops

    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    plan = [4, 4, "M", 6, 6, "M", 8, 8, 8, "M", 8, 8, 8, "M", 8, 8, 8, "M"]
    parts, channels = [], 3
    for width in plan:
        if width == "M":
            parts.append(torch.nn.MaxPool2d(2))
            continue
        parts += [torch.nn.Conv2d(channels, width, 3, padding=1), torch.nn.BatchNorm2d(width)]
        parts.append(torch.nn.ReLU())
        channels = width
    features = torch.nn.Sequential(*parts)
    with torch.no_grad():
        for _ in range(3):  # running statistics of some pictures
            pictures = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
            features(torch.from_numpy(pictures))
    features.eval()
    holder = torch.nn.Module()
    holder.features = features
    torch.save(holder.state_dict(), tmp_path / "v.pth")
    target = CAFFE.keeping_mean_of(TORCHVISION)
    found = match(read_weights(tmp_path / "v.pth"), target=target)
    assert found.title == "torchvision's vgg16_bn"
    assert found.unused == []
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with torch.no_grad():
        theirs = features(torch.from_numpy(TORCHVISION.apply(image))[None]).numpy()
    y = target.apply(image)[None]
    arrays = found.arrays
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            name = f"conv{stage}_{i}"
            y = ops.conv2d(
                y, arrays[f"{name}.layer.weight"], arrays[f"{name}.layer.bias"], padding=1
            )
            mean, var = arrays[f"{name}.bn.running_mean"], arrays[f"{name}.bn.running_var"]
            scale = arrays[f"{name}.bn.weight"] / np.sqrt(var + 1e-5)
            shift = arrays[f"{name}.bn.bias"] - mean * scale
            y = np.maximum(y * scale[:, None, None] + shift[:, None, None], 0)
        y = ops.max_pool2d(y, 2)
    np.testing.assert_allclose(y, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
    names = {k: v for k, v in to_naming(found.arrays, "torchvision vgg16_bn").items() if k != "0"}
    assert names.keys() == holder.state_dict().keys()
