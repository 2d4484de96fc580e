"""What a call gives, and the sentences for files that are no good."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from submissions import CONV2D, RIGHT, SMALLEST, numbered

from minideconv.course.worker import Limits, Worker
from minideconv.errors import SettingError, UsageError
from minideconv.testing.checking.calls import StudentFault, local_call
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import Case

pytestmark = pytest.mark.cpu


def case_of(**arrays):
    return Case(SMALLEST.geometry, {**SMALLEST.arrays, **arrays})


# As in this process -------------------------------------------------------------------------


def test_every_check_gives_what_it_gives_in_this_process(submit):
    wrong = RIGHT + "\nright = conv2d\ndef conv2d(x, kernel, *a, **k):\n"
    wrong += "    return right(x, kernel[:, :, ::-1, ::-1], *a, **k)\n"
    for source in (RIGHT, wrong):
        names = {}
        exec(source, names)
        submission = submit(source)
        here = Checker(CONV2D, local_call(CONV2D, names), examples=5)
        there = Checker(CONV2D, submission.worker.call(CONV2D), examples=5)
        for one, other in zip(here.run(), there.run(), strict=True):
            assert one.name == other.name
            assert one.passed == other.passed
            if one.failure is not None:
                assert one.failure.text() == other.failure.text()


def test_values_and_shapes_and_dtypes_come_back_as_they_are(body):
    dtypes = ("float64", "float32", "float16", "int64", "int8", "uint32", "bool", ">f8")
    submission = body("return x.astype(DTYPES[int(w.item())])[:, :, ::-1].T", f"DTYPES = {dtypes}")
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    for n, dtype in enumerate(dtypes):
        got = submission.call(case_of(x=x, w=np.full((1, 1, 1, 1), float(n)))).outputs["y"]
        want = x.astype(dtype)[:, :, ::-1].T
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_nan_infinity_and_negative_zero_come_back(body):
    submission = body("return np.array([np.nan, np.inf, -np.inf, -0.0])", "import numpy as np")
    got = submission.call().outputs["y"]
    assert got.tobytes() == np.array([np.nan, np.inf, -np.inf, -0.0]).tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_arrays_without_axes_or_entries(body, shape):
    submission = body(f"x[...] = 7; return np.ones({shape})", "import numpy as np")
    returned = submission.call(case_of(x=np.zeros(shape)))
    assert returned.outputs["y"].shape == shape
    assert returned.changed == (() if 0 in shape else ("x",))


@pytest.mark.parametrize("strided", [False, True])
def test_what_a_function_writes_to_its_arguments_is_seen(body, strided):
    submission = body("w[0, 0, 0, 1] = 99; return x + b")
    w = np.arange(6.0).reshape(1, 1, 2, 3)
    case = case_of(w=w, b=np.array([1.0]))
    returned = submission.call(case, strided=strided)
    assert returned.changed == ("w",)
    assert w[0, 0, 0, 1] == 1, "the grader's own array is another one"
    assert submission.call(case, strided=strided).changed == ("w",)


def test_strides_arrive(body):
    submission = body("return np.array(x.strides + x.shape)", "import numpy as np")
    x = np.zeros((1, 2, 3, 4))
    plain = submission.call(case_of(x=x)).outputs["y"]
    strided = submission.call(case_of(x=x), strided=True).outputs["y"]
    assert plain.tolist() == [192, 96, 32, 8, 1, 2, 3, 4]
    assert strided.tolist() == [16, 32, 128, 768, 1, 2, 3, 4]


def test_nothing_is_kept_in_a_call_that_the_next_one_sees_but_the_module(body):
    submission = body("calls.append(1); return np.array(len(calls))",
                      "import numpy as np\ncalls = []")  # fmt: skip
    assert [int(submission.call(numbered(n)).outputs["y"]) for n in range(3)] == [1, 2, 3]


def test_a_wrong_dtype_is_the_checkers_affair(body):
    submission = body("return x.astype('float32')")
    failures = [o.failure for o in Checker(CONV2D, submission.worker.call(CONV2D)).run()]
    assert failures[0] is not None


# Results that are none ----------------------------------------------------------------------


NO_ARRAYS = [
    ("None", "conv2d returned None (is a return missing?) for y; it must be an array"),
    ("'text'", "conv2d returned str for y; it must be an array"),
    ("(x, w)", "conv2d returned 2 values; it must return y"),
    ("[1, 2, 3]", "conv2d returned 3 values"),
    ("{'y': x}", "conv2d returned dict for y; it must be an array"),
    ("object()", "conv2d returned object for y; it must be an array"),
    ("10 ** 400", "conv2d returned int for y; it must be an array"),
    ("[0] * 10**6", "conv2d returned list for y; it must be an array"),
    ("np.array([x, None], object)", "conv2d returned an array of object for y"),
    ("np.array(['a'])", "conv2d returned an array of object for y"),
    ("x + 1j", "conv2d returned an array of complex128 for y"),
    ("conv2d", "conv2d returned function for y; it must be an array"),
    ("(i for i in x)", "conv2d returned generator for y; it must be an array"),
]


def test_results_that_are_no_arrays(body):
    functions = ", ".join(f"lambda x, w: {returned}" for returned, _ in NO_ARRAYS)
    module = f"import numpy as np\nRESULTS = [{functions}]"
    submission = body("return RESULTS[int(x.item())](x, w)", module)
    for n, (_, said) in enumerate(NO_ARRAYS):
        assert said in submission.fault(numbered(n), kind="returned")


LAZY = """
import numpy as np
class Lazy:
    dtype, ndim = np.dtype(float), 4
    def __init__(self, value):
        self.value, self.shape = value, value.shape
    def __array__(self, dtype=None, copy=None):
        {}
