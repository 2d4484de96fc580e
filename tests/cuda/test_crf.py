"""The dense CRF on the GPU: the probabilities of the CPU and of pydensecrf2, and what it costs.

Probabilities differ from the CPU's by at most `TOLERANCE` at any pixel: float32 sums in another
order, through all iterations.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import memory
from minideconv.errors import MinideconvError
from minideconv.ops import mean_field, permutohedral
from minideconv.segmentation.crf import DenseCRF

TOLERANCE = 2e-5
STEPS = (
    *(permutohedral.embed, permutohedral.simplices, permutohedral.distinct, permutohedral.find),
    *(permutohedral.lattice_filter, mean_field.mean_field_update),
)
NORMALIZATIONS = {"symmetric": "NORMALIZE_SYMMETRIC", "after": "NORMALIZE_AFTER"}
NORMALIZATIONS |= {"before": "NORMALIZE_BEFORE", "none": "NO_NORMALIZATION"}


@pytest.fixture
def kernels(gpu, monkeypatch):
    """Let the kernels compute, too, what is in the host's memory."""
    if gpu.kind == "hostshim":
        for step in STEPS:
            monkeypatch.setitem(step.ways, "cpu", step.ways["gpu"])
    return gpu


def pictures(height, width, classes, seed=0):
    """Coarse probabilities, and a picture of coloured rectangles with noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((classes, 6, 6)) * 2
    y, x = (np.linspace(0, 5, n).astype(int) for n in (height, width))
    p = np.exp(coarse[:, y][:, :, x] + 0.3 * rng.standard_normal((classes, height, width)))
    image = rng.integers(0, 256, (6, 6, 3))[y][:, x] + rng.normal(0, 10, (height, width, 3))
    return (p / p.sum(axis=0)).astype(np.float32), np.clip(image, 0, 255).astype(np.uint8)


def check(gpu, p, image, **options):
    crf = DenseCRF(method="lattice", **options)
    with algorithm("reference"):
        expected = crf.refine(p, image)
    q = crf.refine(gpu.put(p), gpu.put(image))
    assert isinstance(q, gpu.xp.ndarray)
    assert q.dtype == np.float32
    np.testing.assert_allclose(gpu.get(q), expected, rtol=0, atol=TOLERANCE)
    return expected


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("classes", [3, 21])
def test_the_probabilities_of_the_cpu(kernels, classes, normalization):
    p, image = pictures(17, 26, classes)
    q = check(kernels, p, image, normalization=normalization)
    assert np.abs(q - p).max() > 0.1


@pytest.mark.parametrize("weights", [(10.0, 0.0), (0.0, 3.0), (0.0, 0.0)])
def test_one_kernel_or_none(kernels, weights):
    p, image = pictures(9, 14, 5)
    check(kernels, p, image, bilateral_weight=weights[0], spatial_weight=weights[1])


@pytest.mark.parametrize("size", [(1, 1), (1, 13), (21, 33)])
def test_pictures_of_one_colour_and_of_one_pixel(kernels, size):
    p, image = pictures(*size, 4)
    image[:] = 77
    check(kernels, p, image)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_numbers_of_pydensecrf(kernels, normalization):
    """The bound of tests/oracles/test_pydensecrf.py, on a picture with H != W."""
    densecrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    p, image = pictures(23, 34, 21)
    crf = densecrf.DenseCRF2D(34, 23, 21)
    crf.setUnaryEnergy(np.ascontiguousarray(-np.log(p).reshape(21, -1)))
    option = {"normalization": getattr(densecrf, NORMALIZATIONS[normalization])}
    crf.addPairwiseGaussian(sxy=3, compat=3, **option)
    crf.addPairwiseBilateral(sxy=50, srgb=10, rgbim=image, compat=4, **option)
    expected = np.array(crf.inference(5)).reshape(p.shape)
    ours = DenseCRF(
        bilateral_weight=4, bilateral_position=50, bilateral_color=10,
        normalization=normalization, method="lattice",
    )  # fmt: skip
    q = kernels.get(ours.refine(kernels.put(p), image))
    assert np.abs(q - expected).mean() < 1e-5
    assert (q.argmax(axis=0) == expected.argmax(axis=0)).mean() > 0.999


def test_every_run_has_the_same_bits(kernels, schedule):
    p, image = pictures(12, 19, 21)
    results = []
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            q = DenseCRF(method="lattice").refine(kernels.put(p), image)
            results.append(kernels.get(q).tobytes())
    assert results[0] == results[1] == results[2]


def test_exact_sums_on_the_device(gpu):
    p, image = pictures(9, 14, 5)
    crf = DenseCRF(method="exact")
    q = crf.refine(gpu.put(p), image)
    np.testing.assert_allclose(gpu.get(q), crf.refine(p, image), atol=TOLERANCE)


def test_an_iteration_waits_for_nothing(cupy_device, counts):
    """Two lattices are built, whatever the iterations; each of these is twenty launches."""
    p, image = pictures(9, 14, 21)
    there, seen = cupy_device.put(p), []
    for iterations in (1, 1, 3):
        with counts() as found:
            DenseCRF(method="lattice", iterations=iterations).refine(there, image)
        seen.append(found())
    _, one, three = seen
    # splat, splat, blur, slice: 9 in five dimensions and 6 in two, and the update
    assert three["launches"] - one["launches"] == 2 * (9 + 6 + 1)
    for name in ("syncs", "h2d", "d2h"):
        assert three[name] == one[name]


def test_too_little_memory_is_one_sentence(cupy_device):
    p, image = pictures(40, 70, 60)
    there, crf = cupy_device.put(p), DenseCRF(method="lattice")
    crf.refine(there, image)
    gc.collect()
    memory.release()
    before = memory.used()
    memory.set_limit(memory.held() + 3 * p.nbytes)
    try:
        with pytest.raises(
            MinideconvError, match=r"out of the GPU's memory with 60 classes at 70 x"
        ):
            crf.refine(there, image)
        gc.collect()
        assert memory.used() == before  # all of its arrays are gone
    finally:
        memory.set_limit(0)
    crf.refine(there, image)


def test_a_bug_is_not_taken_for_too_little_memory(gpu, monkeypatch):
    p, image = pictures(5, 6, 3)

    def bug(self, image):
        raise ZeroDivisionError

    monkeypatch.setattr(DenseCRF, "_filters", bug)
    with pytest.raises(ZeroDivisionError):
        DenseCRF().refine(gpu.put(p), image)


def test_wrong_kernels_are_rejected_by_the_whole(kernels, slip):
    p, image = pictures(9, 14, 5)
    for file, right, wrong in (
        ("lattice_filter.cu", "0.5f, both", "0.49f, both"),
        ("mean_field.cu", "z[k] += second[i]", "z[k] += 0.99f * second[i]"),
    ):
        with slip(file, right, wrong), pytest.raises(AssertionError):
            check(kernels, p, image)
