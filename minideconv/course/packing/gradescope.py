"""Gradescope's archive: ``setup.sh`` runs when the image is built, ``run_autograder`` then."""

from __future__ import annotations

from minideconv.course.formats import gradescope
from minideconv.course.packing.contents import UNPACK, Pack
from minideconv.course.results import Result

__all__ = ["files"]

_SETUP = """\
#!/usr/bin/env bash
# Runs once, when Gradescope builds the image.
set -uo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
VENDOR=$HERE/vendor
mkdir -p "$VENDOR"
"""
_SETUP_NUMPY = """\
export PYTHONPATH=$VENDOR
"$PYTHON" -c 'import numpy' 2>/dev/null || "$PYTHON" -m pip install "numpy>=2.0" ||
  { echo "NumPy is missing: pack the archive with --wheelhouse DIR" >&2; exit 1; }
chmod 600 "$HERE/course.toml"
"""

_RUN = """\
#!/usr/bin/env bash
# Grades one submission. Needs no network.
set -uo pipefail
ROOT=${AUTOGRADER_ROOT:-/autograder}
PYTHON=${PYTHON:-python3}
mkdir -p "$ROOT/results"
# What stays behind if Python itself cannot be started.
cat >"$ROOT/results/results.json" <<'END'
"""
_RUN_REST = """\
END
export PYTHONPATH=$ROOT/source/vendor PYTHONDONTWRITEBYTECODE=1
COMMAND
exit 0  # the result says it all; another code would hide it
"""

_README = """\
Upload this archive as it is: Configure Autograder, Zip file upload, with an image of Ubuntu 24.04
or newer (Python 3.11 at least). Students hand in {file}.

Try it before you upload it, in an empty folder:

    mkdir -p try/source try/submission && cd try
    (cd source && unzip -q ../../ARCHIVE.zip && bash setup.sh)
    cp SOMEBODY/{file} submission/
    AUTOGRADER_ROOT=$PWD bash source/run_autograder && cat results/results.json

course.toml holds the secret of the hidden checks; it can be read by whoever gets this archive.
"""


def files(pack: Pack) -> dict[str, bytes]:
    """Return the archive's files by name."""
    nothing = Result(pack.unit.name, pack.unit.title, ())
    fallback = gradescope.write(nothing.broken("the autograder could not be started"))
    source = '"$ROOT/source/course.toml"'
    command = pack.command(
        '"$ROOT/submission"', "gradescope", '"$ROOT/results/results.json"', source
    )
    return {
        "setup.sh": (_SETUP + UNPACK + _SETUP_NUMPY).encode(),
        "run_autograder": (_RUN + fallback + _RUN_REST.replace("COMMAND", command)).encode(),
        "README.txt": _README.format(file=pack.unit.file).encode(),
        **pack.common(),
    }
