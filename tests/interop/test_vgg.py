"""VGG-16 under everyone's names: the same network comes out, checked by what it computes."""

from __future__ import annotations

import numpy as np
import pytest
from weight_files import pth

from minideconv import ops
from minideconv.errors import CheckpointError, UsageError
from minideconv.interop import (
    NAMINGS,
    WeightFile,
    identify,
    match,
    read_weights,
    to_naming,
)
from minideconv.interop.vgg_names import CONVOLUTIONS
from minideconv.models import deconvnet

WIDTHS = dict(zip(CONVOLUTIONS, (2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6), strict=True))
WHOLE = ("caffe deconvnet", "minideconv")


def trunk(seed: int = 0, norm: bool = False, fc: bool = True) -> dict[str, np.ndarray]:
    """A small VGG-16 with a 7x7 fc6, by this library's names."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    state, channels = {}, 3
    for block, width in WIDTHS.items():
        state[f"{block}.layer.weight"] = draw(width, channels, 3, 3)
        state[f"{block}.layer.bias"] = draw(width)
        if norm:
            for part in ("weight", "bias", "running_mean"):
                state[f"{block}.bn.{part}"] = draw(width)
            state[f"{block}.bn.running_var"] = draw(width) ** 2 + 1
            state[f"{block}.bn.num_batches_tracked"] = np.array(9, np.int64)
        channels = width
    if fc:
        state["fc6.layer.weight"], state["fc6.layer.bias"] = draw(8, channels, 7, 7), draw(8)
        state["fc7.layer.weight"], state["fc7.layer.bias"] = draw(9, 8, 1, 1), draw(9)
    return state


def file_of(arrays: dict[str, np.ndarray], format: str = "PyTorch") -> WeightFile:
    return WeightFile("file", format, arrays)


def equal(found: dict[str, np.ndarray], state: dict[str, np.ndarray]) -> None:
    assert found.keys() == state.keys()
    for name, array in state.items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("front", ["", "state_dict.", "model_weights/", "a.b/c."])
@pytest.mark.parametrize("name", [name for name in NAMINGS if name not in WHOLE])
def test_every_naming_there_and_back(name, front):
    state = trunk(norm=name.endswith("_bn"))
    theirs = to_naming(state, name)
    assert len(theirs) == len(state)
    extra = {f"{front}elsewhere": np.ones(2, np.float32)}
    weights = file_of({**{front + key: array for key, array in theirs.items()}, **extra})
    found = match(weights)
    equal(found.arrays, state)
    assert found.unused == [f"{front}elsewhere"]
    assert found.missing == []
    assert found.convention == NAMINGS[name].convention or name == "caffe fcn"
    assert [row.target for row in found.rows] == list(state)
    same_names = {key for key in NAMINGS if NAMINGS[key].names.get("conv1_1.layer.weight")
                  == NAMINGS[name].names["conv1_1.layer.weight"]}  # fmt: skip
    assert identify(list(weights.arrays))[0] in same_names


def test_names_as_the_programs_have_them():
    """From the published tables, not from the code: positions in torchvision, paths in Keras."""
    plain = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    norm = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]
    for name, places in (("torchvision vgg16", plain), ("torchvision vgg16_bn", norm)):
        names = NAMINGS[name].names
        for block, place in zip(CONVOLUTIONS, places, strict=True):
            assert names[f"{block}.layer.weight"] == f"features.{place}.weight"
            if name.endswith("bn"):
                assert names[f"{block}.bn.running_var"] == f"features.{place + 1}.running_var"
        assert names["fc6.layer.weight"] == "classifier.0.weight"
        assert names["fc7.layer.bias"] == "classifier.3.bias"
    caffe = NAMINGS["caffe deconvnet"].names
    assert caffe["conv1_1.bn.bias"] == "bn1_1/1"
    assert caffe["fc6.bn.weight"] == "bnfc6/0"
    assert caffe["fc6_deconv.layer.weight"] == "fc6-deconv/0"
    assert caffe["fc6_deconv.bn.weight"] == "fc6-deconv-bn/0"
    assert caffe["deconv5_3.layer.bias"] == "deconv5_3/1"
    assert caffe["deconv1_2.bn.weight"] == "debn1_2/0"
    assert caffe["seg_score.weight"] == "seg-score-voc/0"
    assert NAMINGS["caffe"].names["conv5_3.layer.bias"] == "conv5_3/1"
    keras = "block3_conv2/block3_conv2/kernel:0"
    assert NAMINGS["keras"].names["conv3_2.layer.weight"] == keras
    onnx = NAMINGS["onnx of keras"].names
    assert onnx["conv3_2.layer.weight"] == "block3_conv2_1/convolution/ReadVariableOp:0"
    assert onnx["conv3_2.layer.bias"] == "block3_conv2_1/Squeeze:0"


def dense(maps: np.ndarray, matrix: np.ndarray, layout: str) -> np.ndarray:
    """A fully connected layer as its program computes it: it flattens its own maps."""
    if layout == "HWIO":  # maps are (N, H, W, C), the matrix is (in, out)
        return maps.transpose(0, 2, 3, 1).reshape(len(maps), -1) @ matrix
    return maps.reshape(len(maps), -1) @ matrix.T


@pytest.mark.parametrize("layout", ["OIHW", "HWIO"])
def test_fc6_as_a_convolution_computes_what_the_matrix_does(layout):
    rng = np.random.default_rng(4)
    maps, channels = rng.integers(-3, 4, (2, 6, 7, 7)).astype(np.float32), 6
    matrix = rng.integers(-3, 4, (8, channels * 49)).astype(np.float32)
    matrix = matrix if layout == "OIHW" else np.ascontiguousarray(matrix.T)
    name = "torchvision vgg16" if layout == "OIHW" else "keras"
    theirs = to_naming(trunk(), name)
    theirs[NAMINGS[name].names["fc6.layer.weight"]] = matrix
    weight = match(file_of(theirs)).arrays["fc6.layer.weight"]
    assert weight.shape == (8, 6, 7, 7)
    np.testing.assert_array_equal(ops.conv2d(maps, weight)[:, :, 0, 0], dense(maps, matrix, layout))


def hwio_convolution(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(H, W, C) * (kh, kw, C, K) -> (H', W', K), as Keras' definition says, by loops."""
    kh, kw, _, k = kernel.shape
    out = np.zeros((image.shape[0] - kh + 1, image.shape[1] - kw + 1, k), image.dtype)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for o in range(k):
                out[i, j, o] = (image[i : i + kh, j : j + kw] * kernel[..., o]).sum()
    return out


