"""The page's small network: equal to the library's, and as good as the page says."""

from __future__ import annotations

import json

import numpy as np
import play_network
import pytest
from play_drawings import CLASSES, SIZE, drawings

from minideconv import Tensor, models, no_grad, ops

pytestmark = pytest.mark.cpu


def network():
    """What is committed for the page."""
    _, _, text = play_network.WEIGHTS.read_text(encoding="utf-8").partition(play_network.NAME)
    return json.loads(text.rstrip().removesuffix(";"))


def test_the_weights_are_small_enough():
    assert play_network.WEIGHTS.stat().st_size < 500_000


FORWARD = """([ink, fc7, switches, other]) => {
  const steps = decodeNetwork(NETWORK);
  const options = { fc7: fc7 ? decodeFloats(NETWORK.fc7_mean) : null, switches };
  if (other) options.switches = forwardPass(steps, other).switches;
  const found = forwardPass(steps, ink, options);
  const arrays = (named) => Object.entries(named).map(([name, map]) => [name, [...map]]);
  const data = Object.entries(found.outputs).map(([name, map]) => [name, map.data]);
  return { outputs: Object.fromEntries(arrays(Object.fromEntries(data))),
           own: Object.fromEntries(arrays(found.switches)),
           used: Object.fromEntries(arrays(other ? options.switches : found.switches)) };
}"""
BEFORE_POOLING = {1: "conv1_2", 2: "conv2_2", 3: "conv3_3"}


def plane_switches(indices, like):
    """The library's switches from the page's, which count over all channels of a map."""
    _, channels, height, width = like.shape
    plane = np.array(indices).reshape(1, channels, height // 2, width // 2) % (height * width)
    return ops.Switches(plane, (height, width))


@pytest.mark.parametrize("fc7", [False, True])
@pytest.mark.parametrize("switches", ["own", "corner", "other"])
def test_the_page_computes_what_the_library_computes(call, fc7, switches):
    """Every layer to 1e-4, on drawings that training has not seen; and every switch.

    Where two pixels of a window are equal but for rounding, the order of sums decides which one
    wins. So the library unpools by the page's switches, and these are compared with what its
    pooling finds in the page's own maps.
    """
    found = network()
    steps = play_network.read(found)
    mean = play_network.read_floats(found["fc7_mean"]) if fc7 else None
    ink, _ = drawings(seed=5, count=3)
    others = ink[0].ravel().tolist() if switches == "other" else None
    for image in ink[1:]:
        answer = call(FORWARD, [image.ravel().tolist(), fc7, switches, others])
        shapes = play_network.forward(steps, image[None])
        used = "corner"
        if switches != "corner":
            used = {
                level: plane_switches(answer["used"][str(level)], shapes[name])
                for level, name in BEFORE_POOLING.items()
            }
        right = play_network.forward(steps, image[None], mean, used)
        assert answer["outputs"].keys() == right.keys()
        for name, array in right.items():
            assert np.abs(np.array(answer["outputs"][name]) - array.ravel()).max() < 1e-4, name
        for level, name in BEFORE_POOLING.items():
            pixels = np.array(answer["outputs"][name], np.float32).reshape(shapes[name].shape)
            _, expected = ops.max_pool2d(pixels, 2, return_switches=True)
            own = plane_switches(answer["own"][str(level)], pixels)
            assert np.array_equal(own.indices, expected.indices), name


def random_network(rng):
    """A network whose normalisations have seen something."""
    net = models.deconvnet(num_classes=3, width=2, input_size=16, fc=5, stages=2, in_channels=1)
    for _, module in net.named_modules():
        if hasattr(module, "running_var"):
            count = module.running_var.shape[0]
            module.running_mean[...] = rng.normal(size=count)
            module.running_var[...] = rng.uniform(0.3, 3, count)
            module.weight.data[...] = rng.uniform(0.5, 2, count)
            module.bias.data[...] = rng.normal(size=count)
    return net.eval()


def test_folding_the_normalisations_changes_nothing():
    rng = np.random.default_rng(0)
    net = random_network(rng)
    x = rng.normal(size=(2, 1, 16, 16)).astype(np.float32)
    with no_grad():
        right = net(Tensor(x)).numpy()
    found = play_network.forward(list(play_network.folded(net)), x)["seg_score"]
    assert np.abs(found - right).max() < 1e-5 * np.abs(right).max()


def test_a_stored_weight_is_off_by_half_a_level_at_most():
    net = random_network(np.random.default_rng(1))
    for step, stored in zip(
        play_network.folded(net), play_network.read(play_network.exported(net)), strict=True
    ):
        if "weight" not in step:
            assert step == stored
            continue
        axis = 1 if step["kind"] == "conv_transpose" else 0
        others = tuple(i for i in range(4) if i != axis)
        level = np.abs(step["weight"]).max(axis=others, keepdims=True) / play_network.LEVELS
        assert (np.abs(stored["weight"] - step["weight"]) <= 0.501 * level).all()
        assert np.array_equal(stored["bias"], step["bias"])


def test_the_stated_iou_is_that_of_the_committed_weights():
    """Another version of Pillow may draw single pixels otherwise."""
    found = network()
    again = play_network.evaluate(play_network.read(found))
    for stated, row in zip(found["measured"], again["measured"], strict=True):
        assert (stated["fc7"], stated["switches"]) == (row["fc7"], row["switches"])
        assert row["classes"] == pytest.approx(stated["classes"], abs=0.01)


def test_training_starts_from_seeds_and_learns():
    """A few updates of a narrower network, twice."""
    first, second = (
        play_network.exported(play_network.train(3, width=2, fc=8, drawn=64)) for _ in range(2)
    )
    assert first == second


def test_drawings_hold_every_class_and_only_ink_and_insides():
    ink, masks = drawings(seed=7, count=30)
    assert ink.shape == (30, 1, SIZE, SIZE)
    assert ink.min() == 0
    assert ink.max() == 1
    assert set(np.unique(masks)) == set(range(len(CLASSES)))
    outside = masks == 0
    assert (ink[:, 0][outside] > 0.9).mean() < 0.02, "ink of no shape is a scribble, and rare"
    assert np.array_equal(drawings(seed=7, count=30)[0], ink)
    assert not np.array_equal(drawings(seed=8, count=30)[0], ink)
