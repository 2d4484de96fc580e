"""Convolutional sparse coding against sporco: equal iterates, in float64.

sporco keeps images as (H, W), or (H, W, C), filters as (kh, kw, M) or (kh, kw, C, M), and maps as
(H, W, 1, N, M). It transforms all maps; here only images are transformed. Both take the same steps
in exact arithmetic, so after any number of them the difference is rounding.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minideconv.backend import to_cpu, to_default_device
from minideconv.sparse_coding import Admm, BatchLearner, Fista, OnlineLearner, Problem
from minideconv.sparse_coding.dictionary import random_filters

LAMBDA = 0.3
M, KERNEL, SIZE = 6, (5, 4), (23, 30)
TOLERANCE = 1e-10


@pytest.fixture(scope="module")
def sporco():
    """Return sporco's modules; it warns of packages that it would like to have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("sporco", reason="sporco is not installed")
        import sporco.admm.cbpdn
        import sporco.dictlrn.cbpdndl
        import sporco.dictlrn.onlinecdl
        import sporco.pgm.cbpdn
    return sporco


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def drawn(channels, images=1):
    """Return images (N, C, H, W) and filters (M, C, kh, kw)."""
    rng = np.random.default_rng(channels)
    filters = random_filters(M, channels, KERNEL, rng, np.float64)
    return rng.standard_normal((images, channels, *SIZE)), filters


def theirs(array):
    """(N or M, C, H, W) in sporco's order: (H, W, C, N or M), without the axis of one channel."""
    turned = array.transpose(2, 3, 1, 0)
    return turned[:, :, 0] if array.shape[1] == 1 else turned


def one_image(images):
    return theirs(images)[..., 0]


def maps_of(theirs):
    return theirs.reshape(*SIZE, -1, M).transpose(2, 3, 0, 1)


def problem(images, mask=None):
    known = None if mask is None else to_default_device(mask)
    return Problem(to_default_device(images), LAMBDA, known)


def apart(ours, expected):
    assert np.abs(expected).max() > 0.01  # else equal means nothing
    return np.abs(to_cpu(ours) - expected).max()


