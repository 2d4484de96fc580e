"""The house: every import leads down, and the rooms stay few enough to find one's way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import house
import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minideconv"

# Who may import whom: a room (a folder of the package, or a file directly in it) imports itself and
# the rooms named here, nothing above it.
BASE = {"errors", "backend", "random"}
ARRAYS = BASE | {"ops", "engine"}
NETS = ARRAYS | {"autograd", "functional", "nn", "models"}
ENGINE = NETS | {"files", "optim", "data", "segmentation", "visualize", "_version", "runtime"}
PROGRAM = ENGINE | {"distributed", "settings", "tasks", "training"}
ROOMS: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "files": {"errors"},
    "backend": {"errors"},
    "random": {"errors", "backend"},
    "settings": {"errors", "backend", "files"},
    "ops": BASE,
    "engine": BASE | {"ops"},
    "autograd": BASE,
    "functional": ARRAYS | {"autograd"},
    "nn": ARRAYS | {"autograd", "functional"},
    "optim": ARRAYS | {"autograd", "functional", "nn"},
    "runtime": ARRAYS | {"autograd", "functional", "nn"},
    "models": NETS - {"models"} | {"settings"},
    "data": BASE | {"files", "settings"},
    "testing": ARRAYS | {"autograd"},
    "course": {"errors", "files", "settings", "testing", "_version", "visualize"},
    "distributed": {"errors", "backend"},
    "segmentation": NETS | {"data", "files", "runtime"},
    "visualize": NETS | {"files", "data", "segmentation", "settings"},
    "tasks": ENGINE | {"settings"},
    "interop": {"errors", "files", "nn", "backend"},
    # how to train, whatever it is that is learned
    "training": (ENGINE | {"distributed", "settings", "tasks", "interop"}) - {"segmentation"},
    # thin command lines
    "train": PROGRAM,
    "evaluate": PROGRAM,
    "predict": PROGRAM,
    "fit_crf": {"backend", "data", "segmentation"},
    "report": PROGRAM | {"interop"},
    "run_sets": PROGRAM,
    "ablate": PROGRAM | {"run_sets"},
    "few_labels": PROGRAM | {"run_sets"},
    "weights": {"errors", "files", "settings", "interop"},
    "compare": PROGRAM,
    "export": BASE | {"ops", "autograd", "nn", "files", "interop", "_version"},
    "sparse_coding": PROGRAM,
    "__main__": PROGRAM | {"run_sets"},
    # the public names, nothing else
    "__init__": PROGRAM | {"testing"},
}


def upward_imports(path: Path, package: Path = PACKAGE) -> list[str]:
    """Imports of a file that its room is not allowed, in words."""
    own = path.relative_to(package).with_suffix("").parts[0]
    room = "__main__" if path.name == "__main__.py" else own
    wrong = []
    for line, name in house.imports(path, package, types=True):
        if not name.startswith("minideconv."):
            continue
        other = house.room_of(name)
        other = other if other in ROOMS else "__init__"  # a name of the top level
        if other != own and other not in ROOMS[room]:
            wrong.append(f"{path.relative_to(package.parent)}:{line} imports {name}")
    return wrong


def test_every_file_belongs_to_a_room():
    unknown = sorted({house.room_of(name) for name in house.modules()} - ROOMS.keys())
    assert not unknown, f"rooms that the table in {Path(__file__).name} does not know: {unknown}"


def test_imports_run_one_way():
    wrong = [line for path in house.modules().values() for line in upward_imports(path)]
    assert not wrong, "imports against the direction of the rooms:\n" + "\n".join(wrong)


def test_the_table_of_rooms_has_no_cycle():
    assert max(house.floors({room: allowed - {room} for room, allowed in ROOMS.items()}).values())


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("ops", "from minideconv.autograd import Tensor"),
        ("ops", "from ..autograd import Tensor"),
        ("autograd", "import minideconv.ops.conv"),
        ("models", "def f():\n    from minideconv import training"),
        ("data", "from ..nn import Module"),
        ("tasks", "from minideconv.training.run.folder import RunFolder"),
        ("training", "from minideconv.segmentation import ConfusionMatrix"),
        ("optim", "if TYPE_CHECKING:\n    from minideconv.models import DeconvNet"),
    ],
)
def test_an_upward_import_is_seen(tmp_path, room, line):
    (tmp_path / "minideconv" / room).mkdir(parents=True)
    file = tmp_path / "minideconv" / room / "module.py"
    file.write_text(line + "\n")
    assert len(upward_imports(file, tmp_path / "minideconv")) == 1


def test_training_depends_on_no_task():
    """Words of a task are in `tasks` alone; the names in old checkpoints must still be read."""
    words = r"segment|confusion|cross_entropy|\b(mean_)?iou\b|\bvoid\b|\bclasses\b|\bmasks?\b"
    read = ["best_mean_iou", '"confusion"', "train_eval_agreement"]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((PACKAGE / "training").rglob("*.*"))
        if path.suffix in {".py", ".html", ".css"}
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(words, line, re.IGNORECASE) and not any(name in line for name in read)
    ]
    assert not found, "\n".join(found)


def test_rooms_are_on_twelve_floors_at_most():
    assert max(house.floors(house.room_graph(house.file_graph())).values()) <= 12


def test_at_most_ten_files_are_at_the_top_level():
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_files_import_each_other_in_no_cycle():
    """But for types: Tensor's methods are declared in one file and take Tensors of another."""
    assert not house.cycles(house.file_graph())
    for cycle in house.cycles(house.file_graph(types=True)):
        assert {name.rpartition(".")[0] for name in cycle} == {"minideconv.autograd"}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a": "import p.b", "b": "import p.c", "c": "from p import a"}, ["p.a", "p.b", "p.c"]),
        ({"a": "def f():\n    from p.b import g", "b": "from .a import f"}, ["p.a", "p.b"]),
        ({"a": "import p.b", "b": "import os"}, None),
    ],
)
def test_a_cycle_is_found(tmp_path, files, found):
    package = tmp_path / "p"
    package.mkdir()
    for name, text in {"__init__": "", **files}.items():
        (package / f"{name}.py").write_text(text)
    graph = house.file_graph(package)
    assert house.cycles(graph) == ([found] if found else [])
    if found:
        with pytest.raises(ValueError, match="import each other"):
            house.floors(graph)
    else:
        assert house.floors(graph) == {"p": 1, "p.a": 2, "p.b": 1}


