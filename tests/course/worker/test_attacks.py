"""Submissions that take the process apart: wrong code stays wrong, and the grader goes on."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from submissions import CONV2D, RIGHT, SMALLEST, numbered

from minideconv.course.worker import wire
from minideconv.course.worker.remote import Lender
from minideconv.testing.checking.calls import StudentFault
from minideconv.testing.checking.run import Checker

pytestmark = pytest.mark.cpu

WRONG = "\ndef conv2d(x, w, b=None, **settings): return x\n"


def judged(submission):
    """Return whether every check passes."""
    return all(o.passed for o in Checker(CONV2D, submission.worker.call(CONV2D), examples=3).run())


# Replacing what the worker uses -------------------------------------------------------------

REPLACED = {
    "builtins": """
import builtins
for name in ("len", "isinstance", "type", "getattr", "bytes", "list", "dict", "str", "vars"):
    setattr(builtins, name, lambda *a, **k: 0)
""",
    "numpy": """
import numpy as np
real = np.zeros
for name in dir(np):
    if name not in ("zeros", "pad", "einsum", "ndarray") and not name.startswith("_"):
        setattr(np, name, lambda *a, **k: True)
""",
    "json": """
import json, struct, os
json.dumps = json.loads = lambda *a, **k: "{}"
""",
    "os": """
import os
os.read = os.write = os.close = lambda *a: b""
""",
    "__main__": """
import sys
for name in list(sys.modules):
    if name.startswith("_minideconv") or name == "__main__":
        for key in list(vars(sys.modules[name])):
            if not key.startswith("__"):
                setattr(sys.modules[name], key, None)
""",
    "modules": """
import sys
for name in list(sys.modules):
    if name not in ("sys", "builtins", "numpy") and not name.startswith("numpy"):
        del sys.modules[name]
""",
    "stdout": """
import sys
class Odd:
    def flush(self): raise ValueError
    def write(self, text): while_true()
sys.stdout = sys.stderr = Odd()
""",
    "no stdout": "import sys\nsys.stdout.close()\nsys.stderr = None\ndel sys.stdout\n",
    "signals": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
""",
    "recursion": "import sys\nsys.setrecursionlimit(60)\n",
    "hooks": """
import sys, threading, gc, atexit, time
sys.excepthook = sys.unraisablehook = lambda *a: 1 / 0
sys.setprofile(lambda *a: None)
sys.settrace(lambda *a: None)
atexit.register(time.sleep, 1000)
gc.disable()
""",
    "warnings": "import warnings\nwarnings.simplefilter('error')\nwarnings.warn = None\n",
    "errors": "import numpy as np\nnp.seterr(all='raise')\n",
}


@pytest.mark.parametrize("what", REPLACED)
def test_replacing_what_others_use_makes_no_wrong_code_right(submit, what):
    """Right code may break by it; the grader does not, and wrong code stays wrong."""
    assert not judged(submit(RIGHT + REPLACED[what] + WRONG, call=1.0))


@pytest.mark.parametrize(
    "what", sorted(REPLACED.keys() - {"__main__", "builtins", "numpy", "recursion"})
)
def test_right_code_that_replaces_what_it_does_not_need_is_right(submit, what):
    assert judged(submit(RIGHT + REPLACED[what]))


def test_the_grader_itself_is_not_touched(submit):
    before = np.asarray, np.array_equal, len, json.dumps
    submit(RIGHT + REPLACED["numpy"] + REPLACED["json"] + WRONG, call=1.0).worker.names(CONV2D)
    assert (np.asarray, np.array_equal, len, json.dumps) == before


def test_results_that_compare_equal_to_everything(body):
    module = """
import numpy as np
class Same(np.ndarray):
    def __eq__(self, other): return np.True_
    def __array_function__(self, *a): return True
    def __array_ufunc__(self, *a, **k): return True
"""
    assert not judged(body("return x.view(Same)", module))


def test_the_callers_frames_hold_no_right_results(body):
    """Everything that this process can reach through frames and the garbage collector."""
    module = """
import gc, sys
import numpy as np
def reachable():
    frame, found = sys._getframe(), []
    while frame:
        found.append(sorted(frame.f_locals))
        frame = frame.f_back
    arrays = [o for o in gc.get_objects() if isinstance(o, np.ndarray)]
    return found, arrays
"""
    submission = body("print(reachable()); return x * w + 1", module)
    case = CONV2D.case(SMALLEST.geometry, 5)
    submission.call(case)
    assert "expected" not in submission.worker.printed
    assert "oracle" not in submission.worker.printed