def test_keras_kernels_compute_what_they_did():
    rng = np.random.default_rng(5)
    image = rng.integers(-3, 4, (5, 6, 3)).astype(np.float32)
    theirs = to_naming(trunk(), "keras")
    kernel = theirs["block1_conv1/block1_conv1/kernel:0"]
    kernel[...] = rng.integers(-3, 4, kernel.shape)
    weight = match(file_of(theirs)).arrays["conv1_1.layer.weight"]
    ours = ops.conv2d(image.transpose(2, 0, 1)[None], weight)[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(ours, hwio_convolution(image, kernel))
    # What a student would write, and this test must notice.
    for axes in ((3, 2, 1, 0), (2, 3, 0, 1)):
        wrong = np.ascontiguousarray(kernel.transpose(axes))
        if wrong.shape == weight.shape:
            other = ops.conv2d(image.transpose(2, 0, 1)[None], wrong)[0].transpose(1, 2, 0)
            assert (other != ours).any()


def caffe_shapes(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As old files have them: biases (1, 1, 1, C), BN (1, C, 1, 1), matrices (1, 1, out, in)."""
    shaped = {}
    for name, array in arrays.items():
        four = (1,) * (4 - array.ndim) + array.shape
        norm = array.ndim == 1 and ("bn" in name)
        shaped[name] = array.reshape((1, -1, 1, 1) if norm else four)
    return shaped


def test_old_shapes_of_caffe():
    state = trunk()
    theirs = caffe_shapes(to_naming(state, "caffe"))
    assert theirs["fc6/0"].shape == (1, 1, 8, 6 * 49)
    found = match(file_of(theirs, "Caffe"))
    equal(found.arrays, state)
    how = {row.target: row.how for row in found.rows}
    assert how["fc6.layer.weight"] == "matrix -> 7x7 convolution"
    assert how["conv1_1.layer.bias"] == "flattened"
    assert how["conv1_1.layer.weight"] == "as it is"


def test_the_authors_deconvnet_computes_what_their_caffe_does():
    """Convolution, BN as scale and shift, ReLU; and the mirror; through a whole network."""
    from minideconv import Tensor, no_grad

    net = deconvnet(num_classes=3, width=2, input_size=32, fc=8)
    state = net.state_dict()
    rng = np.random.default_rng(6)
    ours = {
        name: rng.standard_normal(array.shape).astype(np.float32) * 0.3 + 0.2
        for name, array in state.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    theirs = caffe_shapes(to_naming(ours, "caffe deconvnet"))
    found = match(file_of(theirs, "Caffe"), {k: v.shape for k, v in state.items()})
    assert found.title == "DeconvNet's authors' network in Caffe"
    assert found.unused == []
    assert all(name.endswith("num_batches_tracked") for name in found.missing)
    net.load_state_dict({**state, **found.arrays})
    net.eval()
    x = rng.standard_normal((1, 3, 32, 32)).astype(np.float32)
    with no_grad():
        scores = net(Tensor(x)).numpy()

    def layer(name: str, y: np.ndarray, pad: int) -> np.ndarray:
        weight, bias = theirs[f"{name}/0"], theirs[f"{name}/1"].ravel()
        conv = ops.conv_transpose2d if "deconv" in name else ops.conv2d
        return conv(y, weight, bias, padding=pad)

    def block(name: str, norm: str, y: np.ndarray, pad: int) -> np.ndarray:
        return np.maximum(theirs[f"{norm}/0"] * layer(name, y, pad) + theirs[f"{norm}/1"], 0)

    y, switches = x, []
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            y = block(f"conv{stage}_{i}", f"bn{stage}_{i}", y, 1)
        y, chosen = ops.max_pool2d(y, 2, return_switches=True)
        switches.append(chosen)
    y = block("fc6", "bnfc6", y, 0)
    y = block("fc7", "bnfc7", y, 0)
    y = block("fc6-deconv", "fc6-deconv-bn", y, 0)
    for stage, count in zip((5, 4, 3, 2, 1), (3, 3, 3, 2, 2), strict=True):
        y = ops.max_unpool2d(y, switches.pop())
        for i in range(1, count + 1):
            y = block(f"deconv{stage}_{i}", f"debn{stage}_{i}", y, 1)
    y = layer("seg-score-voc", y, 0)
    np.testing.assert_allclose(scores, y, rtol=1e-4, atol=1e-5 * np.abs(y).max())


def test_a_trunk_for_a_network_of_other_fully_connected_layers():
    net = deconvnet(num_classes=3, width=2, input_size=64, fc=5, fc_kernel=1)
    shapes = {name: array.shape for name, array in net.state_dict().items()}
    theirs = to_naming(
        {k: v for k, v in net.state_dict().items() if ".layer." in k and "deconv" not in k},
        "torchvision vgg16",
    )
    found = match(file_of(theirs), shapes, skip=("fc6", "fc7"))
    assert len(found.arrays) == 26
    assert "classifier.0.weight" in found.unused
    assert not any(name.startswith(("fc6.", "fc7.")) for name in found.missing)
    theirs["features.2.weight"] = np.ones((2, 2, 5, 5), np.float32)
    with pytest.raises(CheckpointError, match=r"features\.2\.weight has shape .*must be \(2, 2, 3"):
        match(file_of(theirs), shapes, skip=("fc6", "fc7"))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("conv3_1.layer.weight", (4, 4, 3, 3), r"it must be \(4, 3, 3, 3\)"),
        ("conv1_1.layer.weight", (2, 4, 3, 3), r"it must be \(2, 3, 3, 3\)"),
        ("conv1_1.layer.weight", (2, 3, 3), r"\(2, 3, 3\) for conv1_1\.layer\.weight; it must be"),
        ("conv2_2.layer.bias", (4,), r"it must be \(3,\)"),
        ("conv2_2.layer.bias", (), r"it must be \(3,\)"),
        ("conv4_1.layer.weight", (5, 4, 1, 1), r"it must be \(5, 4, 3, 3\)"),
        ("fc6.layer.bias", (8, 2), r"it must be \(8,\)"),
        ("fc7.layer.weight", (9, 7), "a matrix of 7 columns, which is no square window"),
        ("fc6.layer.weight", (8, 6 * 48), "a matrix of 288 columns, which is no square window"),
        ("fc6.layer.weight", (8, 0), "a matrix of 0 columns"),
    ],
)
def test_shapes_that_do_not_fit(name, shape, words):
    theirs = to_naming(trunk(), "torchvision vgg16")
    theirs[NAMINGS["torchvision vgg16"].names[name]] = np.ones(shape, np.float32)
    with pytest.raises(CheckpointError, match=words) as caught:
        match(file_of(theirs))
    assert str(caught.value).startswith("weights file: ")


def test_missing_convolutions_and_other_networks():
    theirs = to_naming(trunk(), "caffe")
    del theirs["conv4_2/0"]
    with pytest.raises(CheckpointError, match="the weight of conv4_2 is not in it, though the"):
        match(file_of(theirs))
    with pytest.raises(CheckpointError, match="no names of VGG-16 or DeconvNet are in it; the fir"):
        match(file_of({"layer1.0.conv1.weight": np.ones((2, 2, 3, 3))}))
    assert identify(["a", "xfeatures.0.weight"]) is None


def test_what_is_missing_and_unused_is_said():
    weights = file_of(to_naming(trunk(fc=False), "torchvision vgg16"))
    weights.arrays["classifier.6.weight"] = np.ones((10, 9))
    report = match(weights).report()
    assert report.startswith("torchvision's vgg16: 26 parameters\nfeed: RGB, 0..1, less (0.485,")
    assert "missing in the file, so the network keeps its own (4): fc6.layer.weight, fc6" in report
    assert "unused (1): classifier.6.weight" in report
    line = next(line for line in report.splitlines() if line.startswith("features.28.weight"))
    assert line.split() == [
        "features.28.weight",
        "6x6x3x3",
        "conv5_3.layer.weight",
        "6x6x3x3",
        "as",
        "it",
        "is",
    ]


def test_doubles_and_halves_become_float32():
    state = trunk(fc=False)
    theirs = to_naming(state, "caffe")
    found = match(file_of({k: v.astype(np.float64) for k, v in theirs.items()}))
    equal(found.arrays, state)
    assert found.rows[0].how == "float64 -> float32"
    found = match(file_of({k: v.astype(np.float16) for k, v in theirs.items()}))
    assert found.arrays["conv1_1.layer.bias"].dtype == np.float32


def test_a_checkpoint_read_by_its_own_names(tmp_path):
    state = trunk(norm=True)
    (tmp_path / "f").write_bytes(pth({f"state_dict.{k}": v for k, v in state.items()}))
    found = match(read_weights(tmp_path / "f"))
    equal(found.arrays, state)
    assert found.convention is None
    assert "not known from the names" in found.report()


def test_names_that_a_program_does_not_have():
    with pytest.raises(UsageError, match=r"Oxford's VGG-16 in Caffe has nothing like conv1_1\.bn"):
        to_naming(trunk(norm=True), "caffe")
    with pytest.raises(
        UsageError, match="naming 'theano' is unknown; there are torchvision vgg16,"
    ):
        to_naming({}, "theano")
