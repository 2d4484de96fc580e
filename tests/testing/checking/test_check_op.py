"""``check_op`` accepts right implementations, and names the mistake of every wrong one."""

from __future__ import annotations

import os

import numpy as np
import pytest

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.diagnosis import name_mistakes, recognised
from minideconv.testing.checking.features import features
from minideconv.testing.checking.probing import probes
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.checking.shrink import largest_axis
from minideconv.testing.mistakes import mistakes, ways
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.deconvnet import TinyGeometry

pytestmark = pytest.mark.cpu

# Pooling, unpooling and batch norm: test_pool_and_norm.py.
BANK = [m for m in mistakes() if "conv" in m.operation or m.operation in ("im2col", "col2im")]
PLACES = sorted({(m.operation, m.output) for m in BANK})


def some(bank, step):
    """Every so manieth mistake; all of them with MINIDECONV_TEST_BANK."""
    return bank[:: 1 if os.environ.get("MINIDECONV_TEST_BANK") else step]


def sample(step):
    chosen = some(BANK, step)
    return [
        pytest.param(m, id=f"{m.operation} {m.output} {m.name} {number}")
        for number, m in enumerate(chosen)
    ]


def our_conv2d_backward(dy, x, w, stride, padding, dilation, groups):
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rest = [
        (n + 2 * p - d * (k - 1) - 1) % s
        for n, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    ]
    return (
        ops.conv_transpose2d(dy, w, output_padding=rest, **settings),
        ops.conv2d_weight_grad(x, dy, w.shape[2:], **settings),
        dy.sum((0, 2, 3)),
    )


def our_conv_transpose2d_backward(dy, x, w, *, output_padding, **settings):
    return ops.conv_transpose2d_backward(dy, x, w, **settings)


@pytest.mark.parametrize(
    ("function", "operation", "backward"),
    [
        (ops.conv2d, "conv2d", our_conv2d_backward),
        (ops.conv_transpose2d, "conv_transpose2d", our_conv_transpose2d_backward),
        (ops.im2col, "im2col", None),
        (ops.col2im, "col2im", None),
    ],
)
def test_ours_are_right(function, operation, backward):
    report = check_op(function, operation, backward)
    assert report.passed
    assert "WRONG" not in report.text()
    names = {operation} | ({f"{operation}_backward"} if backward else set())
    assert {o.name.split("/")[0] for o in report.outcomes} == names
    assert all(outcome.tried for outcome in report.outcomes)


@pytest.mark.parametrize("mistake", sample(18))
def test_every_mistake_is_caught_named_and_shown_on_a_small_case(mistake):
    with pytest.raises(OperationError) as caught:
        check_op(mistake.implementation(), mistake.operation)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.mistakes == (mistake.name,)
    head = str(caught.value)[:500]
    assert mistake.name in head
    # A network's eight parameters do not fit; what is above them does.
    assert len(failure.text()) < 750 or OPERATIONS[mistake.operation].geometry is TinyGeometry
    # The last line shows the same again.
    text = failure.replay.split("'")[1]
    if failure.kind != "raised":
        assert "must be" in head
        assert "must be" in replay(mistake.implementation(), text)
    _, case = case_from_text(text)
    assert largest_axis(case) <= 4


@pytest.mark.parametrize(("operation", "output"), PLACES)
def test_mistakes_of_different_names_differ_on_the_probes(operation, output):
    """What looks the same cannot be told apart, and would be misnamed."""
    wrong = {}
    for mistake in some(mistakes(operation, output), 6):
        titles = [n.title for n in recognised(mistake, OPERATIONS[operation])]
        if titles not in ([mistake.name], [mistake.title]):
            wrong[mistake.name] = titles
    assert not wrong


VARIED = sorted({(m.operation, m.output) for m in BANK if m.variants})


@pytest.mark.parametrize(("operation", "output"), VARIED)
def test_no_variant_of_a_mistake_is_misnamed(operation, output):
    """Few of them are not told from others, where next to all cases raise."""
    wrong, unnamed = {}, []
    every = some(ways(operation, output), 12)
    for way in every:
        titles = [n.title for n in recognised(way, OPERATIONS[operation])]
        if titles in ([], [""]):
            unnamed.append(way.name)
        elif titles not in ([way.name], [way.title]):
            wrong[way.name] = titles
    assert not wrong
    assert len(unnamed) <= max(1, len(every) / 50), unnamed


