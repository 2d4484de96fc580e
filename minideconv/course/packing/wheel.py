"""A wheel of the installed package, made of its files without any build tool.

A pure-Python wheel is a zip archive with three more files. Reference solutions are left out: a
student's program could read them where it is graded.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import minideconv
from minideconv._version import __version__

__all__ = ["archive", "wheel"]

_METADATA = """\
Metadata-Version: 2.1
Name: minideconv
Version: {version}
Summary: A small deep-learning library for reading, with its course kit; without the solutions
Requires-Python: >=3.11
Requires-Dist: numpy>=2.0
Requires-Dist: pillow>=10.0
"""
_WHEEL = """\
Wheel-Version: 1.0
Generator: minideconv.course
Root-Is-Purelib: true
Tag: py3-none-any
"""


def wheel() -> tuple[str, bytes]:
    """Return the wheel's file name and its content: the same bytes for the same files."""
    root = Path(minideconv.__file__).resolve().parent
    files = {
        f"minideconv/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not _secret(path.name)
    }
    info = f"minideconv-{__version__}.dist-info"
    files[f"{info}/METADATA"] = _METADATA.format(version=__version__).encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    lines.append(f"{info}/RECORD,,")
    files[f"{info}/RECORD"] = ("\n".join(lines) + "\n").encode()
    return f"minideconv-{__version__}-py3-none-any.whl", archive(files)


def _secret(name: str) -> bool:
    return re.fullmatch(r"solution_\w+\.py", name) is not None


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive; what begins with ``#!`` may be executed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # dated 1980, so that equal files give equal archives
            mode = 0o755 if content.startswith(b"#!") else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content)
    return buffer.getvalue()