"""


def test_an_array_like_result_is_worked_out_once_and_in_the_students_process(body):
    module = LAZY.format("self.value = self.value + 1; print(seen); return self.value")
    submission = body("return Lazy(x)", "seen = 1\n" + module)
    assert submission.call(numbered(4)).outputs["y"] == 5
    assert submission.worker.printed == "1\n"


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("while True: pass", "time"),
        ("raise ValueError('not today')", "raised"),
        ("import os; os._exit(0)", "exit"),
        ("return 'no array'", "raised"),
        ("return np.array([None])", "returned"),
    ],
)
def test_an_array_like_result_that_misbehaves(body, lines, kind):
    body("return Lazy(x)", LAZY.format(lines), call=1.0).fault(kind=kind)


@pytest.mark.parametrize(
    "lines",
    ["def __len__(self): raise ValueError", "def __iter__(self):\n        while True: yield 1"],
)
def test_a_tuple_that_misbehaves(body, lines):
    submission = body("return Odd((x,))", f"class Odd(tuple):\n    {lines}", call=0.5)
    with pytest.raises(StudentFault):
        submission.call()


def test_a_subclass_of_an_array_comes_as_an_array(body):
    module = """
import numpy as np
class Mine(np.ndarray):
    def tobytes(self, order='C'): raise ValueError
    def __array_finalize__(self, other): pass