def test_a_mistake_is_recognised_by_calls_as_it_is_by_its_values():
    for mistake in BANK[::120]:
        operation = OPERATIONS[mistake.operation]
        call = local_call(operation, {operation.name: mistake.implementation()})
        assert name_mistakes(operation, call) == recognised(mistake, operation)


def test_names_and_sentences():
    assert len({(m.operation, m.output, m.name) for m in BANK}) >= 80
    for mistake in BANK:
        assert mistake.output in OPERATIONS[mistake.operation].outputs
        assert mistake.sentence.endswith(".")
        assert len(mistake.name) <= 60
        assert len(mistake.sentence) <= 200


def test_the_probes_hold_every_family():
    for operation in OPERATIONS.values():
        found = {operation.family(case.geometry) for case in probes(operation)}
        assert found == set(operation.families)


def test_two_mistakes_at_once_are_both_named():
    def wrong(x, w, b=None, **settings):
        settings["stride"] = settings["stride"][::-1]
        return ops.conv2d(x, w[:, :, ::-1, ::-1], b, **settings)

    with pytest.raises(OperationError, match="conv2d: stride swapped and kernel flipped"):
        check_op(wrong, "conv2d")


def three_times(x, w, b=None, **settings):
    return 3 * ops.conv2d(x, w, b, **settings)


def three_times_with_a_stride(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings) * (3 if max(settings["stride"]) > 1 else 1)


def one_more_at_the_bottom(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    y[:, :, -1] += 1
    return y


def with_an_axis_more(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings)[None]


def two_columns_more_of_dilated_images(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    more = 2 if max(settings["dilation"]) > 1 else 0
    return np.pad(y, ((0, 0), (0, 0), (0, 0), (0, more)))


def nothing_with_groups(x, w, b=None, *, groups, **settings):
    if groups > 1:
        raise NotImplementedError("no groups")
    return ops.conv2d(x, w, b, groups=groups, **settings)


def nothing_dilated_with_groups(x, w, b=None, *, groups, dilation, **settings):
    if groups > 1 and dilation[0] > 1 and len(x) > 1:
        raise NotImplementedError("no dilation")
    return ops.conv2d(x, w, b, groups=groups, dilation=dilation, **settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (three_times, "y is wrong: 3 times what it must be"),
        (
            three_times_with_a_stride,
            "y is wrong: right where stride = 1, wrong where stride > 1; 3 times what it must be",
        ),
        (one_more_at_the_bottom, "y is wrong: wrong only in the bottom row"),
        (with_an_axis_more, "y has the wrong shape: it has 5 axes, must have 4"),
        (
            two_columns_more_of_dilated_images,
            "right where dilation = 1, wrong where dilation > 1; 2 columns too many; what both",
        ),
        (nothing_with_groups, "no groups in line .*; it happens only where groups > 1"),
        (
            nothing_dilated_with_groups,
            "no dilation in line .*; it does not happen where (groups|dilation.0.) = 1",
        ),
    ],
)
def test_an_unknown_mistake_is_described(wrong, message):
    with pytest.raises(OperationError, match=message):
        check_op(wrong, "conv2d")


def fails_where_there_is_one_output_channel(x, w, b=None, **settings):
    """C_out = 1 and C_in > 1 is an error: it is not right where C_out = 1."""
    if len(w) == 1 and x.shape[1] > 1:
        raise ValueError("no")
    y = ops.conv2d(x, w, b, **settings)
    return y**3 if len(w) > 1 else y


def windows_kept_by_size():
    """A stride is kept with the sizes: what it says of the padding is chance."""
    kept = {}

    def function(x, w, b=None, *, stride, **settings):
        stride = kept.setdefault((x.shape[2:], w.shape[2:], settings["padding"]), stride)
        return ops.conv2d(x, w, b, stride=stride, **settings)

    return function


@pytest.mark.parametrize("wrong", [fails_where_there_is_one_output_channel, windows_kept_by_size()])
def test_nothing_is_said_that_is_false_in_other_cases(wrong):
    with pytest.raises(OperationError) as caught:
        check_op(wrong, "conv2d")
    text = str(caught.value)
    assert "right where C_out = 1" not in text
    assert "right wherever" not in text or "C_in = 1" in text


def windows_in_a_loop_of_the_wrong_length(x, w, b=None, *, stride, padding, dilation, groups):
    """The size leaves out the dilation: in every dilated case an index is out of bounds."""
    right = ops.conv2d(x, w, b, stride, padding, dilation, groups)
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in
            zip(x.shape[2:], padding, w.shape[2:], stride, strict=True)]  # fmt: skip
    for axis in (0, 1):
        right.take(range(size[axis]), 2 + axis)
    return right