# The connection -----------------------------------------------------------------------------


def garbage(text):
    return f"""
import os, threading
def spoil():
    for number in range(3, 64):
        try: os.write(number, {text})
        except OSError: pass
"""


@pytest.mark.parametrize(
    "text",
    ["b'x' * 100", "b'mdc1' + b'\\xff' * 12", "b'mdc1\\0\\0\\0\\2' + bytes(8) + b'{}'"],
)  # fmt: skip
def test_writing_to_every_open_file_is_a_fault(body, text):
    submission = body("spoil(); return x * w", garbage(text), call=1.0)
    text = submission.fault(kind="protocol")
    assert text == "conv2d sent the grader something else than a result"


def test_writing_half_a_message_is_a_time_out(body):
    submission = body("spoil(); return x * w", garbage("b'mdc1\\0\\0\\0\\2'"), call=0.5)
    with pytest.raises(StudentFault) as caught:
        submission.call()
    assert caught.value.kind in ("protocol", "time")


def test_messages_without_end_fill_no_memory(body):
    module = """
import os, struct
def flood():
    text = b'{"number": 1}'
    message = struct.pack(">4sIQ", b"mdc1", len(text), 0) + text
    for number in range(3, 64):
        try:
            while True: os.write(number, message * 1000)
        except OSError: pass
"""
    body("flood(); return x", module, call=1.0).fault(kind="protocol")


def test_closing_all_files_is_a_fault(body):
    submission = body("import os\nos.closerange(0, 256)\nwhile True: pass", call=10.0)
    text = submission.fault(kind="protocol")
    assert text == "conv2d closed files that it did not open: the grader's connection"
    submission.fault(numbered(2), kind="protocol")


FORGED = """
import os, struct, json
def forge(**header):
    text = json.dumps(header).encode()
    message = struct.pack(">4sIQ", b"mdc1", len(text), 0) + text
    for number in range(3, 64):
        try: os.write(number, message)
        except OSError: pass
"""


@pytest.mark.parametrize("header", ["number=9, value={'plain': 1}", "number=2, value={'array': 0}"])
def test_a_forged_reply_is_refused(body, header):
    body(f"forge({header}); return x", FORGED, call=2.0).fault(kind="protocol")


class Replies:
    """A process that replies what it is told to."""

    output = b""

    def __init__(self, reply):
        self.reply = reply

    def ask(self, request, blobs, seconds):
        return {"number": request["number"], **self.reply}, bytes(16)

    def end(self):
        pass


GOOD = {"value": {"array": 0}, "arrays": [{"dtype": "<f8", "shape": [2]}], "changed": []}


@pytest.mark.parametrize(
    "reply",
    [
        {"number": 99},
        {"number": []},
        {"value": 3},
        {"value": {}},
        {"value": {"array": 1}},
        {"value": {"array": -1}},
        {"value": {"array": True}},
        {"value": {"plain": []}},
        {"value": {"kept": "x", "type": "A"}},
        {"value": {"kept": 1, "type": 2}},
        {"value": {"tuple": [{"tuple": 3}]}},
        {"arrays": 3},
        {"arrays": [None]},
        {"arrays": [{"dtype": "|O", "shape": [1]}]},
        {"arrays": [{"dtype": "<f8", "shape": [3]}]},
        {"changed": {}},
        {"changed": [3]},
        {"changed": [[9, 0]]},
        {"changed": [[0, 9]]},
        {"changed": [[-1, -1]]},
        {"changed": [[0, 0]]},
        {"fault": "raised"},
        {"fault": ["time", "text"]},
        {"fault": ["refused", "text"]},
        {"fault": ["attribute", "text"]},
        {"fault": ["raised", 2]},
        {"fault": [[], "text"]},
        {"fault": None},
    ],
)
def test_replies_that_are_none(submit, reply):
    submission = submit("")
    submission.worker._public = {"conv2d": []}
    submission.worker._process = Replies(GOOD)
    np.testing.assert_array_equal(submission.call().outputs["y"], [0, 0])
    submission.worker._process = Replies(GOOD | reply)
    submission.fault(numbered(2), kind="protocol")


