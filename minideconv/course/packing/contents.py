"""What every archive holds: the wheels, the course's file, units of the teacher's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from minideconv.course.packing.wheel import wheel
from minideconv.course.settings import CourseSettings
from minideconv.course.unit import UNITS, Unit
from minideconv.errors import UsageError
from minideconv.files.reading import read_bytes

__all__ = ["UNPACK", "Pack"]

# A wheel is a zip archive, so that neither pip nor a network is needed to install one.
UNPACK = """\
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "minideconv needs Python 3.11 or newer; choose a newer image" >&2; exit 1; }
for wheel in "$HERE"/wheels/*.whl; do
  "$PYTHON" -m zipfile -e "$wheel" "$VENDOR" || exit 1
done
"""


@dataclass(frozen=True)
class Pack:
    """What is packed.

    Attributes
    ----------
    unit : Unit
        The unit that is graded.
    settings : CourseSettings
        Of the course.
    course : Path
        Its file, which goes into the archive with its secret.
    hidden : bool
        Whether the hidden checks are run.
    wheelhouse : Path, optional
        A folder of wheels that go in as well, NumPy's for example.
    """

    unit: Unit
    settings: CourseSettings
    course: Path
    hidden: bool
    wheelhouse: Path | None = None
    _wheels: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def wheels(self) -> dict[str, bytes]:
        """Return the wheels by name.

        Raises
        ------
        UsageError
            If the wheelhouse holds none.
        """
        if not self._wheels:
            self._wheels.update([wheel()])
            if self.wheelhouse is not None:
                found = sorted(self.wheelhouse.glob("*.whl"))
                if not found:
                    raise UsageError(f"--wheelhouse {self.wheelhouse} holds no wheels (*.whl)")
                self._wheels.update((path.name, path.read_bytes()) for path in found)
        return dict(self._wheels)

    def common(self, folder: str = "") -> dict[str, bytes]:
        """Return the files that grading needs, below a folder of the archive."""
        files = {f"wheels/{name}": content for name, content in self.wheels().items()}
        files["course.toml"] = read_bytes(self.course)
        if not self.unit.folder.is_relative_to(UNITS):
            for path in sorted(self.unit.folder.iterdir()):
                if path.is_file() and not path.name.startswith("solution_"):
                    files[f"units/{self.unit.name}/{path.name}"] = read_bytes(path)
        return {f"{folder}{name}": content for name, content in files.items()}

    def command(self, submission: str, form: str, output: str, course: str) -> str:
        """Return the command line that grades; its arguments are words of a shell."""
        hidden = " --hidden" if self.hidden else ""
        return (
            f'"$PYTHON" -m minideconv.course grade {submission} --unit {self.unit.name}'
            f" --backend {self.settings.backend} --format {form} --output {output}"
            f" --course {course}{hidden}"
        )