def any_error_where_dilated(x, w, b=None, *, dilation, **settings):
    if max(dilation) > 1:
        raise ArithmeticError("no")
    return ops.conv2d(x, w, b, dilation=dilation, **settings)


def a_bias_asked_for_its_truth(x, w, b=None, **settings):
    return ops.conv2d(x, w, b if b else None, **settings)


def test_a_mistake_is_named_by_where_it_raises_and_how():
    for wrong, name in (
        (windows_in_a_loop_of_the_wrong_length, "dilation left out of the output size"),
        (a_bias_asked_for_its_truth, "truth of an array asked"),
        (any_error_where_dilated, None),
    ):
        with pytest.raises(OperationError) as caught:
            check_op(wrong, "conv2d")
        found = {m for o in caught.value.report.outcomes if o.failure for m in o.failure.mistakes}
        assert found == ({name} if name else set())


def columns_kept_by_shape():
    kept = {}

    def function(x, w, b=None, **settings):
        key = (x.shape, repr(settings))
        return ops.conv2d(kept.setdefault(key, x.copy()), w, b, **settings)

    return function


def test_what_is_kept_of_a_call_with_the_same_shapes_is_found():
    with pytest.raises(OperationError, match="conv2d: state kept between calls"):
        check_op(columns_kept_by_shape(), "conv2d")


def padding_within_the_kernel(x, w, b=None, *, padding, dilation, **settings):
    reach = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *[(r - p, 0) for r, p in zip(reach, padding, strict=True)]])
    x = x[:, :, reach[0] - padding[0] :, reach[1] - padding[1] :]
    return ops.conv_transpose2d(x, w, b, padding=padding, dilation=dilation, **settings)


def test_paddings_go_beyond_the_kernel():
    with pytest.raises(OperationError, match="padding beyond the kernel's reach fails"):
        check_op(padding_within_the_kernel, "conv_transpose2d")


def flipped_with_a_dilation(x, w, b=None, **settings):
    turned = w[:, :, ::-1, ::-1] if max(settings["dilation"]) > 1 else w
    return ops.conv2d(x, turned, b, **settings)


def flipped_and_more_with_groups(x, w, b=None, *, groups, **settings):
    y = ops.conv2d(x, w[:, :, ::-1, ::-1], b, groups=groups, **settings)
    return y**3 if groups > 1 else y


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (flipped_with_a_dilation, "conv2d: kernel flipped .only where dilation > 1.\\."),
        (
            flipped_and_more_with_groups,
            "conv2d: kernel flipped .and something else where groups > 1.\\.",
        ),
    ],
)
def test_a_mistake_is_named_with_where_it_shows(wrong, message):
    with pytest.raises(OperationError, match=message):
        check_op(wrong, "conv2d")


def test_a_known_mistake_does_not_hide_another_output_that_is_wrong():
    def wrong(dy, x, w, **settings):
        dx, dw, db = our_conv2d_backward(dy, x, w, **settings)
        return 7 * dx, dw, 2 * db

    with pytest.raises(OperationError, match=r"twice as large .in db.; dx is wrong, too"):
        check_op(wrong, "conv2d_backward")


def test_results_of_another_dtype_are_told_by_their_names():
    def wide(dy, x, w, **settings):
        dx, dw, db = our_conv2d_backward(dy, x, w, **settings)
        return dx.astype(np.float64), dw.astype(np.float64), db

    def whole(x, w, b=None, **settings):
        return ops.conv2d(x, w, b, **settings).astype(int)

    with pytest.raises(
        OperationError, match="dx has the wrong dtype, float64 in place of float32"
    ) as caught:
        check_op(wide, "conv2d_backward")
    assert [o.name for o in caught.value.report.outcomes if not o.passed] == [
        "conv2d_backward/float32"
    ]
    with pytest.raises(OperationError, match="y has the wrong dtype, int64 in place of"):
        check_op(whole, "conv2d")