"""
    submission = body("return (x * w).view(Mine)", module)
    assert submission.call(numbered(2)).outputs["y"].shape == (1, 1, 1, 1)


# Exceptions ---------------------------------------------------------------------------------


def test_an_exception_names_its_line(body):
    text = body("y = x\n\nreturn y.nothing").fault(kind="raised")
    assert text.startswith("conv2d raised AttributeError: 'numpy.ndarray' object has no attribute")
    assert text.endswith("in line 5 of conv2d")


def test_recursion(body):
    text = body("return conv2d(x, w)").fault(kind="raised")
    assert text.startswith("conv2d raised RecursionError: maximum recursion depth")


@pytest.mark.parametrize(
    "lines", ["def __str__(self): raise ValueError", "def __str__(self): return 'x' * 10**7"]
)
def test_an_exception_whose_message_misbehaves(body, lines):
    text = body("raise Mine", f"class Mine(Exception):\n    {lines}").fault(kind="raised")
    assert text.startswith("conv2d raised Mine: ")


def test_input_has_nobody_to_answer(submit, body):
    text = submit("n = int(input('n? '))").fault(kind="raised")
    assert text.startswith("conv.py, when it is imported, raised EOFError")
    assert text.endswith("nobody answers input() here")
    assert "nobody answers" in body("return x * int(input())").fault(kind="raised")


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def conv2d(x, w:\n    return x", "line 1: "),
        ("def conv2d(x, w):\nreturn x", "line 2: expected an indented block"),
        ("x = 1\n\n  y = 2", "line 3: unexpected indent"),
        (b"x = 1\0", ""),
        (b"# coding: nothing\n", ""),
        (b"x = '\xff'", ""),
        ("(" * 1000 + ")" * 1000, ""),
    ],
)
def test_a_file_that_is_no_python(submit, source, said):
    text = submit(source).fault(kind="syntax")
    assert text.startswith("conv.py is no Python that can be read: ")
    assert said in text


def test_a_missing_function(submit):
    submission = submit("def conv_2d(x, w): return x")
    assert submission.fault(kind="missing") == "there is no function conv2d"


@pytest.mark.parametrize(("value", "kind"), [("3.5", "float"), ("None", "NoneType")])
def test_a_function_that_is_none(submit, value, kind):
    text = submit(f"conv2d = {value}").fault(kind="missing")
    assert text == f"conv2d in conv.py is no function, but {kind}"


def test_a_function_that_is_removed_later(body):
    submission = body("global conv2d\ndel conv2d\nreturn x")
    submission.call()
    assert "there is no function conv2d any more" in submission.fault(numbered(2), kind="missing")


def test_a_file_that_is_not_there(tmp_path):
    worker = Worker(tmp_path / "conv.py")
    with pytest.raises(StudentFault, match=r"^there is no file conv\.py$") as caught:
        worker.call(CONV2D)(*CONV2D.call_arguments(SMALLEST))
    assert caught.value.kind == "missing"


def test_a_notebook(submit):
    text = submit("{}", name="conv.ipynb").fault(kind="missing")
    assert text == "conv.ipynb is no Python file, whose name ends in .py"


@pytest.mark.parametrize(
    "name",
    [
        "conv 1.py",
        "Lösung ü 解.py",
        "conv-final(2).py",
        "numpy.py",
        "json.py",
        "class.py",
        "a.b.py",
    ],
)
def test_odd_names_of_files(submit, name):
    assert submit(RIGHT, name=name).call().outputs["y"].shape == (1, 1, 1, 1)


def test_what_is_missing_for_an_import(submit):
    text = submit("import numpy as np\nimport nothing_of_this_name").fault(kind="raised")
    assert "raised ModuleNotFoundError: No module named 'nothing_of_this_name'" in text
    assert text.endswith("in line 2 of conv.py")


def test_a_fault_in_a_file_beside_it_names_that_file(submit):
    submission = submit("import helper\nfrom helper import conv2d")
    (submission.folder / "helper.py").write_text("\n\nraise ValueError('no')\n")
    assert submission.fault(kind="raised").endswith("raised ValueError: no in line 3 of helper.py")


def test_lines_that_are_for_the_program_do_not_run(submit):
    submission = submit(RIGHT + "\nif __name__ == '__main__':\n    raise ValueError\n")
    submission.call()


def test_the_students_names_of_arguments(submit):
    worker = submit("def conv2d(image, kernel, bias=None, *, stride=1): pass").worker
    assert [worker.names(CONV2D)(role) for role in ("x", "w", "b")] == ["image", "kernel", "bias"]
    worker = submit("def conv2d(*args, **settings): pass").worker
    assert [worker.names(CONV2D)(role) for role in ("x", "w", "b")] == ["x", "w", "b"]
    assert submit("1 +").worker.names(CONV2D)("x") == "x"


# The copy -----------------------------------------------------------------------------------


def test_it_works_in_a_copy_of_its_folder(submit):
    submission = submit(
        RIGHT
        + """