def test_a_command_line_may_import_what_imports_its_room():
    files = {"p.a": ["p.b"], "p.b": [], "p.b.__main__": ["p.a", "p.b"]}
    assert house.room_graph(files) == {"a": {"b"}, "b": set()}
    assert house.floors(house.room_graph(files)) == {"b": 1, "a": 2}


def test_no_module_imports_a_command_line():
    """What makes it safe to leave them out of the graph of rooms."""
    imported = {target for targets in house.file_graph().values() for target in targets}
    assert not [name for name in imported if name.endswith(".__main__")]


def test_the_picture_shows_every_room_and_no_arrow_that_leads_up():
    picture = ElementTree.fromstring(house.draw())
    names = {text.text for text in picture.iter() if text.get("class") == "room"}
    rooms = {house.room_of(name) for name in house.modules()} - {"__init__"}
    assert names == rooms | {"import minideconv"}
    paths = [p.get("d") for p in picture.iter() if p.tag.endswith("path") and "C" in p.get("d")]
    ends = [list(map(float, re.findall(r"[\d.]+", path))) for path in paths]
    assert len(ends) > len(rooms)
    assert all(end[1] < end[-1] for end in ends)


def test_the_readme_names_every_room_from_the_top_down():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## The rooms") : text.index("</details>")]
    named = [name.rstrip("/") for name in re.findall(r"\(minideconv/([a-z_/]+)", table)]
    graph = house.room_graph(house.file_graph())
    floor = house.floors(graph)
    small = {"__init__", "__main__", "_version", "errors", "random"}
    assert set(named) == floor.keys() - small
    seen: set[str] = set()
    for room in named:
        above = [other for other in seen if other in graph[room]]
        assert not above, f"{room} imports {above}, which the table has above it"
        seen.add(room)


def test_the_script_prints_the_floors(tmp_path):
    picture = tmp_path / "house.svg"
    script = ROOT / "docs/_ext/house.py"
    done = subprocess.run(
        [sys.executable, script, picture], capture_output=True, text=True, check=True
    )
    assert "arrows, all of them down" in done.stdout
    assert picture.read_text(encoding="utf-8") == house.draw()