def test_another_dtype_is_told_beside_a_mistake():
    def averaged(dy, x, w, **settings):
        dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
        return dx.astype(np.float64), dw / len(x), db

    def right(dy, x, w, **settings):
        dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
        return dx, dw / len(x), db

    name = "averaged over the batch (in dw)"
    for function, title in (
        (averaged, f"{name}; dx has the wrong dtype, float64 in place of float32"),
        (right, name),
    ):
        with pytest.raises(OperationError) as caught:
            check_op(function, "conv2d_backward", examples=4)
        failures = [o.failure for o in caught.value.report.outcomes if o.failure]
        assert {f.title for f in failures} == {title}


def test_where_it_shows_is_said_in_the_students_own_words():
    cases = probes(OPERATIONS["batch_norm"])
    words = {word for case in cases for feature in features(case) for word in feature[:2]}
    assert {"training=False", "training=True"} <= words
    assert not any("evaluation" in word or "affine" in word for word in words)


def test_results_in_another_order_are_named():
    def wrong(dy, x, w, **settings):
        dx, dw, db = our_conv2d_backward(dy, x, w, **settings)
        return db, dx, dw

    with pytest.raises(OperationError, match=r"results returned in the order \(db, dx, dw\)"):
        check_op(wrong, "conv2d_backward")


def test_shapes_alone_are_no_evidence():
    """The size of an unpadded image, but other numbers: not "padding ignored"."""

    def wrong(x, w, b=None, *, padding, **settings):
        y = ops.conv2d(x, w, b, padding=padding, **settings)
        ph, pw = padding
        rows, columns = (
            max(0, (n - d * (k - 1) - 1) // s + 1)
            for n, d, k, s in zip(
                x.shape[2:], settings["dilation"], w.shape[2:], settings["stride"], strict=True
            )
        )
        y = 7 * y[:, :, :rows, :columns] if ph or pw else y
        return y

    with pytest.raises(OperationError) as caught:
        check_op(wrong, "conv2d")
    assert all(o.failure is None or not o.failure.mistakes for o in caught.value.report.outcomes)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w, b=None, **_: 1 / 0, "conv2d raised ZeroDivisionError: division by zero"),
        (lambda x, w, b=None, **_: None, "returned None .is a return missing"),
        (lambda x, w, b=None, **_: (x, w), "returned 2 values; it must return y"),
        (lambda x, w, b=None, **_: "y", "returned str for y; it must be an array"),
        (lambda x: x, "conv2d raised TypeError"),
        (
            lambda x, w, b=None, **k: ops.conv2d(x, w, b, **k).astype(np.float32),
            "y has the wrong dtype, float32 in place of float64",
        ),
    ],
)
def test_what_gives_no_result_is_said(function, message):
    with pytest.raises(OperationError, match=message) as caught:
        check_op(function, "conv2d")
    assert str(caught.value).count("conv2d: conv2d") == 0, "its name is said once"


def changes_x(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    x *= 2
    return y


def reads_memory(x, w, b=None, **settings):
    if not x.flags.c_contiguous and not x.flags.f_contiguous:
        x = np.roll(x, 1, axis=3)
    return ops.conv2d(x, w, b, **settings)


def in_float64(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings).astype(np.float64)


def twice_in_place(x, w, b=None, **settings):
    x *= 2
    return ops.conv2d(x, w, None if b is None else 2 * b, **settings)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (changes_x, "it changes its argument x"),
        (reads_memory, "the memory layout of an argument changes the result"),
        (in_float64, "y has the wrong dtype, float64 in place of float32"),
        (twice_in_place, "conv2d: twice as large; it changes its argument x"),
    ],
)
def test_broken_promises(function, message):
    with pytest.raises(OperationError, match=message):
        check_op(function, "conv2d")


def test_the_students_own_names_are_used():
    def wrong(image, kernel, bias=None, **settings):
        return ops.conv2d(image, kernel[:, :, ::-1, ::-1], bias, **settings)

    with pytest.raises(OperationError, match=r"conv2d\(image=\[\[\[\[1, 0\]\]\]\], kernel="):
        check_op(wrong, "conv2d")


def test_what_is_no_case_or_operation_is_refused():
    with pytest.raises(UsageError, match="no operation is called 'conv3d'; there are im2col, "):
        check_op(ops.conv2d, "conv3d")
    for text, message in (
        ("conv9 x=1", "no operation is called 'conv9'"),
        ("conv2d x=1", "cannot be read"),
        ("conv2d batch=1 c_in=1 c_out=1 size=1x1 kernel=1x1 x=1", "has no numbers for w"),
        ("conv2d batch=1 c_in=1 c_out=1 size=1x1 kernel=3x3 x=1 w=1", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=message):
            replay(ops.conv2d, text)