import os
with open("data.txt") as file:
    print(file.read())
os.remove("data.txt")
os.remove(__file__)
os.chdir("/")
"""
    )
    data = submission.folder / "data.txt"
    data.write_text("from the student")
    (submission.folder / "sub").mkdir()
    (submission.folder / "sub" / "more.txt").write_text("more")
    (submission.folder / ".secret").write_text("hidden")
    submission.call()
    home = submission.worker._process.home
    assert sorted(p.name for p in (home / "submission").rglob("*")) == ["more.txt", "sub"]
    submission.worker.close()
    assert submission.worker.printed == "from the student\n"
    assert data.exists()
    assert submission.file.exists()
    submission.call()  # in a new copy
    assert not home.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_links_and_pipes_are_not_followed(submit, tmp_path):
    (tmp_path / "answers.txt").write_text("42")
    submission = submit(RIGHT + "\nimport os\nprint(sorted(os.listdir()))\n")
    (submission.folder / "link.txt").symlink_to(tmp_path / "answers.txt")
    (submission.folder / "folder").symlink_to(tmp_path)
    os.mkfifo(submission.folder / "pipe")
    submission.call()
    assert submission.worker.printed == "['conv.py']\n"


def test_a_large_folder_is_refused(submit):
    submission = submit(RIGHT, folder=10_000)
    (submission.folder / "large").write_bytes(bytes(20_000))
    with pytest.raises(UsageError, match="a submission needs a folder of its own"):
        submission.call()


# Objects that stay in the student's process -------------------------------------------------

CACHE = """
class Cache:
    def __init__(self, x): self.x = x

def conv2d(x, w, b=None, **settings):
    return x * w, Cache(x)

def conv2d_backward(dy, cache):
    return dy * cache.x
"""


def run(functions, arrays, settings):
    y, cache = functions["conv2d"](arrays["x"], arrays["w"])
    return [functions["conv2d_backward"](y, cache)]


def test_a_cache_goes_from_forward_to_backward(submit):
    operation = replace(CONV2D, run=run, needs=("conv2d_backward",))
    returned = submit(CACHE).call(numbered(3), operation)
    w = SMALLEST.arrays["w"]
    np.testing.assert_array_equal(returned.outputs["y"], 9 * w)


def test_a_backward_that_changes_what_the_forward_was_given_is_seen(submit):
    operation = replace(CONV2D, run=run, needs=("conv2d_backward",))
    source = CACHE.replace("return dy * cache.x", "cache.x += 1; return dy")
    assert submit(source).call(numbered(3), operation).changed == ("x",)


def test_a_missing_backward(submit):
    operation = replace(CONV2D, run=run, needs=("conv2d_backward",))
    source = CACHE[: CACHE.index("def conv2d_backward")]
    text = submit(source).fault(operation=operation, kind="missing")
    assert text == "there is no function conv2d_backward"


TENSOR = """
import numpy as np
class Tensor:
    __array_ufunc__ = None
    def __init__(self, data, requires_grad=False):
        self.data, self.grad, self.requires_grad = data, None, requires_grad
    def __add__(self, other): return Tensor(self.data + getattr(other, "data", other))
    __radd__ = __add__
    def __mul__(self, other): return Tensor(self.data * getattr(other, "data", other))
    def __sub__(self, other): return Tensor(self.data - getattr(other, "data", other))
    def __matmul__(self, other): return Tensor(self.data @ other.data)
    def __pow__(self, n): return Tensor(self.data ** n)
    def __neg__(self): return Tensor(-self.data)
    @property
    def T(self): return Tensor(self.data.T)
    def sum(self, axis=None, keepdims=False):
        return Tensor(self.data.sum(axis=axis, keepdims=keepdims))
    def backward(self):
        while True: pass