def test_names_of_a_kept_objects_class_and_parameters_may_be_anything(submit):
    submission = submit("")
    submission.worker._public = {"conv2d": []}
    for name, parameters in (("a b\n", 3), ("x" * 999, [[1, 2]]), ("A", [["if", 1], ["a", 99]])):
        reply = GOOD | {"value": {"kept": 0, "type": name, "parameters": parameters}}
        submission.worker._process = Replies(reply)
        assert "returned " in submission.fault(kind="returned")


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ({"dtype": "<f8", "shape": [2, 3]}, 47),
        ({"dtype": "<f8", "shape": [2**39, 2**39]}, 8),
        ({"dtype": "<f8", "shape": [-1]}, 8),
        ({"dtype": "<f8", "shape": [1.0]}, 8),
        ({"dtype": "<f8", "shape": [True]}, 8),
        ({"dtype": "<f8", "shape": [0] * 65}, 8),
        ({"dtype": "<f8", "shape": None}, 8),
        ({"dtype": "|O8", "shape": [1]}, 8),
        ({"dtype": "<M8[s]", "shape": [1]}, 8),
        ({"dtype": "<c16", "shape": [1]}, 16),
        ({"dtype": "|V8", "shape": [1]}, 8),
        ({"dtype": "f8, f8", "shape": [1]}, 16),
        ({"dtype": "<f3", "shape": [1]}, 8),
        ({"dtype": 8, "shape": [1]}, 8),
        ({}, 8),
        ([], 8),
        (None, 8),
    ],
)
def test_descriptions_that_are_no_arrays(spec, size):
    with pytest.raises(wire.ProtocolError):
        wire.array_of(spec, bytes(size), 0)


def test_headers_of_any_depth_are_refused_or_read():
    def receive(text, body=b""):
        data = struct.pack(">4sIQ", b"mdc1", len(text), len(body)) + text + body
        pieces = iter([data[i : i + 7] for i in range(0, len(data), 7)])
        left = [b""]

        def read(count):
            if not left[0]:
                left[0] = next(pieces, b"")
            piece, left[0] = left[0][:count], left[0][count:]
            return piece

        return wire.receive(read, 100)

    assert receive(b'{"a": 1}', b"xyz") == ({"a": 1}, b"xyz")
    for bad in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"[]", b"1" * 5000, b"nul"):
        with pytest.raises(wire.ProtocolError):
            receive(bad)
    with pytest.raises(wire.ProtocolError):
        receive(b"{}", bytes(101))
    lender = Lender(None)
    tree = {"plain": 1}
    for _ in range(20):
        tree = {"list": [tree]}
    with pytest.raises(wire.ProtocolError):
        lender.result(tree, [])


# What is not allowed ------------------------------------------------------------------------


IMPORTS = [
    "import wave",
    "import wave as w",
    "from wave import open",
    "import importlib; importlib.import_module('wave')",
    "__import__('wave')",
    "import runpy; runpy.run_module('wave')",
    "import email.message",
    "from email import message",
    "from email.message import Message",
    "import email.mime.text",
]
PARTS = [
    "np.convolve([1], [2])",
    "from numpy import convolve\nconvolve([1], [2])",
    "f = getattr(np, 'con' + 'volve'); f([1], [2])",
    "np.fft.fft(x)",
    "from numpy.fft import fft",
    "import numpy.fft\nnumpy.fft.fft([1.0])",
    "class A(np.convolve): pass",
]


@pytest.mark.parametrize(
    ("lines", "forbid"),
    [(IMPORTS, ("wave", "email.message", "email.mime")), (PARTS, ("numpy.convolve", "numpy.fft"))],
    ids=["imports", "parts of NumPy"],
)
def test_what_is_forbidden_is_refused_in_a_call(body, lines, forbid):
    module = f"import numpy as np\nLINES = {lines}"
    submission = body("exec(LINES[int(x.item())], globals())", module, forbid=forbid)
    for n in range(len(lines)):
        text = submission.fault(numbered(n), kind="forbidden")
        assert re.match(
            r"conv2d uses (wave|email\.m\w+|numpy\.\w+), which this task does not", text
        )
        assert text.endswith("in line 4 of conv2d")


@pytest.mark.parametrize("lines", ["import wave", "from email.message import Message"])
def test_what_is_forbidden_is_refused_at_import(submit, lines):
    text = submit(f"\n{lines}\n" + RIGHT, forbid=("wave", "email")).fault(kind="forbidden")
    assert text.startswith("conv.py, when it is imported, uses ")
    assert text.endswith(", which this task does not allow, in line 2 of conv.py")


def test_what_is_allowed_is_not_touched(submit):
    submission = submit(RIGHT + "\nimport email.charset, wave\n", forbid=("email.message",))
    submission.call()


