"""Pages that are made from the code while building, so that they cannot go stale.

- ``api/*.rst``: one page per room, every name in its ``__all__``;
- ``generated/*-help.txt``: what each command line prints for ``--help``;
- ``generated/export-listing.txt``: what is in a small ONNX file;
- ``generated/autoencoders*``, ``what-where.png``: see `autoencoder_pictures`;
- ``generated/inside-*``: what a small network computes inside (see `inside`);
- ``gallery.md``, ``generated/gallery-*``: one picture of each kind (see `gallery`);
- ``generated/course-*``: what a graded submission looks like (see `course_formats`);
- ``generated/phases*``: which taps meet which pixels (see `draw_phases`);
- ``generated/own-data-*``: the page about one's own data, run (see `own_data`);
- other files of ``generated``: what was measured (see `stored_results`);
- ``generated/site/playground.html``: the page to play with, in one file (see `play_page`);
- ``generated/house.svg``: the rooms of the package and their imports (see `house`);
- ``tutorials/*.ipynb``, ``generated/tutorial*``: the notebooks, and the list of them (see
  `tutorial_pages`).
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from typing import Any

import autoencoder_pictures
import course_formats
import course_pages
import draw_phases
import gallery
import house
import inside
import own_data
import play_page
import stored_results
import tutorial_pages
from pages import DOCS, ROOT, write

from minideconv import models, random
from minideconv.export import listing, onnx_model

# The rooms in the order in which a reader meets them: module, title, one sentence.
ROOMS = [
    ("minideconv", "The top level", "What `import minideconv as md` offers."),
    ("minideconv.ops", "ops: array functions", "Plain arrays in, plain arrays out."),
    ("minideconv.autograd", "autograd: the tape", "`Tensor`, and how gradients flow."),
    ("minideconv.functional", "functional", "The ops, bound to the tape."),
    ("minideconv.nn", "nn: modules", "Layers that own their parameters."),
    ("minideconv.nn.init", "nn.init: initialisers", "How parameters start."),
    ("minideconv.nn.utils", "nn.utils", "Gradient clipping."),
    ("minideconv.nn.trace", "nn.trace", "A network's forward as a list of operations."),
    ("minideconv.nn.graph", "nn.graph", "What such a list consists of."),
    ("minideconv.runtime", "runtime: inference plans", "A network that is only used."),
    ("minideconv.optim", "optim", "Optimisers and learning-rate schedules."),
    ("minideconv.models", "models", "Networks as tables of layers."),
    ("minideconv.data", "data", "Data sets, crops and the loader."),
    ("minideconv.data.transforms", "data.transforms", "Callables (image, mask, rng)."),
    ("minideconv.data.convert", "data.convert", "What programs for labelling export."),
    ("minideconv.segmentation", "segmentation", "From scores to masks, and metrics."),
    (
        "minideconv.segmentation.proposals",
        "segmentation.proposals",
        "Boxes that may hold objects.",
    ),
    ("minideconv.fit_crf", "fit_crf", "A search for a CRF's parameters."),
    (
        "minideconv.sparse_coding",
        "sparse_coding",
        "Convolutional sparse coding: maps, dictionaries, denoising, inpainting.",
    ),
    (
        "minideconv.sparse_coding.hierarchy",
        "sparse_coding.hierarchy",
        "Layers of maps (Zeiler et al. 2010), and whether units are corners.",
    ),
    ("minideconv.visualize", "visualize", "Pictures, and what they show."),
    ("minideconv.tasks", "tasks", "What a network learns."),
    ("minideconv.interop", "interop", "Weight files of other programs."),
    ("minideconv.interop.torch", "interop.torch", "A network as a module of PyTorch."),
    ("minideconv.training", "training", "The engine behind the command lines."),
    ("minideconv.compare", "compare", "Several networks on one page."),
    ("minideconv.export", "export", "Networks as ONNX files."),
    ("minideconv.testing", "testing", "What a course or a plug-in imports."),
    ("minideconv.backend.algorithms", "backend.algorithms", "Reference, exact or fast."),
    (
        "minideconv.engine.cpu.table",
        "engine.cpu.table",
        "Which algorithm for which convolution.",
    ),
    ("minideconv.engine.cpu.memory", "engine.cpu.memory", "Blocks that go round, and their peak."),
    ("minideconv.backend.parallel", "backend.parallel", "Worker threads on the CPU."),
    ("minideconv.backend", "backend", "NumPy or CuPy: arrays and devices."),
    ("minideconv.random", "random", "The one source of random numbers."),
    ("minideconv.errors", "errors", "What is raised, and the exit codes."),
]
PROGRAMS = ["train", "evaluate", "predict", "fit_crf", "compare", "ablate", "export"]
PROGRAMS += ["few_labels", "visualize", "report", "data", "data convert", "weights"]
PROGRAMS += ["sparse_coding", "sparse_coding learn", "sparse_coding hierarchy"]
PROGRAMS += ["data check", "course"]


def public_names(module: Any) -> list[str]:
    """Return the names a module exports: ``__all__``, or what it defines without underscore."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
    return sorted(names, key=str.lower)