"""


def on_a_tape(functions, arrays, settings):
    import inspect

    tensor = functions["Tensor"]
    assert list(inspect.signature(tensor).parameters) == ["data", "requires_grad"]
    a = tensor(arrays["x"], requires_grad=True)
    y = ((-a * a + a - 2.0) @ a.T) ** 2 + np.ones((2, 2))
    y = np.ones((2, 2)) + y
    assert a.requires_grad is True
    assert a.grad is None
    assert not hasattr(a, "relu")
    assert list(inspect.signature(y.sum).parameters) == ["axis", "keepdims"]
    a.requires_grad = False
    assert a.requires_grad is False
    return [y.sum(axis=0, keepdims=True).data]


def test_a_students_own_tensor_class_works_from_here(submit):
    operation = replace(CONV2D, run=on_a_tape, needs=("Tensor",))
    x = np.arange(6.0).reshape(2, 3)
    got = submit(TENSOR + "\ndef conv2d(): pass").call(case_of(x=x), operation).outputs["y"]
    want = (((-x * x + x - 2) @ x.T) ** 2 + 2).sum(0, keepdims=True)
    np.testing.assert_array_equal(got, want)


def test_after_the_process_has_ended_its_objects_are_gone(submit):
    def run(functions, arrays, settings):
        a = functions["Tensor"](arrays["x"])
        for _ in range(2):
            with contextlib.suppress(StudentFault):
                a.backward()
        return [a.data]

    operation = replace(CONV2D, run=run, needs=("Tensor",))
    submission = submit(TENSOR + "\ndef conv2d(): pass", call=0.5)
    began = time.monotonic()
    text = submission.fault(operation=operation, kind="time")
    assert "did not return within 0.5 s" in text
    assert time.monotonic() - began < 5


# PyTorch ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_functions_of_pytorch(submit):
    pytest.importorskip("torch", reason="needs torch")
    source = """
import torch
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    assert isinstance(x, torch.Tensor)
    if stride == (1, 1): x += 1
    return torch.conv2d(x, w, b, stride, padding, dilation, groups)
"""
    submission = submit(source, arrays="torch", memory=8 * 2**30, load=60.0)
    returned = submission.call()
    assert returned.changed == ("x",)
    want = CONV2D.expected(Case(SMALLEST.geometry, {
        **SMALLEST.arrays, "x": SMALLEST.arrays["x"] + 1}))["y"].value  # fmt: skip
    np.testing.assert_array_equal(returned.outputs["y"], want)


# The teacher's mistakes ---------------------------------------------------------------------


def test_arguments_of_the_worker(tmp_path):
    file = tmp_path / "conv.py"
    with pytest.raises(UsageError, match="arrays is 'numpie'"):
        Worker(file, arrays="numpie")
    with pytest.raises(UsageError, match="forbid has 'scipy signal'"):
        Worker(file, forbid=["scipy signal"])
    for limits in ({"call": 0}, {"call": "5"}, {"memory": 1.5}, {"processes": True}):
        with pytest.raises(SettingError, match=f"limit {next(iter(limits))} is"):
            Limits(**limits)


def test_the_environment_is_a_small_one(submit, monkeypatch):
    monkeypatch.setenv("MINIDECONV_SECRET", "42")
    submission = submit(RIGHT + "\nimport os, sys\nprint(sorted(os.environ), sys.path)\n")
    submission.call()
    assert "MINIDECONV_SECRET" not in submission.worker.printed
    assert "OMP_NUM_THREADS" in submission.worker.printed
    assert str(Path(__file__).parents[2] / "support") not in submission.worker.printed


def test_the_library_is_not_imported(submit):
    submission = submit(RIGHT + "\nimport sys\nprint('minideconv' in sys.modules)\n")
    submission.call()
    assert submission.worker.printed == "False\n"
    assert "minideconv" in sys.modules