def test_a_file_that_does_without_what_is_forbidden_is_right(submit):
    source = "try:\n    import wave\nexcept ImportError:\n    wave = None\n" + RIGHT
    submit(source, forbid=("wave",)).call()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("sys.meta_path.pop(0); import wave", "conv2d uses wave"),
        ("sys.meta_path[:] = sys.meta_path[1:]", "conv2d uses taking the list of importers apart"),
    ],
)
def test_taking_the_fence_down_is_seen(body, lines, said):
    assert said in body(f"{lines}\nreturn x", "import sys", forbid=("wave",)).fault(
        kind="forbidden"
    )


def test_the_library_can_be_forbidden(body):
    text = body("import minideconv.ops.conv", forbid=("minideconv",)).fault(kind="forbidden")
    assert text.startswith("conv2d uses minideconv, which this task does not allow")


@pytest.mark.slow
def test_parts_of_pytorch_can_be_forbidden_and_the_others_work(submit):
    pytest.importorskip("torch", reason="needs torch")
    lines = {
        "torch.conv2d(x, w)": "torch.conv2d",
        "import torch.nn.functional as F; F.conv2d(x, w)": "torch.nn.functional",
        "nn.Conv2d(1, 1, 1)(x)": "torch.nn.Conv2d",
    }
    source = f"""
import torch
from torch import nn
layer = nn.ReLU()
def conv2d(x, w, b=None, **settings):
    layer(x)
    exec({list(lines)}[int(x.item())], globals() | {{"x": x, "w": w}})
"""
    options = {"arrays": "torch", "memory": 8 * 2**30, "load": 60.0}
    submission = submit(source, forbid=tuple(lines.values()), **options)
    for n, name in enumerate(lines.values()):
        text = submission.fault(numbered(n), kind="forbidden")
        assert text == f"conv2d uses {name}, which this task does not allow, in line 7 of conv2d"


# A user of its own --------------------------------------------------------------------------

USER = """
import sys, tempfile
from pathlib import Path
from minideconv.course.worker import Worker
from minideconv.testing.operations import OPERATIONS
conv2d = OPERATIONS["conv2d"]
case = conv2d.case(conv2d.draw(lambda low, high: low), seed=1)
with Worker(Path(sys.argv[1])) as worker:
    worker.call(conv2d)(*conv2d.call_arguments(case))
print(worker.printed)
"""


def open_python():
    """Return a Python with NumPy that every user of the system may run, and NumPy's folder."""
    numpy = Path(np.__file__).parents[1]
    for python in (sys.executable, "/usr/bin/python3"):
        parts = [p for p in (Path(python).resolve(), numpy) for p in (p, *p.parents)]
        if not all(p.exists() and p.stat().st_mode & 0o001 for p in parts):
            continue
        tried = subprocess.run([python, "-c", "import numpy"], capture_output=True, check=False,
                               env={"PYTHONPATH": str(numpy)})  # fmt: skip
        if tried.returncode == 0:
            return python
    return None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to be root")
def test_a_grader_that_is_root_runs_it_as_another_user(submit, tmp_path):
    python = open_python()
    if python is None:
        pytest.skip("Python or NumPy is in a folder that other users may not enter")
    secret = Path(os.environ["TMPDIR"]) / "seeds"
    secret.write_text("42")
    secret.chmod(0o600)
    submission = submit(
        RIGHT
        + f"""
import os, signal, subprocess
keeper = os.getppid()
print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())
for attempt in (
    lambda: open({str(secret)!r}),
    lambda: os.kill(keeper, signal.SIGKILL),
    lambda: os.setuid(0),
    lambda: open(f"/proc/{{keeper}}/environ"),
    lambda: os.listdir(f"/proc/{{keeper}}/fd"),
):
    try: attempt(); print("done")
    except OSError as error: print(type(error).__name__)
open("mine.txt", "w").write("allowed")
subprocess.Popen(["sleep", "1000"], start_new_session=True, env={{}})
"""
    )
    paths = f"{Path(__file__).parents[3]}{os.pathsep}{Path(np.__file__).parents[1]}"
    done = subprocess.run(
        [python, "-c", USER, str(submission.file)], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    users, *attempts = done.stdout.split("\n")
    user, effective, group, groups = users.split(" ", 3)
    assert 61184 <= int(user) < 65536
    assert user == effective == group
    assert groups == "[]"
    assert attempts[:5] == ["PermissionError"] * 5
    secret.unlink()