def directive(module: str, name: str, value: Any) -> str:
    """Return the autodoc directive for one public name."""
    full = f"{module}.{name}"
    if inspect.isclass(value):
        return f".. autoclass:: {full}\n   :members:\n   :show-inheritance:\n"
    if inspect.ismodule(value):
        return ""
    if inspect.isroutine(value):
        return f".. autofunction:: {full}\n"
    return f".. py:data:: {full}\n   :no-index-entry:\n\n   {_summary(value)}\n"


def _summary(value: Any) -> str:
    text = repr(value)
    return f"``{text if len(text) <= 160 else type(value).__name__}``"


def api_page(module_name: str, title: str, sentence: str, seen: set[int]) -> str:
    """Return the page of one room; objects that an earlier page documents are only named."""
    module = importlib.import_module(module_name)
    lines = [title, "=" * len(title), "", sentence, "", f".. currentmodule:: {module_name}", ""]
    elsewhere = []
    for name in public_names(module):
        value = getattr(module, name)
        documentable = inspect.isclass(value) or inspect.isroutine(value)
        if inspect.ismodule(value) or (module_name == "minideconv" and documentable):
            elsewhere.append(f"``{name}``")
            continue
        if documentable and id(value) in seen:
            elsewhere.append(f"``{name}``")
            continue
        if documentable:
            seen.add(id(value))
        lines += [directive(module_name, name, value), ""]
    if elsewhere:
        lines[5:5] = ["Documented with its own room: " + ", ".join(elsewhere) + ".", ""]
    return "\n".join(lines)


def write_api() -> None:
    """Write the API pages and their table of contents."""
    seen: set[int] = set()
    toc = []
    for module, title, sentence in ROOMS:
        write(DOCS / "api" / "generated" / f"{module}.rst", api_page(module, title, sentence, seen))
        toc.append(f"   generated/{module}")
    index = (
        "API reference\n=============\n\nOne page per room, in reading order. These pages are made "
        "from the docstrings.\n\n.. toctree::\n   :maxdepth: 1\n\n" + "\n".join(toc) + "\n"
    )
    write(DOCS / "api" / "index.rst", index)


def write_help() -> None:
    """Write what the command lines print for --help."""
    for program in PROGRAMS:
        done = subprocess.run(
            [sys.executable, "-m", *f"minideconv.{program}".split(), "--help"],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"python -m minideconv.{program} --help failed:\n{done.stderr}")
        write(DOCS / "generated" / f"{program.replace(' ', '-')}-help.txt", done.stdout)


def write_export() -> None:
    """Write what is in the file that the page about exporting makes."""
    random.manual_seed(0)
    net = models.deconvnet(num_classes=3, width=2, input_size=16, fc=4, stages=1)
    model = onnx_model(net, 16, postprocessing=("argmax",))
    write(DOCS / "generated" / "export-listing.txt", listing(model) + "\n")


def tidy_docstring(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Escape what docstrings mean literally and reStructuredText would take for markup.

    ``C*kh*kw`` in a shape is a product and no emphasis; `` `Tensor`s `` is a plural.
    """
    product = re.compile(r"(?<=[\w')])\*(?=[\w(])|(?<=\()\*(?=\w+[,)])")

    def closed(match: re.Match[str]) -> str:
        follows = match.string[match.end() : match.end() + 1]
        return match[0] + ("\\ " if follows.isalnum() else "")

    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.+?``)", re.sub(r"``.+?``|`[^`]+`", closed, line))
            parts[::2] = [product.sub(r"\\*", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", tidy_docstring, priority=100)
    write_api()
    write_help()
    write_export()
    stored_results.write_all()
    autoencoder_pictures.write_all()
    inside.write_pictures(DOCS / "generated")
    own_data.write_all()
    course_formats.write_all()
    course_pages.write_all()
    draw_phases.write_all()
    gallery.write_all()
    play_page.build()
    write(DOCS / "generated" / "house.svg", house.draw())
    tutorial_pages.write_all()
    return {"parallel_read_safe": True}
