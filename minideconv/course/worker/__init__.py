r"""Students' code in a process of its own, with limits; the grader keeps cases and right results.

>>> import tempfile
>>> from pathlib import Path
>>> from minideconv.course.worker import StudentFault, Worker
>>> from minideconv.testing.operations import OPERATIONS
>>> conv2d = OPERATIONS["conv2d"]
>>> case = conv2d.case(conv2d.draw(lambda low, high: low), seed=1)
>>> with tempfile.TemporaryDirectory() as folder:
...     file = Path(folder) / "conv.py"
...     _ = file.write_text("def conv2d(x, w, b, **settings):\n    raise SystemExit")
...     with Worker(file) as worker:
...         try:
...             worker.call(conv2d)(*conv2d.call_arguments(case))
...         except StudentFault as fault:
...             print(fault.kind, "-", fault)
exit - conv2d called sys.exit() in line 2 of conv2d; it must return its result
"""

from __future__ import annotations

from minideconv.course.worker.limits import Limits
from minideconv.course.worker.worker import Worker
from minideconv.testing.checking.calls import StudentFault

__all__ = ["Limits", "StudentFault", "Worker"]