def admm_options(**more):
    return {
        "MaxMainIter": 60, "rho": 3.5, "RelaxParam": 1.8, "RelStopTol": 0.0, "AbsStopTol": 0.0,
        "AutoRho": {"Enabled": False}, **more,
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("relaxation", [1.0, 1.8])
def test_admm(sporco, channels, relaxation):
    images, filters = drawn(channels)
    options = sporco.admm.cbpdn.ConvBPDN.Options(admm_options(RelaxParam=relaxation))
    solver = sporco.admm.cbpdn.ConvBPDN(theirs(filters), one_image(images), LAMBDA, options, dimK=0)
    ours = Admm(problem(images), to_default_device(filters), 3.5, relaxation, adapt_every=0)
    for _ in range(60):
        ours.step()
    assert apart(ours.maps, maps_of(solver.solve())) < TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_admm_with_a_rho_that_adapts(sporco, channels):
    images, filters = drawn(channels)
    balance = {"Enabled": True, "Period": 10, "AutoScaling": True, "Scaling": 1000.0,
               "RsdlRatio": 1.2, "RsdlTarget": 1.0}  # fmt: skip
    options = sporco.admm.cbpdn.ConvBPDN.Options(admm_options(AutoRho=balance))
    solver = sporco.admm.cbpdn.ConvBPDN(theirs(filters), one_image(images), LAMBDA, options, dimK=0)
    ours = Admm(problem(images), to_default_device(filters), rho=3.5)
    for _ in range(60):
        ours.step()
    assert apart(ours.maps, maps_of(solver.solve())) < TOLERANCE
    assert ours.rho == pytest.approx(solver.rho, rel=1e-9)
    assert abs(ours.rho - 3.5) > 1  # it did adapt


@pytest.mark.parametrize("channels", [1, 3])
def test_admm_with_a_mask(sporco, channels):
    images, filters = drawn(channels)
    mask = (np.random.default_rng(9).random((1, channels, *SIZE)) > 0.3).astype(np.float64)
    options = sporco.admm.cbpdn.ConvBPDN.Options(admm_options())
    solver = sporco.admm.cbpdn.AddMaskSim(
        sporco.admm.cbpdn.ConvBPDN, theirs(filters), one_image(images), one_image(mask), LAMBDA,
        opt=options, dimK=0,
    )  # fmt: skip
    ours = Admm(problem(images, mask), to_default_device(filters), 3.5, adapt_every=0)
    for _ in range(60):
        ours.step()
    assert apart(ours.maps, maps_of(solver.solve())) < TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_fista(sporco, channels, masked):
    images, filters = drawn(channels)
    mask = (np.random.default_rng(9).random((1, channels, *SIZE)) > 0.3).astype(np.float64)
    options = sporco.pgm.cbpdn.ConvBPDN.Options({"MaxMainIter": 60, "L": 80.0, "RelStopTol": 0.0})
    given = (theirs(filters), one_image(images), LAMBDA)
    if masked:
        solver = sporco.pgm.cbpdn.ConvBPDNMask(*given, one_image(mask), options, dimK=0)
    else:
        solver = sporco.pgm.cbpdn.ConvBPDN(*given, options, dimK=0)
    ours = Fista(problem(images, mask if masked else None), to_default_device(filters), 80.0)
    for _ in range(60):
        ours.step()
    assert apart(ours.maps, maps_of(solver.solve())) < TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_objectives(sporco, channels):
    images, filters = drawn(channels)
    options = sporco.admm.cbpdn.ConvBPDN.Options(admm_options(AuxVarObj=True))
    solver = sporco.admm.cbpdn.ConvBPDN(theirs(filters), one_image(images), LAMBDA, options, dimK=0)
    maps = maps_of(solver.solve())
    ours = problem(images).objective(to_default_device(filters), to_default_device(maps))
    assert ours == pytest.approx(solver.getitstat().ObjFun[-1], rel=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_learning(sporco, channels):
    images, filters = drawn(channels, images=4)
    learn = sporco.dictlrn.cbpdndl.ConvBPDNDictLearn
    coding = {"rho": 5.0, "RelaxParam": 1.8, "AutoRho": {"Enabled": False}}
    options = learn.Options(
        {"MaxMainIter": 30, "CBPDN": coding, "CCMOD": {"L": 300.0}}, xmethod="admm", dmethod="pgm"
    )
    learner = learn(theirs(filters), theirs(images), LAMBDA, options, xmethod="admm", dmethod="pgm")
    learner.solve()
    ours = BatchLearner(
        problem(images), to_default_device(filters), "sphere", 300.0, rho=5.0, adapt_every=0
    )
    for _ in range(30):
        ours.step()
    expected = learner.getdict().reshape(*KERNEL, channels, M).transpose(3, 2, 0, 1)
    assert apart(ours.filters, expected) < TOLERANCE
    assert np.abs(expected - filters).max() > 0.01  # it has learnt
    assert apart(ours.maps, learner.getcoef().transpose(3, 4, 0, 1, 2)[..., 0]) < TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_online_learning(sporco, channels):
    images, filters = drawn(channels, images=5)
    learn = sporco.dictlrn.onlinecdl.OnlineConvBPDNDictLearn
    coding = admm_options(MaxMainIter=20, rho=5.0)
    learner = learn(
        theirs(filters), LAMBDA, learn.Options({"CBPDN": coding, "eta_a": 0.1, "eta_b": 5.0})
    )
    ours = OnlineLearner(
        to_default_device(filters), LAMBDA, constraint="sphere", iterations=20, eta=(0.1, 5.0),
        rho=5.0, adapt_every=0,
    )  # fmt: skip
    for k in range(5):
        learner.solve(one_image(images[k : k + 1]), dimK=0)
        ours.step(to_default_device(images[k : k + 1]))
    expected = learner.getdict().reshape(*KERNEL, channels, M).transpose(3, 2, 0, 1)
    assert apart(ours.filters, expected) < TOLERANCE
    assert np.abs(expected - filters).max() > 0.01
